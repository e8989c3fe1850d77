// Package wire reads numbers and texts from bytes that may be malformed.
package wire

import "encoding/binary"

// Reader reads values one behind the other. If there are not enough bytes, or a value is out of range, it sets Failed, which stays;
// from then on there is nothing left and every value is zero.
type Reader struct {
	Rest   []byte
	Failed bool
}

// Fail makes what follows fail too.
func (r *Reader) Fail() { r.Rest, r.Failed = nil, true }

// Take returns n bytes of what was given; zeros if there are fewer.
func (r *Reader) Take(n int) (taken []byte) {
	if len(r.Rest) < n {
		r.Fail()
		return make([]byte, n)
	}
	taken, r.Rest = r.Rest[:n], r.Rest[n:]
	return taken
}

// Byte reads one byte.
func (r *Reader) Byte() byte {
	if len(r.Rest) == 0 {
		r.Fail()
		return 0
	}
	b := r.Rest[0]
	r.Rest = r.Rest[1:]
	return b
}

// Flag reads a byte that is 0 or 1.
func (r *Reader) Flag() bool {
	b := r.Byte()
	if b > 1 {
		r.Fail()
	}
	return b == 1
}

// Fixed reads a number of 8 bytes, the least significant first.
func (r *Reader) Fixed() uint64 {
	if len(r.Rest) < 8 {
		r.Fail()
		return 0
	}
	v := binary.LittleEndian.Uint64(r.Rest)
	r.Rest = r.Rest[8:]
	return v
}

// Uvarint reads a number as binary.AppendUvarint writes it.
func (r *Reader) Uvarint() uint64 {
	v, n := binary.Uvarint(r.Rest)
	if n <= 0 {
		r.Fail()
		return 0
	}
	r.Rest = r.Rest[n:]
	return v
}

// Varint reads a number as binary.AppendVarint writes it.
func (r *Reader) Varint() int64 {
	u := r.Uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// Number is Uvarint for what is at most most.
func (r *Reader) Number(most uint64) uint64 {
	v := r.Uvarint()
	if v > most {
		r.Fail()
		return 0
	}
	return v
}

// Text reads a text of at most so many bytes, with its length as a Uvarint before it.
func (r *Reader) Text(most int) string {
	n := r.Number(uint64(most))
	if n > uint64(len(r.Rest)) {
		r.Fail()
		return ""
	}
	return string(r.Take(int(n)))
}
