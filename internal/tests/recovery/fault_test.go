package recovery_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zapcore"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/snapfile"
	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// smallSnapshot leaves a small snapshot at a path, and an earlier one, and returns what the store held at each.
func smallSnapshot(t *testing.T, path string) (previous, newest string) {
	t.Helper()
	k := startKeeper(t, path, "intervals", 3)
	k.ReplayDone()
	now := time.Now().UnixMilli()
	require.NoError(t, k.do(testkit.EndOf("topic", 0, 2, 100)))
	require.NoError(t, k.do(testkit.CommitOf("group", "topic", 0, 60, 1, now)))
	k.save()
	previous = strings.Join(k.exported(true), "\n")
	require.NoError(t, k.do(testkit.CommitOf("group", "topic", 0, 70, 2, now+1)))
	k.save()
	newest = strings.Join(k.exported(true), "\n")
	require.NoError(t, k.Stop())
	return previous, newest
}

// errorsLogged returns the messages that were logged as errors.
func (k *keeper) errorsLogged() (messages []string) {
	for _, entry := range k.logs.FilterLevelExact(zapcore.ErrorLevel).All() {
		messages = append(messages, entry.Message)
	}
	return messages
}

// TestStartWhereNothingCanBeKept returns an error that names the path, and leaves nothing running: TestMain would find a
// goroutine.
func TestStartWhereNothingCanBeKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "directory"), 0o700))
	for name, path := range map[string]string{
		"the directory is missing":  filepath.Join(dir, "missing", "state"),
		"the directory is a file":   filepath.Join(dir, "file", "state"),
		"the path is a directory":   filepath.Join(dir, "directory"),
		"the lock is a directory's": dir + string(filepath.Separator),
	} {
		k := newKeeper(t, path)
		err := k.Start()
		require.Error(t, err, name)
		require.ErrorContains(t, err, path, name)
		_, err = k.Store().Clusters(context.Background())
		require.ErrorIs(t, err, storage.ErrStopped, name)
		require.NoError(t, k.Stop(), name)
	}
}

// TestSecondStore refuses a path that another store uses, in this process or in another one, until that ends.
func TestSecondStore(t *testing.T) {
	t.Parallel()
	path := snapshotPath(t)
	first := startKeeper(t, path)
	second := newKeeper(t, path)
	err := second.Start()
	require.ErrorIs(t, err, snapfile.ErrLocked)
	require.ErrorContains(t, err, path)
	require.NoError(t, first.Stop())
	require.NoError(t, second.Start(), "a store that failed to start may start later")
	require.NoError(t, second.Stop())

	cmd, out, stdin := child(t, "hold", path)
	line, err := out.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "started\n", line)
	third := newKeeper(t, path)
	err = third.Start()
	var locked *snapfile.LockedError
	require.ErrorAs(t, err, &locked)
	if locked.PID != 0 {
		require.Equal(t, cmd.Process.Pid, locked.PID, "the error names the holder")
	}
	require.NoError(t, stdin.Close())
	_, err = io.Copy(io.Discard, out)
	require.NoError(t, err)
	require.NoError(t, cmd.Wait())
	require.NoError(t, third.Start())
}

// TestSnapshotOfTheFuture is neither loaded nor touched.
func TestSnapshotOfTheFuture(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{"", ".prev"} {
		path := snapshotPath(t)
		smallSnapshot(t, path)
		held, err := os.ReadFile(path + suffix)
		require.NoError(t, err)
		binary.LittleEndian.PutUint16(held[8:], snapshot.Version+1)
		binary.LittleEndian.PutUint32(held[12:], crc32.Checksum(held[:12], crc32.MakeTable(crc32.Castagnoli)))
		require.NoError(t, os.WriteFile(path+suffix, held, 0o600))

		k := newKeeper(t, path)
		err = k.Start()
		var version *snapshot.VersionError
		require.ErrorAs(t, err, &version)
		require.Equal(t, snapshot.VersionError{Version: snapshot.Version + 1, Known: snapshot.Version}, *version)
		after, err := os.ReadFile(path + suffix)
		require.NoError(t, err)
		require.Equal(t, held, after)
		require.NoError(t, os.Remove(path+suffix))
		require.NoError(t, k.Start(), "with the file moved away, Start succeeds")
	}
}

// TestDamagedSnapshot loads the previous snapshot if the newest is corrupt, and none if both are.
func TestDamagedSnapshot(t *testing.T) {
	t.Parallel()
	path := snapshotPath(t)
	previous, _ := smallSnapshot(t, path)
	damage := func(name string) {
		held, err := os.ReadFile(name)
		require.NoError(t, err)
		held[len(held)/2] ^= 0x10
		require.NoError(t, os.WriteFile(name, held, 0o600))
	}
	damage(path)
	k := startKeeper(t, path, "intervals", 3)
	require.Equal(t, previous, strings.Join(k.exported(true), "\n"))
	restored := k.Restored()
	require.Equal(t, path+".prev", restored.File)
	require.NotZero(t, restored.Watermark)
	require.Len(t, restored.Damaged, 1)
	require.Equal(t, path, restored.Damaged[0].File)
	require.FileExists(t, restored.Damaged[0].SetAside)
	var corrupt *snapshot.CorruptError
	require.ErrorAs(t, restored.Damaged[0].Err, &corrupt)
	require.Positive(t, corrupt.Offset)
	require.Equal(t, []string{"corrupt snapshot"}, k.errorsLogged())
	require.NoError(t, k.Stop())

	// Only the previous one existed, and nothing changed.
	damage(path + ".prev")
	k = startKeeper(t, path, "intervals", 3)
	require.Empty(t, k.exported(true))
	restored = k.Restored()
	require.Empty(t, restored.File)
	require.Zero(t, restored.Watermark)
	require.Len(t, restored.Damaged, 1)
	require.NoError(t, k.do(testkit.EndOf("new", 0, 1, 100)))
	require.NoError(t, k.Stop())
	k = startKeeper(t, path, "intervals", 3)
	require.Equal(t, []string{"new"}, k.names(protocol.StorageFetchTopics, "local", ""))
	aside, err := filepath.Glob(path + "*.damaged-*")
	require.NoError(t, err)
	require.Len(t, aside, 2, "the corrupt files are kept")
}

// TestEveryBit flips every single bit of a small snapshot: Start never panics and never loads anything but what was saved.
func TestEveryBit(t *testing.T) {
	t.Parallel()
	path := snapshotPath(t)
	previous, newest := smallSnapshot(t, path)
	sound, err := os.ReadFile(path)
	require.NoError(t, err)
	before, err := os.ReadFile(path + ".prev")
	require.NoError(t, err)
	step := 1
	if testing.Short() {
		step = 17
	}
	dir := t.TempDir()
	for bit := 0; bit < len(sound)*8; bit += step {
		at := filepath.Join(dir, "state")
		flipped := bytes.Clone(sound)
		flipped[bit/8] ^= 1 << (bit % 8)
		require.NoError(t, os.WriteFile(at, flipped, 0o600))
		require.NoError(t, os.WriteFile(at+".prev", before, 0o600))
		m := storage.InMemoryStorage{App: &protocol.ApplicationContext{}, Viper: testkit.Configuration(testkit.Config("snapshot-path", at, "workers", 1))}
		k := &keeper{InMemoryStorage: &m, Persistent: m.Store().(storage.Persistent), t: t, path: at}
		m.Configure("test", "storage.test")
		err := m.Start()
		var version *snapshot.VersionError
		if errors.As(err, &version) {
			continue
		}
		require.NoError(t, err, "bit %d", bit)
		got, restored := strings.Join(k.exported(true), "\n"), k.Restored()
		if restored.File == at {
			require.Equal(t, newest, got, "bit %d", bit)
		} else {
			require.Equal(t, previous, got, "bit %d", bit)
			require.Len(t, restored.Damaged, 1, "bit %d", bit)
			require.NoError(t, os.Remove(restored.Damaged[0].SetAside))
		}
		require.NoError(t, m.Stop())
	}
}

// TestDirectoryGone removes the directory of a running store: the store keeps working, logs the failure, and saves again once
// the directory is back.
func TestDirectoryGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "data", "state")
		require.NoError(t, os.Mkdir(filepath.Dir(path), 0o700))
		k := startKeeper(t, path, "snapshot-interval", 60)
		require.NoError(t, k.do(testkit.EndOf("topic", 0, 1, 100)))
		k.save()
		require.NoError(t, os.RemoveAll(filepath.Dir(path)))
		require.NoError(t, k.do(testkit.EndOf("topic", 0, 1, 110)))
		require.ErrorIs(t, k.Snapshot(t.Context()), fs.ErrNotExist)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.EqualValues(t, 3, k.stats().Snapshots.Failed)
		require.EqualValues(t, 1, k.stats().Snapshots.Saved)
		require.Equal(t, []string{"snapshot failed", "snapshot failed", "snapshot failed"}, k.errorsLogged())
		require.Equal(t, []int64{110}, k.ask(protocol.StorageFetchTopic, "local", "", "topic"))

		require.NoError(t, os.Mkdir(filepath.Dir(path), 0o700))
		time.Sleep(time.Minute)
		synctest.Wait()
		require.EqualValues(t, 2, k.stats().Snapshots.Saved)
		require.FileExists(t, path)

		require.NoError(t, os.RemoveAll(filepath.Dir(path)))
		require.NoError(t, k.do(testkit.EndOf("topic", 0, 1, 120)))
		require.ErrorIs(t, k.Stop(), fs.ErrNotExist, "Stop says that the last snapshot failed")
		_, err := k.Store().Clusters(context.Background())
		require.ErrorIs(t, err, storage.ErrStopped, "and has stopped all the same")
	})
}
