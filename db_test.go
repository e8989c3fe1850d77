package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/lagkeeper/storage/internal/clock"
	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/internal/leaktest"
	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/protocol"
)

// TestMain fails if a test leaves a goroutine behind.
func TestMain(m *testing.M) { leaktest.Main(m) }

// A record that is too large for the format is left out, counted and logged; the records after it are written.
func TestLeavingOut(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.WarnLevel)
	large := strings.Repeat("x", 16<<20)
	var sink leavingOut
	sink.log(zap.New(core), "snapshot")
	require.Zero(t, logs.Len())
	w := snapshot.NewWriter(io.Discard, snapshot.Header{})
	sink.Output = w.Blocks()
	require.NoError(t, sink.WriteTopic(&snapshot.Topic{Name: large}))
	require.NoError(t, sink.WriteGroup(&snapshot.Group{Name: "before"}))
	require.NoError(t, sink.WriteGroup(&snapshot.Group{Name: large}))
	require.NoError(t, sink.WriteGroup(&snapshot.Group{Name: "after"}))
	summary, err := w.Close()
	require.NoError(t, err)
	require.EqualValues(t, 2, summary.Groups)
	require.Equal(t, 2, sink.count)
	sink.log(zap.New(core), "snapshot")
	require.Equal(t, 1, logs.Len())
	require.EqualValues(t, 2, logs.All()[0].ContextMap()["records"])
	require.Less(t, len(logs.All()[0].ContextMap()["first"].(string)), 200)

	broken := errors.New("disk is full")
	require.ErrorIs(t, (&leavingOut{}).note(broken), broken)
}

// TestStatsWhileASnapshotIsMade reads the statistics while a snapshot is being written.
func TestStatsWhileASnapshotIsMade(t *testing.T) {
	t.Parallel()
	db, err := Open(Options{Clusters: []string{"local"}, SnapshotPath: filepath.Join(t.TempDir(), "snapshot")})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	snapshots := func() SnapshotStats {
		stats, err := db.Stats()
		require.NoError(t, err)
		return stats.Snapshots
	}
	require.Zero(t, snapshots())
	require.NoError(t, db.SetEndOffset(t.Context(), "local", "topic", protocol.EndOffset{}))
	require.NoError(t, db.Snapshot(t.Context()))

	p := db.persistence()
	p.mu.Lock() // as save holds it
	stats := snapshots()
	p.mu.Unlock()
	require.EqualValues(t, 1, stats.Saved)
	require.Positive(t, stats.Bytes)
	require.False(t, stats.Last.IsZero())
}

// Every reason of the engine has an error and a name of its own: a reason without one would look like success.
func TestEveryReasonHasAnError(t *testing.T) {
	t.Parallel()
	seen := make(map[Reason]bool)
	for why := 1; why < engine.Reasons; why++ {
		err := errorOf(engine.Reason(why))
		require.Error(t, err, engine.Reason(why))
		reason := ReasonOf(err)
		require.NotEmpty(t, reason)
		require.False(t, seen[reason], reason)
		seen[reason] = true
	}
}

// restorable saves a store with some groups and returns the options to open it with.
func restorable(t *testing.T) Options {
	t.Helper()
	options := Options{Clusters: []string{"local"}, SnapshotPath: filepath.Join(t.TempDir(), "lag"), SnapshotInterval: -1}
	db, err := Open(options)
	require.NoError(t, err)
	require.NoError(t, db.SetEndOffset(t.Context(), "local", "topic", protocol.EndOffset{Offset: 9}))
	for i := range 10 {
		commit := protocol.Commit{Topic: "topic", Offset: 1, Timestamp: time.Now().UnixMilli()}
		require.NoError(t, db.Commit(t.Context(), "local", fmt.Sprint("group", i), commit))
	}
	require.NoError(t, db.Close())
	return options
}

// Stop during a restore ends it and leaves the path unlocked for the next store.
func TestStopEndsARestore(t *testing.T) {
	t.Parallel()
	options := restorable(t)
	db := new(DB)
	ctx, cancel := context.WithCancelCause(t.Context())
	db.opening.Store(&cancel)
	clock := clock.Start()
	defer clock.Stop()
	with := options.withDefaults()
	_, err := openPersistence(ctx, &with, func() *engine.Engine {
		config := with.engine(clock, &db.hub)
		config.Accept = func(string) bool {
			db.cancelOpen()
			return true
		}
		return engine.New(config)
	})
	require.ErrorIs(t, err, ErrStopped)

	again, err := Open(options)
	require.NoError(t, err)
	require.Equal(t, 10, again.Restored().Groups)
	require.NoError(t, again.Close())
}

// OpenContext ends if its context is done, and leaves nothing behind.
func TestOpenContext(t *testing.T) {
	t.Parallel()
	options := restorable(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := OpenContext(ctx, options)
	require.ErrorIs(t, err, context.Canceled)
	db, err := OpenContext(t.Context(), options)
	require.NoError(t, err)
	require.Equal(t, 10, db.Restored().Groups)
	require.NoError(t, db.Close())
}

// If damage is found during a restore, watchers get events for the removal of everything that was restored before.
func TestDamageInTheMiddleOfARestore(t *testing.T) {
	t.Parallel()
	options := restorable(t)
	held, err := os.ReadFile(options.SnapshotPath)
	require.NoError(t, err)
	// The names of the groups are in the block before the footer.
	at := bytes.LastIndex(held, []byte("group9"))
	require.Positive(t, at)
	damaged := bytes.Clone(held)
	damaged[at] ^= 1
	require.NoError(t, os.WriteFile(options.SnapshotPath, damaged, 0o600))

	db := new(DB)
	events, err := db.Watch(t.Context(), WatchFilter{})
	require.NoError(t, err)
	require.NoError(t, db.open(t.Context(), options))
	require.Len(t, db.Restored().Damaged, 1)
	require.Empty(t, db.Restored().File)
	topics, err := db.Topics(t.Context(), "local")
	require.NoError(t, err)
	require.Empty(t, slices.Collect(topics), "nothing is loaded by half")
	require.NoError(t, db.Close())
	known := make(map[string]bool)
	for event := range events {
		switch event.Kind {
		case protocol.EventTopicCreated:
			known[event.Topic] = true
		case protocol.EventTopicDeleted:
			delete(known, event.Topic)
		}
	}
	require.Empty(t, known)
}

func TestRestoringIsLogged(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	restoring(zap.New(core), "lag")(3, 10)
	require.Equal(t, []zap.Field{zap.String("snapshot", "lag"), zap.Uint64("groups", 3), zap.Uint64("of", 10)}, logs.All()[0].Context)
}
