//go:build !race

package snapshottest

// RaceEnabled reports whether the race detector is on.
const RaceEnabled = false
