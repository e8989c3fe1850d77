// Package examples runs the examples of the root module, as a newcomer would.
package examples

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExamples(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines int // at most, so that it is read in one go
		want  string
	}{
		"embed": {60, `^event: group-created billing
restored groups: 1
billing is BEHIND by 50 messages
\{"kind":"header",.*\}
\{"kind":"topic","cluster":"local","name":"orders",.*\}
\{"kind":"group","cluster":"local","name":"billing",.*\}
\{"kind":"end",.*\}
$`},
		"channel": {60, "^billing is behind by 20\n$"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join("..", "..", "..", "examples", name)
			command := exec.Command("go", "run", ".")
			command.Dir, command.Stderr = dir, os.Stderr
			out, err := command.Output()
			require.NoError(t, err)
			require.Regexp(t, regexp.MustCompile(c.want), string(out))

			source, err := os.Open(filepath.Join(dir, "main.go"))
			require.NoError(t, err)
			defer source.Close()
			lines := 0
			for scanner := bufio.NewScanner(source); scanner.Scan(); {
				lines++
			}
			require.LessOrEqual(t, lines, c.lines)
		})
	}
}
