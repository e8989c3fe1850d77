package storage

import (
	"path/filepath"
	"testing"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// TestStatsWhileASnapshotIsMade reads the statistics while a snapshot takes its time.
func TestStatsWhileASnapshotIsMade(t *testing.T) {
	t.Parallel()
	v := viper.New()
	v.Set("storage.test.snapshot-path", filepath.Join(t.TempDir(), "snapshot"))
	v.Set("cluster.local.class-name", "kafka")
	m := &InMemoryStorage{App: &protocol.ApplicationContext{}, Viper: v}
	m.Configure("test", "storage.test")
	require.NoError(t, m.Start())
	defer func() { require.NoError(t, m.Stop()) }()
	require.Zero(t, m.Stats().Snapshots)
	require.NoError(t, m.Store().SetEndOffset(t.Context(), "local", "topic", protocol.EndOffset{}))
	require.NoError(t, m.Snapshot(t.Context()))

	p := m.persistence.Load()
	p.mu.Lock() // as save holds it
	stats := m.Stats().Snapshots
	p.mu.Unlock()
	require.EqualValues(t, 1, stats.Saved)
	require.Positive(t, stats.Bytes)
	require.False(t, stats.Last.IsZero())
}
