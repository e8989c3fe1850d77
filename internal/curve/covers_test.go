package curve

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// TestThinningCoversWhatItDropped compares a thinned curve with all the polls it was made from, which the model keeps: for every
// offset, the worst truth that those polls allow is within the bound of the answer. Small numbers make rounding matter; large ones
// need products of 128 bits.
func TestThinningCoversWhatItDropped(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	runs := 4000
	if raceEnabled {
		runs /= 10
	}
	for range runs {
		var c Curve
		var m model
		max := 2 + r.IntN(6)
		messages, ms := int64(1)<<r.IntN(52), int64(1)<<r.IntN(52)
		var offset, at int64
		for range 3 + r.IntN(100) {
			offset += r.Int64N(messages + 1)
			at += r.Int64N(ms + 1)
			c.Observe(offset, at, max)
			m.observe(offset, at)
			checkInvariants(t, &c, max)
		}
		for i := range len(m.segments) - 1 {
			before, after := m.segments[i], m.segments[i+1]
			for _, commit := range []int64{before.Offset, after.Offset - 1, before.Offset + r.Int64N(after.Offset-before.Offset)} {
				e := c.Lag(commit, at)
				earliest, latest := at-before.Last, at-after.First // if message commit was written, as a lag
				if e.Kind != Interpolated || earliest-e.Millis > e.ErrorMillis || e.Millis-latest > e.ErrorMillis {
					t.Fatalf("commit %d: %+v (%s) does not cover %d to %d\nthinned %v\npolls %v", commit, e, e.Kind, latest, earliest,
						c.AppendSegments(nil), m.segments)
				}
			}
		}
	}
}

func TestMulDiv(t *testing.T) {
	for _, tc := range [][5]uint64{ // a, b, c, a·b/c, rest
		{0, 5, 9, 0, 0}, {1, 5, 2, 2, 1}, {2, 5, 2, 5, 0}, {1, math.MaxUint64, 1, math.MaxUint64, 0},
		{math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64, 0},
		{1 << 63, math.MaxUint64, math.MaxUint64, 1 << 63, 0}, {1 << 62, 6, 1 << 63, 3, 0},
	} {
		if q, rest := mulDiv(tc[0], tc[1], tc[2]); q != tc[3] || rest != tc[4] {
			t.Errorf("%d·%d/%d = %d rest %d, want %d rest %d", tc[0], tc[1], tc[2], q, rest, tc[3], tc[4])
		}
	}
}
