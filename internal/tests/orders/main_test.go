package orders_test

import (
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/leaktest"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// world is a store in a bubble that can be restarted from its snapshot.
type world struct {
	*testing.T
	db      *storage.DB
	options storage.Options
}

// bubble runs a test with a store of one shard that keeps a snapshot.
func bubble(t *testing.T, test func(w *world)) {
	t.Helper()
	t.Parallel()
	path := filepath.Join(t.TempDir(), "snapshot")
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, options: storage.Options{
			Clusters: []string{testkit.Cluster}, SnapshotPath: path, SnapshotInterval: -1, Shards: 1,
		}}
		w.open()
		defer func() { require.NoError(t, w.db.Close()) }()
		test(w)
	})
}

func (w *world) open() {
	w.Helper()
	var err error
	w.db, err = storage.Open(w.options)
	require.NoError(w, err)
}

func (w *world) restart() {
	w.Helper()
	require.NoError(w, w.db.Close())
	w.open()
}

// end polls an end offset of a topic of two partitions.
func (w *world) end(topic string, offset int64) {
	w.Helper()
	for partition := range int32(2) {
		require.NoError(w, w.db.SetEndOffset(w.Context(), testkit.Cluster, topic, protocol.EndOffset{
			Partition: partition, TopicPartitionCount: 2, Offset: offset,
		}))
	}
}

// commit sends a commit of now and returns what the store said.
func (w *world) commit(group, topic string, partition int32, offset, order int64) error {
	w.Helper()
	return w.commitAt(group, topic, partition, offset, order, time.Now().UnixMilli())
}

func (w *world) commitAt(group, topic string, partition int32, offset, order, at int64) error {
	w.Helper()
	return w.db.Commit(w.Context(), testkit.Cluster, group, protocol.Commit{
		Topic: topic, Partition: partition, Offset: offset, Order: order, Timestamp: at,
	})
}

// offsets returns the offsets in the window of a partition of a group, and its state.
func (w *world) offsets(group, topic string, partition int) ([]int64, protocol.PartitionState) {
	w.Helper()
	var into protocol.Group
	require.NoError(w, w.db.Group(w.Context(), testkit.Cluster, group, &into))
	for _, t := range into.Topics {
		if t.Name == topic {
			var offsets []int64
			for _, c := range t.Partitions[partition].Commits {
				offsets = append(offsets, c.Offset)
			}
			return offsets, t.Partitions[partition].State
		}
	}
	require.FailNow(w, "the group has no such topic", topic)
	return nil, protocol.PartitionNoCommit
}

func (w *world) groups() []string {
	w.Helper()
	names, err := w.db.Groups(w.Context(), testkit.Cluster)
	require.NoError(w, err)
	return slices.Sorted(names)
}

func (w *world) topics() []string {
	w.Helper()
	names, err := w.db.Topics(w.Context(), testkit.Cluster)
	require.NoError(w, err)
	return slices.Sorted(names)
}

func (w *world) stats() storage.Stats {
	w.Helper()
	stats, err := w.db.Stats()
	require.NoError(w, err)
	return stats
}
