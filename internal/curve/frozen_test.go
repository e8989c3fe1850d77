package curve

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFrozen queries many curves at once, after they have changed.
func TestFrozen(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var frozen []Frozen
		var want []Estimate
		var segments [][]Segment
		var steps []byte
		now := int64(1_000_000)
		for range 30 {
			var c Curve
			offset, at := r.Int64N(100), int64(0)
			for range r.IntN(40) {
				offset += r.Int64N(50)
				at += r.Int64N(30_000) - 100
				c.Observe(offset, at, 20)
			}
			if r.IntN(2) == 0 {
				c.Seed([]Point{{Offset: 1, At: -90_000, Source: FromBroker}, {Offset: r.Int64N(100), At: -30_000, Margin: 5, Source: FromBroker}}, 20)
			}
			commit := r.Int64N(2000) - 10
			recent := r.IntN(2) == 0
			var f Frozen
			steps = c.freeze(&f, commit, recent, steps)
			segments = append(segments, nil)
			if recent {
				segments[len(segments)-1] = c.recent()
			}
			frozen, want = append(frozen, f), append(want, c.Lag(commit, now))
			c.Observe(offset+1000, at+1000, 20)
			c.Reset()
		}
		for i := range frozen {
			require.Equal(t, want[i], frozen[i].Lag(steps, now))
			if segments[i] != nil {
				require.Equal(t, segments[i], frozen[i].AppendRecent([]Segment{}, steps))
			}
		}
	}
	var zero Frozen
	require.Equal(t, Estimate{}, zero.Lag(nil, 5), "without a curve")
	require.Empty(t, zero.AppendRecent(nil, nil), "without a curve")
}

// recent returns the newest segments that were not seen before the clock went back, newest first.
func (c *Curve) recent() []Segment {
	all := c.AppendSegments([]Segment{})
	if c.origin.joined() {
		all[c.seeded].First = all[c.seeded].Last
	}
	all = all[max(c.doubtful, c.seeded):]
	all = all[max(0, len(all)-1-Recent):]
	slices.Reverse(all)
	return all
}

func TestCutAbove(t *testing.T) {
	t.Parallel()
	var c Curve
	c.CutAbove(5)
	require.Zero(t, c.Len())
	for i := range int64(10) {
		c.Observe(100+10*i, 1000*i, 32)
	}
	whole := c.Clone()
	c.CutAbove(190)
	require.Equal(t, whole.AppendSegments(nil), c.AppendSegments(nil))
	c.CutAbove(145)
	require.Equal(t, whole.AppendSegments(nil)[:5], c.AppendSegments(nil))
	checkInvariants(t, &c, 32)
	c.Observe(145, 20_000, 32)
	require.Equal(t, Estimate{Kind: Interpolated, Millis: 23_500, ErrorMillis: 1000}, c.Lag(125, 26_000))
	require.Equal(t, 10, whole.Len(), "the clone is independent")
	c.CutAbove(50)
	require.Equal(t, []Segment{{Offset: 50}}, c.AppendSegments(nil), "all was above")
	require.Equal(t, Estimate{Kind: AtLeast, Millis: 26_000}, c.Lag(20, 26_000))

	// The clock went back within the part that is cut.
	c.Reset()
	for i := range int64(10) {
		c.Observe(10*i, 1000*i, 32)
	}
	c.Observe(200, 8500, 32)
	c.CutAbove(35)
	checkInvariants(t, &c, 32)
	require.Equal(t, 4, c.Len())
	require.Less(t, c.doubtful, c.n)
}
