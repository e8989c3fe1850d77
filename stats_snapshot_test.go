package storage

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/protocol"
)

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
