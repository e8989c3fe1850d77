package window

import (
	"encoding/binary"
	"math/bits"
)

// form says how the records of a window are encoded: all of them alike, so that reading them takes no decision. It is packed
// into the first 14 bytes of the window, from the lowest bit:
//
//	size             15  the size of the window in units of 2 bytes
//	count            10  how many records there are
//	head             10  the index of the oldest record
//	eight             1  whether the newest offset, order and timestamp take 8 bytes each, not 6
//	unsure            1  whether each record says if its lag is known; otherwise all are
//	lag anchor        2  0, 4 or 8 bytes: see below
//	observed anchor   2  0, 4 or 8 bytes
//	signs             4  whether the bases of timestamp, order, offset and lag are below 0
//	lag base          8
//	observed width    6
//	wide              2  see below
//	timestamp width   6  from here on in the second word, of 6 bytes
//	order width       6
//	offset width      6
//	lag width         6
//	timestamp base    8
//	order base        8
//	offset base       8
//
// A field holds what its value is above the base of its column. If there is a lag anchor, it is the lag of the newest commit,
// and the lag field holds by how much the end offset rose since the commit before: that stays small however large the lag is.
// If there is an observed anchor, it is the number of seconds after its timestamp that the newest commit was observed, and the field
// holds how many seconds lie between one observation and the next: none in a replay.
//
// A form that was chosen for a commit that did not fit is noted as widened, and as turned when all commits that it was chosen for
// have left the window: then it may be wider than what is left needs.
type form struct {
	size, count, head               int
	timestamp, order, offset, lag   column
	observedWidth, unsure           uint8
	lagAnchor, observedAnchor, full uint8 // in bytes; full is 6 or 8
	wide                            uint8 // 0, widened or turned
}

const (
	widened = 1
	turned  = 2
)

// column is how one field of all records is encoded: with so many bits, above a base.
type column struct {
	base  int64
	code  uint16 // the base in its stored form: 9 bits
	width uint8
}

const (
	countShift          = 15
	headShift           = 25
	eightShift          = 35
	unsureShift         = 36
	lagAnchorShift      = 37
	observedAnchorShift = 39
	signShift           = 41
	lagBaseShift        = 45
	observedShift       = 53
	turnShift           = 59
	unusedShift         = 61

	secondAt   = 8 // where the second word is
	baseShift  = 24
	secondMask = 1<<48 - 1
	widthMask  = 1<<6 - 1
	sizeMask   = 1<<15 - 1
	countMask  = 1<<10 - 1

	// maxWidth is the greatest width that one read of memory covers at any bit. A wider field takes all 64 bits, and widthMask
	// stands for that.
	maxWidth = 57
)

func (w Window) first() uint64  { return binary.LittleEndian.Uint64(w) }
func (w Window) second() uint64 { return binary.LittleEndian.Uint64(w[secondAt:]) & secondMask }

func (w Window) setFirst(first uint64) { binary.LittleEndian.PutUint64(w, first) }

// anchorBytes are the lengths of an anchor by its number.
var anchorBytes = [4]uint8{0, 4, 8, 8}

func widthOf(field uint64) uint8 {
	// 63 stands for 64; no width lies between maxWidth and that.
	field &= widthMask
	return uint8(field + (field+1)>>6)
}

func (w Window) form() (f form) {
	first, second := w.first(), w.second()
	f.size = int(first&sizeMask) * Unit
	f.count = int(first >> countShift & countMask)
	f.head = int(first >> headShift & countMask)
	f.full = 6 + uint8(first>>eightShift&1)*2
	f.unsure = uint8(first >> unsureShift & 1)
	f.lagAnchor = anchorBytes[first>>lagAnchorShift&3]
	f.observedAnchor = anchorBytes[first>>observedAnchorShift&3]
	f.observedWidth = widthOf(first >> observedShift)
	f.wide = uint8(first >> turnShift & 3)
	signs := uint16(first >> signShift)
	f.timestamp = columnFrom(second, second>>baseShift, signs)
	f.order = columnFrom(second>>6, second>>(baseShift+8), signs>>1)
	f.offset = columnFrom(second>>12, second>>(baseShift+16), signs>>2)
	f.lag = columnFrom(second>>18, first>>lagBaseShift, signs>>3)
	return f
}

func columnFrom(width, base uint64, sign uint16) column {
	code := uint16(base&0xff) | sign&1<<8
	return column{base: baseOf(code), code: code, width: widthOf(width)}
}

func (w Window) setForm(f *form) {
	first := uint64(f.size)/Unit | uint64(f.count)<<countShift | uint64(f.head)<<headShift |
		uint64(f.full-6)/2<<eightShift | uint64(f.unsure)<<unsureShift |
		uint64(f.lagAnchor)/4<<lagAnchorShift | uint64(f.observedAnchor)/4<<observedAnchorShift |
		uint64(f.timestamp.code>>8|f.order.code>>8<<1|f.offset.code>>8<<2|f.lag.code>>8<<3)<<signShift |
		uint64(f.lag.code&0xff)<<lagBaseShift | uint64(min(f.observedWidth, widthMask))<<observedShift |
		uint64(f.wide)<<turnShift
	second := uint64(min(f.timestamp.width, widthMask)) | uint64(min(f.order.width, widthMask))<<6 |
		uint64(min(f.offset.width, widthMask))<<12 | uint64(min(f.lag.width, widthMask))<<18 |
		uint64(f.timestamp.code&0xff)<<baseShift | uint64(f.order.code&0xff)<<(baseShift+8) | uint64(f.offset.code&0xff)<<(baseShift+16)
	w.setFirst(first)
	binary.LittleEndian.PutUint32(w[secondAt:], uint32(second))
	binary.LittleEndian.PutUint16(w[secondAt+4:], uint16(second>>32))
}

// index returns the index of the record of a commit, counted from the oldest.
func (f *form) index(commit int) int {
	if commit += f.head; commit < f.count {
		return commit
	}
	return commit - f.count
}

// start returns the byte at which the records begin.
func (f *form) start() int {
	return newestAt + 3*int(f.full) + int(f.lagAnchor) + int(f.observedAnchor)
}

// firstBits and lastBits return the bits of the two parts of a record: timestamp and order, and the rest.
func (f *form) firstBits() int { return int(f.timestamp.width) + int(f.order.width) }

func (f *form) lastBits() int {
	return int(f.offset.width) + int(f.lag.width) + int(f.observedWidth) + int(f.unsure)
}

// recordBits returns the bits of a record.
func (f *form) recordBits() int { return f.firstBits() + f.lastBits() }

// narrow reports whether each part of a record can be read with one read of memory, and all timestamps are far from
// overflowing.
func (f *form) narrow() bool {
	return f.firstBits() <= maxWidth && f.lastBits() <= maxWidth && f.full == 6 && f.timestamp.width <= 48
}

// needs returns the bytes of a window of n records.
func (f *form) needs(n int) int { return align(f.start() + (n*f.recordBits()+7)/8) }

// A base is stored as a floating number without a sign bit: so that the smallest are whole, what is stored is the base and 8,
// its three highest bits after the first, and the exponent. That is enough for the field to become as narrow as the differences
// of regular commits allow.
const (
	mantissa    = 3
	leading     = 1 << mantissa
	baseSign    = 1 << 8
	maxBaseCode = 1<<8 - 1
)

func baseOf(code uint16) int64 {
	value := int64(code&(leading-1)|leading)<<(code>>mantissa&31) - leading
	sign := -int64(code >> 8)
	return value ^ sign - sign
}

// baseBelow returns the greatest base at or below a value; ok is false if the value is below all bases.
func baseBelow(v int64) (code uint16, ok bool) {
	if v >= 0 {
		shift := bits.Len64(uint64(v)+leading) - mantissa - 1
		code := uint64(shift)<<mantissa | (uint64(v)+leading)>>shift&(leading-1)
		return uint16(min(code, maxBaseCode)), true
	}
	// For negative values that is the base with the least magnitude at or above theirs.
	code, _ = baseBelow(-(v + 1))
	for ; code <= maxBaseCode; code++ {
		if baseOf(code|baseSign) <= v {
			return code | baseSign, true
		}
	}
	return 0, false
}
