package curve

// Frozen is a Curve as it was at one moment, kept for one query. The caller provides its memory: the steps of many share one slice.
type Frozen struct {
	newest      Segment
	from        struct{ offset, first int64 }
	margin      uint32
	base        uint32
	n, doubtful uint8
	seeded      uint8
	origin      origin
	fromKnown   bool
	offset      int64
	begin, end  int // within the steps
}

// Recent is the number of segments before the newest that a Frozen holds.
const Recent = 4

// Freeze stores in f, which must be zero, what Lag needs to answer for a commit at offset and, if recent is set, what AppendRecent
// needs. They are those of the curve at an index, whose newest segment is at newest and was last seen at the given time. It appends to
// steps and returns the result.
func (b *Block) Freeze(i int, newest, last, offset int64, recent bool, f *Frozen, steps []byte) []byte {
	var c Curve
	b.get(i, &c, newest, last)
	return c.freeze(f, offset, recent, steps)
}

func (c *Curve) freeze(f *Frozen, offset int64, recent bool, steps []byte) []byte {
	f.newest, f.from, f.fromKnown = c.newest, c.from, c.fromKnown
	f.n, f.doubtful, f.seeded, f.origin, f.margin = c.n, c.doubtful, c.seeded, c.origin, c.margin
	f.base = c.base
	f.offset, f.begin = offset, len(steps)
	if c.n > 0 && offset < c.newest.Offset && !(c.fromKnown && offset < c.from.offset) {
		steps = append(steps, c.steps...)
	} else if recent {
		start := len(c.steps)
		for n := 0; n < Recent && start > 0; n++ {
			_, start = lastStep(c.steps, start, c.base)
		}
		steps = append(steps, c.steps[start:]...)
	}
	f.end = len(steps)
	return steps
}

// AppendRecent appends the newest segment, and before it up to Recent others, to dst, newest first. It leaves out segments that were
// seen before the clock went back, whose times are wrong, and those from points given to Seed.
func (f *Frozen) AppendRecent(dst []Segment, steps []byte) []Segment {
	first := max(f.doubtful, f.seeded) // the oldest segment that counts
	s, end := f.newest, f.end
	for i, n := f.n, 0; i > first && n <= Recent; n++ {
		i--
		if i == f.seeded && f.origin.joined() {
			s.First = s.Last
		}
		dst = append(dst, s)
		if i > 0 && n < Recent {
			st, start := lastStep(steps, end, f.base)
			s, end = st.before(s), start
		}
	}
	return dst
}

// Lag returns what Curve.Lag would have returned at the moment of Freeze. steps are those that Freeze has returned.
func (f *Frozen) Lag(steps []byte, now int64) Estimate {
	c := Curve{
		steps: steps[f.begin:f.end:f.end], newest: f.newest, from: f.from, fromKnown: f.fromKnown, n: f.n, doubtful: f.doubtful,
		margin: f.margin, base: f.base, seeded: f.seeded, origin: f.origin,
	}
	return c.Lag(f.offset, now)
}
