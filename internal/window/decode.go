package window

import (
	"encoding/binary"
	"slices"
	"unsafe"

	"github.com/lagkeeper/storage/protocol"
)

// AppendTo appends the commits of the window to dst, oldest first, and returns the result.
func (w Window) AppendTo(dst []protocol.StoredCommit) []protocol.StoredCommit {
	f := w.form()
	dst = slices.Grow(dst, f.count)
	commits := dst[len(dst) : len(dst)+f.count]
	if f.narrow() {
		w.readNarrow(&f, commits)
	} else {
		w.readWide(&f, commits)
	}
	if f.lagAnchor > 0 {
		chainLags(commits, w.newestLag(&f))
	}
	if f.observedAnchor > 0 {
		chainObservations(commits, w.newestDelay(&f))
	}
	if f.unsure > 0 {
		w.unknowns(&f, commits)
	}
	return dst[:len(dst)+f.count]
}

// readNarrow reads the commits, from the newest to the oldest: records say what each added to the one before it. It takes what
// is usual for given and leaves the rest to the functions below: with less to keep at hand it is half as fast again.
func (w Window) readNarrow(f *form, commits []protocol.StoredCommit) {
	start, length, split := f.start(), f.recordBits(), uint(f.firstBits())
	all := f.count * length
	// One check stands for all that load would make: a record ends at or before all.
	_ = w[start+all>>3+7]
	records := unsafe.Pointer(&w[start])
	timestampMask, orderMask := mask(f.timestamp.width), mask(f.order.width)
	offsetMask, lagMask, observedMask := mask(f.offset.width), mask(f.lag.width), mask(f.observedWidth)
	orderAt, lagAt := f.timestamp.width&63, f.offset.width&63
	observedAt := (lagAt + f.lag.width) & 63
	timestampBase, orderBase, offsetBase, lagBase := f.timestamp.base, f.order.base, f.offset.base, uint64(f.lag.base)
	offset, order, timestamp := w.NewestOffset(), w.NewestOrder(), w.NewestTimestamp()
	at := f.head * length
	short := length <= maxWidth
	for i := len(commits) - 1; i >= 0; i-- {
		if at == 0 {
			at = all
		}
		at -= length
		first := load(records, at)
		last := first >> (split & 63)
		if !short {
			last = load(records, at+int(split))
		}
		c := &commits[i]
		c.Offset, c.Order, c.Timestamp, c.LagKnown = offset, order, timestamp, true
		c.Lag = last>>lagAt&lagMask + lagBase
		c.ObservedTimestamp = (secondsNear(timestamp) + int64(last>>observedAt&observedMask)) * 1000
		offset -= int64(last&offsetMask) + offsetBase
		order -= int64(first>>orderAt&orderMask) + orderBase
		timestamp -= int64(first&timestampMask) + timestampBase
	}
}

// secondsNear is seconds for times that are less than 2^61 from 0, without a branch.
func secondsNear(milliseconds int64) int64 {
	const shift = 1 << 51
	return int64(uint64(milliseconds+shift*1000)/1000) - shift
}

func load(p unsafe.Pointer, bit int) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(p, bit>>3))[:]) >> (bit & 7)
}

func mask(width uint8) uint64 { return 1<<width - 1 }

// readWide is readNarrow for records of any width.
func (w Window) readWide(f *form, commits []protocol.StoredCommit) {
	offset, order, timestamp := w.NewestOffset(), w.NewestOrder(), w.NewestTimestamp()
	for i := len(commits) - 1; i >= 0; i-- {
		r := f.read(w, f.index(i))
		commits[i] = protocol.StoredCommit{
			Offset: offset, Order: order, Timestamp: timestamp, LagKnown: true, Lag: r.lag,
			ObservedTimestamp: (seconds(timestamp) + r.observed) * 1000,
		}
		offset -= r.offset
		order -= r.order
		timestamp -= r.timestamp
	}
}

// chainLags makes lags of what was read as such, if those are by how much the end offset rose before each commit.
func chainLags(commits []protocol.StoredCommit, lag uint64) {
	for i := len(commits) - 1; i >= 0; i-- {
		c := &commits[i]
		rose := c.Lag
		c.Lag = lag
		if i > 0 {
			lag -= rose - uint64(c.Offset-commits[i-1].Offset)
		}
	}
}

// chainObservations makes times of what was read as such, if that is how long each commit was observed after the one before.
func chainObservations(commits []protocol.StoredCommit, delay int64) {
	if len(commits) == 0 {
		return
	}
	observed := seconds(commits[len(commits)-1].Timestamp) + delay
	for i := len(commits) - 1; i >= 0; i-- {
		c := &commits[i]
		pause := c.ObservedTimestamp/1000 - seconds(c.Timestamp)
		c.ObservedTimestamp = observed * 1000
		observed -= pause
	}
}

// unknowns takes the lag from the commits whose records say that it is not known.
func (w Window) unknowns(f *form, commits []protocol.StoredCommit) {
	for i := range commits {
		if r := f.read(w, f.index(i)); r.unknown != 0 {
			commits[i].Lag, commits[i].LagKnown = 0, false
		}
	}
}
