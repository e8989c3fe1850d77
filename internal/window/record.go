package window

import (
	"encoding/binary"
	"math/bits"

	"github.com/lagkeeper/storage/protocol"
)

// record is one commit relative to the commit before it.
type record struct {
	offset, order, timestamp int64
	// observed is when the commit was observed less its timestamp, both in whole seconds.
	observed int64
	lag      uint64
	lagKnown bool
}

// observation is the record of a commit without what it adds to the one before.
func observation(c *protocol.StoredCommit) record {
	r := record{observed: seconds(c.ObservedTimestamp) - seconds(c.Timestamp), lagKnown: c.LagKnown}
	if c.LagKnown {
		r.lag = c.Lag
	}
	return r
}

func difference(previous, c *protocol.StoredCommit) record {
	r := observation(c)
	r.offset = c.Offset - previous.Offset
	r.order = c.Order - previous.Order
	r.timestamp = c.Timestamp - previous.Timestamp
	return r
}

// A record begins with its control: for each field the index of its width in the field's table. The fields follow with
// those widths, lowest bit first. Widths were chosen on commits of real shape: see docs/design.md. A field that is
// negative as a two's complement takes the last, full width.
var (
	timestampWidths = [8]uint8{0, 10, 13, 14, 16, 18, 26, 64}
	orderWidths     = [8]uint8{0, 3, 8, 12, 15, 17, 24, 64}
	offsetWidths    = [8]uint8{0, 6, 9, 11, 13, 16, 24, 64}
	// A lag that is not known has index 0, a lag of 0 has index 1.
	lagWidths      = [8]uint8{0, 0, 4, 7, 9, 12, 20, 64}
	observedWidths = [4]uint8{0, 2, 24, 64}
)

const (
	timestampShift = 0
	orderShift     = 3
	offsetShift    = 6
	lagShift       = 9
	observedShift  = 12
	controlBits    = 14

	maxRecordBits = controlBits + 5*64
)

// widths tells for each length of a number in bits how wide its field is, and which index stands for that in the control.
type widths [65]struct{ index, width uint8 }

func widthsOf(table []uint8) (w widths) {
	for length := range w {
		i := 0
		for int(table[i]) < length {
			i++
		}
		w[length].index, w[length].width = uint8(i), table[i]
	}
	return w
}

var (
	timestampByLength = widthsOf(timestampWidths[:])
	orderByLength     = widthsOf(orderWidths[:])
	offsetByLength    = widthsOf(offsetWidths[:])
	lagByLength       = widthsOf(lagWidths[:])
	observedByLength  = widthsOf(observedWidths[:])
)

// lowLengths and highLengths hold how many bits a record takes, by the lower six bits of its control and by the rest. One
// table for the whole control would drive everything else out of the processor's first cache. anyWide is set where a field
// has its full width.
var lowLengths, highLengths = func() (low [1 << offsetShift]uint16, high [1 << (controlBits - offsetShift)]uint16) {
	sum := func(widths ...uint8) (n uint16) {
		for _, width := range widths {
			n += uint16(width)
			if width == 64 {
				n |= anyWide
			}
		}
		return n
	}
	for c := range low {
		low[c] = controlBits + sum(timestampWidths[c>>timestampShift&7], orderWidths[c>>orderShift&7])
	}
	for h := range high {
		c := h << offsetShift
		high[h] = sum(offsetWidths[c>>offsetShift&7], lagWidths[c>>lagShift&7], observedWidths[c>>observedShift&3])
	}
	return low, high
}()

const anyWide = 1 << 15

// recordLength is how many bits the record of a control takes.
func recordLength(control uint64) int {
	return int(lowLengths[control&(1<<offsetShift-1)]&^anyWide) +
		int(highLengths[control>>offsetShift&(1<<(controlBits-offsetShift)-1)]&^anyWide)
}

// plan is how a record is written: its control and the width of each field.
type plan struct {
	control                                 uint64
	timestamp, order, offset, lag, observed uint8
}

func (r *record) plan() plan {
	timestamp := timestampByLength[bits.Len64(uint64(r.timestamp))]
	order := orderByLength[bits.Len64(uint64(r.order))]
	offset := offsetByLength[bits.Len64(uint64(r.offset))]
	lag := lagByLength[bits.Len64(r.lag)]
	observed := observedByLength[bits.Len64(uint64(r.observed))]
	p := plan{
		control: uint64(timestamp.index)<<timestampShift | uint64(order.index)<<orderShift |
			uint64(offset.index)<<offsetShift | uint64(observed.index)<<observedShift,
		timestamp: timestamp.width, order: order.width, offset: offset.width, lag: lag.width, observed: observed.width,
	}
	if r.lagKnown {
		p.control |= uint64(max(lag.index, 1)) << lagShift
	}
	return p
}

// length is how many bits the record takes.
func (p *plan) length() int {
	return controlBits + int(p.timestamp) + int(p.order) + int(p.offset) + int(p.lag) + int(p.observed)
}

// wide says whether a field has its full width.
func (p *plan) wide() bool { return (p.timestamp|p.order|p.offset|p.lag|p.observed)&64 != 0 }

// write writes the record at a bit. The bits are gathered and stored eight bytes at a time: reading back what has just
// been written in smaller parts would make the processor wait.
func (r *record) write(w Window, at int, p *plan) {
	b := bitWriter{to: w[HeaderSize+at>>3:], used: uint(at & 7)}
	b.bits = uint64(b.to[0]) & (1<<b.used - 1)
	if p.wide() {
		b.add(p.control, controlBits)
		b.add(uint64(r.timestamp), p.timestamp)
		b.add(uint64(r.order), p.order)
		b.add(uint64(r.offset), p.offset)
		b.add(r.lag, p.lag)
		b.add(uint64(r.observed), p.observed)
	} else {
		// Two fields at a time, as readInto reads them.
		b.add(p.control|uint64(r.timestamp)<<controlBits, controlBits+p.timestamp)
		b.add(uint64(r.order)|uint64(r.offset)<<p.order, p.order+p.offset)
		b.add(r.lag|uint64(r.observed)<<p.lag, p.lag+p.observed)
	}
	// What follows the record may belong to somebody else.
	binary.LittleEndian.PutUint64(b.to, b.bits|binary.LittleEndian.Uint64(b.to)>>b.used<<b.used)
}

// bitWriter gathers bits, lowest first.
type bitWriter struct {
	to   []byte
	bits uint64
	used uint // how many of bits are taken, less than 64
}

// add adds the lowest width bits of v, which must have no others.
func (b *bitWriter) add(v uint64, width uint8) {
	b.bits |= v << (b.used & 63)
	b.used += uint(width)
	if b.used >= 64 {
		binary.LittleEndian.PutUint64(b.to, b.bits)
		b.to = b.to[8:]
		b.used -= 64
		b.bits = v >> (uint(width) - b.used)
	}
}

// readInto reads the record at a bit into a commit: what it adds to the commit before, and when it was observed, as in
// record. It returns how many bits the record takes. Where no field has its full width, three looks at memory are enough.
func readInto(c *protocol.StoredCommit, w Window, at int) int {
	word := get(w, at, 57)
	control := word & (1<<controlBits - 1)
	low := lowLengths[control&(1<<offsetShift-1)]
	high := highLengths[control>>offsetShift&(1<<(controlBits-offsetShift)-1)]
	if (low|high)&anyWide != 0 {
		var r record
		length := r.read(w, at)
		*c = protocol.StoredCommit{
			Offset: r.offset, Order: r.order, Timestamp: r.timestamp,
			ObservedTimestamp: r.observed, Lag: r.lag, LagKnown: r.lagKnown,
		}
		return length
	}
	timestampWidth := timestampWidths[control>>timestampShift&7]
	c.Timestamp = int64(word >> controlBits & (1<<timestampWidth - 1))
	word = get(w, at+controlBits+int(timestampWidth), 57)
	orderWidth, offsetWidth := orderWidths[control>>orderShift&7], offsetWidths[control>>offsetShift&7]
	c.Order = int64(word & (1<<orderWidth - 1))
	c.Offset = int64(word >> orderWidth & (1<<offsetWidth - 1))
	word = get(w, at+int(low)+int(offsetWidth), 57)
	lagIndex := control >> lagShift & 7
	lagWidth := lagWidths[lagIndex]
	c.Lag, c.LagKnown = word&(1<<lagWidth-1), lagIndex != 0
	c.ObservedTimestamp = int64(word >> lagWidth & (1<<observedWidths[control>>observedShift&3] - 1))
	return int(low + high)
}

// read reads the record at a bit and returns how many bits it takes.
func (r *record) read(w Window, at int) int {
	b := bitReader{from: w[HeaderSize:], at: at}
	control := b.take(controlBits)
	r.timestamp = int64(b.take(timestampWidths[control>>timestampShift&7]))
	r.order = int64(b.take(orderWidths[control>>orderShift&7]))
	r.offset = int64(b.take(offsetWidths[control>>offsetShift&7]))
	r.lag = b.take(lagWidths[control>>lagShift&7])
	r.lagKnown = control>>lagShift&7 != 0
	r.observed = int64(b.take(observedWidths[control>>observedShift&3]))
	return b.at - at
}

// bitReader reads bits, lowest first, from memory eight bytes at a time.
type bitReader struct {
	from []byte
	at   int // the next bit
	bits uint64
	left uint8 // how many of bits are yet to be taken
}

func (b *bitReader) take(width uint8) uint64 {
	if width > b.left {
		return b.refill(width)
	}
	v := b.bits & (1<<(width&63) - 1)
	b.bits >>= width & 63
	b.left -= width
	b.at += int(width)
	return v
}

// refill is take where the bits at hand are too few.
func (b *bitReader) refill(width uint8) uint64 {
	if width == 64 {
		b.left = 0
		low := b.refill(32)
		b.left = 0
		return low | b.refill(32)<<32
	}
	b.bits = binary.LittleEndian.Uint64(b.from[b.at>>3:]) >> (b.at & 7)
	b.left = 64 - uint8(b.at&7) // at least 57, and no other field is wider than 26
	return b.take(width)
}

// get reads width bits at a bit; width is at most 57.
func get(w Window, at, width int) uint64 {
	return binary.LittleEndian.Uint64(w[HeaderSize+at>>3:]) >> (at & 7) & (uint64(1)<<width - 1)
}
