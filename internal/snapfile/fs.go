package snapfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// FS is what Save and Load need of a file system. OS is the real one; tests inject faults.
type FS interface {
	// CreateTemp creates a new file in dir and opens it for writing. Its name is pattern with the * replaced by digits.
	CreateTemp(dir, pattern string) (TempFile, error)
	// Open opens a regular file for reading. The error matches fs.ErrNotExist if there is none.
	Open(name string) (OpenFile, error)
	// Rename gives a file another name, in one step, replacing what had that name.
	Rename(from, to string) error
	// Remove removes a name. The error matches fs.ErrNotExist if there is none.
	Remove(name string) error
	// Exists reports whether the name is taken, by whatever.
	Exists(name string) (bool, error)
	// Names lists the names in a directory.
	Names(dir string) ([]string, error)
	// SyncDir makes what was created, renamed and removed in a directory durable.
	SyncDir(dir string) error
}

// TempFile is a file being written.
type TempFile interface {
	io.WriteCloser
	// Name is the name to rename it from.
	Name() string
	// Sync makes what was written durable.
	Sync() error
}

// OpenFile is a file being read.
type OpenFile interface {
	io.ReaderAt
	io.Closer
	// Size is its length in bytes when it was opened.
	Size() int64
}

// OS is the file system of the operating system.
type OS struct{}

type osFile struct {
	*os.File
	size int64
}

func (f osFile) Size() int64 { return f.size }

// CreateTemp creates a file that only its owner may read and write.
func (OS) CreateTemp(dir, pattern string) (TempFile, error) {
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Open refuses what is not a regular file: a directory or device under the name of a snapshot is no damaged snapshot.
func (OS) Open(name string) (OpenFile, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open %s: not a regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err = f.Stat(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return osFile{f, info.Size()}, nil
}

// Rename renames.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove removes a name.
func (OS) Remove(name string) error { return os.Remove(name) }

// Exists does not follow a symbolic link.
func (OS) Exists(name string) (bool, error) {
	_, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Names lists a directory.
func (OS) Names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, err
}

// SyncDir does nothing if the system cannot sync a directory.
func (OS) SyncDir(dir string) error { return syncDir(dir) }
