//go:build windows

package snapfile

import (
	"errors"
	"os"
	"syscall"
	"unsafe"
)

var lockFileEx = syscall.NewLazyDLL("kernel32.dll").NewProc("LockFileEx")

const (
	lockfileFailImmediately = 1
	lockfileExclusiveLock   = 2

	errorLockViolation = syscall.Errno(33)
	errorIOPending     = syscall.Errno(997)
)

func openLock(name string) (*os.File, error) { return os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600) }

// tryLock locks a byte far behind what the file says of its holder: others could not read a byte that is locked.
func tryLock(file *os.File) error {
	at := &syscall.Overlapped{OffsetHigh: 1 << 30}
	ok, _, err := lockFileEx.Call(file.Fd(), lockfileExclusiveLock|lockfileFailImmediately, 0, 1, 0,
		uintptr(unsafe.Pointer(at)))
	switch {
	case ok != 0:
		return nil
	case errors.Is(err, errorLockViolation), errors.Is(err, errorIOPending):
		return errHeld
	}
	return os.NewSyscallError("LockFileEx", err)
}

// unlock closes the file, which ends the lock.
func unlock(file *os.File) error { return file.Close() }
