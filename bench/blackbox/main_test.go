package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The workload is built for another module by its import paths, and both run in turns. Here the other module is this one too.
func TestCompareWithItself(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run([]string{
		"-dir", filepath.Join("..", ".."), "-pairs", "2", "-scale", "0.001", "-scenarios", "list,memory-small-lag,commit-64-senders",
		"-json", filepath.Join(t.TempDir(), "blackbox.json"),
	}, &out))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 2+4)
	for _, line := range lines[2:] {
		require.Equal(t, 7, strings.Count(line, "|"), line)
		require.Contains(t, line, " × (", "a ratio with its spread")
	}
}

func TestRefusesAStorageOutsideTheModule(t *testing.T) {
	err := run([]string{"-dir", filepath.Join("..", ".."), "-storage", "example.com/other"}, nil)
	require.ErrorContains(t, err, `invalid -storage "example.com/other": must be in module github.com/lagkeeper/storage`)
}
