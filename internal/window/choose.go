package window

import (
	"math"
	"math/bits"

	"github.com/lagkeeper/storage/protocol"
)

// span is the least and the greatest of some values.
type span struct{ least, greatest int64 }

var noSpan = span{math.MaxInt64, math.MinInt64}

func (s *span) add(v int64) { s.least, s.greatest = min(s.least, v), max(s.greatest, v) }

// far is the magnitude from which a column gets no spare room.
const far = 1 << 60

// column returns the column for values within a span, with some spare room for similar values. few means that the span comes
// from too few values to be representative.
func (s span) column(few bool) column {
	if s.least > s.greatest {
		return column{}
	}
	low, high := s.least, s.greatest
	if low > -far && high < far {
		spare := (high - low) / 8
		if few {
			spare = max(2*spare, max(low, -low)/16)
		}
		if low >= 0 {
			low = max(low-spare, 0)
		} else {
			low -= spare
		}
		high += spare
	}
	if low > 0 && low < high/2 {
		low = 0 // a base would save less than a bit
	}
	code, ok := baseBelow(low)
	width := widthFor(uint64(high) - uint64(baseOf(code)))
	if !ok || width == 64 {
		return column{width: 64}
	}
	// The width is taken anyway, so the spare room is centred: half of it lies below.
	if lowest := high - int64(uint64(1)<<width-1); lowest <= 0 && s.least >= 0 {
		code = 0
	} else if lower, ok := baseBelow(low - (low-lowest)/2); ok && baseOf(lower) >= lowest {
		code = lower
	}
	return column{base: baseOf(code), code: code, width: width}
}

// widthFor returns the width of a field for values up to v.
func widthFor(v uint64) uint8 {
	if n := bits.Len64(v); n <= maxWidth {
		return uint8(n)
	}
	return 64
}

// choose returns the form in which some commits, oldest first, take the least memory.
func choose(commits []protocol.StoredCommit) (f form) {
	timestamp, order, offset, production := noSpan, noSpan, noSpan, noSpan
	var lags, delays, pauses, times, all uint64
	f.full = 6
	var before last
	for i := range commits {
		c := &commits[i]
		lag, observed := c.Lag, seconds(c.ObservedTimestamp)
		if c.LagKnown {
			lags |= lag
		} else {
			f.unsure, lag = 1, before.lag
		}
		delays |= uint64(observed - seconds(c.Timestamp))
		times |= uint64(c.Timestamp) | uint64(c.ObservedTimestamp)
		if i > 0 {
			timestamp.add(c.Timestamp - before.timestamp)
			order.add(c.Order - before.order)
			offset.add(c.Offset - before.offset)
			production.add(c.Offset - before.offset + int64(lag-before.lag))
			pauses |= uint64(observed - before.observed)
		}
		// One by one: a copy of what was only just written makes the processor wait.
		before.offset, before.order, before.timestamp = c.Offset, c.Order, c.Timestamp
		before.lag, before.observed = lag, observed
	}
	n := len(commits)
	few := n < 4
	f.timestamp, f.order, f.offset = timestamp.column(few), order.column(few), offset.column(few)
	f.lag = column{width: widthFor(lags)}
	f.observedWidth = widthFor(delays)
	if n > 0 {
		newest := &commits[n-1]
		all = uint64(newest.Offset) | uint64(newest.Order) | uint64(newest.Timestamp)
		anchor := anchorFor(before.lag)
		if c := production.column(few); n*int(f.lag.width) > n*int(c.width)+8*int(anchor) {
			f.lag, f.lagAnchor = c, anchor
		}
		anchor = anchorFor(uint64(delay(newest)))
		if width := widthFor(pauses); times <= fullMask && n*int(f.observedWidth) > n*int(width)+8*int(anchor) {
			f.observedWidth, f.observedAnchor = width, anchor
		}
	}
	if all > fullMask {
		f.full = 8
	}
	return f
}

func anchorFor(v uint64) uint8 {
	if v > math.MaxUint32 {
		return 8
	}
	return 4
}

// delay returns how many seconds after its timestamp a commit was observed.
func delay(c *protocol.StoredCommit) int64 {
	return seconds(c.ObservedTimestamp) - seconds(c.Timestamp)
}
