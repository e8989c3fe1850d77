package snapshot

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/lagkeeper/storage/protocol"
)

// windowChain is what the next window of a group is written relative to: partitions of one consumer are alike. It begins anew
// with each group.
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

// columns are the numbers of a window: for each column those of all commits, and their bounds.
type columns struct {
	offset, order, timestamp, observed, lag column
	// flags are the bits of the word before the partition that describe the window.
	flags uint64
	known []uint64
}

type column struct {
	values          []int64
	least, greatest int64
}

func (c *column) reset(n int) {
	if cap(c.values) < n {
		c.values = make([]int64, n+n/4)
	}
	c.values, c.least, c.greatest = c.values[:n], math.MaxInt64, math.MinInt64
}

func (c *column) set(i int, v int64) {
	c.values[i] = v
	c.least, c.greatest = min(c.least, v), max(c.greatest, v)
}

// take takes the numbers of commits, of which there must be at least one.
func (k *columns) take(commits []protocol.StoredCommit) {
	n := len(commits)
	k.offset.reset(n - 1)
	k.order.reset(n - 1)
	k.timestamp.reset(n - 1)
	k.observed.reset(n)
	k.lag.reset(n)
	k.flags = 0
	for i := range commits {
		c := &commits[i]
		if i > 0 {
			before := &commits[i-1]
			k.offset.set(i-1, c.Offset-before.Offset)
			k.order.set(i-1, c.Order-before.Order)
			k.timestamp.set(i-1, c.Timestamp-before.Timestamp)
		}
		since := c.ObservedTimestamp - floorSecond(c.Timestamp)
		seconds := since / 1000
		if seconds*1000 != since {
			k.flags |= partitionMillis
		}
		k.observed.set(i, seconds)
		if c.LagKnown {
			k.lag.set(i, int64(c.Lag))
		} else {
			k.flags |= partitionUnknown
		}
	}
	if k.flags&partitionMillis != 0 {
		k.observed.reset(n)
		for i := range commits {
			k.observed.set(i, commits[i].ObservedTimestamp-floorSecond(commits[i].Timestamp))
		}
	}
	if k.flags&partitionUnknown != 0 {
		k.takeUnknown(commits)
	}
}

// takeUnknown gives commits with an unknown lag the least lag of the others.
func (k *columns) takeUnknown(commits []protocol.StoredCommit) {
	if k.lag.least > k.lag.greatest {
		k.lag.least, k.lag.greatest = 0, 0
	}
	k.known = k.known[:0]
	for i := range commits {
		if commits[i].LagKnown {
			k.known = append(k.known, 1)
			continue
		}
		k.known = append(k.known, 0)
		k.lag.values[i] = k.lag.least
	}
}

// window writes the commits that columns has taken. first is the oldest of them.
func (w *BlockWriter) window(chain *windowChain, first *protocol.StoredCommit) {
	k := &w.columns
	head := len(w.block)
	w.block = append(w.block, 0, 0)
	w.relative(&chain.offset, first.Offset)
	w.relative(&chain.order, first.Order)
	w.relative(&chain.timestamp, first.Timestamp)
	// The least of each column comes before all columns, which follow in their order.
	steps := len(k.offset.values) > 0
	if steps {
		w.relative(&chain.offsetStep, k.offset.least)
		w.relative(&chain.orderStep, k.order.least)
		w.relative(&chain.timestampStep, k.timestamp.least)
	}
	w.relative(&chain.observed, k.observed.least)
	w.relative(&chain.lag, k.lag.least)
	codes := uint16(0)
	if steps {
		codes |= w.column(&k.offset, 0) << offsetColumn
		codes |= w.column(&k.order, 0) << orderColumn
		// At least a byte for each commit, so that the memory of decoding stays in proportion to the bytes read.
		codes |= w.column(&k.timestamp, columnByte) << timestampColumn
	}
	codes |= w.column(&k.observed, 0) << observedColumn
	codes |= w.column(&k.lag, 0) << lagColumn
	if k.flags&partitionUnknown != 0 {
		at := len(w.block)
		w.block = append(w.block, make([]byte, columnSize(columnBit, len(k.known)))...)
		for i, v := range k.known {
			w.block[at+i/8] |= byte(v) << (i % 8)
		}
	}
	binary.LittleEndian.PutUint16(w.block[head:], codes)
}

// relative writes a number relative to the previous one of a chain, and replaces that.
func (w *BlockWriter) relative(before *int64, v int64) {
	w.varint(v - *before)
	*before = v
}

// column writes a column and returns its code, which is at least the given one.
func (w *BlockWriter) column(c *column, least uint8) uint16 {
	code := max(widest(uint64(c.greatest-c.least)), least)
	size, at := columnSize(code, len(c.values)), len(w.block)
	w.block = slices.Grow(w.block, size)[:at+size]
	putColumn(w.block[at:], code, c.values, c.least)
	return uint16(code)
}

// window reads n commits, at least one, into the common array. If that moves, what was read before stays in the old one,
// intact.
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
