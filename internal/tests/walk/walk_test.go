// Package walk counts the files that a request goes through.
package walk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../../.."

// places are the ends of the walks: a commit is written into its window; a group is copied for an answer, and each of its
// partitions is judged.
var places = map[string]string{
	"Append": "internal/window/window.go",
	"take":   "internal/engine/capture.go",
	"judge":  "internal/engine/judge.go",
}

// A request goes through few files: a commit through five, one after the other; a fetch through seven, settled by the
// receiver and answered by a worker. The files are those of the call stack at the ends of the walk, in a program that is
// compiled with a call there that records it; docs/design.md names each.
func TestWalkIsShort(t *testing.T) {
	t.Parallel()
	walks := run(t)

	require.NotEmpty(t, walks["Append"])
	for _, commit := range walks["Append"] {
		t.Logf("commit: %s", strings.Join(commit, ", "))
		assert.LessOrEqual(t, len(commit), 5, "files from the channel to the window: %v", commit)
		assert.Len(t, distinct(commit), len(commit), "a commit comes back to a file: %v", commit)
	}

	require.NotEmpty(t, walks["take"])
	require.NotEmpty(t, walks["judge"])
	settled, answered := walks["take"][0], walks["judge"][0]
	t.Logf("fetch: %s; %s", strings.Join(settled, ", "), strings.Join(answered, ", "))
	fetch := distinct(slices.Concat(settled, answered))
	assert.LessOrEqual(t, len(fetch), 7, "files from the channel to the answer: %v", fetch)

	design, err := os.ReadFile(filepath.Join(root, "docs", "design.md"))
	require.NoError(t, err)
	_, section, _ := strings.Cut(string(design), "\n### The walk through the code\n")
	section, _, _ = strings.Cut(section, "\n#")
	for _, file := range slices.Concat(walks["Append"][0], fetch) {
		assert.Contains(t, section, filepath.Base(file), "docs/design.md leaves a file of the walk out")
	}
}

func distinct(files []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(files)))
}

// run compiles the program against a store with such calls, and returns what it prints.
func run(t *testing.T) (walks map[string][][]string) {
	t.Helper()
	replaced := make(map[string]string)
	for function, file := range places {
		path, err := filepath.Abs(filepath.Join(root, file))
		require.NoError(t, err)
		replaced[path] = filepath.Join(t.TempDir(), filepath.Base(file))
		require.NoError(t, os.WriteFile(replaced[path], noted(t, path, function), 0o600))
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	require.NoError(t, err)
	overlayFile := filepath.Join(t.TempDir(), "overlay.json")
	require.NoError(t, os.WriteFile(overlayFile, overlay, 0o600))

	command := exec.Command("go", "run", "-overlay", overlayFile, "./testdata/program")
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	require.NoError(t, err, stderr.String())
	require.NoError(t, json.Unmarshal(out, &walks))
	return walks
}

// noted returns a source file with such a call at the beginning of a function.
func noted(t *testing.T, path, function string) []byte {
	t.Helper()
	source, err := os.ReadFile(path)
	require.NoError(t, err)
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, source, parser.SkipObjectResolution)
	require.NoError(t, err)
	for _, declaration := range file.Decls {
		f, ok := declaration.(*ast.FuncDecl)
		if !ok || f.Name.Name != function {
			continue
		}
		name, body := fset.Position(file.Name.End()).Offset, fset.Position(f.Body.Lbrace).Offset+1
		return slices.Concat(source[:name],
			[]byte(`; import "github.com/lagkeeper/storage/internal/tests/walk/testdata/passed"`), source[name:body],
			fmt.Appendf(nil, " passed.By(%q);", function), source[body:])
	}
	require.Failf(t, "place not found", "%s has no function %s", path, function)
	return nil
}
