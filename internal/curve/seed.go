package curve

import "slices"

// Point is what is known of the end offset at a moment before the curve began: it was not above Offset at At − Margin, and
// not below it at At + Margin.
type Point struct {
	Offset int64
	// At is in Unix milliseconds, Margin in milliseconds.
	At     int64
	Margin uint32
	Source Source
}

// Source says where the times of a lag come from.
type Source uint8

const (
	// Measured is the source of what Observe takes.
	Measured Source = iota
	// FromStore, FromBroker and FromProducer are the sources of points, from the most reliable to the least.
	FromStore
	FromBroker
	FromProducer
)

// origin is a Source of points, and joinedBit if the segment behind the seeded ones was first seen by a point. It is 0 in a
// curve without points.
type origin uint8

const joinedBit = 128

func (o origin) source() Source { return Source(o &^ joinedBit) }
func (o origin) joined() bool   { return o&joinedBit != 0 }
func (o origin) valid() bool    { return o.source() >= FromStore && o.source() <= FromProducer }

// firstSeeded reports whether the first time of a segment is from a point.
func (c *Curve) firstSeeded(i uint8) bool { return i < c.seeded || i == c.seeded && c.origin.joined() }

// unseedIfNone forgets where points came from once there are none.
func (c *Curve) unseedIfNone() {
	if c.seeded == 0 && !c.origin.joined() {
		c.origin, c.margin = 0, 0
	}
}

// sawNewest notes that the last time of the newest segment is not from a point.
func (c *Curve) sawNewest() {
	if c.seeded >= c.n {
		c.seeded = c.n - 1
		c.origin |= joinedBit
	}
}

// thinnedSeeded notes that segment j was removed.
func (c *Curve) thinnedSeeded(j int) {
	switch {
	case j < int(c.seeded):
		c.seeded--
	case j == int(c.seeded):
		c.origin &^= joinedBit
	}
	c.unseedIfNone()
}

// collapse makes the curve one of a single segment, which keeps where its first time is from.
func (c *Curve) collapse(offset, first, last int64, seeded bool) {
	origin, margin := c.origin|joinedBit, c.margin
	c.start(offset, first, last)
	if seeded {
		c.origin, c.margin = origin, margin
	}
}

// Seed puts points before what the curve holds; limit is that of Observe. Their times ascend and their offsets do not descend. A
// point that is not older than the oldest segment that was observed is left out, and so is one that contradicts a segment: what
// was observed stays as it is. Points may be given again and more of them later.
//
// Between two segments of which one is from points, and before the oldest if that is, the times are wrong by up to the margin of
// the points. T(c) and Q(c) of the package's documentation lie between lastSeenᵢ and firstSeenᵢ₊₁, the second with that margin on
// either side, so the bound of such a gap is the margin more; thinning changes nothing about that, as it moves T and not Q. There is
// one margin for all points of a curve, the greatest, and one source, the least reliable.
//
// A curve that is full is thinned for them, as it is for the next segment. If they need more room than there is, those go whose
// absence adds least to the error, but not the oldest.
func (c *Curve) Seed(points []Point, limit int) {
	limit = min(limit, MaxSegments)
	if c.n == 0 || limit <= 0 {
		return
	}
	s := c.seeding()
	if !slices.ContainsFunc(points, s.add) {
		return
	}
	if some := limit - limit/4; int(c.n) > some {
		c.thin(some)
	}
	s = c.seeding()
	room := limit - int(c.n-c.seeded)
	margin, source := c.margin, c.origin.source()
	for _, p := range points {
		if s.add(p) {
			margin, source = max(margin, p.Margin), max(source, p.Source)
		}
		if s.own > room {
			s.thinPoint()
		}
	}
	doubtful := int(c.doubtful)
	if doubtful > 0 {
		doubtful = min(max(0, doubtful+s.own-int(c.seeded)), len(s.knots)-1)
	}
	*c = pack(s.knots, c.steps[:0])
	c.doubtful, c.seeded, c.margin, c.origin = uint8(doubtful), uint8(s.own), margin, origin(source)
	if s.joined {
		c.origin |= joinedBit
	}
	c.unseedIfNone()
}

// knot is a segment, with how much tighter than the time is the bound of the gap before it.
type knot struct {
	Segment
	tighter uint64
}

// knots unpacks the curve.
func (c *Curve) knots() []knot {
	knots := make([]knot, c.n, int(c.n)+8)
	s, end := c.newest, len(c.steps)
	for i := int(c.n) - 1; i > 0; i-- {
		st, start := lastStep(c.steps, end, c.base)
		knots[i] = knot{s, st.tighter}
		s, end = st.before(s), start
	}
	knots[0].Segment = s
	return knots
}

// pack makes a curve of knots in a buffer, with nothing known of where they come from.
func pack(knots []knot, buffer []byte) Curve {
	c := Curve{steps: buffer, newest: knots[len(knots)-1].Segment, n: uint8(len(knots))}
	for i := range len(knots) - 1 {
		a, b := &knots[i], &knots[i+1]
		c.appendStep(step{
			span: since(a.First, a.Last), offsets: since(a.Offset, b.Offset), gap: since(a.Last, b.First), tighter: b.tighter,
		})
	}
	return c
}

// seeding is a curve that points are being put into.
type seeding struct {
	knots []knot
	// own is the first that was observed; joined reports whether its first time is from a point.
	own    int
	joined bool
}

func (c *Curve) seeding() seeding {
	return seeding{knots: c.knots(), own: int(c.seeded), joined: c.origin.joined()}
}

// add puts a point in, and reports whether it says more than was known.
func (s *seeding) add(p Point) bool {
	i := slices.IndexFunc(s.knots[:s.own+1], func(k knot) bool { return k.First > p.At })
	if i < 0 {
		return false // not older than what was observed
	}
	next := &s.knots[i]
	if p.Offset < 0 || p.Offset > next.Offset {
		return false
	}
	if i > 0 {
		switch before := &s.knots[i-1]; {
		case p.At <= before.Last || p.Offset < before.Offset:
			return false
		case p.Offset == before.Offset:
			before.Last, next.tighter = p.At, 0
			return true
		}
	}
	next.tighter = 0
	if p.Offset == next.Offset {
		next.First = p.At
		s.joined = s.joined || i == s.own
		return true
	}
	s.knots = slices.Insert(s.knots, i, knot{Segment: Segment{Offset: p.Offset, First: p.At, Last: p.At}})
	s.own++
	return true
}

// thinPoint removes the point whose absence adds least to the error.
func (s *seeding) thinPoint() {
	if s.own == 1 {
		s.knots, s.own = s.knots[1:], 0
		return
	}
	c := pack(s.knots[:s.own+1], nil)
	var t thinning
	t.load(&c)
	j := t.cheapest()
	merged := merge(t.steps[j-1], t.steps[j])
	s.knots = slices.Delete(s.knots, j, j+1)
	s.knots[j].tighter = merged.tighter
	s.own--
}
