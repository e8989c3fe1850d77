package snapshot

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync/atomic"

	"github.com/lagkeeper/storage/internal/parallel"
)

// Reader reads a snapshot.
type Reader struct {
	src    io.ReaderAt
	size   int64
	header Header
	sum    Summary
	// footer is the byte at which the footer begins, digest the footer's checksum of all blocks before.
	footer int64
	digest uint32
	// first is the byte at which the blocks of records begin, firstDigest the digest of what precedes them.
	first       int64
	firstDigest uint32

	groups atomic.Uint64
}

// NewReader checks the two ends of a snapshot of the given size: its version, header and footer. It returns a *VersionError
// for an unknown version, a *ReadError if r fails and a *CorruptError for damage.
func NewReader(r io.ReaderAt, size int64) (*Reader, error) {
	sr := &Reader{src: r, size: size}
	preamble := make([]byte, min(max(size, 0), preambleSize))
	if err := readAt(r, preamble, 0); err != nil {
		return nil, err
	}
	if err := parsePreamble(preamble); err != nil {
		return nil, err
	}
	if err := sr.readFooter(); err != nil {
		return nil, err
	}
	if err := sr.readHeader(); err != nil {
		return nil, err
	}
	return sr, nil
}

// Header returns the header of the snapshot.
func (r *Reader) Header() Header { return r.header }

// Summary returns the counts in the footer, which Read checks.
func (r *Reader) Summary() Summary { return r.sum }

// Groups returns the number of groups that Read has passed on so far. It may be called at any time.
func (r *Reader) Groups() uint64 { return r.groups.Load() }

// Read checks and decodes the whole snapshot, once, and passes each record to one of the sinks, each of which is used by a
// goroutine of its own. All topics that precede a group in the file have been taken when a sink gets the group.
//
// If Read returns an error, what the sinks took must be dropped: a *CorruptError or *ReadError, the error of a sink, or the
// cause for which the context was cancelled.
func (r *Reader) Read(ctx context.Context, sinks ...Sink) error {
	s := &scan{reader: r, at: r.first, number: 1, digest: r.firstDigest}
	workers := make([]worker, len(sinks))
	for i := range workers {
		workers[i] = worker{scan: s, sink: sinks[i]}
		workers[i].topics.takenAt, workers[i].groups.takenAt = r.header.TakenAt, r.header.TakenAt
	}
	defer context.AfterFunc(ctx, func() { s.stop(context.Cause(ctx)) })()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		more, err := s.begin()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		if err := parallel.Do(len(workers), func(i int) error { return workers[i].run() }); err != nil {
			return s.failure()
		}
	}
	var seen Summary
	for i := range workers {
		seen.add(&workers[i].seen)
	}
	return r.compare(s, &seen)
}

// compare compares the counts with the footer.
func (r *Reader) compare(s *scan, seen *Summary) error {
	corrupt := func(offset int, format string, args ...any) error {
		return &CorruptError{
			Offset: r.footer + int64(offset), Block: s.number, BlockType: blockFooter.String(), Reason: fmt.Sprintf(format, args...),
		}
	}
	seen.Blocks = uint64(s.number) + 1
	for i, count := range [...]struct {
		what       string
		said, seen uint64
	}{
		{"topics", r.sum.Topics, seen.Topics}, {"groups", r.sum.Groups, seen.Groups},
		{"partitions of groups", r.sum.GroupPartitions, seen.GroupPartitions}, {"commits", r.sum.Commits, seen.Commits},
		{"blocks", r.sum.Blocks, seen.Blocks},
	} {
		if count.said != count.seen {
			return corrupt(blockHeadSize+8*i, "the footer counts %d %s, the file has %d", count.said, count.what, count.seen)
		}
	}
	if r.digest != s.digest {
		return corrupt(blockHeadSize+48, "the footer's checksum of all blocks is %08x, the blocks give %08x", r.digest, s.digest)
	}
	return nil
}

func (r *Reader) readFooter() error {
	r.footer = max(r.size-int64(tailSize), preambleSize)
	tail := make([]byte, r.size-r.footer)
	if err := readAt(r.src, tail, r.footer); err != nil {
		return err
	}
	corrupt := func(offset int, format string, args ...any) error {
		return &CorruptError{Offset: r.footer + int64(offset), Block: -1, Reason: fmt.Sprintf(format, args...)}
	}
	if len(tail) < tailSize || string(tail[tailSize-len(endMagic):]) != endMagic {
		return corrupt(len(tail), "the file does not end with the end magic %q: it ends without its footer, or bytes follow it", endMagic)
	}
	head, payload := tail[:blockHeadSize], tail[blockHeadSize:blockHeadSize+footerSize]
	if binary.LittleEndian.Uint32(head) != uint32(blockFooter) || binary.LittleEndian.Uint64(head[8:]) != footerSize {
		return corrupt(0, "it has no footer before the end magic")
	}
	if stored, computed := binary.LittleEndian.Uint32(head[4:]), blockChecksum(head, payload); stored != computed {
		return corrupt(4, "the footer's checksum is %08x, its bytes give %08x", stored, computed)
	}
	for i, to := range [...]*uint64{
		&r.sum.Topics, &r.sum.Groups, &r.sum.GroupPartitions, &r.sum.Commits, &r.sum.Blocks, &r.sum.Bytes,
	} {
		*to = binary.LittleEndian.Uint64(payload[8*i:])
	}
	r.digest = binary.LittleEndian.Uint32(payload[48:])
	if r.sum.Bytes != uint64(r.size) {
		return corrupt(blockHeadSize+40, "the footer counts %d bytes, the file has %d", r.sum.Bytes, r.size)
	}
	return nil
}

func (r *Reader) readHeader() error {
	s := &scan{reader: r, at: preambleSize}
	fr, err := s.head()
	if err != nil {
		return err
	}
	if fr.kind != blockHeader {
		return fr.corrupt(0, "the header is the first block and no other")
	}
	var payload []byte
	if payload, err = fr.read(r.src, nil); err != nil {
		return err
	}
	c := fr.cursor(payload)
	fixed := c.bytes(20, "the header")
	positions := readPositions(c)
	if c.err == nil && c.left() > 0 {
		c.fail("%d bytes follow the header", c.left())
	}
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
		return fr.corrupt(blockHeadSize+8, "%v", err)
	}
	s.pass(&fr)
	r.first, r.firstDigest = s.at, s.digest
	return nil
}

// leastBytesPerPosition is the least size of a position: three numbers.
const leastBytesPerPosition = 3

func readPositions(c *cursor) []Position {
	var names names
	names.begin()
	var positions []Position
	for range c.count(leastBytesPerPosition, "positions") {
		p := Position{Cluster: names.next(c)}
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

// readAt fills b. A file that has become shorter is corrupt; any other failure is a ReadError.
func readAt(src io.ReaderAt, b []byte, at int64) error {
	n, err := src.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &CorruptError{Offset: at + int64(n), Block: -1, Reason: "the file ends here, it was longer before"}
	}
	return &ReadError{Offset: at + int64(n), Err: err}
}
