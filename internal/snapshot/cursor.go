package snapshot

import (
	"encoding/binary"
	"fmt"

	"github.com/lagkeeper/storage/internal/window"
)

// cursor reads the payload of one block. The first fault sticks; from then on the cursor is at the end of the payload and
// reads zeros, so that a loop that checks err ends.
type cursor struct {
	// payload has room for window.Padding bytes more.
	payload []byte
	at      int
	// start is the byte of the file at which the payload begins.
	start int64
	block int
	kind  blockType
	err   *CorruptError
}

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = &CorruptError{
			Offset: c.start + int64(c.at), Block: c.block, BlockType: c.kind.String(), Reason: fmt.Sprintf(format, args...),
		}
		c.at = len(c.payload)
	}
}

func (c *cursor) left() int { return len(c.payload) - c.at }

func (c *cursor) uvarint() uint64 {
	if c.at < len(c.payload) {
		if b := c.payload[c.at]; b < 0x80 {
			c.at++
			return uint64(b)
		}
	}
	u, n := binary.Uvarint(c.payload[c.at:])
	if n <= 0 {
		if n == 0 {
			c.fail("a number is cut off by the end of the block")
		} else {
			c.fail("a number has more than 64 bits")
		}
		return 0
	}
	c.at += n
	return u
}

func (c *cursor) varint() int64 { return unzigzag(c.uvarint()) }

// bytes returns the next n bytes of the block; nil if fewer are left.
func (c *cursor) bytes(n uint64, what string) []byte {
	if n > uint64(c.left()) {
		c.fail("%s claims %d bytes, %d are left in the block", what, n, c.left())
		return nil
	}
	b := c.payload[c.at : c.at+int(n) : c.at+int(n)]
	c.at += int(n)
	return b
}

// run returns the next n bytes of the block, and window.Padding bytes behind them, which may be any; nil if fewer than n are left.
func (c *cursor) run(n uint64) []byte {
	from := c.at
	if c.bytes(n, "a run of windows") == nil {
		return nil
	}
	end := c.at + window.Padding
	return c.payload[from:end:end]
}

// count reads the number of elements that follow, each of at least the given size, and refuses more than the block can hold.
func (c *cursor) count(least int, what string) int {
	n := c.uvarint()
	if n > uint64(c.left()/least) {
		c.fail("it claims %d %s, %d bytes are left in the block", n, what, c.left())
		return 0
	}
	return int(n)
}

// partitionCount reads the partition count of a topic.
func (c *cursor) partitionCount() int32 {
	u := c.uvarint()
	if u > MaxPartitions {
		c.fail("a partition count is %d, more than %d", u, MaxPartitions)
		return 0
	}
	return int32(u)
}

// nextPartition reads the number of the next partition, given the one before (-1 for none) and the topic's count. It
// returns false at the end of the partitions.
func (c *cursor) nextPartition(previous, count int32) (int32, bool) {
	step := c.uvarint()
	if step == tagEnd || c.err != nil {
		return 0, false
	}
	if step > uint64(count-1-previous) {
		c.fail("invalid partition %d+%d: must be below %d", previous, step, count)
		return 0, false
	}
	return previous + int32(step), true
}
