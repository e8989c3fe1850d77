package curve

import (
	"math"
	"math/rand/v2"
	"testing"
)

// rival is a curve that is thinned as Visvalingam and Whyatt would: without the polyline's point that spans the smallest
// triangle with its neighbours, a segment being thinned as a whole. Its bound is the whole gap.
type rival struct{ segments []Segment }

func (r *rival) observe(offset, at int64, max int) {
	if n := len(r.segments); n > 0 && r.segments[n-1].Offset == offset {
		r.segments[n-1].Last = at
		return
	}
	r.segments = append(r.segments, Segment{offset, at, at})
	if len(r.segments) <= max {
		return
	}
	best, least := 1, math.Inf(1)
	for j := 1; j < len(r.segments)-1; j++ {
		i, k := r.segments[j-1], r.segments[j+1]
		area := math.Max(triangle(i, j2(r.segments[j], true), k), triangle(i, j2(r.segments[j], false), k))
		if area < least {
			best, least = j, area
		}
	}
	r.segments = append(r.segments[:best], r.segments[best+1:]...)
}

// j2 is one of the two points of a segment.
func j2(s Segment, first bool) Segment {
	if first {
		s.Last = s.First
	} else {
		s.First = s.Last
	}
	return s
}

func triangle(i, j, k Segment) float64 {
	ax, ay := float64(j.Offset-i.Offset), float64(j.First-i.Last)
	bx, by := float64(k.Offset-i.Offset), float64(k.First-i.Last)
	return math.Abs(ax*by-bx*ay) / 2
}

func (r *rival) lag(c, now int64) (lag, bound int64) {
	for i := 1; i < len(r.segments); i++ {
		a, b := r.segments[i-1], r.segments[i]
		if c < b.Offset {
			t := a.Last + int64(float64(c-a.Offset)/float64(b.Offset-a.Offset)*float64(b.First-a.Last))
			return now - t, b.First - a.Last
		}
	}
	return 0, 0
}

// TestThinningAgainstVisvalingamWhyatt compares the two on the same polls of three days: the actual error and the stated error, both
// relative to the lag, over groups from a minute to three days behind.
func TestThinningAgainstVisvalingamWhyatt(t *testing.T) {
	var ours, theirs struct{ made, stated float64 }
	for _, p := range producers {
		r := rand.New(rand.NewPCG(1, 2))
		var w world
		var c Curve
		var v rival
		var now int64
		for second := int64(0); second < 3*24*3600; second++ {
			w.produce(second*1000+500, p.rate(r, second))
			if second%30 == 29 {
				now = (second + 1) * 1000
				c.Observe(w.end(), now, DefaultSegments)
				v.observe(w.end(), now, DefaultSegments)
			}
		}
		var n float64
		var made, stated, vMade, vStated float64
		for range 2000 {
			ago := int64(60_000 * math.Pow(3*24*60, r.Float64()))
			at := w.endAt(now - ago)
			if at < c.oldest().Offset || at >= w.end() {
				continue
			}
			truth := w.lag(at, now)
			e := c.Lag(at, now)
			vLag, vBound := v.lag(at, now)
			n++
			made += math.Abs(float64(e.Millis-truth)) / float64(truth)
			stated += float64(e.ErrorMillis) / float64(truth)
			vMade += math.Abs(float64(vLag-truth)) / float64(truth)
			vStated += float64(vBound) / float64(truth)
		}
		if n == 0 {
			continue
		}
		t.Logf("%-10s made %5.1f%% stated %6.1f%%   Visvalingam–Whyatt made %6.1f%% stated %7.1f%%   %d bytes", p.name,
			100*made/n, 100*stated/n, 100*vMade/n, 100*vStated/n, cap(c.steps))
		ours.made += made / n
		ours.stated += stated / n
		theirs.made += vMade / n
		theirs.stated += vStated / n
	}
	if ours.made > theirs.made/2 || ours.stated > theirs.stated/2 {
		t.Errorf("ours made %.3f and stated %.3f, Visvalingam–Whyatt made %.3f and stated %.3f", ours.made, ours.stated,
			theirs.made, theirs.stated)
	}
}
