package snapshot

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"
)

// Writer writes a snapshot. Records go through its BlockWriters, of which several may be used at once. The first error
// sticks: every later call returns it, and the output is no snapshot. The io.Writer gets blocks of about 256 KiB, one at a
// time, and needs no buffer.
type Writer struct {
	takenAt int64

	// over is set, under mu, when there is an error or the Writer is closed. Without it whoever makes a record need not wait for whoever
	// writes a block.
	over atomic.Bool

	mu sync.Mutex // guards what follows
	w  io.Writer
	// digest is the checksum of the checksums of the blocks written.
	digest  uint32
	sum     Summary
	writers []*BlockWriter
	err     error
	closed  bool
}

// NewWriter begins a snapshot. An error in writing its beginning is returned by the next call.
func NewWriter(w io.Writer, header Header) *Writer {
	sw := &Writer{w: w, takenAt: header.TakenAt}
	if err := header.Validate(); err != nil {
		sw.failLocked(err)
		return sw
	}
	sw.writeLocked(appendPreamble(nil, Version))
	b := sw.newBlockWriter()
	b.begin(blockHeader)
	b.block = binary.LittleEndian.AppendUint64(b.block, uint64(header.TakenAt))
	b.block = binary.LittleEndian.AppendUint32(b.block, uint32(header.Intervals))
	b.block = binary.LittleEndian.AppendUint64(b.block, header.Sequence)
	b.uvarint(uint64(len(header.Positions)))
	for i := range header.Positions {
		p := &header.Positions[i]
		b.name(p.Cluster)
		b.uvarint(uint64(p.Partition))
		b.uvarint(uint64(p.Offset))
	}
	_ = b.Flush() // sticks
	return sw
}

// Blocks returns a BlockWriter, which Close flushes.
func (w *Writer) Blocks() *BlockWriter {
	b := w.newBlockWriter()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writers = append(w.writers, b)
	return b
}

// Close flushes the BlockWriters, which must not be used any more, writes the footer and returns the counts. It does not
// close the io.Writer. Called again, it returns ErrClosed.
func (w *Writer) Close() (Summary, error) {
	w.mu.Lock()
	writers := w.writers
	again := w.closed
	w.mu.Unlock()
	if again {
		return Summary{}, ErrClosed
	}
	for _, b := range writers {
		_ = b.Flush() // sticks
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.over.Store(true)
	if w.err != nil {
		return Summary{}, w.err
	}
	w.sum.Blocks++ // the footer counts itself, and everything behind it
	w.sum.Bytes += uint64(tailSize)
	footer := make([]byte, blockHeadSize, tailSize)
	for _, n := range [...]uint64{w.sum.Topics, w.sum.Groups, w.sum.GroupPartitions, w.sum.Commits, w.sum.Blocks, w.sum.Bytes} {
		footer = binary.LittleEndian.AppendUint64(footer, n)
	}
	footer = binary.LittleEndian.AppendUint32(footer, w.digest)
	putBlockHead(footer, blockFooter)
	sum := w.sum
	w.writeLocked(append(footer, endMagic...))
	if w.err != nil {
		return Summary{}, w.err
	}
	return sum, nil
}

// take writes a block and counts its records.
func (w *Writer) take(block []byte, records *Summary) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed && w.err == nil {
		return ErrClosed
	}
	if w.err == nil {
		w.digest = crc32.Update(w.digest, castagnoli, block[4:8])
		w.writeLocked(block)
		w.sum.Blocks++
		w.sum.add(records)
	}
	return w.err
}

func (w *Writer) writeLocked(b []byte) {
	n, err := w.w.Write(b)
	if err == nil && n != len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		w.failLocked(err)
		return
	}
	w.sum.Bytes += uint64(n)
}

// fail makes an error stick, unless there is one, and returns the one that sticks.
func (w *Writer) fail(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failLocked(err)
	return w.err
}

func (w *Writer) failLocked(err error) {
	if w.err == nil {
		w.err = fmt.Errorf("write snapshot: %w", err)
		w.over.Store(true)
	}
}

// ready returns an error if no record may be written any more.
func (w *Writer) ready() error {
	if !w.over.Load() {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed && w.err == nil {
		return ErrClosed
	}
	return w.err
}
