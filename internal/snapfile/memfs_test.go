package snapfile

import (
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// memFS is a file system in memory, of one directory, that knows what a power loss would leave: of a file what was synced,
// of the directory what was synced and any part of what happened since.
type memFS struct {
	mu sync.Mutex
	// live is the directory as it is, durable as it was when last synced, pending what happened since.
	live, durable map[string]*memFile
	pending       []func(map[string]*memFile)
	temps         int
}

type memFile struct {
	name         string
	data, synced []byte
}

func newMemFS() *memFS {
	return &memFS{live: make(map[string]*memFile), durable: make(map[string]*memFile)}
}

// do changes the directory, and keeps the change for what a power loss may leave.
func (m *memFS) do(change func(map[string]*memFile)) {
	change(m.live)
	m.pending = append(m.pending, change)
}

func (m *memFS) CreateTemp(dir, pattern string) (TempFile, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.temps++
	f := &memFile{name: filepath.Join(dir, strings.Replace(pattern, "*", strconv.Itoa(m.temps), 1))}
	m.do(func(d map[string]*memFile) { d[f.name] = f })
	return &memTemp{m, f}, nil
}

type memTemp struct {
	fs   *memFS
	file *memFile
}

func (t *memTemp) Name() string { return t.file.name }
func (t *memTemp) Close() error { return nil }

func (t *memTemp) Write(b []byte) (int, error) {
	t.fs.mu.Lock()
	defer t.fs.mu.Unlock()
	t.file.data = append(t.file.data, b...)
	return len(b), nil
}

func (t *memTemp) Sync() error {
	t.fs.mu.Lock()
	defer t.fs.mu.Unlock()
	t.file.synced = slices.Clone(t.file.data)
	return nil
}

type memOpen struct{ *strings.Reader }

func (memOpen) Close() error { return nil }

func (m *memFS) Open(name string) (OpenFile, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.live[name]
	if f == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return memOpen{strings.NewReader(string(f.data))}, nil
}

func (m *memFS) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.live[from]
	if f == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	if m.live[to] == f {
		return nil // as POSIX wants it: both names stay
	}
	m.do(func(d map[string]*memFile) {
		d[to] = f
		if d[from] == f {
			delete(d, from)
		}
	})
	return nil
}

func (m *memFS) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.live[name]
	if f == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	m.do(func(d map[string]*memFile) {
		if d[name] == f {
			delete(d, name)
		}
	})
	return nil
}

func (m *memFS) Exists(name string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.live[name] != nil, nil
}

func (m *memFS) Names(string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.live)), nil
}

func (m *memFS) SyncDir(string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.durable, m.pending = maps.Clone(m.live), nil
	return nil
}

// cloneFS copies a file system, with nothing pending.
func cloneFS(dir map[string]*memFile, data func(*memFile) []byte) *memFS {
	c, copies := newMemFS(), make(map[*memFile]*memFile)
	for name, f := range dir {
		if copies[f] == nil {
			copies[f] = &memFile{name: f.name, data: data(f), synced: data(f)}
		}
		c.live[name] = copies[f]
	}
	c.durable, c.temps = maps.Clone(c.live), 1000
	return c
}

// killed is what the end of the process leaves.
func (m *memFS) killed() *memFS {
	return cloneFS(m.live, func(f *memFile) []byte { return slices.Clone(f.data) })
}

// powerLosses are all the directories that a power loss may leave, each with three kinds of what was not synced: lost,
// half of it there, all of it zeros.
func (m *memFS) powerLosses(t *testing.T) (left []*memFS) {
	t.Helper()
	if len(m.pending) > 8 {
		t.Fatalf("%d changes pending", len(m.pending))
	}
	for kept := range uint(1) << len(m.pending) {
		dir := maps.Clone(m.durable)
		for i, change := range m.pending {
			if kept>>i&1 == 1 {
				change(dir)
			}
		}
		for kind := range 3 {
			left = append(left, cloneFS(dir, func(f *memFile) []byte {
				data := slices.Clone(f.data)
				switch kind {
				case 0:
					return data[:len(f.synced)]
				case 1:
					return data[:len(f.synced)+(len(data)-len(f.synced))/2]
				}
				clear(data[len(f.synced):])
				return data
			}))
		}
	}
	return left
}
