package curve

import "math"

// Kind is the kind of knowledge in an Estimate.
type Kind uint8

const (
	// Unknown is the kind if no lag is known: no end offset was seen, or the group has no position.
	Unknown Kind = iota
	// Exact is the kind of a group that had read everything at the newest poll.
	Exact
	// Interpolated is the kind of a position between two end offsets that were seen.
	Interpolated
	// AtLeast is the kind of a lower bound: the message is older than the curve, or was written before the clock went back.
	AtLeast
)

// String returns the kind in lower case: unknown, exact, interpolated, at least.
func (k Kind) String() string {
	switch k {
	case Exact:
		return "exact"
	case Interpolated:
		return "interpolated"
	case AtLeast:
		return "at least"
	default:
		return "unknown"
	}
}

// Estimate is a time lag with its kind, margin and source.
type Estimate struct {
	Kind Kind
	// Millis is the lag in ms, never negative: 0 for Exact, the lower bound for AtLeast, and meaningless for Unknown.
	Millis int64
	// ErrorMillis bounds the error in ms: the true lag is within Millis ± ErrorMillis. It is the time between the two polls around the
	// message, or less if thinned polls in between are known to have agreed with the interpolation. For Exact it is the age of the
	// newest poll: the group had read everything then, and any message written since is younger than that. It is 0 for AtLeast, which
	// has no upper bound, and for Unknown.
	ErrorMillis int64
	// Source is the source of the times from which the lag is computed.
	Source Source
}

// Lag returns how long ago the message at offset commit was the newest one, seen from now (Unix milliseconds). A group that committed
// that offset reads this message next. The commit must belong to the incarnation of the curve: the curve cannot check that, and the
// time lag of any other commit is unknown.
//
//   - An empty curve or a negative commit answers Unknown.
//   - A commit at the newest end offset or beyond answers Exact, with a lag of 0.
//   - A commit between two segments answers Interpolated, or AtLeast if the clock went back since.
//   - A commit before the oldest segment answers AtLeast: the message was there when the curve began.
//
// If now is before the newest poll, because the clock went back or the caller took the time before the poll, the time of that poll
// counts as now, and the error bound grows by the difference.
func (c *Curve) Lag(commit, now int64) Estimate {
	if c.n == 0 || commit < 0 {
		return Estimate{}
	}
	late := elapsed(now, c.newest.Last)
	if commit >= c.newest.Offset {
		return Estimate{Kind: Exact, ErrorMillis: max(late, elapsed(c.newest.Last, now))}
	}
	now = max(now, c.newest.Last)
	if c.fromKnown && commit < c.from.offset {
		return c.atLeast(0, c.from.first, now)
	}
	next := c.newest
	for end, gap := len(c.steps), c.n-1; end > 0; gap-- { // gap lies between the segments gap−1 and gap
		st, start := lastStep(c.steps, end, c.base)
		s := st.before(next)
		if commit < s.Offset {
			next, end = s, start
			continue
		}
		if gap <= c.doubtful {
			return c.atLeast(gap, next.First, now)
		}
		into, _ := mulDiv(since(s.Offset, commit), st.gap, st.offsets)
		source, margin := Measured, uint64(0)
		if gap <= c.seeded {
			source, margin = c.origin.source(), uint64(c.margin)
		}
		return Estimate{
			Kind:        Interpolated,
			Millis:      elapsed(later(s.Last, into), now),
			ErrorMillis: clampInt64(saturatingAdd(st.bound(), uint64(late)+margin)),
			Source:      source,
		}
	}
	return c.atLeast(0, next.First, now)
}

// atLeast is the lag of a message that existed when segment i was first seen.
func (c *Curve) atLeast(i uint8, first, now int64) Estimate {
	if !c.firstSeeded(i) {
		return Estimate{Kind: AtLeast, Millis: elapsed(first, now)}
	}
	return Estimate{Kind: AtLeast, Millis: max(0, elapsed(first, now)-int64(c.margin)), Source: c.origin.source()}
}

// elapsed returns the time from one moment to another in ms: 0 if that is negative, at most the greatest int64.
func elapsed(from, to int64) int64 {
	if to <= from {
		return 0
	}
	return clampInt64(since(from, to))
}

func clampInt64(v uint64) int64 { return int64(min(v, math.MaxInt64)) }
