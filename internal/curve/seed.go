package curve

import "slices"

// Point is what is known of the end offset at a moment before the curve began: it was at most Offset at At − Margin, and at least
// Offset at At + Margin.
type Point struct {
	Offset int64
	// At is in Unix milliseconds, Margin in milliseconds.
	At     int64
	Margin uint32
	Source Source
}

// Source is the source of the times of a lag.
type Source uint8

const (
	// Measured is the source of times that Observe recorded.
	Measured Source = iota
	// FromStore, FromBroker and FromProducer are the sources of points, from the most reliable to the least.
	FromStore
	FromBroker
	FromProducer
)

// origin is the Source of points, with joinedBit if the first time of the segment after the seeded ones comes from a point. It is 0 in
// a curve without points.
type origin uint8

const joinedBit = 128

func (o origin) source() Source { return Source(o &^ joinedBit) }
func (o origin) joined() bool   { return o&joinedBit != 0 }
func (o origin) valid() bool    { return o.source() >= FromStore && o.source() <= FromProducer }

// firstSeeded reports whether the first time of a segment is from a point.
func (c *Curve) firstSeeded(i uint8) bool { return i < c.seeded || i == c.seeded && c.origin.joined() }

// unseedIfNone clears the source of points once there are none.
func (c *Curve) unseedIfNone() {
	if c.seeded == 0 && !c.origin.joined() {
		c.origin, c.margin = 0, 0
	}
}

// sawNewest records that the last time of the newest segment is not from a point.
func (c *Curve) sawNewest() {
	if c.seeded >= c.n {
		c.seeded = c.n - 1
		c.origin |= joinedBit
	}
}

// thinnedSeeded records that segment j was removed.
func (c *Curve) thinnedSeeded(j int) {
	switch {
	case j < int(c.seeded):
		c.seeded--
	case j == int(c.seeded):
		c.origin &^= joinedBit
	}
	c.unseedIfNone()
}

// collapse reduces the curve to a single segment, which keeps the source of its first time.
func (c *Curve) collapse(offset, first, last int64, seeded bool) {
	origin, margin := c.origin|joinedBit, c.margin
	c.start(offset, first, last)
	if seeded {
		c.origin, c.margin = origin, margin
	}
}

// Seed puts points before the content of the curve; limit is that of Observe. The times of the points ascend and their offsets do not
// descend. A point that is not older than the oldest observed segment is left out, and so is one that contradicts a segment:
// observations stay as they are. Points may be given again, and more of them later.
//
// Between two segments of which one is from points, and before the oldest segment if it is from one, the times are wrong by up to the
// margin of the points. T(c) and Q(c) of the package's documentation lie between lastSeenᵢ and firstSeenᵢ₊₁, the second with that
// margin on either side, so the margin is added to the bound of such a gap. Thinning does not change that, because it moves T and not
// Q. A curve has one margin for all points, the greatest, and one source, the least reliable.
//
// A full curve is thinned for the points, as it is for the next segment. If they need more room than there is, the points whose
// absence adds least to the error are removed, but not the oldest.
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

// knot is a segment, with the tightness of the gap before it.
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

// pack encodes knots as a curve in a buffer, without sources.
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

// seeding is a curve to which points are being added.
type seeding struct {
	knots []knot
	// own is the first observed segment; joined reports whether its first time is from a point.
	own    int
	joined bool
}

func (c *Curve) seeding() seeding {
	return seeding{knots: c.knots(), own: int(c.seeded), joined: c.origin.joined()}
}

// add adds a point, and reports whether it adds information.
func (s *seeding) add(p Point) bool {
	i := slices.IndexFunc(s.knots[:s.own+1], func(k knot) bool { return k.First > p.At })
	if i < 0 {
		return false // not older than the observations
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
