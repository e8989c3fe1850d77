package snapshot

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// Writer writes a snapshot. The first error sticks: every later call returns it, and what was written is not a snapshot.
// It writes one block at a time, of about 256 KiB, so the io.Writer needs no buffer. Topics and groups may come in any
// order; topics first is what makes a snapshot easiest to load. A Writer is for one goroutine.
type Writer struct {
	w       io.Writer
	takenAt int64

	// block is the head and the payload of the block being built; empty between blocks.
	block []byte
	kind  blockType
	// strings gives the number of each string that the block holds already. The keys are the caller's strings, let go of
	// with the block.
	strings map[string]uint64
	// digest is the checksum of the checksums of the blocks written.
	digest uint32
	sum    Summary

	// partitions and commits count those of the group being written; they count once it is whole.
	partitions, commits uint64

	err    error
	closed bool
}

// NewWriter begins a snapshot. An error in writing its beginning is returned by the next call.
func NewWriter(w io.Writer, header Header) *Writer {
	sw := &Writer{
		w:       w,
		takenAt: header.TakenAt,
		block:   make([]byte, 0, blockTarget+blockTarget/4),
		strings: make(map[string]uint64),
	}
	if err := header.Validate(); err != nil {
		sw.err = fmt.Errorf("write snapshot: %w", err)
		return sw
	}
	sw.write(appendPreamble(nil, versionMajor, versionMinor))
	sw.begin(blockHeader)
	sw.block = binary.LittleEndian.AppendUint64(sw.block, uint64(header.TakenAt))
	sw.block = binary.LittleEndian.AppendUint32(sw.block, uint32(header.Intervals))
	sw.block = binary.LittleEndian.AppendUint64(sw.block, header.Sequence)
	sw.positions(header.Positions)
	sw.flush()
	return sw
}

func (w *Writer) positions(positions []Position) {
	w.uvarint(uint64(len(positions)))
	for i := range positions {
		w.name(positions[i].Cluster)
		w.uvarint(uint64(positions[i].Partition))
		w.uvarint(uint64(positions[i].Offset))
	}
}

// Close writes what is left and the footer, and returns what the snapshot holds. It does not close the io.Writer. Called
// again, it returns ErrClosed.
func (w *Writer) Close() (Summary, error) {
	if w.closed {
		return Summary{}, ErrClosed
	}
	w.closed = true
	w.flush()
	if w.err != nil {
		return Summary{}, w.err
	}
	w.begin(blockFooter)
	w.sum.Blocks++ // the footer counts itself
	for _, n := range [...]uint64{w.sum.Topics, w.sum.Groups, w.sum.GroupPartitions, w.sum.Commits, w.sum.Blocks,
		w.sum.Bytes + blockHeadSize + footerSize + uint64(len(endMagic))} {
		w.block = binary.LittleEndian.AppendUint64(w.block, n)
	}
	w.block = binary.LittleEndian.AppendUint32(w.block, w.digest)
	w.sum.Blocks--
	w.flush()
	w.write([]byte(endMagic))
	if w.err != nil {
		return Summary{}, w.err
	}
	return w.sum, nil
}

// ready reports whether a record may be written.
func (w *Writer) ready() error {
	if w.closed && w.err == nil {
		return ErrClosed
	}
	return w.err
}

// maxName is the longest name that is written, in bytes. What stands between two places at which a block can be broken off
// has at most four, and fits into a block with them.
const maxName = 1 << 20

// checkName returns an error that matches ErrTooLarge for a name that is too long to be written.
func checkName(of, name string) error {
	if len(name) > maxName {
		return fmt.Errorf("%s %.40q has %d bytes, more than %d: %w", of, name, len(name), maxName, ErrTooLarge)
	}
	return nil
}

func (w *Writer) fail(err error) error {
	if w.err == nil {
		w.err = fmt.Errorf("write snapshot: %w", err)
	}
	return w.err
}

// enter makes a block of the given type the one being built.
func (w *Writer) enter(kind blockType) {
	if len(w.block) > 0 && w.kind != kind {
		w.flush()
	}
	if len(w.block) == 0 {
		w.begin(kind)
	}
}

func (w *Writer) begin(kind blockType) {
	var head [blockHeadSize]byte
	w.kind = kind
	w.block = append(w.block[:0], head[:]...)
	clear(w.strings)
}

func (w *Writer) full() bool { return len(w.block) >= blockHeadSize+blockTarget }

// fits reports whether the block being built is one that a Reader takes.
func (w *Writer) fits() bool { return len(w.block) <= blockHeadSize+maxPayload }

// flush writes the block being built, if any.
func (w *Writer) flush() {
	if w.err != nil || len(w.block) == 0 {
		return
	}
	if !w.fits() {
		w.fail(fmt.Errorf("a name does not fit into a block of %d bytes", maxPayload))
		return
	}
	head, payload := w.block[:blockHeadSize], w.block[blockHeadSize:]
	binary.LittleEndian.PutUint32(head[0:], uint32(w.kind))
	binary.LittleEndian.PutUint32(head[4:], uint32(w.sum.Blocks))
	binary.LittleEndian.PutUint32(head[8:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(head[12:], blockChecksum(head, payload))
	w.digest = crc32.Update(w.digest, castagnoli, head[12:])
	w.sum.Blocks++
	w.write(w.block)
	w.block = w.block[:0]
}

func (w *Writer) write(b []byte) {
	if w.err != nil {
		return
	}
	n, err := w.w.Write(b)
	if err == nil && n != len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		w.fail(err)
		return
	}
	w.sum.Bytes += uint64(n)
}

func (w *Writer) uvarint(u uint64) {
	if u < 0x80 {
		w.block = append(w.block, byte(u))
		return
	}
	w.block = binary.AppendUvarint(w.block, u)
}

func (w *Writer) varint(v int64) { w.uvarint(zigzag(v)) }

// name writes a string, or the number it has in this block from an earlier time.
func (w *Writer) name(s string) {
	if n, ok := w.strings[s]; ok {
		w.uvarint(n)
		return
	}
	w.strings[s] = uint64(len(w.strings)) + 1
	w.uvarint(0)
	w.uvarint(uint64(len(s)))
	w.block = append(w.block, s...)
}
