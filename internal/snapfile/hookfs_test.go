package snapfile

import "errors"

// errShortWrite makes a write take a part and say nothing.
var errShortWrite = errors.New("short write")

// hookFS asks before each operation. An error of the hook is what the operation returns, undone.
type hookFS struct {
	FS
	hook func(op, name string) error
}

func (h hookFS) CreateTemp(dir, pattern string) (TempFile, error) {
	if err := h.hook("create", dir+pattern); err != nil {
		return nil, err
	}
	f, err := h.FS.CreateTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	return hookTemp{f, h.hook}, nil
}

type hookTemp struct {
	TempFile
	hook func(op, name string) error
}

func (t hookTemp) Write(b []byte) (int, error) {
	if err := t.hook("write", t.Name()); err != nil {
		// As a disk that is full takes a part.
		n, _ := t.TempFile.Write(b[:len(b)/2])
		if err == errShortWrite {
			return n, nil
		}
		return n, err
	}
	return t.TempFile.Write(b)
}

func (t hookTemp) Sync() error {
	if err := t.hook("sync", t.Name()); err != nil {
		return err
	}
	return t.TempFile.Sync()
}

func (t hookTemp) Close() error {
	if err := t.hook("close", t.Name()); err != nil {
		_ = t.TempFile.Close() // what a failed close leaves open nobody says
		return err
	}
	return t.TempFile.Close()
}

func (h hookFS) Open(name string) (OpenFile, error) {
	if err := h.hook("open", name); err != nil {
		return nil, err
	}
	f, err := h.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return hookOpen{f, name, h.hook}, nil
}

type hookOpen struct {
	OpenFile
	name string
	hook func(op, name string) error
}

func (o hookOpen) ReadAt(b []byte, at int64) (int, error) {
	if err := o.hook("read", o.name); err != nil {
		return 0, err
	}
	return o.OpenFile.ReadAt(b, at)
}

func (h hookFS) Rename(from, to string) error {
	if err := h.hook("rename", from); err != nil {
		return err
	}
	return h.FS.Rename(from, to)
}

func (h hookFS) Remove(name string) error {
	if err := h.hook("remove", name); err != nil {
		return err
	}
	return h.FS.Remove(name)
}

func (h hookFS) Exists(name string) (bool, error) {
	if err := h.hook("exists", name); err != nil {
		return false, err
	}
	return h.FS.Exists(name)
}

func (h hookFS) Names(dir string) ([]string, error) {
	if err := h.hook("names", dir); err != nil {
		return nil, err
	}
	return h.FS.Names(dir)
}

func (h hookFS) SyncDir(dir string) error {
	if err := h.hook("syncdir", dir); err != nil {
		return err
	}
	return h.FS.SyncDir(dir)
}
