package storage_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

var linkToSource = regexp.MustCompile(`\]\(([^)]+\.go)\)`)

// documents returns the text of every document of the repository by its path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	require.NoError(t, filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != "." && strings.HasPrefix(entry.Name(), ".") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		texts[path] = string(text)
		return err
	}))
	require.Contains(t, texts, "README.md")
	return texts
}

// Every Go block of a document stands word for word in the source file that is linked to last before it, and that file is
// compiled and run by a test. So no document shows code that does not work.
func TestDocumentedCodeIsCompiledCode(t *testing.T) {
	blocks := 0
	for document, text := range documents(t) {
		t.Run(document, func(t *testing.T) {
			var source string  // the file linked to last
			var block []string // the lines of the Go block that is open
			inGo, inOther := false, false
			for number, line := range strings.Split(text, "\n") {
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
		})
	}
	assert.NotZero(t, blocks, "no Go block found")
}

var (
	linkOf    = regexp.MustCompile(`\]\(([^)#\s]*)(?:#([^)]*))?\)`)
	headingOf = regexp.MustCompile(`(?m)^#+ (.*)$`)
	// notInAnchor matches what GitHub leaves out of the anchor of a heading.
	notInAnchor = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// A link inside the repository leads to a file that exists, and to a heading of it.
func TestLinksLeadSomewhere(t *testing.T) {
	all := documents(t)
	for document, text := range all {
		for _, link := range linkOf.FindAllStringSubmatch(text, -1) {
			target, anchor := link[1], link[2]
			if strings.Contains(target, "://") {
				continue
			}
			path := document
			if target != "" {
				path = filepath.Join(filepath.Dir(document), filepath.FromSlash(target))
			}
			_, err := os.Stat(path)
			require.NoError(t, err, "%s links to %s", document, target)
			if anchor == "" {
				continue
			}
			var anchors []string
			for _, heading := range headingOf.FindAllStringSubmatch(all[path], -1) {
				anchors = append(anchors, strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(heading[1]), ""), " ", "-"))
			}
			assert.Contains(t, anchors, anchor, "%s links to %s", document, link[0])
		}
	}
}

// assertInSource finds the lines of a block in a file, in a row and indented by the same number of tabs.
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

// The contract names every request of the channel and every typed call, and no others.
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
	calls := 0
	for _, row := range rowsOf(contract, "request") {
		for _, call := range callOf.FindAllStringSubmatch(row[1], -1) {
			_, ok := store.MethodByName(call[1])
			assert.True(t, ok, "there is no typed call %s", call[1])
			calls++
		}
	}
	assert.GreaterOrEqual(t, calls, store.NumMethod())
}

// callOf matches the name of a typed call.
var callOf = regexp.MustCompile("`([A-Z][A-Za-z]+)`")

// rowsOf returns the cells of all rows of the tables whose first column has a title.
func rowsOf(text, title string) (rows [][]string) {
	inTable := false
	for _, line := range strings.Split(text, "\n") {
		cells := strings.Split(line, "|")
		inTable = len(cells) > 3 && (inTable || strings.TrimSpace(cells[1]) == title)
		if inTable {
			rows = append(rows, cells[1:])
		}
	}
	return rows
}

// keyOf matches a key in the first cell of a row of a table.
var keyOf = regexp.MustCompile("`([a-z-]+)`")

// The table of keys lists exactly the keys that exist, with the defaults that Configure sets in viper.
func TestDocumentedKeysAreThose(t *testing.T) {
	v := viper.New()
	v.Set("cluster.local.class-name", "kafka")
	coordinator := &storage.Coordinator{App: &protocol.ApplicationContext{}, Viper: v}
	coordinator.Configure()
	defaults := v.GetStringMap("storage.default")
	text, err := os.ReadFile(filepath.Join("docs", "configuration.md"))
	require.NoError(t, err)
	documented := make(map[string]string) // the second cell by key
	for _, row := range rowsOf(string(text), "key") {
		for _, key := range keyOf.FindAllStringSubmatch(row[0], -1) {
			documented[key[1]] = strings.Trim(strings.TrimSpace(row[1]), "`")
		}
	}
	for key, value := range defaults {
		want := fmt.Sprint(value)
		switch {
		case key == "expire-topic":
			want = "as `expire-group"
		case value == "":
			want = `""`
		}
		assert.Equal(t, want, documented[key], key)
		delete(documented, key)
	}
	delete(documented, "group-whitelist") // the old names have no default
	delete(documented, "group-blacklist")
	assert.Empty(t, documented, "keys that do not exist")
}
