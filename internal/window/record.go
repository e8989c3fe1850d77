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

func difference(previous, c *protocol.StoredCommit) record {
	r := record{
		offset:    c.Offset - previous.Offset,
		order:     c.Order - previous.Order,
		timestamp: c.Timestamp - previous.Timestamp,
		observed:  seconds(c.ObservedTimestamp) - seconds(c.Timestamp),
		lagKnown:  c.LagKnown,
	}
	if c.LagKnown {
		r.lag = c.Lag
	}
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
	lagWidths      = [8]uint8{0, 0, 5, 8, 11, 14, 24, 64}
	observedWidths = [4]uint8{0, 1, 3, 64}
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

// widthIndex tells for each length of a number in bits which entry of its table holds it.
type widthIndex [65]uint8

func indexOf(widths []uint8) (index widthIndex) {
	for length := range index {
		i := 0
		for int(widths[i]) < length {
			i++
		}
		index[length] = uint8(i)
	}
	return index
}

var (
	timestampIndex = indexOf(timestampWidths[:])
	orderIndex     = indexOf(orderWidths[:])
	offsetIndex    = indexOf(offsetWidths[:])
	lagIndex       = indexOf(lagWidths[:])
	observedIndex  = indexOf(observedWidths[:])
)

// lengths holds for each control how many bits its record takes.
var lengths = func() (l [1 << controlBits]uint16) {
	for control := range l {
		c := uint64(control)
		l[control] = controlBits + uint16(timestampWidths[c>>timestampShift&7]) + uint16(orderWidths[c>>orderShift&7]) +
			uint16(offsetWidths[c>>offsetShift&7]) + uint16(lagWidths[c>>lagShift&7]) + uint16(observedWidths[c>>observedShift])
	}
	return l
}()

// control returns the control of a record and how many bits the whole record takes.
func (r *record) control() (control uint64, length int) {
	control = uint64(timestampIndex[bits.Len64(uint64(r.timestamp))])<<timestampShift |
		uint64(orderIndex[bits.Len64(uint64(r.order))])<<orderShift |
		uint64(offsetIndex[bits.Len64(uint64(r.offset))])<<offsetShift |
		uint64(observedIndex[bits.Len64(uint64(r.observed))])<<observedShift
	if r.lagKnown {
		control |= uint64(max(lagIndex[bits.Len64(r.lag)], 1)) << lagShift
	}
	return control, int(lengths[control])
}

func recordBits(w Window, at int) int { return int(lengths[get(w, at, controlBits)]) }

// write writes the record at a bit. The bits are gathered and stored eight bytes at a time: reading back what has just
// been written in smaller parts would make the processor wait.
func (r *record) write(w Window, at int, control uint64) {
	b := bitWriter{to: w[HeaderSize+at>>3:], used: at & 7}
	b.bits = uint64(b.to[0]) & (1<<b.used - 1)
	b.add(control, controlBits)
	b.add(uint64(r.timestamp), int(timestampWidths[control>>timestampShift&7]))
	b.add(uint64(r.order), int(orderWidths[control>>orderShift&7]))
	b.add(uint64(r.offset), int(offsetWidths[control>>offsetShift&7]))
	b.add(r.lag, int(lagWidths[control>>lagShift&7]))
	b.add(uint64(r.observed), int(observedWidths[control>>observedShift&3]))
	// What follows the record may belong to somebody else.
	binary.LittleEndian.PutUint64(b.to, b.bits|binary.LittleEndian.Uint64(b.to)>>b.used<<b.used)
}

// bitWriter gathers bits, lowest first.
type bitWriter struct {
	to   []byte
	bits uint64
	used int // how many of bits are taken, less than 64
}

// add adds the lowest width bits of v, which must have no others.
func (b *bitWriter) add(v uint64, width int) {
	b.bits |= v << b.used
	b.used += width
	if b.used >= 64 {
		binary.LittleEndian.PutUint64(b.to, b.bits)
		b.to = b.to[8:]
		b.used -= 64
		b.bits = v >> (width - b.used)
	}
}

// read reads the record at a bit and returns how many bits it takes.
func (r *record) read(w Window, at int) int {
	control := get(w, at, controlBits)
	from := at
	at += controlBits
	var v uint64
	v, at = getWide(w, at, int(timestampWidths[control>>timestampShift&7]))
	r.timestamp = int64(v)
	v, at = getWide(w, at, int(orderWidths[control>>orderShift&7]))
	r.order = int64(v)
	v, at = getWide(w, at, int(offsetWidths[control>>offsetShift&7]))
	r.offset = int64(v)
	r.lag, at = getWide(w, at, int(lagWidths[control>>lagShift&7]))
	r.lagKnown = control>>lagShift&7 != 0
	v, at = getWide(w, at, int(observedWidths[control>>observedShift]))
	r.observed = int64(v)
	return at - from
}

// get reads width bits at a bit; width is at most 57.
func get(w Window, at, width int) uint64 {
	return binary.LittleEndian.Uint64(w[HeaderSize+at>>3:]) >> (at & 7) & (uint64(1)<<width - 1)
}

// getWide is get for any width up to 64, and returns the bit behind.
func getWide(w Window, at, width int) (uint64, int) {
	if width == 64 {
		return get(w, at, 32) | get(w, at+32, 32)<<32, at + 64
	}
	return get(w, at, width), at + width
}
