package storage_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

var linkToSource = regexp.MustCompile(`\]\(([^)]+\.go)\)`)

// Every Go block of these documents stands word for word in the source file that is linked to last before it, and that file
// is compiled and run by a test: the documents cannot show code that does not work.
func TestDocumentedCodeIsCompiledCode(t *testing.T) {
	for _, document := range []string{"README.md", filepath.Join("docs", "migrating.md"), filepath.Join("docs", "recovery.md")} {
		t.Run(filepath.Base(document), func(t *testing.T) {
			text, err := os.ReadFile(document)
			require.NoError(t, err)
			blocks := 0
			var source string  // the file linked to last
			var block []string // the lines of the Go block that is open
			inGo, inOther := false, false
			for number, line := range strings.Split(string(text), "\n") {
				fence := strings.HasPrefix(line, "```")
				require.False(t, !fence && strings.HasPrefix(strings.TrimSpace(line), "```"),
					"line %d: an indented fence hides its code from this test", number+1)
				switch {
				case inGo && fence:
					inGo = false
					blocks++
					require.NotEmpty(t, source, "line %d: no source file is linked to before the block", number+1)
					assertInSource(t, filepath.Join(filepath.Dir(document), source), block)
				case inGo:
					block = append(block, line)
				case inOther:
					inOther = !fence
				case line == "```go":
					inGo, block = true, nil
				case fence:
					inOther = true
				default:
					if links := linkToSource.FindAllStringSubmatch(line, -1); links != nil {
						source = links[len(links)-1][1]
					}
				}
			}
			assert.False(t, inGo || inOther, "a fenced block is not closed")
			assert.NotZero(t, blocks, "no Go block found")
		})
	}
}

// assertInSource looks for the lines of a block in a file, one below the other, indented by the same number of tabs.
func assertInSource(t *testing.T, path string, block []string) {
	t.Helper()
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	source := "\n" + string(file)
	for _, indent := range []string{"", "\t", "\t\t", "\t\t\t"} {
		wanted := strings.Builder{}
		for _, line := range block {
			wanted.WriteByte('\n')
			if line != "" {
				wanted.WriteString(indent + line)
			}
		}
		if strings.Contains(source, wanted.String()+"\n") {
			return
		}
	}
	t.Errorf("%s does not hold the block\n%s", path, strings.Join(block, "\n"))
}

// The contract names every request of the channel and every typed call.
func TestContractNamesEveryRequest(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("docs", "contract.md"))
	require.NoError(t, err)
	contract := string(text)
	for request := range protocol.StorageRequestTypes {
		name := strings.TrimPrefix(protocol.StorageRequestConstant(request).String(), "Storage")
		assert.Contains(t, contract, "| `"+name+"` |")
	}
	store := reflect.TypeFor[storage.Store]()
	for i := range store.NumMethod() {
		assert.Contains(t, contract, "`"+store.Method(i).Name+"`")
	}
}
