package engine

import (
	"encoding/binary"
)

// reader reads numbers from bytes. If there are not enough bytes, it sets failed, which stays.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) fail() { r.rest, r.failed = nil, true }

func (r *reader) byte() (b byte) {
	if len(r.rest) == 0 {
		r.fail()
		return 0
	}
	b, r.rest = r.rest[0], r.rest[1:]
	return b
}

func (r *reader) flag() bool {
	b := r.byte()
	if b > 1 {
		r.fail()
	}
	return b == 1
}

func (r *reader) fixed() (v uint64) {
	if len(r.rest) < 8 {
		r.fail()
		return 0
	}
	v, r.rest = binary.LittleEndian.Uint64(r.rest), r.rest[8:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// number is uvarint for what is at most most.
func (r *reader) number(most int) int {
	v := r.uvarint()
	if v > uint64(most) {
		r.fail()
		return 0
	}
	return int(v)
}

func (r *reader) text() string {
	n := r.number(MaxName)
	if n > len(r.rest) {
		r.fail()
		return ""
	}
	text := string(r.rest[:n])
	r.rest = r.rest[n:]
	return text
}
