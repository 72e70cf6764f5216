package house

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"testing"
)

// No package variable is written after the program's initialization: five nodes run in one process, and no test
// can disturb another. Assigning to one, to a part of one, taking its address, and calling a method that may
// change it count as writes.
func TestNoPackageVariableIsWrittenAfterInit(t *testing.T) {
	s := loadSource(t, true)
	for _, p := range s.own {
		c := s.check(t, p)
		for _, f := range c.files {
			for _, w := range writesIn(f, c.info) {
				t.Errorf("%s: writes the package variable %s", s.at(w.pos), w.name)
			}
		}
	}
}

type write struct {
	pos  token.Pos
	name string
}

// writesIn returns the writes to package variables in the functions of a file, init apart.
func writesIn(f *ast.File, info *types.Info) (found []write) {
	add := func(e ast.Expr) {
		if name, ok := packageVariable(e, info); ok {
			found = append(found, write{e.Pos(), name})
		}
	}
	inspect := func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, e := range n.Lhs {
				add(e)
			}
		case *ast.IncDecStmt:
			add(n.X)
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{n.Key, n.Value} {
				if e != nil {
					add(e)
				}
			}
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				add(n.X)
			}
		case *ast.CallExpr:
			if changed, ok := changedBy(n, info); ok {
				add(changed)
			}
		}
		return true
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && (fn.Recv != nil || fn.Name.Name != "init") {
			ast.Inspect(fn, inspect)
		}
	}
	return found
}

// changedBy returns what a call may change: the receiver of a pointer method, the target of delete, clear or copy.
func changedBy(call *ast.CallExpr, info *types.Info) (ast.Expr, bool) {
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		if b, ok := info.Uses[fun].(*types.Builtin); ok && (b.Name() == "delete" || b.Name() == "clear" || b.Name() == "copy") {
			return call.Args[0], true
		}
	case *ast.SelectorExpr:
		sel := info.Selections[fun]
		if sel == nil || sel.Kind() != types.MethodVal {
			return nil, false
		}
		receiver := sel.Obj().(*types.Func).Signature().Recv().Type()
		_, wantsPointer := receiver.(*types.Pointer)
		_, isPointer := sel.Recv().Underlying().(*types.Pointer)
		return fun.X, wantsPointer && !isPointer
	}
	return nil, false
}

// packageVariable finds the package variable that an expression is, or is a part of: v, v.f, v[i], *v, p.v. What v
// points to is a part of it.
func packageVariable(e ast.Expr, info *types.Info) (string, bool) {
	for {
		switch x := e.(type) {
		case *ast.ParenExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		case *ast.SelectorExpr:
			if id, ok := x.X.(*ast.Ident); ok {
				if _, ok := info.Uses[id].(*types.PkgName); ok {
					e = x.Sel
					continue
				}
			}
			e = x.X
		case *ast.Ident:
			v, ok := info.Uses[x].(*types.Var)
			return x.Name, ok && v.Pkg() != nil && v.Parent() == v.Pkg().Scope()
		default:
			return "", false
		}
	}
}

func TestEveryKindOfWriteToAPackageVariableIsFound(t *testing.T) {
	const text = `package p
import "sync"
type s struct{ f int; m map[int]int }
func (s *s) set() {}
func (s s) get() {}
var n, m int
var v s
var ptr = new(s)
var list []int
var once sync.Once
var read = 1
func init() { n = 1 }
func f() {
	n = 1
	n++
	v.f = 2
	v.m[1] = 2
	ptr.f = 3
	*ptr = s{}
	list[0] = 1
	for n, m = range list {}
	_ = &v
	v.set()
	once.Do(f)
	delete(v.m, 1)
	clear(list)
	func() { (n) = 2 }()
}
func fine() {
	n := read
	n++
	v.get()
	var local s
	local.set()
	local.f = read
	_ = list[n]
}
`
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "p.go", text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "source", nil)}
	if _, err := conf.Check("p", fset, []*ast.File{f}, info); err != nil {
		t.Fatal(err)
	}
	lines := map[int]int{}
	for _, w := range writesIn(f, info) {
		lines[fset.Position(w.pos).Line]++
	}
	const first, last = 14, 27 // the body of f
	for line := first; line <= last; line++ {
		if lines[line] == 0 {
			t.Errorf("line %d of the sample: the write is not found", line)
		}
		delete(lines, line)
	}
	for line := range lines {
		t.Errorf("line %d of the sample writes nothing", line)
	}
}
