package snapshot

import (
	"encoding/binary"
	"slices"

	"github.com/lagkeeper/storage/protocol"
)

// windowChain is what the next window of a group is written relative to: partitions that one consumer commits are alike. It
// begins anew with each group.
type windowChain struct {
	// offset, order and timestamp are those of the oldest commit, the steps the least between two commits.
	offset, order, timestamp             int64
	offsetStep, orderStep, timestampStep int64
	// observed and lag are the least of the commits.
	observed, lag int64
	incarnation   uint32
}

// The codes of the columns in the two bytes before a window, three bits each.
const (
	offsetColumn = 3 * iota
	orderColumn
	timestampColumn
	observedColumn
	lagColumn
	columnMask = 7
)

// windowFlags returns the bits of the word before a partition that say how its window is written.
func windowFlags(commits []protocol.StoredCommit) (flags uint64) {
	for i := range commits {
		c := &commits[i]
		if !c.LagKnown {
			flags |= partitionUnknown
		}
		if (c.ObservedTimestamp-floorSecond(c.Timestamp))%1000 != 0 {
			flags |= partitionMillis
		}
	}
	return flags
}

// sinceSecond is when a commit was observed relative to the second in which it was made: in milliseconds, or in seconds.
func sinceSecond(c *protocol.StoredCommit, millis bool) int64 {
	since := c.ObservedTimestamp - floorSecond(c.Timestamp)
	if millis {
		return since
	}
	return since / 1000
}

// window writes commits, of which there is at least one.
func (w *BlockWriter) window(chain *windowChain, commits []protocol.StoredCommit, flags uint64) {
	first := &commits[0]
	n := len(commits)
	if cap(w.values) < n {
		w.values = make([]uint64, n+n/4)
	}
	head := len(w.block)
	w.block = append(w.block, 0, 0)
	w.varint(first.Offset - chain.offset)
	w.varint(first.Order - chain.order)
	w.varint(first.Timestamp - chain.timestamp)
	chain.offset, chain.order, chain.timestamp = first.Offset, first.Order, first.Timestamp

	// The least of each column stands before all columns, which follow in their order.
	steps := w.values[:n-1]
	codes := uint16(0)
	if n > 1 {
		offset, order, timestamp := commits[1].Offset-first.Offset, commits[1].Order-first.Order, commits[1].Timestamp-first.Timestamp
		for i := 2; i < n; i++ {
			before, c := &commits[i-1], &commits[i]
			offset, order = min(offset, c.Offset-before.Offset), min(order, c.Order-before.Order)
			timestamp = min(timestamp, c.Timestamp-before.Timestamp)
		}
		w.varint(offset - chain.offsetStep)
		w.varint(order - chain.orderStep)
		w.varint(timestamp - chain.timestampStep)
		chain.offsetStep, chain.orderStep, chain.timestampStep = offset, order, timestamp
	}
	millis := flags&partitionMillis != 0
	observed, lag, known := sinceSecond(first, millis), int64(0), false
	for i := range commits {
		c := &commits[i]
		observed = min(observed, sinceSecond(c, millis))
		if c.LagKnown {
			if !known {
				lag = int64(c.Lag)
			}
			lag, known = min(lag, int64(c.Lag)), true
		}
	}
	if !known {
		lag = chain.lag
	}
	w.varint(observed - chain.observed)
	w.varint(lag - chain.lag)
	chain.observed, chain.lag = observed, lag

	if n > 1 {
		any := uint64(0)
		for i := range steps {
			steps[i] = uint64(commits[i+1].Offset - commits[i].Offset - chain.offsetStep)
			any |= steps[i]
		}
		codes |= w.column(any, steps, 0) << offsetColumn
		any = 0
		for i := range steps {
			steps[i] = uint64(commits[i+1].Order - commits[i].Order - chain.orderStep)
			any |= steps[i]
		}
		codes |= w.column(any, steps, 0) << orderColumn
		any = 0
		for i := range steps {
			steps[i] = uint64(commits[i+1].Timestamp - commits[i].Timestamp - chain.timestampStep)
			any |= steps[i]
		}
		// At least a byte for each commit: what decoding takes stays in proportion to what was read.
		codes |= w.column(any, steps, columnByte) << timestampColumn
	}
	values, any := w.values[:n], uint64(0)
	for i := range values {
		values[i] = uint64(sinceSecond(&commits[i], millis) - observed)
		any |= values[i]
	}
	codes |= w.column(any, values, 0) << observedColumn
	any = 0
	for i := range values {
		values[i] = 0
		if commits[i].LagKnown {
			values[i] = uint64(int64(commits[i].Lag) - lag)
			any |= values[i]
		}
	}
	codes |= w.column(any, values, 0) << lagColumn
	if flags&partitionUnknown != 0 {
		for i := range values {
			values[i] = 0
			if commits[i].LagKnown {
				values[i] = 1
			}
		}
		w.append(columnBit, values)
	}
	binary.LittleEndian.PutUint16(w.block[head:], codes)
}

// column writes a column of numbers whose bits are set in any and returns its code, which is at least the given one.
func (w *BlockWriter) column(any uint64, values []uint64, least uint8) uint16 {
	code := max(widest(any), least)
	w.append(code, values)
	return uint16(code)
}

func (w *BlockWriter) append(code uint8, values []uint64) {
	size, at := columnSize(code, len(values)), len(w.block)
	w.block = slices.Grow(w.block, size)[:at+size]
	putColumn(w.block[at:], code, values)
}

// window reads n commits, at least one, onto the common array. If that moves, what was read before stays behind in the old one,
// sound.
func (d *groupDecoder) window(c *cursor, chain *windowChain, n int, flags uint64) []protocol.StoredCommit {
	head := c.bytes(2, "a window")
	if c.err != nil {
		return nil
	}
	codes := binary.LittleEndian.Uint16(head)
	chain.offset += c.varint()
	chain.order += c.varint()
	chain.timestamp += c.varint()
	if n > 1 {
		chain.offsetStep += c.varint()
		chain.orderStep += c.varint()
		chain.timestampStep += c.varint()
	}
	chain.observed += c.varint()
	chain.lag += c.varint()
	code := func(column int) uint8 { return uint8(codes >> column & columnMask) }
	if n > 1 && code(timestampColumn) < columnByte || codes>>15 != 0 {
		c.fail("the columns of a window are %#04x", codes)
	}
	if c.err != nil {
		return nil
	}
	if cap(d.values) < n {
		d.values = make([]uint64, n+n/4)
	}
	at := len(d.commits)
	d.commits = slices.Grow(d.commits, n)[:at+n]
	commits, values := d.commits[at:at+n:at+n], d.values[:n]
	steps := values[:n-1]

	commits[0] = protocol.StoredCommit{Offset: chain.offset, Order: chain.order, Timestamp: chain.timestamp}
	d.column(c, code(offsetColumn), steps)
	last := chain.offset
	for i, v := range steps {
		last += chain.offsetStep + int64(v)
		commits[i+1].Offset = last
	}
	d.column(c, code(orderColumn), steps)
	last = chain.order
	for i, v := range steps {
		last += chain.orderStep + int64(v)
		commits[i+1].Order = last
	}
	d.column(c, code(timestampColumn), steps)
	last = chain.timestamp
	for i, v := range steps {
		last += chain.timestampStep + int64(v)
		commits[i+1].Timestamp = last
	}
	unit := int64(1000)
	if flags&partitionMillis != 0 {
		unit = 1
	}
	d.column(c, code(observedColumn), values)
	for i, v := range values {
		commits[i].ObservedTimestamp = floorSecond(commits[i].Timestamp) + unit*(chain.observed+int64(v))
	}
	d.column(c, code(lagColumn), values)
	for i, v := range values {
		commits[i].Lag, commits[i].LagKnown = uint64(chain.lag+int64(v)), true
	}
	if flags&partitionUnknown != 0 {
		d.column(c, columnBit, values)
		for i, v := range values {
			if v == 0 {
				commits[i].Lag, commits[i].LagKnown = 0, false
			}
		}
	}
	return commits
}

func (d *groupDecoder) column(c *cursor, code uint8, values []uint64) {
	src := c.bytes(uint64(columnSize(code, len(values))), "a column")
	if c.err != nil {
		clear(values)
		return
	}
	getColumn(values, code, src)
}
