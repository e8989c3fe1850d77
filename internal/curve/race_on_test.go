//go:build race

package curve

// raceEnabled reports whether the race detector is on, which takes memory of its own.
const raceEnabled = true
