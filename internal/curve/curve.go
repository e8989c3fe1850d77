// Package curve keeps the history of the end offset of one topic-partition, as polls showed it, in a few hundred bytes, and answers
// from it how far behind a group is in time. It reads no message and no clock, and starts no goroutine. The caller passes every time,
// in Unix milliseconds, and serialises the calls on one Curve.
//
// # What is estimated
//
// The time lag of a group that committed offset c is how long ago the message it will read next, message c, was the
// newest one: now − Q(c), where Q(c) is the moment the end offset first exceeded c. A poll that saw an end offset of c or
// less came before Q(c), one that saw more came at or after it. So between the last poll that saw oᵢ ≤ c and the first
// that saw oᵢ₊₁ > c lies Q(c), and nothing more is known:
//
//	lastSeenᵢ < Q(c) ≤ firstSeenᵢ₊₁            for oᵢ ≤ c < oᵢ₊₁
//	T(c) = lastSeenᵢ + ⌊(c − oᵢ)·(firstSeenᵢ₊₁ − lastSeenᵢ)/(oᵢ₊₁ − oᵢ)⌋
//
// T(c) lies in the same interval, hence |T(c) − Q(c)| ≤ firstSeenᵢ₊₁ − lastSeenᵢ whatever the producer did between the two
// polls. See Estimate for the answers at both ends of the curve.
//
// # Memory
//
// The curves of some partitions lie in one Block: two pointer-free objects with a head of 12 bytes for each curve, and a step of 3 to
// 12 bytes between two segments. A step from one poll to the next takes 3 or 4 bytes; any other takes a byte of lengths and the
// significant bytes of four differences, at most 35 bytes. After a day of polls every 30 s with DefaultSegments a topic-partition
// takes, in all,
//
//	 22 bytes  written to once, then idle
//	140 bytes  steady
//	182 bytes  noisy
//	225 – 332  daily, on and off, slow (a message in 400 s)
//	396 bytes  bursts of random size at random times, the worst of what was tried
//
// as TestMemory measures and enforces:
//
//	go test -v -run TestMemory ./internal/curve
package curve

import "slices"

// DefaultSegments is the number of segments that a curve has room for by default.
const DefaultSegments = 32

// MaxSegments is the greatest number of segments of a curve; Observe reduces a greater limit to it.
const MaxSegments = 128

// Segment is one end offset and the time during which the polls saw it.
type Segment struct {
	// Offset is the end offset: the next offset that the partition would assign.
	Offset int64
	// First and Last are the first and the last time the offset was seen, in Unix milliseconds; First ≤ Last.
	First int64
	Last  int64
}

// Curve is the history of the end offset of one incarnation of one topic-partition: segments of growing offset and time. The zero
// value is an empty curve. A Curve must not be copied after its first use, because the copy would share its buffer. It is not safe for
// concurrent use.
type Curve struct {
	// steps leads from each segment to the next, oldest first, and is read from its end, as most groups are close to the
	// end of the log; see step. It lies in a Block, or is the only memory beside the Curve.
	steps []byte
	// newest is the segment at the end of steps, kept decoded so that an idle producer costs one store. It is meaningless in an empty
	// curve.
	newest Segment
	// from is where the oldest segment begins, if fromKnown is set: finding it takes a walk over all steps.
	from struct{ offset, first int64 }
	// margin is the greatest margin of the points, in milliseconds: the times of seeded segments may be wrong by that much.
	margin uint32
	// base is what steps are encoded against, 0 for nothing; see step.
	base uint32
	// n is the number of segments, at most MaxSegments and one more that is yet to be thinned; 0 is the empty curve.
	n uint8
	// doubtful is the number of segments, from the oldest, that were seen before the clock last went back: their times are upper
	// bounds by the present clock, so a commit between segments i and i+1 has only a lower bound if i < doubtful. Always less than n,
	// or 0.
	doubtful uint8
	// seeded is the number of segments, from the oldest, whose times both come from points passed to Seed.
	seeded uint8
	// origin is the least reliable source of the points; and joined.
	origin origin

	fromKnown bool
}

// Observe records that the end offset was offset at the time at (Unix milliseconds). If the curve then holds more than limit segments,
// it is thinned to three quarters of that, so that most calls need no thinning. Observe returns true if the offset went back: the
// partition was recreated or truncated, and the curve was reset first, because nothing may be computed across two incarnations.
//
//   - An equal offset moves only the last time that the newest segment was seen.
//   - A clock that went back since the last call never gives a negative time: what the old clock dated after at is
//     dropped, as it cannot be in the future, and what is older than this call answers AtLeast from now on. How far the
//     clock went is not known (the old times are too late by an unknown amount), but a lower bound stays true.
//   - A negative offset is not an end offset and is ignored.
//   - A limit of 0 or less turns the curve off: it is emptied and its memory is freed.
//
// All times are of the clock that the caller reads. A jump forward cannot be distinguished from missing polls, nor a step back that is
// smaller than the time between two polls from an early poll: lags of messages from before such a step are wrong by its size.
func (c *Curve) Observe(offset, at int64, limit int) (reset bool) {
	if limit <= 0 {
		*c = Curve{}
		return false
	}
	if offset < 0 {
		return false
	}
	if c.n == 0 {
		c.start(offset, at, at)
		return false
	}
	if offset < c.newest.Offset {
		c.start(offset, at, at)
		return true
	}

	back := at < c.newest.Last
	if back && !c.dropFrom(at) {
		c.start(offset, at, at)
		return false
	}
	if offset == c.newest.Offset {
		c.newest.Last = at
		c.sawNewest()
	} else {
		c.push(offset, at)
	}
	if back {
		c.doubtful = c.n - 1
	}
	if limit = min(limit, MaxSegments); int(c.n) > limit {
		c.thin(limit - limit/4)
	}
	return false
}

// Reset empties the curve and keeps its buffer for the next incarnation.
func (c *Curve) Reset() {
	*c = Curve{steps: c.steps[:0], base: c.base}
}

// Len returns the number of segments.
func (c *Curve) Len() int { return int(c.n) }

// Newest returns the newest segment, and false for an empty curve.
func (c *Curve) Newest() (Segment, bool) { return c.newest, c.n > 0 }

// AppendSegments appends the segments, oldest first, to dst.
func (c *Curve) AppendSegments(dst []Segment) []Segment {
	from := len(dst)
	s := c.newest
	for end := len(c.steps); end > 0; {
		dst = append(dst, s)
		st, start := lastStep(c.steps, end, c.base)
		s, end = st.before(s), start
	}
	if c.n > 0 {
		dst = append(dst, s)
	}
	slices.Reverse(dst[from:])
	return dst
}

// oldest returns the oldest segment of a curve that is not empty.
func (c *Curve) oldest() Segment {
	s := c.newest
	for end := len(c.steps); end > 0; {
		st, start := lastStep(c.steps, end, c.base)
		s, end = st.before(s), start
	}
	return s
}

// Clone returns a copy that shares nothing with the curve.
func (c *Curve) Clone() Curve {
	to := *c
	to.steps = slices.Clone(c.steps)
	return to
}

// CutAbove drops what was seen above offset, as if the log was cut there: what was seen up to there is still true. If everything was
// above, it is still true that the end was at least at offset when the first segment was seen.
func (c *Curve) CutAbove(offset int64) {
	if c.n == 0 {
		return
	}
	for c.newest.Offset > offset && c.n > 1 {
		c.pop()
	}
	if c.newest.Offset > offset {
		c.collapse(offset, c.newest.First, c.newest.First, c.firstSeeded(0))
		return
	}
	c.doubtful = min(c.doubtful, c.n-1)
}

// start makes the curve one of a single segment.
func (c *Curve) start(offset, first, last int64) {
	c.Reset()
	c.newest = Segment{Offset: offset, First: first, Last: last}
	c.n = 1
}

// push closes the newest segment and opens another at offset, which is greater; at is no earlier than the last time seen.
func (c *Curve) push(offset, at int64) {
	c.appendStep(step{
		span:    since(c.newest.First, c.newest.Last),
		offsets: since(c.newest.Offset, offset),
		gap:     since(c.newest.Last, at),
	})
	c.newest = Segment{Offset: offset, First: at, Last: at}
	c.n++
}

// dropFrom drops every segment first seen at the time at or later, and shortens the newest remaining one to end at it. It returns
// false if no segment would remain.
func (c *Curve) dropFrom(at int64) bool {
	for c.newest.First >= at {
		if c.n == 1 {
			return false
		}
		c.pop()
	}
	c.newest.Last = min(c.newest.Last, at)
	return true
}

// pop drops the newest of several segments.
func (c *Curve) pop() {
	st, start := lastStep(c.steps, len(c.steps), c.base)
	c.newest, c.steps = st.before(c.newest), c.steps[:start]
	c.n--
	if c.n <= c.seeded {
		c.seeded, c.origin = c.n, c.origin&^joinedBit
		c.unseedIfNone()
	}
}

// since returns how far the second of two int64 is after the first, exact if it is not before it.
func since(from, to int64) uint64 { return uint64(to) - uint64(from) }

// later is the inverse of since.
func later(from int64, by uint64) int64 { return int64(uint64(from) + by) }

// earlier is the inverse of later.
func earlier(to int64, by uint64) int64 { return int64(uint64(to) - by) }

// Buffer returns the number of bytes that the curve holds beside itself.
func (c *Curve) Buffer() int { return cap(c.steps) }
