package ends

import (
	"encoding/binary"
	"slices"
)

// older holds the end offsets before the newest of the partitions of a page, as differences from each to the next, which take
// two bytes where an end offset takes eight. All differences have the same width, so each is found without reading those
// before it, and all are copied as they lie.
//
// Weighed against it: a width for each partition, which takes a byte or two of its own, and moves the differences behind it;
// keeping the offsets in the curve, which does not have all of them.
type older struct {
	// bytes holds stride differences of width bytes for each partition, in a ring: least significant byte first, in
	// two's complement.
	bytes         []byte
	stride, width int
}

// widthOf returns how many bytes a difference takes: 1, 2, 3, 4 or 8.
func widthOf(difference int64) int {
	switch {
	case difference == int64(int8(difference)):
		return 1
	case difference == int64(int16(difference)):
		return 2
	case difference == int64(int32(difference)<<8>>8):
		return 3
	case difference == int64(int32(difference)):
		return 4
	}
	return 8
}

// get returns difference i of a ring.
func (o *older) get(ring []byte, i int) int64 {
	b := ring[i*o.width:]
	switch o.width {
	case 1:
		return int64(int8(b[0]))
	case 2:
		return int64(int16(binary.LittleEndian.Uint16(b)))
	case 3:
		return int64(binary.LittleEndian.Uint16(b)) | int64(int8(b[2]))<<16
	case 4:
		return int64(int32(binary.LittleEndian.Uint32(b)))
	}
	return int64(binary.LittleEndian.Uint64(b))
}

func (o *older) set(ring []byte, i int, difference int64) {
	for j := range o.width {
		ring[i*o.width+j] = byte(difference >> (8 * j))
	}
}

func (o *older) ring(at int) []byte {
	size := o.stride * o.width
	return o.bytes[at*size : (at+1)*size]
}

// push adds a difference to the ring of a partition, before the end offset that it leads to is counted. If the ring is full,
// it overwrites the oldest.
func (o *older) push(at int, r *ring, difference int64) {
	ring := o.ring(at)
	if differences := r.count - 1; differences < o.stride {
		o.set(ring, (r.oldest+differences)%o.stride, difference)
		return
	}
	o.set(ring, r.oldest, difference)
	if r.oldest++; r.oldest == o.stride {
		r.oldest = 0
	}
}

// appendTo appends the end offsets of a partition to dst, oldest first.
func (o *older) appendTo(dst []int64, at int, r ring, newest int64) []int64 {
	if r.count == 0 {
		return dst
	}
	from := len(dst)
	dst = slices.Grow(dst, r.count)[:from+r.count]
	offsets := dst[from:]
	offsets[r.count-1] = newest
	if r.count == 1 {
		return dst
	}
	ring := o.ring(at)
	i := r.oldest + r.count - 2
	if i >= o.stride {
		i -= o.stride
	}
	for k := r.count - 2; k >= 0; k-- {
		newest -= o.get(ring, i)
		offsets[k] = newest
		if i--; i < 0 {
			i = o.stride - 1
		}
	}
	return dst
}

// resized returns a copy for length partitions, in which the present first partition has the number at.
func (o *older) resized(length, at int) older {
	size := o.stride * o.width
	to := older{bytes: make([]byte, length*size), stride: o.stride, width: o.width}
	copy(to.bytes[at*size:], o.bytes)
	return to
}

// reshaped returns a copy with room for more or wider differences, and stores where each ring begins.
func (o *older) reshaped(partitions []partition, stride, width int) older {
	to := older{bytes: make([]byte, len(partitions)*stride*width), stride: stride, width: width}
	for at := range partitions {
		r := partitions[at].load()
		if r.count < 2 {
			continue
		}
		from, ring := o.ring(at), to.ring(at)
		for i := range r.count - 1 {
			to.set(ring, i, o.get(from, (r.oldest+i)%o.stride))
		}
		r.oldest = 0
		partitions[at].store(r)
	}
	return to
}
