package snapfile

import (
	"errors"
	"fmt"
)

var (
	// ErrLocked is returned, inside a *LockedError, when another process uses the path.
	ErrLocked = errors.New("snapshot is in use by another process")
	// ErrLockLost is returned when the lock file was removed or replaced while it was locked: another process may use the path.
	ErrLockLost = errors.New("lock file is gone: another process may use the snapshot")
	// ErrNameTooLong is returned when the name of a snapshot is too long for the suffixes of the files beside it.
	ErrNameTooLong = errors.New("name is too long")
)

// LockedError is returned when another process uses the path. It matches ErrLocked.
type LockedError struct {
	// Path is the snapshot, LockPath the file that is locked.
	Path, LockPath string
	// PID and Host are the process that holds the lock and its host; 0 and "" if the lock file does not say.
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
