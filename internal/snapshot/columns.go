package snapshot

import (
	"encoding/binary"
	"math/bits"
)

// A column holds one number of each of some commits, unsigned and all of the same width. Widths are whole bytes, so that a
// column is written and read at the speed of memory; a single bit is for numbers that differ by at most one.
//
// columnBytes is the width in bytes by its code. Code 1 is a bit.
var columnBytes = [8]uint8{0, 0, 1, 2, 3, 4, 6, 8}

const (
	columnBit  = 1
	columnByte = 2
)

// columnCodes is the code of the least width for a number by its bits.
var columnCodes = func() (codes [65]uint8) {
	for length := range codes {
		switch {
		case length == 0:
		case length == 1:
			codes[length] = columnBit
		default:
			code := uint8(columnByte)
			for int(columnBytes[code])*8 < length {
				code++
			}
			codes[length] = code
		}
	}
	return codes
}()

// columnSize returns the bytes of n numbers.
func columnSize(code uint8, n int) int {
	if code == columnBit {
		return (n + 7) / 8
	}
	return int(columnBytes[code]) * n
}

// widest returns the code for a column of numbers up to v.
func widest(v uint64) uint8 { return columnCodes[bits.Len64(v)] }

// putColumn writes by how much the numbers exceed the least to dst, which has columnSize bytes.
func putColumn(dst []byte, code uint8, values []int64, least int64) {
	switch columnBytes[code] {
	case 0:
		if code == columnBit {
			clear(dst)
			for i, v := range values {
				dst[i/8] |= byte(v-least) << (i % 8)
			}
		}
	case 1:
		dst = dst[:len(values)]
		for i, v := range values {
			dst[i] = byte(v - least)
		}
	case 2:
		for i, v := range values {
			binary.LittleEndian.PutUint16(dst[2*i:], uint16(v-least))
		}
	case 3:
		for i, v := range values {
			to, v := dst[3*i:3*i+3], v-least
			to[0], to[1], to[2] = byte(v), byte(v>>8), byte(v>>16)
		}
	case 4:
		for i, v := range values {
			binary.LittleEndian.PutUint32(dst[4*i:], uint32(v-least))
		}
	case 6:
		for i, v := range values {
			to, v := dst[6*i:6*i+6], v-least
			binary.LittleEndian.PutUint32(to, uint32(v))
			binary.LittleEndian.PutUint16(to[4:], uint16(v>>32))
		}
	default:
		for i, v := range values {
			binary.LittleEndian.PutUint64(dst[8*i:], uint64(v-least))
		}
	}
}

// getColumn reads what putColumn has written.
func getColumn(values []uint64, code uint8, src []byte) {
	switch columnBytes[code] {
	case 0:
		clear(values)
		if code == columnBit {
			for i := range values {
				values[i] = uint64(src[i/8] >> (i % 8) & 1)
			}
		}
	case 1:
		src = src[:len(values)]
		for i := range values {
			values[i] = uint64(src[i])
		}
	case 2:
		for i := range values {
			values[i] = uint64(binary.LittleEndian.Uint16(src[2*i:]))
		}
	case 3:
		for i := range values {
			from := src[3*i : 3*i+3]
			values[i] = uint64(from[0]) | uint64(from[1])<<8 | uint64(from[2])<<16
		}
	case 4:
		for i := range values {
			values[i] = uint64(binary.LittleEndian.Uint32(src[4*i:]))
		}
	case 6:
		for i := range values {
			from := src[6*i : 6*i+6]
			values[i] = uint64(binary.LittleEndian.Uint32(from)) | uint64(binary.LittleEndian.Uint16(from[4:]))<<32
		}
	default:
		for i := range values {
			values[i] = binary.LittleEndian.Uint64(src[8*i:])
		}
	}
}
