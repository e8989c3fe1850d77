//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package snapfile

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// openLock opens the lock file, and creates it for its owner alone: whoever can open it can take the lock. A symbolic link is
// not followed and nothing is truncated, so that no other file is touched whatever stands under the name.
func openLock(name string) (*os.File, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	if err := ownLock(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// ownLock returns an error unless the lock file is a regular file of this user alone. One that others may open, as older
// releases made it, is closed to them.
func ownLock(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("lock file %s is not a regular file", file.Name())
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if ok && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("lock file %s belongs to user %d, not to user %d", file.Name(), stat.Uid, os.Geteuid())
	}
	// The holder is written into the file, which must be no other file's second name.
	if ok && stat.Nlink > 1 {
		return fmt.Errorf("lock file %s has %d hard links: must have one", file.Name(), stat.Nlink)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return file.Chmod(0o600)
	}
	return nil
}

func tryLock(file *os.File) error { return flock(file, syscall.LOCK_EX|syscall.LOCK_NB) }

func flock(file *os.File, how int) error {
	for {
		err := syscall.Flock(int(file.Fd()), how)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EWOULDBLOCK):
			return errHeld
		default:
			return os.NewSyscallError("flock", err)
		}
	}
}

// unlock ends the lock and closes the file. Closing alone would leave the lock for a moment if another goroutine is about
// to start a process, which has the file too until it runs its program.
func unlock(file *os.File) error { return errors.Join(flock(file, syscall.LOCK_UN), file.Close()) }
