package storage

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/protocol"
)

// TestMain fails the whole run if a test leaves a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// One record that the format has no room for is left out, counted and logged; what comes after it is written.
func TestLeavingOut(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.WarnLevel)
	large := strings.Repeat("x", 16<<20)
	var sink leavingOut
	sink.log(zap.New(core), "snapshot")
	require.Zero(t, logs.Len())
	w := snapshot.NewWriter(io.Discard, snapshot.Header{})
	sink.Sink = w
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

// TestStatsWhileASnapshotIsMade reads the statistics while a snapshot takes its time.
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

// Every reason of the engine has an error and a name of its own: one that is forgotten would look like success.
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
