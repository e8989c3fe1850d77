package snapshots_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

func commit(t *testing.T, db *storage.DB, group string) {
	t.Helper()
	require.NoError(t, db.SetEndOffset(t.Context(), "local", "orders", protocol.EndOffset{Offset: 120}))
	commit := protocol.Commit{Topic: "orders", Offset: 100, Order: 1, Timestamp: time.Now().UnixMilli()}
	require.NoError(t, db.Commit(t.Context(), "local", group, commit))
}

// openBreakable opens a store in which a commit of an unknown group panics: its filter has no expression.
func openBreakable(t *testing.T, path string) (*storage.DB, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	db, err := storage.Open(storage.Options{
		Clusters: []string{"local"}, SnapshotPath: path, SnapshotInterval: -1, Logger: zap.New(core), GroupDeny: new(regexp.Regexp),
	})
	require.NoError(t, err)
	return db, logs
}

func TestDamagedStateIsNotSaved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	db, logs := openBreakable(t, path)
	require.NoError(t, db.SetEndOffset(t.Context(), "local", "orders", protocol.EndOffset{Offset: 120}))
	require.NoError(t, db.Snapshot(t.Context()))
	before, err := os.ReadFile(path)
	require.NoError(t, err)

	require.Panics(t, func() { commit(t, db, "billing") })
	for range 3 {
		require.ErrorIs(t, db.Snapshot(t.Context()), storage.ErrDamaged)
	}
	require.ErrorIs(t, db.Export(t.Context(), io.Discard), storage.ErrDamaged)
	stats, err := db.Stats()
	require.NoError(t, err)
	require.True(t, stats.Damaged)
	require.EqualValues(t, 3, stats.Snapshots.Failed)
	require.Equal(t, 1, logs.FilterMessageSnippet("state damaged by a panic").Len())
	_, err = db.EndOffsets(t.Context(), "local", "orders", nil)
	require.NoError(t, err, "the state can still be read")
	require.ErrorIs(t, db.Close(), storage.ErrDamaged)

	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
	again := mustOpen(t, path)
	stats, err = again.Stats()
	require.NoError(t, err)
	require.False(t, stats.Damaged)
	require.Equal(t, 1, stats.Topics)
	require.NoError(t, again.Close())
}

// panicking is a writer of the application.
type panicking struct{ at int }

func (w *panicking) Write(b []byte) (int, error) {
	if w.at--; w.at < 0 {
		panic("disk on fire")
	}
	return len(b), nil
}

func TestForeignPanicDamagesNothing(t *testing.T) {
	db := mustOpen(t, filepath.Join(t.TempDir(), "state"))
	commit(t, db, "billing")
	for at := range 4 { // header, topic, group, end
		require.PanicsWithValue(t, "disk on fire", func() { _ = db.Export(t.Context(), &panicking{at}) })
	}
	var whole bytes.Buffer
	require.NoError(t, db.Export(t.Context(), &whole))
	stats, err := db.Stats()
	require.NoError(t, err)
	require.False(t, stats.Damaged)
	require.NoError(t, db.Snapshot(t.Context()))
	require.NoError(t, db.Close())
}
