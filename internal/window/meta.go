package window

import "encoding/binary"

// meta says where the records of a window are. It is packed into 64 bits, from the lowest:
//
//	head   11  the bit at which the oldest record begins
//	last    9  how many bits the newest record takes
//	count  10  how many records there are
//	end    19  the bit behind the newest record
//	size   15  the size of the window in units of 2 bytes
type meta struct {
	head, last, count, end, size int
}

const (
	lastShift  = 11
	countShift = 20
	endShift   = 30
	sizeShift  = 49

	headMask  = 1<<11 - 1
	lastMask  = 1<<9 - 1
	countMask = 1<<10 - 1
	endMask   = 1<<19 - 1

	// maxHead is the greatest head before the records are moved down.
	maxHead = headMask - maxRecordBits
)

func (w Window) metaWord() uint64 { return binary.LittleEndian.Uint64(w[24:]) }

func (w Window) meta() meta {
	v := w.metaWord()
	return meta{
		head:  int(v & headMask),
		last:  int(v >> lastShift & lastMask),
		count: int(v >> countShift & countMask),
		end:   int(v >> endShift & endMask),
		size:  int(v>>sizeShift) * Unit,
	}
}

func (w Window) setMeta(m meta) {
	binary.LittleEndian.PutUint64(w[24:], uint64(m.head)|uint64(m.last)<<lastShift|uint64(m.count)<<countShift|
		uint64(m.end)<<endShift|uint64(m.size)/Unit<<sizeShift)
}
