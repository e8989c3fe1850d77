package inspector

import (
	"math"
	"time"
)

// history keeps the last lags of each group on each topic. All series have a place for each reading of the store, so that
// sums over series need no interpolation. It belongs to the collector and is guarded by its lock.
type history struct {
	length int   // readings that are kept; 0 for none
	limit  int64 // bytes
	at     []int64
	// next is the place of the next reading; all places below count have been used.
	next, count int
	readings    uint64 // that have begun
	series      map[seriesKey]*series
	// leftOut is the number of series that found no room at the last reading.
	leftOut int
}

// seriesKey names a group on a topic.
type seriesKey struct{ cluster, group, topic string }

// series is one group on one topic. A place that holds NaN is a gap.
type series struct {
	messages, timeMs []float32
	// margin is the margin of timeMs; -1 marks a lower bound.
	margin []float32
	// atLeast holds a bit for each place: the lag in messages is a lower bound, or is not known and may be above 0.
	atLeast []uint64
	seen    uint64 // the reading that last wrote it
}

func newHistory(kept, interval time.Duration, limit int64) *history {
	h := &history{limit: limit, series: make(map[seriesKey]*series)}
	if kept > 0 {
		h.length = int(max(2, kept/interval))
		h.at = make([]int64, h.length)
	}
	return h
}

// seriesBytes returns what a series takes, with its entry in the map.
func (h *history) seriesBytes(key seriesKey) int64 {
	// The allocator rounds up to one of its sizes, which lie an eighth apart; the rest are slice headers and the entry of the map.
	const overhead = 200
	return int64(h.length)*3*4*9/8 + int64((h.length+63)/64)*8 + int64(len(key.cluster)+len(key.group)+len(key.topic)) + overhead
}

func (h *history) bytes() (total int64) {
	for key := range h.series {
		total += h.seriesBytes(key)
	}
	return total
}

// begin starts a reading.
func (h *history) begin(now time.Time) {
	if h.length == 0 {
		return
	}
	h.at[h.next] = now.UnixMilli()
	h.leftOut = 0
	h.readings++
}

// add stores the lag of a series for the reading. used is what all series take; it returns what they take then.
func (h *history) add(key seriesKey, lag Lag, used int64) int64 {
	if h.length == 0 {
		return used
	}
	s := h.series[key]
	if s == nil {
		need := h.seriesBytes(key)
		if used+need > h.limit {
			h.leftOut++
			return used
		}
		used += need
		values, n := gaps(3*h.length), h.length
		s = &series{messages: values[:n:n], timeMs: values[n : 2*n : 2*n], margin: values[2*n:], atLeast: make([]uint64, (n+63)/64)}
		h.series[key] = s
	}
	s.set(h.next, lag)
	s.seen = h.readings
	return used
}

func gaps(n int) []float32 {
	all := make([]float32, n)
	for i := range all {
		all[i] = float32(math.NaN())
	}
	return all
}

func (s *series) set(at int, lag Lag) {
	s.clear(at)
	if lag.Messages != nil {
		s.messages[at] = float32(*lag.Messages)
	}
	if lag.TimeMs != nil {
		s.timeMs[at] = float32(*lag.TimeMs)
		s.margin[at] = -1
		if lag.MarginMs != nil {
			s.margin[at] = float32(*lag.MarginMs)
		}
	}
	if lag.AtLeast {
		s.atLeast[at/64] |= 1 << (at % 64)
	}
}

func (s *series) clear(at int) {
	nan := float32(math.NaN())
	s.messages[at], s.timeMs[at], s.margin[at] = nan, nan, nan
	s.atLeast[at/64] &^= 1 << (at % 64)
}

// end closes a reading: what was not seen in it has a gap there, and is forgotten once it is nothing but gaps.
func (h *history) end() {
	if h.length == 0 {
		return
	}
	for key, s := range h.series {
		if s.seen == h.readings {
			continue
		}
		s.clear(h.next)
		if s.empty() {
			delete(h.series, key)
		}
	}
	h.next = (h.next + 1) % h.length
	h.count = min(h.count+1, h.length)
}

func (s *series) empty() bool {
	for i := range s.messages {
		if s.messages[i] == s.messages[i] || s.timeMs[i] == s.timeMs[i] {
			return false
		}
	}
	return true
}

// sum adds the newest n readings of some series up. The sum is a lower bound if one of them is, if the lag of one was not known,
// or if one found no room.
func (h *history) sum(keys []seriesKey, n int) History {
	n = min(n, h.count)
	out := History{
		At: make([]int64, 0, n), Messages: make([]*float64, 0, n), TimeMs: make([]*float64, 0, n),
		MarginMs: make([]*float64, 0, n), AtLeast: make([]bool, 0, n),
	}
	var all []*series
	for _, key := range keys {
		if s := h.series[key]; s != nil {
			all = append(all, s)
		}
	}
	out.Kept = len(all) > 0
	for i := range n {
		at := (h.next - n + i + 2*h.length) % h.length
		out.At = append(out.At, h.at[at])
		total, worst, margin := math.NaN(), math.NaN(), math.NaN()
		atLeast := len(all) < len(keys)
		timeAtLeast := atLeast
		for _, s := range all {
			bound := s.atLeast[at/64]&(1<<(at%64)) != 0
			atLeast = atLeast || bound
			m, t := float64(s.messages[at]), float64(s.timeMs[at])
			if !math.IsNaN(m) {
				if math.IsNaN(total) {
					total = 0
				}
				total += m
			}
			if !math.IsNaN(t) && !(t < worst) {
				worst, margin = t, float64(s.margin[at])
			}
			timeAtLeast = timeAtLeast || s.margin[at] < 0 || math.IsNaN(t) && (bound || !math.IsNaN(m))
		}
		if timeAtLeast || margin < 0 {
			margin = math.NaN()
		}
		out.Messages = append(out.Messages, known(total))
		out.TimeMs = append(out.TimeMs, known(worst))
		out.MarginMs = append(out.MarginMs, known(margin))
		out.AtLeast = append(out.AtLeast, atLeast && !math.IsNaN(total))
	}
	return out
}

func known(v float64) *float64 {
	if math.IsNaN(v) {
		return nil
	}
	return &v
}
