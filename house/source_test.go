package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/holdfastdb/holdfast"

// listed is what `go list` says of a package.
type listed struct {
	ImportPath, Dir, Export            string
	Imports, TestImports, XTestImports []string
	GoFiles                            []string
	Module                             *struct{ Path string }
}

// source is all the project's packages.
type source struct {
	own     []*listed         // ours, in the order of their paths
	exports map[string]string // export data of every package that ours need, by import path
	fset    *token.FileSet
	checked map[string]*checked
}

// checked is a package's syntax, tests left out, with its types.
type checked struct {
	files []*ast.File
	info  *types.Info
}

// loadSource lists the project's packages. With exports also what type checking needs, which compiles what is stale.
func loadSource(t *testing.T, exports bool) *source {
	t.Helper()
	args := []string{"list", "-json=ImportPath,Dir,Export,Imports,TestImports,XTestImports,GoFiles,Module"}
	if exports {
		args = append(args, "-export", "-deps")
	}
	cmd := exec.Command("go", append(args, "./...")...)
	cmd.Dir, cmd.Stderr = "..", os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	s := &source{exports: map[string]string{}, fset: token.NewFileSet(), checked: map[string]*checked{}}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(listed)
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		s.exports[p.ImportPath] = p.Export
		if p.Module != nil && p.Module.Path == module {
			s.own = append(s.own, p)
		}
	}
	slices.SortFunc(s.own, func(a, b *listed) int { return strings.Compare(a.ImportPath, b.ImportPath) })
	return s
}

// check parses and type checks a package.
func (s *source) check(t *testing.T, p *listed) *checked {
	t.Helper()
	if c := s.checked[p.ImportPath]; c != nil {
		return c
	}
	c := &checked{info: &types.Info{Uses: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{}}}
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(s.fset, filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		c.files = append(c.files, f)
	}
	conf := types.Config{Importer: importer.ForCompiler(s.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(s.exports[path]) })}
	if _, err := conf.Check(p.ImportPath, s.fset, c.files, c.info); err != nil {
		t.Fatal(err)
	}
	s.checked[p.ImportPath] = c
	return c
}

// at names a place of the source within the project.
func (s *source) at(pos token.Pos) string {
	p := s.fset.Position(pos)
	root, err := filepath.Abs("..")
	if err == nil {
		p.Filename, err = filepath.Rel(root, p.Filename)
	}
	if err != nil {
		return p.String()
	}
	return p.String()
}

// short returns a package's path within the project.
func short(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, module), "/") }
