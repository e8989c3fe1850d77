// Package interplay_test combines rules of the store that other tests check one by one.
package interplay_test

import (
	"path/filepath"
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

// world is a store with a snapshot in a bubble, whose clock moves only when the test sleeps.
type world struct {
	*testing.T
	options storage.Options
	db      *storage.DB
}

// bubble runs a test with a store that has the end offset 1000 on the partitions 0 and 1 of "topic".
func bubble(t *testing.T, change func(*storage.Options), test func(w *world)) {
	t.Helper()
	t.Parallel()
	path := filepath.Join(t.TempDir(), "snapshot")
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, options: storage.Options{Clusters: []string{testkit.Cluster}, SnapshotPath: path}}
		if change != nil {
			change(&w.options)
		}
		w.open()
		defer func() { require.NoError(t, w.db.Close()) }()
		w.poll(1000)
		test(w)
	})
}

func (w *world) open() {
	w.Helper()
	db, err := storage.Open(w.options)
	require.NoError(w, err)
	w.db = db
}

// restart closes the store and opens it again.
func (w *world) restart() {
	w.Helper()
	require.NoError(w, w.db.Close())
	w.open()
}

// poll stores an end offset for the partitions 0 and 1 of "topic".
func (w *world) poll(offset int64) {
	w.Helper()
	for partition := range int32(2) {
		require.NoError(w, w.db.SetEndOffset(w.Context(), testkit.Cluster, "topic", protocol.EndOffset{
			Partition: partition, TopicPartitionCount: 2, Offset: offset, Timestamp: time.Now().UnixMilli(),
		}))
	}
}

// commit stores a commit of "group" that is dated now.
func (w *world) commit(partition int32, offset, order int64) error {
	return w.commitAt(partition, offset, order, time.Now())
}

func (w *world) commitAt(partition int32, offset, order int64, at time.Time) error {
	return w.db.Commit(w.Context(), testkit.Cluster, "group", protocol.Commit{
		Topic: "topic", Partition: partition, Offset: offset, Order: order, Timestamp: at.UnixMilli(),
	})
}

// look returns a partition of "group".
func (w *world) look(partition int) protocol.GroupPartition {
	w.Helper()
	var into protocol.Group
	require.NoError(w, w.db.Group(w.Context(), testkit.Cluster, "group", &into))
	require.Len(w, into.Topics, 1)
	require.Greater(w, len(into.Topics[0].Partitions), partition)
	return into.Topics[0].Partitions[partition]
}

// window returns the offsets and orders of the commits of a partition of "group", alternating.
func (w *world) window(partition int) (all []int64) {
	w.Helper()
	for _, c := range w.look(partition).Commits {
		all = append(all, c.Offset, c.Order)
	}
	return all
}

// gone checks that there is no group.
func (w *world) gone() {
	w.Helper()
	var into protocol.Group
	require.ErrorIs(w, w.db.Group(w.Context(), testkit.Cluster, "group", &into), storage.ErrUnknownGroup)
}
