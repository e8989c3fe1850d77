//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || windows)

package snapfile

import (
	"errors"
	"io/fs"
	"os"
)

// openLock creates the file, which is the lock: these systems have no lock that ends with the process. After a crash
// somebody has to remove the file; the error names it.
func openLock(name string) (*os.File, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, errHeld
	}
	return file, err
}

func tryLock(*os.File) error { return nil }

func unlock(file *os.File) error { return errors.Join(file.Close(), os.Remove(file.Name())) }
