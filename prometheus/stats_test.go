package prometheus_test

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	lagprom "github.com/lagkeeper/storage/prometheus"
)

// counted is a Source with given statistics.
type counted struct {
	stats storage.Stats
	err   error
	store storage.Store
}

func (c *counted) Stats() (storage.Stats, error) { return c.stats, c.err }
func (c *counted) Store() storage.Store          { return c.store }

// clustersOnly is a Store that can only show that it runs.
type clustersOnly struct {
	storage.Store
	err error
}

func (c *clustersOnly) Clusters(context.Context) ([]string, error) { return nil, c.err }

func TestStatistics(t *testing.T) {
	source := &counted{store: &clustersOnly{}, stats: storage.Stats{
		Clusters: 2, Groups: 3, GroupTopics: 4, GroupPartitions: 20, Topics: 5, Partitions: 30, Bytes: 123456,
		Sweeps: 7, ExpiredGroups: 8, ExpiredTopics: 9, SweptTopics: 21, RememberedDeletions: 22, StuckGroups: 23,
		Watchers: storage.WatcherStats{Now: 24, UnreadEvents: 25, UnreadBytes: 26, Missed: 27, Refused: 28}, LostLines: 29, Damaged: true,
		Relay: storage.RelayStats{
			QueuedRequests: 10, QueuedAnswers: 11, WaitingReplies: 12, AbandonedReplies: 13, Panics: 10,
			TimedOutReplies: 7, EvictedReplies: 4, WaitingBytes: 30, RefusedAnswers: 31, StuckCalls: 32,
			NilRequests: 15, NilReplies: 16, UnknownTypes: 17, ClosedReplies: 20,
		},
		Panics: 4,
		Snapshots: storage.SnapshotStats{
			Saved: 18, Failed: 19, Last: time.UnixMilli(1_700_000_000_500), Duration: 1500 * time.Millisecond, Bytes: 20, LeftOut: 33,
		},
	}}
	source.stats.Requests.Commit = storage.RequestCount{
		Done: 100, Dropped: map[storage.Reason]uint64{storage.ReasonTooOld: 1, storage.ReasonBackfill: 2, "mine": 7},
	}
	source.stats.Requests.FetchClusters.Done = 5
	collector, registry := newCollector(t, source, lagprom.Options{})
	golden(t, registry, "stats.prom", "lagstore_")
	lint(t, registry)

	source.stats.Snapshots = storage.SnapshotStats{Failed: 1}
	_, ok := value(t, registry, "lagstore_last_snapshot_size_bytes", nil)
	assert.False(t, ok, "there is no snapshot")
	source.err = storage.ErrUnsupported
	assert.Equal(t, 1, testutil.CollectAndCount(collector), "a module without statistics")
	source.store = nil
	running, ok := value(t, registry, "lagstore_running", nil)
	assert.True(t, ok)
	assert.Zero(t, running)
}

// What a store has to do with its servers is exported if it has any.
func TestRemoteStatistics(t *testing.T) {
	source := &counted{store: &clustersOnly{}}
	_, registry := newCollector(t, source, lagprom.Options{})
	_, ok := value(t, registry, "lagstore_remote_calls", nil)
	assert.False(t, ok, "in memory")
	source.stats.Remote = storage.RemoteStats{
		Calls: 1, MostCalls: 100, HeldBuckets: 2, RoundTrips: 3, Connections: 4, Conflicts: 5, Retries: 6, Unavailable: 7,
		EarlierStates: 8, ReplicaReads: 9, ReplicaMisses: 10,
	}
	limit, _ := value(t, registry, "lagstore_remote_calls_limit", nil)
	assert.EqualValues(t, 100, limit)
	for i, name := range []string{
		"calls", "held_buckets", "round_trips_total", "connections_total", "conflicts_total", "retries_total", "unavailable_total",
		"earlier_states_total", "replica_reads_total", "replica_misses_total",
	} {
		got, ok := value(t, registry, "lagstore_remote_"+name, nil)
		assert.True(t, ok, name)
		assert.EqualValues(t, i+1, got, name)
	}
}

func TestOptionsAreValidated(t *testing.T) {
	_, err := lagprom.New(&counted{}, lagprom.Options{
		Prefix:      "9lives",
		ConstLabels: map[string]string{"group": "x", "no name": "y"},
		Lags:        &lagprom.LagOptions{By: 2, MaxSeries: -1, MaxBytes: -2},
	})
	require.Error(t, err)
	for _, fault := range []string{`"9lives"`, `"group"`, `"no name"`, "Lags.By 2", "Lags.MaxSeries -1", "Lags.MaxBytes -2"} {
		assert.Contains(t, err.Error(), fault)
	}
	assert.NoError(t, lagprom.Options{Lags: &lagprom.LagOptions{}}.Validate())
	assert.Equal(t, "per topic", lagprom.PerTopic.String())
}

// A store without a Coordinator is a source too, with statistics if it has any.
func TestOfAStore(t *testing.T) {
	db, err := storage.Open(storage.Options{Clusters: []string{cluster}})
	require.NoError(t, err)
	_, registry := newCollector(t, lagprom.Of(db), lagprom.Options{Lags: &lagprom.LagOptions{}})
	running, _ := value(t, registry, "lagstore_running", nil)
	assert.EqualValues(t, 1, running)
	groups, ok := value(t, registry, "lagstore_groups", nil)
	assert.True(t, ok)
	assert.Zero(t, groups)
	require.NoError(t, db.Close())
	running, ok = value(t, registry, "lagstore_running", nil)
	assert.True(t, ok)
	assert.Zero(t, running)

	_, registry = newCollector(t, lagprom.Of(&clustersOnly{}), lagprom.Options{})
	_, ok = value(t, registry, "lagstore_groups", nil)
	assert.False(t, ok, "a module without statistics")
}
