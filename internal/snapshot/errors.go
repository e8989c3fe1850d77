package snapshot

import (
	"errors"
	"fmt"
)

var (
	// ErrTooLarge is returned when a record is too large for the format. Nothing of it was written, and the writer can
	// continue without it.
	ErrTooLarge = errors.New("record is too large")
	// ErrClosed is returned by a writer that has been closed.
	ErrClosed = errors.New("snapshot writer is closed")
)

// CorruptError is returned when a file is not what a Writer wrote. Nothing of the file may be used.
type CorruptError struct {
	// Offset is the byte in the file at which the fault was noticed.
	Offset int64
	// Block is the number of the block the byte is in, from 0 for the header; -1 outside of any block.
	Block int
	// BlockType is the type of that block in the file; "" outside of any block.
	BlockType string
	// Reason says what was wrong.
	Reason string
}

func (e *CorruptError) Error() string {
	if e.Block < 0 {
		return fmt.Sprintf("corrupt snapshot at byte %d: %s", e.Offset, e.Reason)
	}
	return fmt.Sprintf("corrupt snapshot at byte %d (block %d, type %q): %s", e.Offset, e.Block, e.BlockType, e.Reason)
}

// ReadError is returned when a file cannot be read, for instance because the disk fails. Its contents are not known.
type ReadError struct {
	// Offset is the byte in the file that could not be read.
	Offset int64
	Err    error
}

func (e *ReadError) Error() string {
	return fmt.Sprintf("read snapshot at byte %d: %v", e.Offset, e.Err)
}

// Unwrap returns the error of the file system.
func (e *ReadError) Unwrap() error { return e.Err }

// VersionError is returned when a file or JSON header is sound as far as its version and has one that this release does not
// read. The data is not corrupt: a release that knows the version can read it, so it must not be overwritten.
type VersionError struct {
	// Version is the version found, Known the one that this release reads.
	Version, Known int
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("snapshot has format version %d, this release reads %d: use a release that knows it, or move the file away",
		e.Version, e.Known)
}
