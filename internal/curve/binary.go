package curve

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMalformed is returned if bytes are not a curve that AppendBinary wrote.
var ErrMalformed = errors.New("malformed curve")

// formatVersion is the first byte of the binary form; seededVersion is that of a curve with times from Seed.
const (
	formatVersion = 3
	seededVersion = 4
)

// AppendBinary appends the binary form of the curve to dst:
//
//	version   1 byte: 4 if some times are from Seed, 3 otherwise
//	segments  uvarint, 0 to MaxSegments; 0 ends the form
//	doubtful  uvarint, less than segments: how many of the oldest were seen before the clock went back
//	seeded    uvarint, less than segments: how many of the oldest have their times from points; in version 4 only,
//	origin    1 byte, where the points came from, 1 to 3, and 128 if the first time of the next segment is from one too; and
//	margin    uvarint, by how many ms the points may be wrong, less than 2³²
//	offset    uvarint, the end offset of the oldest segment
//	first     varint, when the oldest segment was first seen, Unix ms
//	span      uvarint, how long the newest segment has been seen, ms
//	length    uvarint, the bytes of the steps
//	steps     segments − 1 steps as they are in memory if they are encoded against nothing (see step)
//
// There is exactly one form for a curve. It has no checksum: the record that contains it has one.
func (c *Curve) AppendBinary(dst []byte) []byte {
	version := byte(formatVersion)
	if c.origin != 0 {
		version = seededVersion
	}
	dst = append(dst, version)
	dst = binary.AppendUvarint(dst, uint64(c.n))
	if c.n == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(c.doubtful))
	if version == seededVersion {
		dst = binary.AppendUvarint(dst, uint64(c.seeded))
		dst = append(dst, byte(c.origin))
		dst = binary.AppendUvarint(dst, uint64(c.margin))
	}
	oldest := c.oldest()
	dst = binary.AppendUvarint(dst, uint64(oldest.Offset))
	dst = binary.AppendVarint(dst, oldest.First)
	dst = binary.AppendUvarint(dst, since(c.newest.First, c.newest.Last))
	var room [512]byte
	steps := c.stepsAgainst(0, room[:0])
	dst = binary.AppendUvarint(dst, uint64(len(steps)))
	return append(dst, steps...)
}

// Decode returns the curve that data starts with, and the rest of data. The curve does not keep data. Whatever data is, Decode
// allocates no more than data is long, and every curve it returns holds what Observe guarantees; for anything else it returns
// ErrMalformed.
func Decode(data []byte) (c Curve, rest []byte, err error) {
	if len(data) == 0 || data[0] != formatVersion && data[0] != seededVersion {
		return Curve{}, nil, fmt.Errorf("%w: no version %d or %d", ErrMalformed, formatVersion, seededVersion)
	}
	d := decoder{rest: data[1:]}
	n := d.uvarint(MaxSegments)
	if n == 0 {
		if d.failed || data[0] != formatVersion {
			return Curve{}, nil, fmt.Errorf("%w: segments", ErrMalformed)
		}
		return Curve{}, d.rest, nil
	}
	c.n = uint8(n)
	c.doubtful = uint8(d.uvarint(n - 1))
	if data[0] == seededVersion {
		c.seeded = uint8(d.uvarint(n - 1))
		c.origin = origin(d.byte())
		c.margin = uint32(d.uvarint(1<<32 - 1))
		d.failed = d.failed || !c.origin.valid() || c.seeded == 0 && !c.origin.joined()
	}
	offset := int64(d.uvarint(maxOffset))
	first := d.varint()
	span := d.uvarint(maxUint64)
	length := d.uvarint(uint64(len(d.rest)))
	if d.failed || length > uint64(len(d.rest)) {
		return Curve{}, nil, fmt.Errorf("%w: header", ErrMalformed)
	}
	steps, rest := d.rest[:length], d.rest[length:]
	c.steps = append([]byte(nil), steps...)
	if c.newest, err = check(steps, offset, first, span, int(n)-1); err != nil {
		return Curve{}, nil, err
	}
	return c, rest, nil
}

const (
	maxOffset = 1<<63 - 1
	maxUint64 = 1<<64 - 1
)

// check walks count steps back. It returns the newest segment, to which the steps lead from the oldest, or the first fault that it
// meets.
func check(steps []byte, offset, first int64, span uint64, count int) (Segment, error) {
	offsetsLeft, timeLeft := since(offset, maxOffset), since(first, 1<<63-1)
	if span > timeLeft {
		return Segment{}, fmt.Errorf("%w: newest segment", ErrMalformed)
	}
	newest := Segment{Offset: offset, First: first}
	timeLeft -= span
	for i := count; i > 0; i-- {
		st, rest, ok := checkStep(steps)
		switch {
		case !ok:
			return Segment{}, fmt.Errorf("%w: step %d is cut short or not in its shortest form", ErrMalformed, i)
		case st.offsets == 0 || st.offsets > offsetsLeft:
			return Segment{}, fmt.Errorf("%w: offset of step %d", ErrMalformed, i)
		case st.span > timeLeft || st.gap > timeLeft-st.span || st.tighter > st.gap:
			return Segment{}, fmt.Errorf("%w: time of step %d", ErrMalformed, i)
		}
		offsetsLeft -= st.offsets
		timeLeft -= st.span + st.gap
		newest.Offset = later(newest.Offset, st.offsets)
		newest.First = later(later(newest.First, st.span), st.gap)
		steps = rest
	}
	if len(steps) > 0 {
		return Segment{}, fmt.Errorf("%w: %d bytes too many", ErrMalformed, len(steps))
	}
	newest.Last = later(newest.First, span)
	return newest, nil
}

// checkStep returns the step at the end of b and the bytes before it, and false if there is no step in its shortest form.
func checkStep(b []byte) (s step, rest []byte, ok bool) {
	if !whole(b) {
		return step{}, nil, false
	}
	s, start := lastStep(b, len(b), 0)
	var form [maxStep + 8]byte
	if n := s.put(&form, 0); !bytes.Equal(form[:n], b[start:]) {
		return step{}, nil, false
	}
	return s, b[:start], true
}

// decoder reads the numbers of the header and records whether one of them was invalid.
type decoder struct {
	rest   []byte
	failed bool
}

// uvarint returns the next number, or 0 if it is above limit or not in its shortest form.
func (d *decoder) uvarint(limit uint64) uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || v > limit || n > 1 && d.rest[n-1] == 0 {
		d.failed, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// byte returns the next byte, or 0 if there is none.
func (d *decoder) byte() byte {
	if len(d.rest) == 0 {
		d.failed = true
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

// varint returns the next signed number, as binary.AppendVarint writes it.
func (d *decoder) varint() int64 {
	u := d.uvarint(maxUint64)
	v := int64(u >> 1)
	if u&1 != 0 {
		v = ^v
	}
	return v
}
