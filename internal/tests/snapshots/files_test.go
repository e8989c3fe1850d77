// Package snapshots tests what a store does with its files, through the public API.
package snapshots_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/leaktest"
	"github.com/lagkeeper/storage/protocol"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func open(path string) (*storage.DB, error) {
	return storage.Open(storage.Options{Clusters: []string{"local"}, SnapshotPath: path, SnapshotInterval: -1})
}

func mustOpen(t *testing.T, path string) *storage.DB {
	t.Helper()
	db, err := open(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// change makes the next snapshot worth saving.
func change(t *testing.T, db *storage.DB, offset int64) {
	t.Helper()
	require.NoError(t, db.SetEndOffset(t.Context(), "local", "topic", protocol.EndOffset{Offset: offset}))
}

func newest(t *testing.T, db *storage.DB) int64 {
	t.Helper()
	ends, err := db.EndOffsets(t.Context(), "local", "topic", nil)
	require.NoError(t, err)
	return ends[0]
}

// Whoever can open the lock file can take the lock, and whoever can read a snapshot knows the groups: only the owner can open
// either, even if an older release left the lock open to all.
func TestFilesAreTheirOwnersAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lag")
	require.NoError(t, os.WriteFile(path+".lock", []byte("1 elsewhere and more\n"), 0o644))
	db := mustOpen(t, path)
	change(t, db, 1)
	require.NoError(t, db.Snapshot(t.Context()))
	change(t, db, 2)
	require.NoError(t, db.Close())
	for _, name := range []string{path, path + ".prev", path + ".lock"} {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode(), name)
	}
}

// A lock file that is a symbolic link or no regular file is refused, and the target of the link is not touched.
func TestLockFileThatIsNone(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(lock, target string) error{
		"hard link":    func(lock, target string) error { return os.Link(target, lock) },
		"link":         func(lock, target string) error { return os.Symlink(target, lock) },
		"dangling":     func(lock, target string) error { return os.Symlink(target+"-gone", lock) },
		"directory":    func(lock, _ string) error { return os.Mkdir(lock, 0o700) },
		"link to link": func(lock, target string) error { _ = os.Symlink(target, lock+"2"); return os.Symlink(lock+"2", lock) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			target := filepath.Join(dir, "precious")
			require.NoError(t, os.WriteFile(target, []byte("precious"), 0o600))
			require.NoError(t, make(filepath.Join(dir, "lag.lock"), target))
			_, err := open(filepath.Join(dir, "lag"))
			require.Error(t, err)
			text, err := os.ReadFile(target)
			require.NoError(t, err)
			require.Equal(t, "precious", string(text))
			require.NoFileExists(t, target+"-gone")
		})
	}
}

// A lock file of another user, who could hold its lock, is refused.
func TestLockFileOfAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	path := filepath.Join(t.TempDir(), "lag")
	require.NoError(t, os.WriteFile(path+".lock", nil, 0o600))
	require.NoError(t, os.Chown(path+".lock", 65534, 65534))
	_, err := open(path)
	require.ErrorContains(t, err, "belongs to user 65534")
}

// If the lock file is removed while a store runs, the store locks the path again at its next snapshot. If another store was
// faster, it saves nothing more and returns an error.
func TestLockFileRemoved(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lag")
	first := mustOpen(t, path)
	require.NoError(t, os.Remove(path+".lock"))
	change(t, first, 1)
	require.NoError(t, first.Snapshot(t.Context()))
	_, err := open(path)
	require.ErrorContains(t, err, "in use by process")

	require.NoError(t, os.Remove(path+".lock"))
	second := mustOpen(t, path)
	change(t, second, 20)
	require.NoError(t, second.Snapshot(t.Context()))
	change(t, first, 3)
	require.ErrorContains(t, first.Snapshot(t.Context()), "in use by process")
	require.ErrorContains(t, first.Close(), "in use by process")
	require.NoError(t, second.Close())
	require.EqualValues(t, 20, newest(t, mustOpen(t, path)))
}

// A lock file that was replaced by that of another process is not ours.
func TestLockFileReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lag")
	db := mustOpen(t, path)
	require.NoError(t, os.Rename(path+".lock", path+".moved"))
	require.NoError(t, os.WriteFile(path+".lock", nil, 0o600))
	change(t, db, 1)
	require.NoError(t, db.Snapshot(t.Context()))
	_, err := open(path)
	require.ErrorContains(t, err, "in use by process")
}

// A relative path and a symbolic link keep the meaning that they had at the start, and two names of one file have one lock.
func TestPathIsResolvedOnce(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	t.Chdir(dir)
	db, err := open("lag")
	require.NoError(t, err)
	change(t, db, 7)
	t.Chdir(elsewhere)
	require.NoError(t, db.Close())
	require.FileExists(t, filepath.Join(dir, "lag"))
	require.NoFileExists(t, filepath.Join(elsewhere, "lag"))

	require.NoError(t, os.Symlink(filepath.Join(dir, "lag"), filepath.Join(elsewhere, "file-link")))
	require.NoError(t, os.Symlink(dir, filepath.Join(elsewhere, "dir-link")))
	for _, name := range []string{"file-link", filepath.Join("dir-link", "lag"), filepath.Join("dir-link", "..", "file-link")} {
		if strings.Contains(name, "..") {
			continue // the parent of a link's target is another directory
		}
		db, err := open(filepath.Join(elsewhere, name))
		require.NoError(t, err)
		require.EqualValues(t, 7, newest(t, db))
		_, err = open(filepath.Join(dir, "lag"))
		require.ErrorContains(t, err, "in use by process", name)
		require.NoError(t, db.Close())
	}
	info, err := os.Lstat(filepath.Join(elsewhere, "file-link"))
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&os.ModeSymlink, "the link is a link still")

	require.NoError(t, os.Symlink("ring", filepath.Join(elsewhere, "ring")))
	_, err = open(filepath.Join(elsewhere, "ring"))
	require.Error(t, err)
	require.NoError(t, os.Symlink(filepath.Join(dir, "new"), filepath.Join(elsewhere, "to-be")))
	db, err = open(filepath.Join(elsewhere, "to-be"))
	require.NoError(t, err)
	change(t, db, 8)
	require.NoError(t, db.Close())
	require.FileExists(t, filepath.Join(dir, "new"))
}

// A name too long for the suffixes is refused before anything is stored that could not be saved.
func TestNameTooLong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := open(filepath.Join(dir, strings.Repeat("x", 255)))
	require.ErrorContains(t, err, "name is too long")
	_, err = open(filepath.Join(dir, strings.Repeat("x", 300)))
	require.Error(t, err)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
	longest := 0
	for n := 150; n < 256; n++ {
		db, err := open(filepath.Join(dir, strings.Repeat("y", n)))
		if err != nil {
			break
		}
		longest = n
		change(t, db, 1)
		require.NoError(t, db.Snapshot(t.Context()), n)
		change(t, db, 2)
		require.NoError(t, db.Close(), n)
	}
	require.GreaterOrEqual(t, longest, 180)
}

// Of the corrupt files only the newest few are kept.
func TestDamagedFilesAreFew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lag")
	for i := range int64(6) {
		require.NoError(t, os.WriteFile(fmt.Sprint(path, ".damaged-", 1_000+i), nil, 0o600))
		require.NoError(t, os.WriteFile(fmt.Sprint(path, ".prev.damaged-", 2_000+i), nil, 0o600))
	}
	require.NoError(t, os.WriteFile(path+".damaged-by-me", nil, 0o600))
	require.NoError(t, os.WriteFile(path, []byte("no snapshot"), 0o600))
	begun := time.Now().UnixMilli()
	db := mustOpen(t, path)
	require.Len(t, db.Restored().Damaged, 1)
	left, err := filepath.Glob(path + "*.damaged-*")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{
		path + ".damaged-by-me", db.Restored().Damaged[0].SetAside, path + ".prev.damaged-2005", path + ".prev.damaged-2004",
	}, left)
	require.GreaterOrEqual(t, db.Restored().Damaged[0].SetAside, fmt.Sprint(path, ".damaged-", begun))
}
