package curve

import (
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// model is a curve that thins nothing, in plain structs and big numbers.
type model struct {
	segments []Segment
	doubtful int
}

func (m *model) observe(offset, at int64) (reset bool) {
	if offset < 0 {
		return false
	}
	n := len(m.segments)
	if n > 0 && offset < m.segments[n-1].Offset {
		m.segments, m.doubtful, reset = nil, 0, true
	}
	back := len(m.segments) > 0 && at < m.segments[len(m.segments)-1].Last
	if back {
		m.segments = slices.DeleteFunc(m.segments, func(s Segment) bool { return s.First >= at })
		for i := range m.segments {
			m.segments[i].Last = min(m.segments[i].Last, at)
		}
	}
	n = len(m.segments)
	if n > 0 && m.segments[n-1].Offset == offset {
		m.segments[n-1].Last = at
	} else {
		m.segments = append(m.segments, Segment{offset, at, at})
	}
	if back {
		m.doubtful = len(m.segments) - 1
	}
	return reset
}

func (m *model) lag(c, now int64) Estimate {
	n := len(m.segments)
	if n == 0 || c < 0 {
		return Estimate{}
	}
	newest := m.segments[n-1]
	late := sub(newest.Last, now)
	if late.Sign() < 0 {
		late = new(big.Int)
	}
	if c >= newest.Offset {
		age := sub(newest.Last, now)
		return Estimate{Exact, 0, saturated(age.Abs(age)), Measured}
	}
	now = max(now, newest.Last)
	if c < m.segments[0].Offset {
		return Estimate{AtLeast, saturated(sub(now, m.segments[0].First)), 0, Measured}
	}
	i, _ := slices.BinarySearchFunc(m.segments, c+1, func(s Segment, c int64) int { return b2(s.Offset < c) })
	a, b := m.segments[i-1], m.segments[i]
	if i-1 < m.doubtful {
		return Estimate{AtLeast, saturated(sub(now, b.First)), 0, Measured}
	}
	into := sub(c, a.Offset)
	into.Mul(into, sub(b.First, a.Last)).Quo(into, sub(b.Offset, a.Offset))
	lag := sub(now, a.Last)
	return Estimate{Interpolated, saturated(lag.Sub(lag, into)), saturated(late.Add(late, sub(b.First, a.Last))), Measured}
}

func b2(less bool) int {
	if less {
		return -1
	}
	return 1
}

func sub(a, b int64) *big.Int { return new(big.Int).Sub(big.NewInt(a), big.NewInt(b)) }

func saturated(v *big.Int) int64 {
	if v.IsInt64() {
		return v.Int64()
	}
	return math.MaxInt64
}

// TestAgainstModel applies the same calls to the model and to a curve that is too large to be thinned, with small numbers that collide
// and with numbers over the whole range of int64.
func TestAgainstModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	runs := 3000
	if raceEnabled {
		runs /= 10
	}
	for range runs {
		var c Curve
		var m model
		scale := int64(1) << (1 + r.IntN(62))
		var offset, at int64
		for range r.IntN(100) {
			offset = nudge(r, offset, scale/64)
			at = nudge(r, at, scale/16)
			if got, want := c.Observe(offset, at, MaxSegments), m.observe(offset, at); got != want {
				t.Fatalf("Observe(%d, %d) = %t, want %t", offset, at, got, want)
			}
			if got := c.AppendSegments(nil); !slices.Equal(got, m.segments) {
				t.Fatalf("after Observe(%d, %d): segments %v, want %v", offset, at, got, m.segments)
			}
			for range 4 {
				commit, now := nudge(r, offset, scale), nudge(r, at, scale)
				if r.IntN(4) > 0 && len(m.segments) > 0 {
					commit = m.segments[r.IntN(len(m.segments))].Offset + r.Int64N(3) - 1
				}
				if got, want := c.Lag(commit, now), m.lag(commit, now); got != want {
					t.Fatalf("Lag(%d, %d) = %+v, want %+v of %v", commit, now, got, want, m.segments)
				}
			}
			checkInvariants(t, &c, MaxSegments)
		}
	}
}

// nudge returns v moved, mostly up, by at most by, or rarely any number.
func nudge(r *rand.Rand, v, by int64) int64 {
	by = max(by, 2)
	switch r.IntN(60) {
	case 0:
		return v - min(r.Int64N(by), v-math.MinInt64&(v>>63))
	case 1:
		return r.Int64() - r.Int64()
	case 2:
		return []int64{math.MinInt64, -1, 0, 1, math.MaxInt64}[r.IntN(5)]
	}
	if step := r.Int64N(by); v <= math.MaxInt64-step {
		return v + step
	}
	return v
}

// checkInvariants checks what holds for every curve, after any calls.
func checkInvariants(t *testing.T, c *Curve, max int) {
	t.Helper()
	s := c.AppendSegments(nil)
	if len(s) != c.Len() || len(s) > max {
		t.Fatalf("%d segments where %d are counted and %d allowed", len(s), c.Len(), max)
	}
	for i := range s {
		if s[i].Offset < 0 || s[i].First > s[i].Last || i > 0 && (s[i-1].Offset >= s[i].Offset || s[i-1].Last > s[i].First) {
			t.Fatalf("segment %d of %v does not follow", i, s)
		}
	}
	if len(s) > 0 && (s[0] != c.oldest() || s[len(s)-1] != c.newest) {
		t.Fatalf("ends %v and %v of %v", c.oldest(), c.newest, s)
	}
	if c.doubtful > 0 && c.doubtful >= c.n {
		t.Fatalf("%d doubtful of %d segments", c.doubtful, c.n)
	}
	if c.seeded > 0 && c.seeded >= c.n {
		t.Fatalf("%d seeded of %d segments", c.seeded, c.n)
	}
	if points := c.seeded > 0 || c.origin.joined(); points != c.origin.valid() || !points && (c.origin != 0 || c.margin != 0) {
		t.Fatalf("%d seeded, origin %x, margin %d", c.seeded, c.origin, c.margin)
	}
}
