// Package shrink gives back what maps keep after they have held more: a map of Go never becomes smaller.
package shrink

const (
	// few is up to how many entries a map is left as it is: what it takes then is not worth the while.
	few = 1024
	// fraction is the part of the most entries that a map has had at which it is made anew. It costs as long as it takes to
	// copy what is left, which somebody may wait for: of a million 60,000, a few milliseconds.
	fraction = 16
)

// Map returns a map, made anew if it has lost nearly all of the most entries that it has had, and that number for the map that
// it returns.
func Map[K comparable, V any](m map[K]V, most int) (map[K]V, int) {
	most = max(most, len(m))
	if most <= few || len(m) > most/fraction {
		return m, most
	}
	small := make(map[K]V, len(m))
	for key, value := range m {
		small[key] = value
	}
	return small, len(m)
}

// Bytes is about what a map takes that has had a number of entries, each of a size: groups of eight slots, with a byte of
// control each, of which seven in eight are used before the map doubles.
func Bytes(most, entry int) int {
	if most == 0 {
		return 0
	}
	slots := 8
	for slots*7/8 < most {
		slots *= 2
	}
	return slots * (entry + 1)
}
