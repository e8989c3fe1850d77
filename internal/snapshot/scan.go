package snapshot

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"sync/atomic"

	"github.com/lagkeeper/storage/internal/window"
)

// frame is one block of a file.
type frame struct {
	kind   blockType
	number int
	start  int64 // the byte at which the block's head begins
	length int64 // of its payload
	stored uint32
	raw    [blockHeadSize]byte
}

func (f *frame) corrupt(offset int64, format string, args ...any) *CorruptError {
	return &CorruptError{
		Offset: f.start + offset, Block: f.number, BlockType: f.kind.String(), Reason: fmt.Sprintf(format, args...),
	}
}

func (f *frame) cursor(payload []byte) *cursor {
	return &cursor{payload: payload, start: f.start + blockHeadSize, block: f.number, kind: f.kind}
}

// read reads the payload into the memory of buffer and checks it. It allocates no more than the file holds by its size.
func (f *frame) read(src io.ReaderAt, buffer []byte) ([]byte, error) {
	if int64(cap(buffer)) < f.length+window.Padding {
		buffer = make([]byte, f.length+f.length/8+window.Padding)
	}
	payload := buffer[:f.length]
	if err := readAt(src, payload, f.start+blockHeadSize); err != nil {
		return nil, err
	}
	if computed := blockChecksum(f.raw[:], payload); computed != f.stored {
		return nil, f.corrupt(4, "the block's checksum is %08x, its bytes give %08x", f.stored, computed)
	}
	return payload, nil
}

// scan hands the blocks of a file to the workers, one after the other.
type scan struct {
	reader *Reader
	// stopped is set when nothing more is to be decoded.
	stopped atomic.Bool

	mu sync.Mutex // guards what follows while there are workers
	// at is the byte at which the next block begins, number its number.
	at     int64
	number int
	// digest is the checksum of the checksums of the blocks before.
	digest uint32
	// kind is the type of the blocks that are handed out until the next begin.
	kind blockType
	err  error
}

// stop ends the scan; the first error counts.
func (s *scan) stop(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.stopped.Store(true)
}

func (s *scan) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// head reads the head of the next block.
func (s *scan) head() (fr frame, err error) {
	fr = frame{number: s.number, start: s.at}
	left := s.reader.footer - s.at
	if left < blockHeadSize {
		return fr, &CorruptError{Offset: s.at, Block: s.number, Reason: fmt.Sprintf(
			"%d bytes are left before the footer, a block has at least %d", left, blockHeadSize)}
	}
	if err := readAt(s.reader.src, fr.raw[:], s.at); err != nil {
		return fr, err
	}
	fr.kind = blockType(binary.LittleEndian.Uint32(fr.raw[0:]))
	fr.stored = binary.LittleEndian.Uint32(fr.raw[4:])
	if length := binary.LittleEndian.Uint64(fr.raw[8:]); length <= uint64(left-blockHeadSize) {
		fr.length = int64(length)
		return fr, nil
	}
	return fr, fr.corrupt(8, "the block claims %d bytes, %d are left before the footer", binary.LittleEndian.Uint64(fr.raw[8:]),
		left-blockHeadSize)
}

// pass continues behind a block.
func (s *scan) pass(fr *frame) {
	s.digest = crc32.Update(s.digest, castagnoli, fr.raw[4:8])
	s.at += blockHeadSize + fr.length
	s.number++
}

// begin reports whether there are more blocks; from then on those of the type of the next one are handed out.
func (s *scan) begin() (more bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.at == s.reader.footer {
		return false, s.err
	}
	fr, err := s.head()
	if err != nil {
		return false, err
	}
	if fr.kind != blockTopics && fr.kind != blockGroups {
		return false, fr.corrupt(0, "version %d has no block of this type here", Version)
	}
	s.kind = fr.kind
	return true, nil
}

// next returns the next block, and false if there is none of the type.
func (s *scan) next() (fr frame, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || s.at == s.reader.footer {
		return fr, false, s.err
	}
	if fr, err = s.head(); err != nil || fr.kind != s.kind {
		return fr, false, err
	}
	s.pass(&fr)
	return fr, true, nil
}

// worker decodes blocks for one sink.
type worker struct {
	scan   *scan
	sink   Sink
	buffer []byte
	topics topicDecoder
	groups groupDecoder
	seen   Summary
}

// run decodes blocks until there are no more of the type.
func (w *worker) run() error {
	for {
		fr, ok, err := w.scan.next()
		if err == nil && !ok {
			return nil
		}
		if err == nil {
			err = w.block(&fr)
		}
		if err != nil {
			w.scan.stop(err)
			return err
		}
	}
}

func (w *worker) block(fr *frame) error {
	payload, err := fr.read(w.scan.reader.src, w.buffer)
	if err != nil {
		return err
	}
	w.buffer = payload
	c := fr.cursor(payload)
	if fr.kind == blockTopics {
		err = w.topics.block(c, w.topic)
	} else {
		err = w.groups.block(c, w.group)
	}
	if err == nil && c.err != nil {
		return c.err
	}
	return err
}

func (w *worker) topic(t *Topic) error {
	if w.scan.stopped.Load() {
		return w.scan.failure()
	}
	w.seen.Topics++
	return w.sink.WriteTopic(t)
}

func (w *worker) group(g *Group) error {
	if w.scan.stopped.Load() {
		return w.scan.failure()
	}
	w.seen.AddGroup(g)
	w.scan.reader.groups.Add(1)
	return w.sink.WriteGroup(g)
}
