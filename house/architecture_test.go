package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	namedCode = regexp.MustCompile("`([a-z]+)\\.([A-Za-z]+(?:\\.[A-Za-z]+)?)`")
	pageLink  = regexp.MustCompile(`\]\(([^)#:]+)\)`)
)

// What ARCHITECTURE.md names in code exists: functions, methods as package.Type.Method, types.
func TestTheFunctionsThatTheArchitectureNamesExist(t *testing.T) {
	declared, packages := map[string]bool{}, map[string]bool{}
	for _, p := range loadSource(t, false).own {
		name := path.Base(p.ImportPath)
		packages[name] = true
		for _, d := range declarations(t, p) {
			declared[name+"."+d] = true
		}
	}
	named := namedCode.FindAllStringSubmatch(page(t, "ARCHITECTURE.md"), -1)
	if len(named) < 20 {
		t.Fatalf("only %d names found", len(named))
	}
	for _, m := range named {
		if !packages[m[1]] {
			continue // a file name
		}
		if full := m[1] + "." + m[2]; !declared[full] {
			t.Errorf("ARCHITECTURE.md names %s, which does not exist", full)
		}
	}
}

// declarations returns a package's functions, types, and methods as Type.Method.
func declarations(t *testing.T, p *listed) (names []string) {
	t.Helper()
	for _, file := range p.GoFiles {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv != nil {
					names = append(names, receiver(d)+"."+d.Name.Name)
				} else {
					names = append(names, d.Name.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if s, ok := spec.(*ast.TypeSpec); ok {
						names = append(names, s.Name.Name)
					}
				}
			}
		}
	}
	return names
}

// Every relative link of the pages leads somewhere.
func TestLinksLeadSomewhere(t *testing.T) {
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append(pages, "../README.md", "../ARCHITECTURE.md", "../CHANGELOG.md") {
		name := strings.TrimPrefix(p, "../")
		for _, m := range pageLink.FindAllStringSubmatch(page(t, name), -1) {
			if found, _ := filepath.Glob(filepath.Join("..", path.Dir(name), m[1])); found == nil {
				t.Errorf("%s: the link to %s leads nowhere", name, m[1])
			}
		}
	}
}
