package browsertest

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The recipes in the documents work as they stand there.
func TestRecipes(t *testing.T) {
	for _, tool := range []string{"curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("no %s on this machine; CI requires one", tool)
			}
			t.Skipf("no %s on this machine", tool)
		}
	}
	text, err := os.ReadFile("../../docs/inspector.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```sh\nbase=[^\n]*\n(.*?)```").FindSubmatch(text)
	require.NotNil(t, block)
	w := newWorld(t)
	for _, recipe := range strings.Split(strings.TrimSpace(string(block[1])), "\ncurl") {
		// The first line of each is enough: one of them follows the store until it is ended.
		recipe = "curl" + strings.TrimPrefix(recipe, "curl")
		script := "base=" + w.url("api/v1") + "\n{ " + recipe + "\n} | head -n 1"
		command := exec.CommandContext(t.Context(), "sh", "-c", script)
		var complaints strings.Builder
		command.Stderr = &complaints
		answer, err := command.Output()
		require.NoError(t, err, recipe)
		assert.Empty(t, complaints.String(), recipe)
		assert.True(t, len(answer) > 0 || strings.Contains(recipe, "STOPPED"), recipe)
	}
}
