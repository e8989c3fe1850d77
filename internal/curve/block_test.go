package curve

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestBlockAgainstCurves keeps the same curves in a block and separately, through every kind of change.
func TestBlockAgainstCurves(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	runs := 300
	if raceEnabled {
		runs /= 10
	}
	for range runs {
		curves := make([]Curve, 1+r.IntN(20))
		newest := make([]Segment, len(curves))
		block := MakeBlock(len(curves), nil, 0)
		limit := 1 + r.IntN(MaxSegments)
		scale := int64(1) << (1 + r.IntN(40))
		for range r.IntN(2000) {
			i := r.IntN(len(curves))
			if r.IntN(4) > 0 {
				i /= 4 // some curves more often than others
			}
			c := &curves[i]
			offset, at := nudge(r, newest[i].Offset, scale), nudge(r, newest[i].Last, scale)
			if offset < 0 {
				offset = 0
			}
			switch in := block.Get(i, newest[i].Offset, newest[i].Last); r.IntN(40) {
			case 0:
				*c = Curve{}
				block.Put(i, c)
				offset, at = 0, 0
			case 1:
				points := []Point{{Offset: r.Int64N(max(1, offset)), At: at - scale, Margin: r.Uint32(), Source: FromBroker}}
				in.Seed(points, limit)
				block.Put(i, &in)
				c.Seed(points, limit)
				offset, at = newest[i].Offset, newest[i].Last
			case 2:
				in = in.Clone()
				in.CutAbove(offset)
				in.Observe(offset, at, limit)
				block.Put(i, &in)
				c.CutAbove(offset)
				c.Observe(offset, at, limit)
			case 3: // the block of a page that has grown
				by := r.IntN(3)
				block = MakeBlock(block.Len()+2*by, &block, by)
				curves = slices.Concat(make([]Curve, by), curves, make([]Curve, by))
				newest = slices.Concat(make([]Segment, by), newest, make([]Segment, by))
				continue
			default:
				block.Observe(i, newest[i].Offset, newest[i].Last, offset, at, limit)
				c.Observe(offset, at, limit)
			}
			newest[i] = Segment{Offset: offset, Last: at}
			for j := range curves {
				if j != i && r.IntN(20) > 0 {
					continue
				}
				in := block.Get(j, newest[j].Offset, newest[j].Last)
				if !slices.Equal(in.AppendBinary(nil), curves[j].AppendBinary(nil)) {
					t.Fatalf("curve %d after %d: %v, want %v", j, i, in.AppendSegments(nil), curves[j].AppendSegments(nil))
				}
			}
			checkBlock(t, &block)
		}
	}
}

// checkBlock checks that no two places share a byte, and that no byte of a block is lost to all places.
func checkBlock(t *testing.T, b *Block) {
	t.Helper()
	type place struct{ from, to uint32 }
	var places []place
	for _, h := range b.heads {
		if h.used > h.room {
			t.Fatalf("%d bytes in a place of %d", h.used, h.room)
		}
		if h.room > 0 {
			places = append(places, place{h.start, h.start + uint32(h.room)})
		}
	}
	slices.SortFunc(places, func(a, b place) int { return int(a.from) - int(b.from) })
	for i, p := range places {
		if int(p.to) > len(b.bytes) || i > 0 && places[i-1].to > p.from {
			t.Fatalf("places %v in %d bytes", places, len(b.bytes))
		}
	}
}
