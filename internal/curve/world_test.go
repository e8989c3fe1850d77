package curve

import (
	"math/rand/v2"
	"sort"
)

// world is the truth that polls only sample: one incarnation of a partition, with every moment at which it was written to.
type world struct {
	writes []write // in the order of time and end
}

// write is a batch: from the time at (ms) on, the end offset is end.
type write struct{ at, end int64 }

// produce appends n messages at the time at.
func (w *world) produce(at, n int64) {
	if n <= 0 {
		return
	}
	w.writes = append(w.writes, write{at, w.end() + n})
}

// end returns the end offset now.
func (w *world) end() int64 {
	if len(w.writes) == 0 {
		return 0
	}
	return w.writes[len(w.writes)-1].end
}

// endAt returns the end offset at the time t, including everything written at t.
func (w *world) endAt(t int64) int64 {
	i := sort.Search(len(w.writes), func(i int) bool { return w.writes[i].at > t })
	if i == 0 {
		return 0
	}
	return w.writes[i-1].end
}

// index returns the write that contains message c, and false if it is not written yet.
func (w *world) index(c int64) (int, bool) {
	i := sort.Search(len(w.writes), func(i int) bool { return w.writes[i].end > c })
	return i, i < len(w.writes)
}

// lag returns the true time lag of a group that committed c: how long ago message c was written, 0 if it is not written yet.
func (w *world) lag(c, now int64) int64 {
	i, ok := w.index(c)
	if !ok {
		return 0
	}
	return now - w.writes[i].at
}

// producer returns the number of messages written in the second that starts at second.
type producer struct {
	name string
	rate func(r *rand.Rand, second int64) int64
}

// producers are the shapes of load that a monitor meets.
var producers = []producer{
	{"steady", func(*rand.Rand, int64) int64 { return 100 }},
	{"noisy", func(r *rand.Rand, _ int64) int64 { return r.Int64N(200) }},
	{"slow", func(r *rand.Rand, _ int64) int64 { return b2i(r.IntN(400) == 0) }},
	{"idle", func(_ *rand.Rand, s int64) int64 { return b2i(s < 60) * 50 }},
	{"bursty", func(r *rand.Rand, _ int64) int64 { return b2i(r.IntN(300) == 0) * r.Int64N(100_000) }},
	{"on/off", func(_ *rand.Rand, s int64) int64 { return b2i(s/600%2 == 0) * 500 }},
	{"batch job", func(_ *rand.Rand, s int64) int64 { return b2i(s%3600 < 45) * 10_000 }},
	{"daily", func(r *rand.Rand, s int64) int64 { return daily(s) + r.Int64N(20) }},
	{"ramp", func(_ *rand.Rand, s int64) int64 { return s / 10 }},
	{"walk", func(r *rand.Rand, s int64) int64 { return int64(uint64(s/900)*0x9e3779b97f4a7c15>>56) + r.Int64N(5) }},
}

// daily is a load that is low at night, in messages/s.
func daily(second int64) int64 {
	hour := second / 3600 % 24
	return (12 - max(hour-12, 12-hour)) * 40
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
