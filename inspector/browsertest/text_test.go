package browsertest

import (
	"encoding/xml"
	"errors"
	"html"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// dump shows a page as a text browser does; it skips the test if there is none, unless in CI.
func dump(t *testing.T, address string) string {
	t.Helper()
	if _, err := exec.LookPath("w3m"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("no w3m on this machine; CI requires one")
		}
		t.Skip("no w3m on this machine: install the package w3m")
	}
	text, err := exec.CommandContext(t.Context(), "w3m", "-dump", "-cols", "200", address).Output()
	require.NoError(t, err)
	return string(text)
}

// Without JavaScript and without pictures the pages say what they say with them.
func TestTextBrowser(t *testing.T) {
	w := newWorld(t)
	groups := dump(t, w.url(""))
	// The lags are those of the moment, while the workload goes on.
	require.Regexp(t, `(?m)^[A-Z ]+ <b>hostile</b>\\u202e prod +2 +4 +\d{3,} `, groups)
	require.Regexp(t, `(?m)^[A-Z ]+ billing prod +2 +4 +\d+ `, groups)
	require.Contains(t, groups, "of 3 groups")
	require.NotContains(t, groups, "<svg")

	group := dump(t, w.url("group?cluster=prod&name=warehouse"))
	require.Regexp(t, `(?m)^ *3 +[A-Z ]+ +10.0.0.3 +consumer-1 +\d+ +\d+ `, group)
	require.Contains(t, group, "as a picture")

	// The charts are files of their own, for the browser that shows pictures elsewhere.
	answer, err := http.Get(w.url("group?cluster=prod&name=warehouse"))
	require.NoError(t, err)
	page, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	pictures := regexp.MustCompile(`chart\.svg\?[^"]+`).FindAllString(string(page), -1)
	require.Len(t, pictures, 6, "two of the group and two of each topic")
	for _, picture := range pictures {
		answer, err := http.Get(w.url(html.UnescapeString(picture)))
		require.NoError(t, err)
		require.Equal(t, "image/svg+xml", answer.Header.Get("Content-Type"))
		elements, decoder := 0, xml.NewDecoder(answer.Body)
		for {
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err, picture)
			if _, ok := token.(xml.StartElement); ok {
				elements++
			}
		}
		require.NoError(t, answer.Body.Close())
		require.Greater(t, elements, 3)
	}
}
