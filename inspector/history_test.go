package inspector

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func lagAt(messages uint64, ms, margin int64) Lag {
	return Lag{Messages: &messages, TimeMs: &ms, MarginMs: &margin}
}

// The history takes no more memory than it says, nor much less. It does not run beside others: it looks at the whole heap.
func TestHistoryMemory(t *testing.T) {
	const series = 2000
	keys := make([]seriesKey, series)
	for i := range keys {
		keys[i] = seriesKey{"cluster", fmt.Sprintf("group-%05d", i), "topic"}
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	h := newHistory(time.Hour, 10*time.Second, 1<<30)
	h.begin(time.UnixMilli(1))
	var used int64
	for _, key := range keys {
		used = h.add(key, lagAt(1, 2, 3), used)
	}
	h.end()
	took := heap() - before
	assert.Equal(t, used, h.bytes())
	assert.LessOrEqual(t, took, used)
	assert.Greater(t, took, used*3/4)
	runtime.KeepAlive(h)
}

// What finds no room is counted, comes in when there is room again, and leaves those that have a place alone.
func TestHistoryLimit(t *testing.T) {
	t.Parallel()
	a, b := seriesKey{"c", "a", "t"}, seriesKey{"c", "b", "t"}
	h := newHistory(20*time.Second, 10*time.Second, 0)
	h.limit = h.seriesBytes(a) + h.seriesBytes(b)/2
	read := func(keys ...seriesKey) {
		h.begin(time.UnixMilli(1))
		used := h.bytes()
		for _, key := range keys {
			used = h.add(key, lagAt(1, 2, 3), used)
		}
		h.end()
		assert.LessOrEqual(t, h.bytes(), h.limit)
	}
	read(a, b)
	assert.Equal(t, 1, h.leftOut)
	assert.True(t, h.sum([]seriesKey{a}, 2).Kept)
	assert.False(t, h.sum([]seriesKey{b}, 2).Kept)
	read(b)
	read(b)
	assert.Equal(t, 1, h.leftOut, "what was known of a is shown for as long as anything")
	read(b)
	assert.Equal(t, 0, h.leftOut, "nothing is known of a any more, so b has its place")
	assert.False(t, h.sum([]seriesKey{a}, 2).Kept)
	assert.True(t, h.sum([]seriesKey{b}, 2).Kept)
}

// The ring turns: the newest readings are kept, gaps stay gaps, and the sum of two topics is a lower bound if one is.
func TestHistoryRing(t *testing.T) {
	t.Parallel()
	one, two := seriesKey{"c", "g", "one"}, seriesKey{"c", "g", "two"}
	h := newHistory(30*time.Second, 10*time.Second, 1<<20)
	for i := range int64(5) {
		h.begin(time.UnixMilli(10_000 * i))
		used := h.add(one, lagAt(uint64(i), 100*i, 10), 0)
		if i != 3 {
			lag := lagAt(10, 50, 5)
			lag.AtLeast = i == 4
			h.add(two, lag, used)
		}
		h.end()
	}
	sum := h.sum([]seriesKey{one, two}, 10)
	assert.Equal(t, []int64{20_000, 30_000, 40_000}, sum.At)
	assert.Equal(t, []float64{12, 3, 14}, []float64{*sum.Messages[0], *sum.Messages[1], *sum.Messages[2]})
	assert.Equal(t, []bool{false, false, true}, sum.AtLeast)
	assert.Equal(t, []float64{200, 300, 400}, []float64{*sum.TimeMs[0], *sum.TimeMs[1], *sum.TimeMs[2]})
	require.Nil(t, h.sum([]seriesKey{two}, 10).Messages[1], "a reading without it is a gap")
}

// A sum from which something is missing is a lower bound: of a topic whose lag is not known, or that found no room.
func TestHistoryOfUnknownIsLowerBound(t *testing.T) {
	t.Parallel()
	one, two := seriesKey{"c", "g", "one"}, seriesKey{"c", "g", "two"}
	h := newHistory(50*time.Second, 10*time.Second, 1<<20)
	untimed := lagAt(5, 0, 0)
	untimed.TimeMs, untimed.MarginMs = nil, nil
	for _, lag := range []Lag{lagAt(5, 50, 5), {AtLeast: true}, untimed, {}} {
		h.begin(time.UnixMilli(1))
		h.add(two, lag, h.add(one, lagAt(10, 100, 10), 0))
		h.end()
	}
	sum := h.sum([]seriesKey{one, two}, 10)
	assert.Equal(t, []bool{false, true, false, false}, sum.AtLeast)
	known := make([]bool, len(sum.MarginMs))
	for i, margin := range sum.MarginMs {
		known[i] = margin != nil
	}
	assert.Equal(t, []bool{true, false, false, true}, known, "without a margin the time is a lower bound")
	assert.Equal(t, []bool{false, false, false, false}, h.sum([]seriesKey{two}, 10).AtLeast, "what is not known is no lower bound")

	sum = h.sum([]seriesKey{one, two, {"c", "g", "left-out"}}, 10)
	assert.Equal(t, []bool{true, true, true, true}, sum.AtLeast)
	assert.Equal(t, make([]*float64, 4), sum.MarginMs)
}

// What the collector keeps of a group says the same as its row.
func TestHistoryKeepsLowerBounds(t *testing.T) {
	t.Parallel()
	c := newCollector(nil, Options{History: time.Hour, Interval: time.Minute, HistoryBytes: 1 << 20})
	group := GroupRow{Cluster: "c", Group: "g", topics: []string{"one", "two"}, Lag: lagAt(10, 100, 10)}
	group.Lag.AtLeast = true
	c.keep(&reading{groups: []GroupRow{group}}, map[seriesKey]Lag{{"c", "g", "one"}: lagAt(10, 100, 10)})
	assert.Equal(t, []bool{true}, c.history.sum(group.seriesKeys(), 1).AtLeast)
}
