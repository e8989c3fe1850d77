package snapfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
)

// FileLock keeps every other process, and every other Lock of this process, from a path. The system releases it when the
// process ends, however it ends.
type FileLock struct {
	name string
	file *os.File

	once sync.Once
	err  error
}

// errHeld is returned by tryLock if another holds the lock.
var errHeld = errors.New("lock is held")

// lockTries is how often Lock begins again because the lock file was replaced between opening and locking it. Once happens if
// somebody removes the file; more often means that processes remove each other's.
const lockTries = 10

// Lock locks a snapshot path, with the file path.lock, without waiting. If another process has the lock it returns a
// *LockedError, which matches ErrLocked. The lock file stays after Unlock: if it were removed, two processes could lock two
// files of one name.
func Lock(path string) (*FileLock, error) {
	name := path + lockSuffix
	for range lockTries {
		file, err := openLock(name)
		if err == nil {
			err = tryLock(file)
		}
		if errors.Is(err, errHeld) {
			locked := &LockedError{Path: path, LockPath: name}
			locked.PID, locked.Host = readHolder(name)
			if file != nil {
				_ = file.Close() // nothing was written
			}
			return nil, locked
		}
		if err != nil {
			if file != nil {
				err = errors.Join(err, file.Close())
			}
			return nil, fmt.Errorf("lock snapshot %s: %w", path, err)
		}
		l := &FileLock{name: name, file: file}
		if l.Check() != nil {
			// The file was removed or replaced before it was locked: others would lock the new one.
			_ = l.Unlock() // of a file that no longer has a name
			continue
		}
		if err := writeHolder(file); err != nil {
			return nil, fmt.Errorf("lock snapshot %s: %w", path, errors.Join(err, l.Unlock()))
		}
		return l, nil
	}
	return nil, fmt.Errorf("lock snapshot %s: lock file %s was replaced %d times", path, name, lockTries)
}

// Check returns an error matching ErrLockLost if the lock file is not the one that was locked: it was removed or replaced, so
// another process may have locked the path too.
func (l *FileLock) Check() error {
	mine, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("check lock file %s: %w", l.name, err)
	}
	there, err := os.Lstat(l.name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("check lock file %s: %w", l.name, err)
	}
	if err != nil || !os.SameFile(mine, there) {
		return fmt.Errorf("%w: %s", ErrLockLost, l.name)
	}
	return nil
}

// Unlock releases the lock. Called again, it does nothing and returns the same error.
func (l *FileLock) Unlock() error {
	l.once.Do(func() { l.err = unlock(l.file) })
	return l.err
}

// writeHolder writes the holder of the lock into the file, for people.
func writeHolder(file *os.File) error {
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err = file.WriteAt([]byte(strings.TrimSpace(strconv.Itoa(os.Getpid())+" "+host)+"\n"), 0)
	return err
}

// readHolder reads the holder of the lock from the file; 0 and "" if it is not there.
func readHolder(name string) (pid int, host string) {
	if info, err := os.Lstat(name); err != nil || !info.Mode().IsRegular() {
		return 0, "" // reading a special file may block for ever
	}
	file, err := os.Open(name)
	if err != nil {
		return 0, ""
	}
	defer file.Close() //nolint:errcheck // it was only read
	line, err := io.ReadAll(io.LimitReader(file, 512))
	if err != nil {
		return 0, ""
	}
	fields := strings.Fields(string(line))
	if len(fields) == 0 {
		return 0, ""
	}
	if pid, err = strconv.Atoi(fields[0]); err != nil {
		return 0, ""
	}
	if len(fields) > 1 {
		host = fields[1]
	}
	return pid, host
}
