package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// frames walks the blocks of a file. It reads into one buffer, which grows with what has been read and never by what a
// length claims.
type frames struct {
	src  io.ReaderAt
	size int64

	// at is the byte after the block last read, number the number of the next block.
	at     int64
	number int
	// digest is the checksum of the checksums of the blocks read.
	digest  uint32
	payload []byte
}

// frame is one block. Its payload is overwritten by the next.
type frame struct {
	kind    blockType
	number  int
	start   int64 // the byte at which the block's head begins
	payload []byte
}

func (f *frames) corrupt(fr *frame, offset int64, format string, args ...any) *CorruptError {
	return &CorruptError{
		Offset: offset, Block: fr.number, BlockType: fr.kind.String(), Reason: fmt.Sprintf(format, args...),
	}
}

// next reads the next block. Where want returns false for its type, the payload is neither read nor checked.
func (f *frames) next(want func(blockType) bool) (fr frame, err error) {
	fr = frame{number: f.number, start: f.at}
	left := f.size - f.at
	if left < blockHeadSize {
		return fr, &CorruptError{Offset: f.at, Block: f.number, Reason: fmt.Sprintf(
			"the file ends without its footer: %d bytes are left, a block has at least %d", left, blockHeadSize)}
	}
	var head [blockHeadSize]byte
	if err := f.readAt(head[:], f.at); err != nil {
		return fr, err
	}
	fr.kind = blockType(binary.LittleEndian.Uint32(head[0:]))
	number, length := binary.LittleEndian.Uint32(head[4:]), int64(binary.LittleEndian.Uint32(head[8:]))
	stored := binary.LittleEndian.Uint32(head[12:])
	left -= blockHeadSize
	switch {
	case int64(number) != int64(f.number):
		return fr, f.corrupt(&fr, f.at+4, "block %d says that it is block %d", f.number, number)
	case length > left:
		return fr, f.corrupt(&fr, f.at+8, "the block claims %d bytes, %d are left in the file", length, left)
	case length > maxPayload:
		return fr, f.corrupt(&fr, f.at+8, "the block claims %d bytes, the limit is %d", length, maxPayload)
	}
	if want(fr.kind) {
		if err := f.readPayload(int(length), f.at+blockHeadSize); err != nil {
			return fr, err
		}
		if computed := blockChecksum(head[:], f.payload); computed != stored {
			return fr, f.corrupt(&fr, f.at+12, "the block's checksum is %08x, its bytes give %08x", stored, computed)
		}
		fr.payload = f.payload
	}
	if fr.kind != blockFooter {
		f.digest = crc32.Update(f.digest, castagnoli, head[12:])
	}
	f.at += blockHeadSize + length
	f.number++
	return fr, nil
}

// readPayload fills the buffer with n bytes of the file, growing it step by step.
func (f *frames) readPayload(n int, at int64) error {
	const step = blockTarget + blockTarget/4
	f.payload = f.payload[:0]
	for len(f.payload) < n {
		have := len(f.payload)
		upTo := min(n, max(have+step, cap(f.payload)))
		if upTo > cap(f.payload) {
			f.payload = append(make([]byte, 0, max(upTo, min(n, 2*have))), f.payload...)
		}
		f.payload = f.payload[:upTo]
		if err := f.readAt(f.payload[have:], at+int64(have)); err != nil {
			return err
		}
	}
	return nil
}

// readAt fills b. A file that is shorter than it was is damaged; any other failure is the disk's and says so.
func (f *frames) readAt(b []byte, at int64) error {
	n, err := f.src.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &CorruptError{Offset: at + int64(n), Block: f.number, Reason: "the file ends here, it was longer before"}
	}
	return fmt.Errorf("read snapshot at byte %d: %w", at, err)
}
