package snapshot

import (
	"errors"
	"fmt"
)

var (
	// ErrLocked is returned, inside a *LockedError, when another process uses the path.
	ErrLocked = errors.New("snapshot is in use by another process")
	// ErrLockLost is returned when the lock file was removed or replaced while it was locked: another process may use the path.
	ErrLockLost = errors.New("lock file is gone, another process may use the snapshot")
	// ErrNameTooLong is returned when the name of a snapshot leaves no room for the suffixes of what stands beside it.
	ErrNameTooLong = errors.New("name is too long")
	// ErrTooLarge is returned when a record is more than the format has room for. Nothing of it was written, and the writer goes
	// on: the record may be left out.
	ErrTooLarge = errors.New("record is too large")
	// ErrLineTooLong is returned, inside a *LineError, when a JSON line is longer than the limit.
	ErrLineTooLong = errors.New("line is too long")
	// ErrClosed is returned by a Writer or JSONWriter that has been closed.
	ErrClosed = errors.New("snapshot writer is closed")
)

// CorruptError is returned when a file is not what a Writer wrote. Nothing of the file may be used.
type CorruptError struct {
	// Offset is the byte in the file at which the fault was noticed.
	Offset int64
	// Block is the number of the block the byte is in, from 0 for the header; -1 outside of any block.
	Block int
	// BlockType is the type of that block as it stands in the file; "" outside of any block.
	BlockType string
	// Reason says what was wrong.
	Reason string
}

func (e *CorruptError) Error() string {
	if e.Block < 0 {
		return fmt.Sprintf("snapshot is damaged at byte %d: %s", e.Offset, e.Reason)
	}
	return fmt.Sprintf("snapshot is damaged at byte %d (block %d, type %q): %s", e.Offset, e.Block, e.BlockType, e.Reason)
}

// VersionError is returned when a sound file or JSON header has a version that this package does not read. The data is not
// damaged: a release that knows the version reads it, so it must not be overwritten.
type VersionError struct {
	Major, Minor int
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("snapshot has format version %d.%d, this release reads %d.x: use a release that knows it, "+
		"or move the file away", e.Major, e.Minor, versionMajor)
}

// LockedError is returned when another process uses the path. It matches ErrLocked.
type LockedError struct {
	// Path is the snapshot, LockPath the file that carries the lock.
	Path, LockPath string
	// PID and Host are the process that holds the lock and its host; 0 and "" where the lock file does not tell.
	PID  int
	Host string
}

func (e *LockedError) Error() string {
	switch {
	case e.PID == 0:
		return fmt.Sprintf("snapshot %s is in use by another process (lock file %s)", e.Path, e.LockPath)
	case e.Host == "":
		return fmt.Sprintf("snapshot %s is in use by process %d (lock file %s)", e.Path, e.PID, e.LockPath)
	}
	return fmt.Sprintf("snapshot %s is in use by process %d on %s (lock file %s)", e.Path, e.PID, e.Host, e.LockPath)
}

// Is reports whether target is ErrLocked.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// LineError is returned when a line of JSON cannot be taken.
type LineError struct {
	// Line is the number of the line, from 1.
	Line int
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns what was wrong with the line.
func (e *LineError) Unwrap() error { return e.Err }
