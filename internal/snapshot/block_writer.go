package snapshot

import (
	"encoding/binary"
	"fmt"
)

// BlockWriter makes blocks of topics and groups, each of which can be read on its own. A topic must precede the groups that
// hold it, with a Flush in between. A BlockWriter is used by one goroutine.
type BlockWriter struct {
	to *Writer
	// block is the head and the payload of the block being built; empty between blocks.
	block []byte
	kind  blockType
	// strings gives the number of each string that is in the block already. The keys are the caller's strings, and are dropped
	// with the block.
	strings map[string]uint64
	// records counts what the block being built holds.
	records Summary
}

func (w *Writer) newBlockWriter() *BlockWriter {
	return &BlockWriter{to: w, strings: make(map[string]uint64)}
}

// maxName is the longest name that is written, in bytes. No store has longer ones.
const maxName = 1 << 20

// checkName returns an error that matches ErrTooLarge for a name that is too long to be written.
func checkName(of, name string) error {
	if len(name) > maxName {
		return fmt.Errorf("%s %.40q has %d bytes, more than %d: %w", of, name, len(name), maxName, ErrTooLarge)
	}
	return nil
}

// enter makes a block of the given type the one being built.
func (w *BlockWriter) enter(kind blockType) error {
	if len(w.block) > 0 && w.kind != kind {
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if len(w.block) == 0 {
		w.begin(kind)
	}
	return nil
}

func (w *BlockWriter) begin(kind blockType) {
	if w.block == nil {
		w.block = make([]byte, 0, blockTarget+blockTarget/4)
	}
	w.kind = kind
	w.block = w.block[:blockHeadSize]
	w.records = Summary{}
	clear(w.strings)
}

// flushFull writes the block if it is full.
func (w *BlockWriter) flushFull() error {
	if len(w.block) >= blockHeadSize+blockTarget {
		return w.Flush()
	}
	return nil
}

// Flush writes the block being built, if any, in front of everything that any BlockWriter of the snapshot begins later.
func (w *BlockWriter) Flush() error {
	if len(w.block) == 0 {
		return w.to.ready()
	}
	putBlockHead(w.block, w.kind)
	err := w.to.take(w.block, &w.records)
	w.block = w.block[:0]
	if cap(w.block) > 4*blockTarget {
		w.block = nil // of a group that was larger than most
	}
	return err
}

func (w *BlockWriter) uvarint(u uint64) {
	if u < 0x80 {
		w.block = append(w.block, byte(u))
		return
	}
	w.block = binary.AppendUvarint(w.block, u)
}

func (w *BlockWriter) varint(v int64) { w.uvarint(zigzag(v)) }

// name writes a string, or the number of an earlier occurrence in this block.
func (w *BlockWriter) name(s string) {
	if n, ok := w.strings[s]; ok {
		w.uvarint(n)
		return
	}
	w.strings[s] = uint64(len(w.strings)) + 1
	w.uvarint(0)
	w.uvarint(uint64(len(s)))
	w.block = append(w.block, s...)
}
