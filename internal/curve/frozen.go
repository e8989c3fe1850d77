package curve

// Frozen is a Curve as it was at one moment, kept for one question. It lies in the memory of whoever takes it: the steps of
// many share one slice.
type Frozen struct {
	newest        Segment
	oldestOffset  int64
	oldestFirst   int64
	margin        uint32
	n, doubtful   uint8
	seeded        uint8
	origin        origin
	offset        int64
	from, through int
}

// Freeze keeps what Lag needs to answer for a commit at offset. It appends to steps and returns the result.
func (c *Curve) Freeze(offset int64, steps []byte) (Frozen, []byte) {
	f := Frozen{
		newest: c.newest, oldestOffset: c.oldest.offset, oldestFirst: c.oldest.first, n: c.n, doubtful: c.doubtful,
		margin: c.margin, seeded: c.seeded, origin: c.origin, offset: offset, from: len(steps),
	}
	if c.n > 0 && offset < c.newest.Offset && offset >= c.oldest.offset {
		steps = append(steps, c.steps...)
	}
	f.through = len(steps)
	return f, steps
}

// Lag is what Curve.Lag would have answered at the moment of Freeze, with the steps that Freeze has appended to.
func (f *Frozen) Lag(steps []byte, now int64) Estimate {
	c := Curve{
		steps: steps[f.from:f.through:f.through], newest: f.newest, n: f.n, doubtful: f.doubtful,
		margin: f.margin, seeded: f.seeded, origin: f.origin,
	}
	c.oldest.offset, c.oldest.first = f.oldestOffset, f.oldestFirst
	return c.Lag(f.offset, now)
}
