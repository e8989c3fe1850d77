// Package surface_test compares the exported declarations of the public packages, those of the nested modules included, with files in
// testdata, so that a review sees each change of them. After an intended change:
//
//	go test ./internal/tests/surface -update
package surface_test

import (
	"bytes"
	"flag"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write what the packages offer into testdata")

// TestSurface lists the exported declarations of each public package, without comments: `go doc` shows those.
func TestSurface(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..", "..")
	found := map[string]bool{}
	for _, dir := range publicPackages(t, root) {
		files := parseFiles(t, filepath.Join(root, dir))
		if len(files) == 0 || files[0].Name.Name == "main" {
			continue
		}
		name := strings.ReplaceAll(path.Join("storage", filepath.ToSlash(dir)), "/", "_") + ".txt"
		found[name] = true
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			golden, listing := filepath.Join("testdata", name), surfaceOf(t, files)
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(listing), 0o644))
				return
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err, "a new package: go test ./internal/tests/surface -update")
			assert.Equal(t, string(want), listing, "if the change is meant: go test ./internal/tests/surface -update")
		})
	}
	require.Contains(t, found, "storage.txt")
	golden, err := os.ReadDir("testdata")
	require.NoError(t, err)
	for _, file := range golden {
		assert.True(t, found[file.Name()], "testdata/%s is of no package", file.Name())
	}
}

// published are the nested modules that others can import.
var published = []string{"kafkafeed", "prometheus", "redis"}

// publicPackages returns the directories of the repository that others can import, relative to it.
func publicPackages(t *testing.T, root string) (dirs []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		if at != root {
			name := entry.Name()
			_, err = os.Stat(filepath.Join(at, "go.mod"))
			ownModule := err == nil && !slices.Contains(published, name)
			if ownModule || name == "internal" || name == "testdata" || strings.HasPrefix(name, ".") {
				return fs.SkipDir
			}
		}
		dir, err := filepath.Rel(root, at)
		dirs = append(dirs, dir)
		return err
	}))
	return dirs
}

func parseFiles(t *testing.T, dir string) (files []*ast.File) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, file)
	}
	return files
}

// surfaceOf returns the exported declarations of a package, sorted by their text. None may show a type of an internal
// package, which nobody else can name.
func surfaceOf(t *testing.T, files []*ast.File) string {
	t.Helper()
	var all []string
	showing := typesThatShow(files) // before FileExports takes what is unexported away
	for _, file := range files {
		internal := internalImports(t, file)
		noHiddenMembers(t, file, showing)
		ast.FileExports(file)
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && !ast.IsExported(receiverOf(f)) {
				continue
			}
			for _, one := range apart(decl) {
				ast.Inspect(one, func(n ast.Node) bool {
					if s, ok := n.(*ast.SelectorExpr); ok {
						if x, ok := s.X.(*ast.Ident); ok && slices.Contains(internal, x.Name) {
							t.Errorf("%s shows %s.%s, which is internal", file.Name.Name, x.Name, s.Sel.Name)
						}
					}
					return true
				})
				var text bytes.Buffer
				require.NoError(t, (&printer.Config{Mode: printer.UseSpaces | printer.TabIndent, Tabwidth: 4}).Fprint(&text, token.NewFileSet(), one))
				all = append(all, text.String())
			}
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n") + "\n"
}

// typesThatShow returns the types that have exported methods or fields, and those that are no structs.
func typesThatShow(files []*ast.File) map[string]bool {
	showing := make(map[string]bool)
	for _, file := range files {
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Recv != nil && d.Name.IsExported() {
					showing[receiverOf(d)] = true
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if spec, ok := spec.(*ast.TypeSpec); ok && shows(spec.Type) {
						showing[spec.Name.Name] = true
					}
				}
			}
		}
	}
	return showing
}

// shows reports whether a type is no struct, or a struct with an exported or embedded field.
func shows(expr ast.Expr) bool {
	s, ok := expr.(*ast.StructType)
	return !ok || slices.ContainsFunc(s.Fields.List, func(field *ast.Field) bool {
		return len(field.Names) == 0 || slices.ContainsFunc(field.Names, (*ast.Ident).IsExported)
	})
}

// noHiddenMembers fails if an exported struct embeds an unexported type with exported methods or fields: the listing would lack them.
func noHiddenMembers(t *testing.T, file *ast.File, showing map[string]bool) {
	t.Helper()
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || !spec.Name.IsExported() {
			return true
		}
		if s, ok := spec.Type.(*ast.StructType); ok {
			for _, field := range s.Fields.List {
				if name := nameOf(field.Type); len(field.Names) == 0 && !ast.IsExported(name) && showing[name] {
					t.Errorf("%s.%s embeds %s", file.Name.Name, spec.Name, name)
				}
			}
		}
		return false
	})
}

// receiverOf returns the receiver type of a method, and the name of a function.
func receiverOf(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	return nameOf(f.Recv.List[0].Type)
}

// nameOf returns the name of a type, without its package and its parameters.
func nameOf(expr ast.Expr) string {
	switch x := expr.(type) {
	case *ast.StarExpr:
		return nameOf(x.X)
	case *ast.IndexExpr:
		return nameOf(x.X)
	case *ast.SelectorExpr:
		return x.Sel.Name
	case *ast.Ident:
		return x.Name
	}
	return ""
}

// internalImports returns the names of internal packages in a file.
func internalImports(t *testing.T, file *ast.File) (names []string) {
	t.Helper()
	for _, spec := range file.Imports {
		from, err := strconv.Unquote(spec.Path.Value)
		require.NoError(t, err)
		if !strings.Contains(from, "/internal/") {
			continue
		}
		name := path.Base(from)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names = append(names, name)
	}
	return names
}

// apart returns each declared thing by itself: a function without its body, a variable without its value. The values of
// constants are kept if they are written out; those of iota show in their order.
func apart(decl ast.Decl) (all []ast.Node) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		d.Body = nil
		return []ast.Node{d}
	case *ast.GenDecl:
		if d.Tok == token.CONST && len(d.Specs) > 1 && slices.ContainsFunc(d.Specs, func(s ast.Spec) bool { return len(s.(*ast.ValueSpec).Values) == 0 }) {
			return []ast.Node{d}
		}
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.ImportSpec:
				continue
			case *ast.ValueSpec:
				if d.Tok == token.VAR {
					s.Values = nil
				}
			}
			all = append(all, &ast.GenDecl{Tok: d.Tok, Specs: []ast.Spec{spec}})
		}
	}
	return all
}
