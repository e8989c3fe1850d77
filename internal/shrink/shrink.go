// Package shrink gives back the memory of maps that have held more: a map of Go never becomes smaller.
package shrink

const (
	// few is the number of entries up to which a map is left alone: its memory is not worth the effort.
	few = 1024
	// fraction is the part of the greatest number of entries below which a map is made anew. That takes as long as copying the
	// remaining entries, for which somebody may wait: of a million 60,000, a few milliseconds.
	fraction = 16
)

// Map returns a map, which is a new one if it has lost nearly all of the most entries that it has had, and the greatest
// number of entries of the returned map.
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

// Bytes estimates the memory of a map by the greatest number and the size of its entries: groups of eight slots, with a byte
// of control each, of which seven in eight are used before the map doubles.
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
