package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Small stores are filled, saved and restored; every line of the table has a figure for each size.
func TestScale(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run([]string{"-partitions", "1000,2000", "-json", filepath.Join(t.TempDir(), "scale.json")}, &out))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 14)
	for _, line := range lines {
		require.Equal(t, 4, strings.Count(line, "|"), line)
		require.NotRegexp(t, `NaN|Inf| -\d`, line)
	}
	require.Contains(t, lines[0], "| 1000 | 2000 |")
}

func TestScaleRefusesWhatItCannotDo(t *testing.T) {
	require.ErrorContains(t, run([]string{"-partitions", "99"}, nil), `invalid -partitions "99": must be at least 100`)
	require.ErrorContains(t, run([]string{"-lag", "0"}, nil), "invalid -lag 0")
}
