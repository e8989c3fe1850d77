package snapshot

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// Reader reads a snapshot that has been found sound from its first byte to its last. It keeps one block and one record in
// memory, which it uses again and again. A Reader is for one goroutine.
type Reader struct {
	src    io.ReaderAt
	size   int64
	minor  uint16
	header Header
	sum    Summary

	frames frames
	names  names
	topics topicDecoder
	groups groupDecoder
}

// NewReader checks and decodes the whole of a snapshot of the given size once, and keeps nothing but its header and its
// counts. It returns a *CorruptError for damage, a *VersionError for a version this package does not know, and whatever
// error r returned. Once NewReader has answered, only a file that changes or a disk that fails makes Topics or Groups
// return an error that is not the callback's.
func NewReader(r io.ReaderAt, size int64) (*Reader, error) {
	sr := &Reader{src: r, size: size}
	if err := sr.validate(); err != nil {
		return nil, err
	}
	return sr, nil
}

// Header returns what the snapshot says of itself.
func (r *Reader) Header() Header { return r.header }

// Summary returns what the snapshot holds.
func (r *Reader) Summary() Summary { return r.sum }

// Topics calls f with each topic in the order written, until f returns an error, which Topics returns. The topic and all
// it points to belong to the Reader when f returns; names may be kept.
func (r *Reader) Topics(f func(*Topic) error) error {
	return r.records(func(t blockType) bool { return t == blockTopics }, f, nil)
}

// Groups calls f with each group, as Topics does with each topic.
func (r *Reader) Groups(f func(*Group) error) error {
	return r.records(func(t blockType) bool { return t == blockGroups }, nil, f)
}

// CopyTo writes all topics and then all groups to the sink.
func (r *Reader) CopyTo(sink Sink) error {
	if err := r.Topics(sink.WriteTopic); err != nil {
		return err
	}
	return r.Groups(sink.WriteGroup)
}

// records decodes the blocks of the wanted type.
func (r *Reader) records(want func(blockType) bool, topic func(*Topic) error, group func(*Group) error) error {
	r.rewind()
	for r.frames.number < int(r.sum.Blocks) {
		fr, err := r.frames.next(want)
		if err != nil {
			return err
		}
		if !want(fr.kind) {
			continue
		}
		if fr.kind == blockTopics {
			err = r.topicBlock(&fr, topic)
		} else {
			err = r.groupBlock(&fr, group)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rewind goes back to the first block.
func (r *Reader) rewind() {
	r.frames = frames{src: r.src, size: r.size, at: preambleSize, payload: r.frames.payload}
	r.topics.open, r.groups.open = false, false
}

func (r *Reader) cursor(fr *frame) *cursor {
	return &cursor{payload: fr.payload, start: fr.start + blockHeadSize, block: fr.number, kind: fr.kind}
}

func (r *Reader) topicBlock(fr *frame, f func(*Topic) error) error {
	r.names.begin()
	r.topics.takenAt, r.topics.names = r.header.TakenAt, &r.names
	c := r.cursor(fr)
	if err := r.topics.block(c, f); err != nil {
		return err
	}
	if c.err != nil {
		return c.err
	}
	return nil
}

func (r *Reader) groupBlock(fr *frame, f func(*Group) error) error {
	r.names.begin()
	r.groups.takenAt, r.groups.names = r.header.TakenAt, &r.names
	c := r.cursor(fr)
	if err := r.groups.block(c, f); err != nil {
		return err
	}
	if c.err != nil {
		return c.err
	}
	return nil
}

// validate reads every block, decodes what it knows and holds it against the footer.
func (r *Reader) validate() error {
	preamble := make([]byte, min(max(r.size, 0), preambleSize))
	r.frames = frames{src: r.src, size: r.size}
	if err := r.frames.readAt(preamble, 0); err != nil {
		return err
	}
	var err error
	if r.minor, err = parsePreamble(preamble); err != nil {
		return err
	}
	r.rewind()
	var seen Summary
	for {
		before := r.frames.digest
		fr, err := r.frames.next(func(blockType) bool { return true })
		if err != nil {
			return err
		}
		if err := r.inPlace(&fr); err != nil {
			return err
		}
		switch fr.kind {
		case blockHeader:
			err = r.readHeader(&fr)
		case blockTopics:
			err = r.topicBlock(&fr, func(*Topic) error {
				seen.Topics++
				return nil
			})
		case blockGroups:
			err = r.groupBlock(&fr, func(g *Group) error {
				seen.AddGroup(g)
				return nil
			})
		case blockFooter:
			seen.Blocks = uint64(r.frames.number)
			return r.readFooter(&fr, seen, before)
		}
		if err != nil {
			return err
		}
	}
}

// inPlace refuses a block that may not stand where it stands.
func (r *Reader) inPlace(fr *frame) error {
	known := true
	switch fr.kind {
	case blockHeader, blockTopics, blockGroups, blockFooter:
	default:
		known = false
	}
	switch {
	case (fr.number == 0) != (fr.kind == blockHeader):
		return r.frames.corrupt(fr, fr.start, "the header is block 0 and no other")
	case !known && r.minor <= versionMinor:
		return r.frames.corrupt(fr, fr.start, "version %d.%d has no block of this type", versionMajor, r.minor)
	case r.topics.open && known && fr.kind != blockTopics:
		return r.frames.corrupt(fr, fr.start, "a topic breaks off in the block before and does not go on in this one")
	case r.groups.open && known && fr.kind != blockGroups:
		return r.frames.corrupt(fr, fr.start, "a group breaks off in the block before and does not go on in this one")
	}
	return nil
}

func (r *Reader) readHeader(fr *frame) error {
	c := r.cursor(fr)
	fixed := c.bytes(20, "the header")
	positions := r.readPositions(c)
	// What a later minor version has added stands behind.
	if c.err != nil {
		return c.err
	}
	r.header = Header{
		TakenAt:   int64(binary.LittleEndian.Uint64(fixed[0:])),
		Intervals: int(binary.LittleEndian.Uint32(fixed[8:])),
		Sequence:  binary.LittleEndian.Uint64(fixed[12:]),
		Positions: positions,
	}
	if err := r.header.Validate(); err != nil {
		return r.frames.corrupt(fr, c.start+8, "%v", err)
	}
	return nil
}

// leastBytesPerPosition is what a position takes: three numbers.
const leastBytesPerPosition = 3

func (r *Reader) readPositions(c *cursor) []Position {
	r.names.begin()
	var positions []Position
	for range c.count(leastBytesPerPosition, "positions") {
		p := Position{Cluster: r.names.next(c)}
		partition, offset := c.uvarint(), c.uvarint()
		if partition > math.MaxInt32 || offset > math.MaxInt64 {
			c.fail("partition %d of a commit log is at %d, out of range", partition, offset)
		}
		if c.err != nil {
			return nil
		}
		p.Partition, p.Offset = int32(partition), int64(offset)
		positions = append(positions, p)
	}
	return positions
}

// readFooter holds the footer against what was seen, and the end of the file against the footer.
func (r *Reader) readFooter(fr *frame, seen Summary, digest uint32) error {
	c := r.cursor(fr)
	fixed := c.bytes(footerSize, "the footer")
	if c.err != nil {
		return c.err
	}
	seen.Bytes = uint64(r.frames.at) + uint64(len(endMagic))
	for i, count := range [...]struct {
		what string
		seen uint64
	}{
		{"topics", seen.Topics}, {"groups", seen.Groups}, {"partitions of groups", seen.GroupPartitions},
		{"commits", seen.Commits}, {"blocks", seen.Blocks}, {"bytes", seen.Bytes},
	} {
		if said := binary.LittleEndian.Uint64(fixed[8*i:]); said != count.seen {
			return r.frames.corrupt(fr, c.start+int64(8*i), "the footer counts %d %s, the file has %d", said, count.what,
				count.seen)
		}
	}
	if said := binary.LittleEndian.Uint32(fixed[48:]); said != digest {
		return r.frames.corrupt(fr, c.start+48, "the footer's checksum of all blocks is %08x, the blocks give %08x", said,
			digest)
	}
	end := make([]byte, min(int64(len(endMagic)), r.size-r.frames.at))
	if err := r.frames.readAt(end, r.frames.at); err != nil {
		return err
	}
	at := &CorruptError{Offset: r.frames.at, Block: -1}
	switch {
	case string(end) != endMagic:
		at.Reason = fmt.Sprintf("it ends with %q, not with the end magic %q", end, endMagic)
		return at
	case uint64(r.size) != seen.Bytes:
		at.Offset += int64(len(endMagic))
		at.Reason = fmt.Sprintf("%d bytes follow the end", uint64(r.size)-seen.Bytes)
		return at
	}
	r.sum = seen
	return nil
}
