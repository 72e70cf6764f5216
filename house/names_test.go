package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Every package and every exported name is explained where it is declared.
func TestEveryExportedNameIsExplained(t *testing.T) {
	fset := token.NewFileSet()
	for _, p := range loadSource(t, false).own {
		explained := false
		for _, name := range p.GoFiles {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			explained = explained || f.Doc != nil
			for _, n := range unexplained(f) {
				t.Errorf("%s: %s has no comment", path.Join(short(p.ImportPath), name), n)
			}
		}
		if len(p.GoFiles) > 0 && !explained {
			t.Errorf("%s: the package has no comment", short(p.ImportPath))
		}
	}
}

// unexplained returns the exported names of a file that have no comment of their own or of their group. Methods of
// types that are not exported need none.
func unexplained(f *ast.File) (names []string) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Doc == nil && d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d))) {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				names = append(names, unexplainedIn(spec, d.Doc != nil)...)
			}
		}
	}
	return names
}

func unexplainedIn(spec ast.Spec, group bool) (names []string) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && !group && s.Doc == nil && s.Comment == nil {
			names = append(names, s.Name.Name)
		}
	case *ast.ValueSpec:
		for _, n := range s.Names {
			if n.IsExported() && !group && s.Doc == nil && s.Comment == nil {
				names = append(names, n.Name)
			}
		}
	}
	return names
}

// receiver returns the name of a method's type.
func receiver(d *ast.FuncDecl) string {
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

func TestUnexplainedNamesAreFound(t *testing.T) {
	const text = `package p
func Bare() {}
// Told says so.
func Told() {}
type T struct{}
func (T) Method() {}
type hidden struct{}
func (hidden) Method() {}
const A = 1
const B = 1 // behind
// A group.
const (
	C = 1
)
var D int
`
	f, err := parser.ParseFile(token.NewFileSet(), "p.go", text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	got := unexplained(f)
	slices.Sort(got)
	if want := "A Bare D Method T"; strings.Join(got, " ") != want {
		t.Errorf("found %q, want %q", got, want)
	}
}
