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
	from := len(dst)
	dst = slices.Grow(dst, f.count)[:from+f.count]
	if f.count == 0 {
		return dst
	}
	commits := dst[from:]
	w.read(&f, decoded{unsafe.Pointer(&commits[0]), unsafe.Offsetof(commits[0].Lag)})
	for i := range commits {
		commits[i].LagKnown = true
	}
	if f.unsure > 0 {
		for i := range commits {
			if f.read(w, f.index(i)).unknown != 0 {
				commits[i].Lag, commits[i].LagKnown = 0, false
			}
		}
	}
	return dst
}

// Answered is a commit as the channel protocol answers it, with its lag beside it.
type Answered struct {
	Commit protocol.ConsumerOffset
	Lag    protocol.Lag
}

// Answer writes the commits of the window to answers and their places to pointers, oldest first. Both must have room for all.
func (w Window) Answer(answers []Answered, pointers []*protocol.ConsumerOffset) {
	f := w.form()
	if f.count == 0 {
		return
	}
	answers, pointers = answers[:f.count], pointers[:f.count]
	w.read(&f, decoded{unsafe.Pointer(&answers[0]), unsafe.Offsetof(answers[0].Lag)})
	for i := range answers {
		a := &answers[i]
		a.Commit.Lag = &a.Lag
		pointers[i] = &a.Commit
	}
	if f.unsure > 0 {
		for i := range answers {
			if f.read(w, f.index(i)).unknown != 0 {
				answers[i].Lag.Value, answers[i].Commit.Lag = 0, nil
			}
		}
	}
}

// decoded is where commits are written to: an array of StoredCommit or of Answered. Both begin with the same four numbers and are
// equally long; the lag is lag bytes behind the beginning of each.
type decoded struct {
	first unsafe.Pointer
	lag   uintptr
}

// numbers is what both begin with.
type numbers struct{ offset, order, timestamp, observed int64 }

const stride = unsafe.Sizeof(protocol.StoredCommit{})

// The compiler refuses a negative index.
var (
	_ = [1]struct{}{}[stride-unsafe.Sizeof(Answered{})]
	_ = [1]struct{}{}[unsafe.Offsetof(protocol.StoredCommit{}.Offset)-unsafe.Offsetof(numbers{}.offset)]
	_ = [1]struct{}{}[unsafe.Offsetof(protocol.StoredCommit{}.Order)-unsafe.Offsetof(numbers{}.order)]
	_ = [1]struct{}{}[unsafe.Offsetof(protocol.StoredCommit{}.Timestamp)-unsafe.Offsetof(numbers{}.timestamp)]
	_ = [1]struct{}{}[unsafe.Offsetof(protocol.StoredCommit{}.ObservedTimestamp)-unsafe.Offsetof(numbers{}.observed)]
	_ = [1]struct{}{}[unsafe.Offsetof(protocol.ConsumerOffset{}.Offset)-unsafe.Offsetof(numbers{}.offset)]
	_ = [1]struct{}{}[unsafe.Offsetof(protocol.ConsumerOffset{}.Order)-unsafe.Offsetof(numbers{}.order)]
	_ = [1]struct{}{}[unsafe.Offsetof(protocol.ConsumerOffset{}.Timestamp)-unsafe.Offsetof(numbers{}.timestamp)]
	_ = [1]struct{}{}[unsafe.Offsetof(protocol.ConsumerOffset{}.ObservedTimestamp)-unsafe.Offsetof(numbers{}.observed)]
)

func (d decoded) at(i int) (*numbers, *uint64) {
	p := unsafe.Add(d.first, uintptr(i)*stride)
	return (*numbers)(p), (*uint64)(unsafe.Add(p, d.lag))
}

// read writes the numbers of all commits, oldest first. What it writes as the lag of a commit whose lag is not known means nothing.
func (w Window) read(f *form, to decoded) {
	if f.narrow() {
		w.readNarrow(f, to)
	} else {
		w.readWide(f, to)
	}
}

// readNarrow reads the commits, from the newest to the oldest: records say what each added to the one before it. Most windows have
// no anchor; those that do are left to readChained, as the loop is faster for each number that it need not keep at hand.
func (w Window) readNarrow(f *form, to decoded) {
	if f.lagAnchor|f.observedAnchor > 0 {
		w.readChained(f, to)
		return
	}
	start, length, split := f.start(), f.recordBits(), uint(f.firstBits())
	all := f.count * length
	// One check replaces all that load would make: a record ends at or before all.
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
	for i := f.count - 1; i >= 0; i-- {
		if at == 0 {
			at = all
		}
		at -= length
		first := load(records, at)
		last := first >> (split & 63)
		if !short {
			last = load(records, at+int(split))
		}
		c, lag := to.at(i)
		c.offset, c.order, c.timestamp = offset, order, timestamp
		*lag = last>>lagAt&lagMask + lagBase
		c.observed = (secondsNear(timestamp) + int64(last>>observedAt&observedMask)) * 1000
		offset -= int64(last&offsetMask) + offsetBase
		order -= int64(first>>orderAt&orderMask) + orderBase
		timestamp -= int64(first&timestampMask) + timestampBase
	}
}

// readChained is readNarrow for a window with an anchor: its records say by how much the end offset rose, or how long each commit
// was observed after the one before.
func (w Window) readChained(f *form, to decoded) {
	start, length, split := f.start(), f.recordBits(), uint(f.firstBits())
	all := f.count * length
	_ = w[start+all>>3+7]
	records := unsafe.Pointer(&w[start])
	timestampMask, orderMask := mask(f.timestamp.width), mask(f.order.width)
	offsetMask, lagMask, observedMask := mask(f.offset.width), mask(f.lag.width), mask(f.observedWidth)
	orderAt, lagAt := f.timestamp.width&63, f.offset.width&63
	observedAt := (lagAt + f.lag.width) & 63
	timestampBase, orderBase, offsetBase, lagBase := f.timestamp.base, f.order.base, f.offset.base, uint64(f.lag.base)
	offset, order, timestamp := w.NewestOffset(), w.NewestOrder(), w.NewestTimestamp()
	chainedLags, chainedTimes := f.lagAnchor > 0, f.observedAnchor > 0
	lag, observed := w.newestLag(f), seconds(timestamp)+w.newestDelay(f)
	at := f.head * length
	short := length <= maxWidth
	for i := f.count - 1; i >= 0; i-- {
		if at == 0 {
			at = all
		}
		at -= length
		first := load(records, at)
		last := first >> (split & 63)
		if !short {
			last = load(records, at+int(split))
		}
		c, lagTo := to.at(i)
		c.offset, c.order, c.timestamp = offset, order, timestamp
		added := int64(last&offsetMask) + offsetBase
		if rest := last>>lagAt&lagMask + lagBase; chainedLags {
			*lagTo = lag
			lag -= rest - uint64(added)
		} else {
			*lagTo = rest
		}
		if rest := int64(last >> observedAt & observedMask); chainedTimes {
			c.observed = observed * 1000
			observed -= rest
		} else {
			c.observed = (secondsNear(timestamp) + rest) * 1000
		}
		offset -= added
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
func (w Window) readWide(f *form, to decoded) {
	next := w.newest(f)
	for i := f.count - 1; i >= 0; i-- {
		r := f.read(w, f.index(i))
		c, lag := to.at(i)
		*c = numbers{offset: next.offset, order: next.order, timestamp: next.timestamp}
		if *lag = r.lag; f.lagAnchor > 0 {
			*lag = next.lag
			next.lag -= r.lag - uint64(r.offset)
		}
		if f.observedAnchor > 0 {
			c.observed = next.observed * 1000
			next.observed -= r.observed
		} else {
			c.observed = (seconds(next.timestamp) + r.observed) * 1000
		}
		next.offset -= r.offset
		next.order -= r.order
		next.timestamp -= r.timestamp
	}
}
