package window

import "encoding/binary"

// record is one commit relative to the commit before it.
type record struct {
	timestamp, order, offset int64
	lag                      uint64 // the lag, or by how much the end offset rose
	observed                 int64  // seconds from the timestamp, or from the observation before
	unknown                  uint64 // 1 if the lag is not known
}

// fits reports whether a record can be written in a form.
func (f *form) fits(r *record) bool {
	return f.timestamp.above(r.timestamp)>>f.timestamp.width|f.order.above(r.order)>>f.order.width|
		f.offset.above(r.offset)>>f.offset.width|f.lag.above(int64(r.lag))>>f.lag.width|
		uint64(r.observed)>>f.observedWidth|r.unknown>>f.unsure == 0
}

// above returns what a field holds for a value.
func (c *column) above(v int64) uint64 { return uint64(v) - uint64(c.base) }

// write writes the record at an index. It must fit.
func (f *form) write(w Window, index int, r *record) {
	at := f.start()*8 + index*f.recordBits()
	timestamp, order, offset := f.timestamp.above(r.timestamp), f.order.above(r.order), f.offset.above(r.offset)
	lag := f.lag.above(int64(r.lag))
	if f.narrow() {
		put(w, at, timestamp|order<<(f.timestamp.width&63), f.firstBits())
		lagAt := f.offset.width
		observedAt := lagAt + f.lag.width
		put(w, at+f.firstBits(), offset|lag<<(lagAt&63)|uint64(r.observed)<<(observedAt&63)|r.unknown<<((observedAt+f.observedWidth)&63), f.lastBits())
		return
	}
	b := bitWriter{w, at}
	b.add(timestamp, f.timestamp.width)
	b.add(order, f.order.width)
	b.add(offset, f.offset.width)
	b.add(lag, f.lag.width)
	b.add(uint64(r.observed), f.observedWidth)
	b.add(r.unknown, f.unsure)
}

// append writes a record behind those before it, as write does.
func (f *form) append(b *bitFiller, r *record) {
	timestamp, order, offset := f.timestamp.above(r.timestamp), f.order.above(r.order), f.offset.above(r.offset)
	lag := f.lag.above(int64(r.lag))
	if f.narrow() {
		b.add(timestamp|order<<(f.timestamp.width&63), f.timestamp.width+f.order.width)
		lagAt := f.offset.width
		observedAt := lagAt + f.lag.width
		unsureAt := observedAt + f.observedWidth
		b.add(offset|lag<<(lagAt&63)|uint64(r.observed)<<(observedAt&63)|r.unknown<<(unsureAt&63), unsureAt+f.unsure)
		return
	}
	b.add(timestamp, f.timestamp.width)
	b.add(order, f.order.width)
	b.add(offset, f.offset.width)
	b.add(lag, f.lag.width)
	b.add(uint64(r.observed), f.observedWidth)
	b.add(r.unknown, f.unsure)
}

// bitFiller is a bitWriter for many records. It gathers bits and reads nothing back that it has only just written, for which a
// processor waits.
type bitFiller struct {
	to   Window
	bits uint64
	n    uint8
}

func (b *bitFiller) add(v uint64, width uint8) {
	b.bits |= v << (b.n & 63)
	if b.n += width; b.n < 64 {
		return
	}
	binary.LittleEndian.PutUint64(b.to, b.bits)
	b.to = b.to[8:]
	b.n -= 64
	b.bits = v >> ((width - b.n) & 63)
	if b.n == 0 {
		b.bits = 0
	}
}

// end writes what was gathered last, and leaves what follows it as it was.
func (b *bitFiller) end() {
	for ; b.n >= 8; b.n -= 8 {
		b.to[0] = byte(b.bits)
		b.to, b.bits = b.to[1:], b.bits>>8
	}
	if b.n > 0 {
		mask := byte(1)<<b.n - 1
		b.to[0] = b.to[0]&^mask | byte(b.bits)
	}
}

// read reads the record at an index.
func (f *form) read(w Window, index int) (r record) {
	b := bitReader{w, f.start()*8 + index*f.recordBits()}
	r.timestamp = int64(b.take(f.timestamp.width)) + f.timestamp.base
	r.order = int64(b.take(f.order.width)) + f.order.base
	r.offset = int64(b.take(f.offset.width)) + f.offset.base
	r.lag = b.take(f.lag.width) + uint64(f.lag.base)
	r.observed = int64(b.take(f.observedWidth))
	r.unknown = b.take(f.unsure)
	return r
}

// get reads width bits at a bit; width is at most maxWidth.
func get(w Window, at, width int) uint64 {
	return binary.LittleEndian.Uint64(w[at>>3:]) >> (at & 7) & (uint64(1)<<width - 1)
}

// put writes width bits at a bit, which must be all that v has; width is at most maxWidth.
func put(w Window, at int, v uint64, width int) {
	to := w[at>>3:]
	mask := (uint64(1)<<(width&63) - 1) << (at & 7)
	binary.LittleEndian.PutUint64(to, binary.LittleEndian.Uint64(to)&^mask|v<<(at&7))
}

// bitWriter writes fields of any width, one behind the other.
type bitWriter struct {
	to Window
	at int
}

func (b *bitWriter) add(v uint64, width uint8) {
	if width > maxWidth {
		put(b.to, b.at, v&(1<<32-1), 32)
		put(b.to, b.at+32, v>>32, 32)
	} else {
		put(b.to, b.at, v, int(width))
	}
	b.at += int(width)
}

// bitReader reads them.
type bitReader struct {
	from Window
	at   int
}

func (b *bitReader) take(width uint8) (v uint64) {
	if width > maxWidth {
		v = get(b.from, b.at, 32) | get(b.from, b.at+32, 32)<<32
	} else {
		v = get(b.from, b.at, int(width))
	}
	b.at += int(width)
	return v
}
