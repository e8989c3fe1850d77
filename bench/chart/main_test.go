package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCharts(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	ratios := write("blackbox.json", `[{"name": "a fetch", "Over": 2, "LeastOver": 1.5, "GreatestOver": 3, "Gain": 4, "LeastGain": 2, "GreatestGain": 5}, {"name": "a list"}]`)
	scale := write("scale.json", `[{"group_partitions": 1000, "heap_bytes_per_group_partition": 120, "commit_p50_ns": 200, "fetch_p50_ns": 30000,
		"save_ns": 1e6, "restore_ns": 2e6}, {"group_partitions": 10000, "heap_bytes_per_group_partition": 110, "commit_p50_ns": 300,
		"fetch_p50_ns": 31000, "save_ns": 1e7, "restore_ns": 2e7}]`)
	for flag, path := range map[string]string{"-blackbox": ratios, "-scale": scale} {
		out := filepath.Join(dir, "picture.svg")
		require.NoError(t, run([]string{flag, path, "-o", out}))
		picture, err := os.ReadFile(out)
		require.NoError(t, err)
		require.Contains(t, string(picture), "</svg>")
		if flag == "-blackbox" {
			require.Contains(t, string(picture), "a fetch")
			require.NotContains(t, string(picture), "a list", "a list has no ratio")
		} else {
			require.Contains(t, string(picture), "restore, ns per group-partition")
		}
	}
	require.Error(t, run([]string{"-o", "x.svg"}))
	require.Error(t, run([]string{"-blackbox", write("empty.json", "[]"), "-o", filepath.Join(dir, "x.svg")}))
}
