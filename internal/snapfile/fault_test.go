package snapfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapshot"
)

// faults are what a disk does, and what they leave of an operation.
var faults = map[string]error{
	"disk full":             syscall.ENOSPC,
	"input/output error":    syscall.EIO,
	"read-only file system": syscall.EROFS,
	"permission denied":     syscall.EACCES,
	"short write":           errShortWrite,
}

// failOnce fails the n-th operation, from 0, and says which that was.
type failOnce struct {
	n    int
	err  error
	op   string
	name string
}

func (f *failOnce) hook(op, name string) error {
	if f.err == errShortWrite && op != "write" {
		return nil // not what happens to it
	}
	if f.n--; f.n == -1 {
		f.op, f.name = op, name
		return f.err
	}
	return nil
}

// Every fault at every operation of a Save, on the real file system: the error is clear, a sound snapshot is there, no
// rubbish stays, and the next Save works.
func TestEveryFaultOfSave(t *testing.T) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state")
			sequence := uint64(2)
			require.NoError(t, saveNumbered(OS{}, path, 1))
			require.NoError(t, saveNumbered(OS{}, path, 2))
			met := make(map[string]bool)
			for at := 0; ; at++ {
				f := &failOnce{n: at, err: fault}
				err := saveNumbered(hookFS{OS{}, f.hook}, path, sequence+1)
				if f.op == "" {
					require.NoError(t, err)
					break
				}
				met[f.op] = true
				got, report := loadNumbered(t, OS{}, path)
				require.Empty(t, report.Damaged)
				require.Empty(t, report.Removed, "a Save that fails cleans up behind it")
				if err == nil {
					// What does not matter: a look at the version of what is there.
					require.Equal(t, "read", f.op)
					sequence++
					require.Equal(t, sequence, got)
				} else {
					require.ErrorContains(t, err, path)
					if fault != errShortWrite {
						require.ErrorIs(t, err, fault)
					}
					require.Contains(t, []uint64{sequence, sequence + 1}, got, "fault at %s: %v", f.op, err)
					sequence = got
				}
				require.NoError(t, saveNumbered(OS{}, path, sequence+1))
				sequence++
				got, report = loadNumbered(t, OS{}, path)
				require.Equal(t, sequence, got)
				require.Equal(t, Newest, report.Source)
			}
			require.True(t, met["write"])
			for _, op := range []string{"open", "create", "write", "sync", "close", "rename", "syncdir"} {
				require.True(t, met[op] || fault == errShortWrite, op)
			}
			left, err := OS{}.Names(filepath.Dir(path))
			require.NoError(t, err)
			require.ElementsMatch(t, []string{"state", "state.prev"}, left)
		})
	}
}

// A Save after one that failed, with no Load between them, leaves nothing of it.
func TestSaveAfterAFaultOfSave(t *testing.T) {
	for at := 0; ; at++ {
		dir := t.TempDir()
		path := filepath.Join(dir, "state")
		require.NoError(t, saveNumbered(OS{}, path, 1))
		require.NoError(t, saveNumbered(OS{}, path, 2))
		f := &failOnce{n: at, err: syscall.EIO}
		_ = saveNumbered(hookFS{OS{}, f.hook}, path, 3)
		require.NoError(t, saveNumbered(OS{}, path, 4))
		names, err := OS{}.Names(dir)
		require.NoError(t, err)
		require.ElementsMatch(t, []string{"state", "state.prev"}, names, "after a fault at %s", f.op)
		before, _, err := Verify(t.Context(), path+".prev", Options{})
		require.NoError(t, err)
		require.GreaterOrEqual(t, before.Sequence, uint64(2), "after a fault at %s", f.op)
		if f.op == "" {
			return
		}
	}
}

// Somebody has made path and path.prev names of one file: renaming one over the other then does nothing.
func TestSaveOverALink(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	require.NoError(t, saveNumbered(OS{}, path, 1))
	require.NoError(t, os.Link(path, path+".prev"))
	require.NoError(t, saveNumbered(OS{}, path, 2))
	names, err := OS{}.Names(dir)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"state", "state.prev"}, names)
	before, _, err := Verify(t.Context(), path+".prev", Options{})
	require.NoError(t, err)
	require.EqualValues(t, 1, before.Sequence)
}

// A disk that stays full or read-only: Save fails again and again, and what was there stays.
func TestFaultThatStays(t *testing.T) {
	for _, fault := range []error{syscall.ENOSPC, syscall.EROFS} {
		path := filepath.Join(t.TempDir(), "state")
		require.NoError(t, saveNumbered(OS{}, path, 1))
		stuck := hookFS{OS{}, func(op, _ string) error {
			if op == "open" || op == "read" || op == "exists" || op == "names" {
				return nil
			}
			if fault == syscall.ENOSPC && (op == "remove" || op == "rename" || op == "create") {
				return nil
			}
			return fault
		}}
		for range 3 {
			require.ErrorIs(t, saveNumbered(stuck, path, 2), fault)
		}
		got, report := loadNumbered(t, stuck, path)
		require.EqualValues(t, 1, got)
		require.Empty(t, report.Warnings)
	}
}

// Every fault at every operation of a Load: it loads a sound snapshot, or returns a clear error and another try loads.
func TestEveryFaultOfLoad(t *testing.T) {
	for at := 0; ; at++ {
		m := newMemFS()
		for n := range uint64(3) {
			require.NoError(t, saveNumbered(m, "state", n+1))
		}
		// With a temporary file of a crash.
		_, err := m.CreateTemp(".", "state.tmp-*")
		require.NoError(t, err)
		m.live["state"].data[99] ^= 1

		f := &failOnce{n: at, err: syscall.EIO}
		var got snapshot.Header
		report, err := Load("state", Options{FS: hookFS{m, f.hook}}, func(r *snapshot.Reader) error {
			if err := r.Read(t.Context(), nowhere{}); err != nil {
				return err
			}
			got = r.Header()
			return nil
		})
		switch {
		case f.op == "":
			require.NoError(t, err)
			require.EqualValues(t, 2, got.Sequence)
			require.Greater(t, at, 10)
			return
		case err != nil:
			require.ErrorIs(t, err, syscall.EIO)
			require.ErrorContains(t, err, "load snapshot state:")
		case f.op == "read" && report.Source == Empty:
			require.Len(t, report.Damaged, 2, "what the disk fails to read is set aside")
			require.ErrorIs(t, report.Damaged[1].Err, syscall.EIO)
			continue
		default:
			require.EqualValues(t, 2, got.Sequence)
			require.NotEmpty(t, report.Damaged)
		}
		again, _ := loadNumbered(t, m, "state")
		if f.op == "read" && err == nil {
			continue // it may have been set aside as what cannot be read
		}
		require.EqualValues(t, 2, again, "fault at %s %s: %v", f.op, f.name, err)
	}
}

func TestDirectoryMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "not there", "state")
	err := saveNumbered(OS{}, path, 1)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, path)
	_, err = Load(path, Options{}, func(*snapshot.Reader) error { return nil })
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, path)
	_, err = Lock(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, path)
}

func TestDirectoryReadOnly(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root writes everywhere; TestFaultThatStays stands in")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	require.NoError(t, saveNumbered(OS{}, path, 1))
	require.NoError(t, os.Chmod(dir, 0o500))
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	require.ErrorIs(t, saveNumbered(OS{}, path, 2), os.ErrPermission)
	got, _ := loadNumbered(t, OS{}, path)
	require.EqualValues(t, 1, got)
}

// The directory goes away before any one operation: each Save fails, and works again when the directory is back.
func TestDirectoryGone(t *testing.T) {
	for at := 0; ; at++ {
		dir := filepath.Join(t.TempDir(), "dir")
		path := filepath.Join(dir, "state")
		require.NoError(t, os.Mkdir(dir, 0o700))
		require.NoError(t, saveNumbered(OS{}, path, 1))
		n, ops := at, 0
		err := saveNumbered(hookFS{OS{}, func(string, string) error {
			ops++
			if n--; n == -1 {
				return os.RemoveAll(dir)
			}
			return nil
		}}, path, 2)
		if ops <= at {
			require.NoError(t, err)
			return
		}
		require.ErrorIs(t, err, os.ErrNotExist, "before operation %d", at)
		require.ErrorIs(t, saveNumbered(OS{}, path, 3), os.ErrNotExist)
		require.NoError(t, os.Mkdir(dir, 0o700))
		require.NoError(t, saveNumbered(OS{}, path, 4))
	}
}

func TestFillFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	require.NoError(t, saveNumbered(OS{}, path, 1))
	mine := errors.New("mine")
	_, err := Save(path, snapshot.Header{}, func(*snapshot.Writer) error { return mine }, Options{})
	require.ErrorIs(t, err, mine)
	_, err = Save(path, snapshot.Header{}, func(w *snapshot.Writer) error {
		_ = w.Blocks().WriteTopic(&snapshot.Topic{PartitionCount: -1}) // ignored, but the snapshot.Writer does not forget
		return nil
	}, Options{})
	require.ErrorContains(t, err, "partition count")
	require.Panics(t, func() {
		_, _ = Save(path, snapshot.Header{}, func(*snapshot.Writer) error { panic("mine") }, Options{})
	})
	names, err := OS{}.Names(dir)
	require.NoError(t, err)
	require.Equal(t, []string{"state"}, names, "no temporary file stays, even after a panic")
	got, _ := loadNumbered(t, OS{}, path)
	require.EqualValues(t, 1, got)
}

func TestErrorOfSaveNamesTheStep(t *testing.T) {
	for op, want := range map[string]string{
		"create": "create temporary file", "write": "write snapshot", "sync": "sync ", "close": "close ",
		"syncdir": "may not survive a power loss", "rename state": "keep the snapshot before", "rename state.tmp-2": "put it in place",
	} {
		m := newMemFS()
		require.NoError(t, saveNumbered(m, "state", 1))
		err := saveNumbered(hookFS{m, func(o, name string) error {
			if o == op || o+" "+name == op {
				return fmt.Errorf("%s: %w", o, syscall.EIO)
			}
			return nil
		}}, "state", 2)
		require.ErrorContains(t, err, want)
		require.True(t, strings.HasPrefix(err.Error(), "save snapshot state: "), err)
	}
}
