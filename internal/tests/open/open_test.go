// Package open tests a store without viper, channel or application context.
package open_test

import (
	"errors"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/leaktest"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func fill(t *testing.T, store storage.Store) {
	t.Helper()
	require.NoError(t, store.SetEndOffset(t.Context(), "local", "orders", protocol.EndOffset{Offset: 120}))
	commit := protocol.Commit{Topic: "orders", Offset: 100, Timestamp: time.Now().UnixMilli()}
	require.NoError(t, store.Commit(t.Context(), "local", "billing", commit))
}

func lag(t *testing.T, store storage.Store) uint64 {
	t.Helper()
	var group protocol.Group
	require.NoError(t, store.Group(t.Context(), "local", "billing", &group))
	return group.Topics[0].Partitions[0].CurrentLag
}

func TestOpen(t *testing.T) {
	t.Parallel()
	db := testkit.OpenWith(t, storage.Options{Clusters: []string{"local"}})
	fill(t, db)
	require.EqualValues(t, 20, lag(t, db))
	stats, err := db.Stats()
	require.NoError(t, err)
	require.Equal(t, 1, stats.Groups)
	require.EqualValues(t, 1, stats.Requests.Commit.Done)
	require.ErrorIs(t, db.Snapshot(t.Context()), storage.ErrUnsupported)
}

func TestOptionsFaultsAreToldTogether(t *testing.T) {
	t.Parallel()
	options := storage.Options{
		Clusters: []string{"Prod", "prod"}, Intervals: 1001, Shards: 1025, CurveSegments: 129,
		ExpireGroup: -1, ExpireTopic: -time.Second, SweepInterval: -1, MinDistance: -1,
	}
	_, err := storage.Open(options)
	require.EqualError(t, err, `open store: invalid Intervals 1001: must be between 1 and 1000
invalid Shards 1025: must be between 1 and 1024
invalid CurveSegments 129: must be between 1 and 128
invalid ExpireGroup -1ns: must not be negative
invalid ExpireTopic -1s: must not be negative
invalid SweepInterval -1ns: must not be negative
invalid MinDistance -1ns: must not be negative
invalid Clusters: "Prod" and "prod" differ only in case`)
	require.Error(t, options.Validate())
	require.NoError(t, storage.Options{}.Validate())
	require.NoError(t, storage.Options{CurveSegments: -1, SnapshotInterval: -1}.Validate())
}

func TestFilters(t *testing.T) {
	t.Parallel()
	db := testkit.OpenWith(t, storage.Options{
		Clusters: []string{"local"}, GroupAllow: regexp.MustCompile("^b"), GroupDeny: regexp.MustCompile("g$"),
	})
	require.NoError(t, db.SetEndOffset(t.Context(), "local", "orders", protocol.EndOffset{Offset: 1}))
	for group, want := range map[string]error{"bill": nil, "bag": storage.ErrFiltered, "ship": storage.ErrFiltered} {
		commit := protocol.Commit{Topic: "orders", Timestamp: time.Now().UnixMilli()}
		require.ErrorIs(t, db.Commit(t.Context(), "local", group, commit), want, group)
	}
}

// After Close every call returns ErrStopped, and Close may be called again.
func TestClosed(t *testing.T) {
	t.Parallel()
	db := testkit.OpenWith(t, storage.Options{Clusters: []string{"local"}, SnapshotPath: filepath.Join(t.TempDir(), "lag")})
	fill(t, db)
	events, err := db.Watch(t.Context(), storage.WatchFilter{})
	require.NoError(t, err)
	require.NoError(t, db.Close())
	for range events {
		require.FailNow(t, "an event after Close")
	}
	require.NoError(t, db.Close())
	_, err = db.Clusters(t.Context())
	require.ErrorIs(t, err, storage.ErrStopped)
	_, err = db.Stats()
	require.ErrorIs(t, err, storage.ErrStopped)
	_, err = db.Watch(t.Context(), storage.WatchFilter{})
	require.ErrorIs(t, err, storage.ErrStopped)
	require.ErrorIs(t, db.Snapshot(t.Context()), storage.ErrStopped)
	require.ErrorIs(t, db.Export(t.Context(), nil), storage.ErrStopped)
	require.ErrorIs(t, db.Import(t.Context(), nil), storage.ErrStopped)
}

func TestOpenAgainFromSnapshot(t *testing.T) {
	t.Parallel()
	options := storage.Options{Clusters: []string{"local"}, SnapshotPath: filepath.Join(t.TempDir(), "lag"), SnapshotInterval: -1}
	db := testkit.OpenWith(t, options)
	fill(t, db)
	_, err := storage.Open(options)
	require.Error(t, err, "the path is locked")
	require.NoError(t, db.Close())
	db = testkit.OpenWith(t, options)
	require.Equal(t, 1, db.Restored().Groups)
	require.EqualValues(t, 20, lag(t, db))
}

// The Store of a Coordinator may be kept across Stop, Configure and Start, and a change of the module.
func TestKeptStore(t *testing.T) {
	t.Parallel()
	v := viper.New()
	v.Set("cluster.local.class-name", "kafka")
	v.Set("storage.one.class-name", "inmemory")
	c := &storage.Coordinator{App: &protocol.ApplicationContext{}, Viper: v}
	require.Nil(t, c.Store())
	c.Configure()
	store := c.Store()
	watcher := store.(storage.Watcher)
	persistent, err := c.Persistent()
	require.NoError(t, err)
	for range 3 {
		_, err := store.Clusters(t.Context())
		require.ErrorIs(t, err, storage.ErrStopped)
		require.NoError(t, c.Start())
		fill(t, store)
		require.EqualValues(t, 20, lag(t, store))
		stats, err := store.(storage.StatsSource).Stats()
		require.NoError(t, err)
		require.EqualValues(t, 1, stats.Requests.Commit.Done)
		events, err := watcher.Watch(t.Context(), storage.WatchFilter{})
		require.NoError(t, err)
		require.True(t, errors.Is(persistent.Snapshot(t.Context()), storage.ErrUnsupported))
		require.NoError(t, c.Stop())
		for range events {
			require.FailNow(t, "an event after Stop")
		}
		require.ErrorIs(t, store.ClearOwners(t.Context(), "local", "billing"), storage.ErrStopped)
		c.Configure()
	}
	require.NoError(t, c.Stop())
}
