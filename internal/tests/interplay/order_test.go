package interplay_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// TestOrderZeroOfNewPartition lets the first record of a log arrive late for a partition that is not in the snapshot, in a
// group that is: the known orders of one partition do not apply to another.
func TestOrderZeroOfNewPartition(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.NoError(w, w.commit(0, 10, 100))
		w.restart()
		w.poll(1000)
		require.NoError(w, w.commit(1, 500, 1))
		require.NoError(w, w.commit(1, 10, 0))
		require.Equal(w, []int64{10, 0, 500, 1}, w.window(1))
		require.EqualValues(w, 500, w.look(1).CurrentLag)
		require.ErrorIs(w, w.commit(0, 5, 0), storage.ErrDuplicate)
	})
}

// TestOrderZeroAfterDeletePartition does so for a partition that was removed from the group.
func TestOrderZeroAfterDeletePartition(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.NoError(w, w.commit(0, 10, 100))
		require.NoError(w, w.commit(1, 10, 100))
		w.restart()
		w.poll(1000)
		require.NoError(w, w.db.DeletePartition(w.Context(), testkit.Cluster, "group", "topic", 1, 0))
		require.NoError(w, w.commit(1, 500, 1))
		require.NoError(w, w.commit(1, 10, 0))
		require.Equal(w, []int64{10, 0, 500, 1}, w.window(1))
	})
}

// TestOrderZeroOfOwnedPartition does so for a partition of which the snapshot has only the owner.
func TestOrderZeroOfOwnedPartition(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.NoError(w, w.db.SetOwner(w.Context(), testkit.Cluster, "group", protocol.PartitionOwner{Topic: "topic", Owner: "host"}))
		w.restart()
		w.poll(1000)
		require.NoError(w, w.commit(0, 500, 1))
		require.NoError(w, w.commit(0, 10, 0))
		require.Equal(w, []int64{10, 0, 500, 1}, w.window(0))
	})
}

// TestOrderZeroOfOneInterval keeps only one commit.
func TestOrderZeroOfOneInterval(t *testing.T) {
	bubble(t, func(o *storage.Options) { o.Intervals = 1 }, func(w *world) {
		require.NoError(w, w.commit(0, 10, 0))
		require.NoError(w, w.commit(0, 500, 1))
		require.ErrorIs(w, w.commit(0, 10, 0), storage.ErrBackfill)
		require.Equal(w, []int64{500, 1}, w.window(0))
		w.restart()
		w.poll(1000)
		require.Error(w, w.commit(0, 10, 0))
		require.Equal(w, []int64{500, 1}, w.window(0))
	})
}

// TestOrderZeroTooClose merges a commit that comes too soon after the first record of a log, and refuses it when it comes
// again.
func TestOrderZeroTooClose(t *testing.T) {
	bubble(t, func(o *storage.Options) { o.MinDistance = 10 * time.Second }, func(w *world) {
		at := time.Now()
		require.NoError(w, w.commitAt(0, 10, 0, at))
		require.NoError(w, w.commitAt(0, 500, 1, at.Add(time.Second)))
		require.Equal(w, []int64{500, 1}, w.window(0))
		w.restart()
		w.poll(1000)
		require.ErrorIs(w, w.commitAt(0, 10, 0, at), storage.ErrDuplicate)
		require.ErrorIs(w, w.commitAt(0, 500, 1, at.Add(time.Second)), storage.ErrDuplicate)
		require.Equal(w, []int64{500, 1}, w.window(0))
		require.Equal(w, protocol.PartitionBehind, w.look(0).State)
	})
}

// TestReplayFromTheFirstRecord restarts after a log began anew.
func TestReplayFromTheFirstRecord(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.NoError(w, w.commit(0, 900, 1_000_000))
		require.NoError(w, w.db.ForgetOrders(w.Context(), testkit.Cluster))
		for order := range int64(3) {
			require.NoError(w, w.commit(0, 10*order, order))
		}
		require.Equal(w, []int64{900, 0, 0, 0, 10, 1, 20, 2}, w.window(0))
		for range 2 {
			w.restart()
			w.poll(1000)
			for order := range int64(3) {
				require.ErrorIs(w, w.commit(0, 10*order, order), storage.ErrDuplicate)
			}
			require.Equal(w, []int64{900, 0, 0, 0, 10, 1, 20, 2}, w.window(0))
		}
	})
}

// TestForgetThenRestart restarts before the first commit of the new order.
func TestForgetThenRestart(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.NoError(w, w.commit(0, 900, 1_000_000))
		require.NoError(w, w.commit(1, 900, 7))
		require.NoError(w, w.db.ForgetOrders(w.Context(), testkit.Cluster))
		w.restart()
		w.poll(1000)
		for order := range int64(3) {
			require.NoError(w, w.commit(0, 10*order, order))
			require.NoError(w, w.commit(1, 10*order, order))
		}
		require.Equal(w, protocol.PartitionBehind, w.look(0).State)
		require.EqualValues(w, 980, w.look(0).CurrentLag)
		require.EqualValues(w, 980, w.look(1).CurrentLag)
	})
}

// TestForgetOneLogPartition forgets the orders of one partition of the log only, and their positions.
func TestForgetOneLogPartition(t *testing.T) {
	bubble(t, nil, func(w *world) {
		of := protocol.LogPartitionOf("group", 50)
		require.NoError(w, w.db.SetPosition(w.Context(), testkit.Cluster, protocol.Position{Partition: of, Offset: 5}))
		require.NoError(w, w.db.SetPosition(w.Context(), testkit.Cluster, protocol.Position{Partition: (of + 1) % 50, Offset: 6}))
		require.NoError(w, w.commit(0, 900, 1_000_000))
		require.NoError(w, w.db.ForgetOrders(w.Context(), testkit.Cluster, protocol.LogPartition{Partition: (of + 2) % 50, Count: 50}))
		require.Error(w, w.commit(0, 0, 1_000_000))
		require.NoError(w, w.db.ForgetOrders(w.Context(), testkit.Cluster, protocol.LogPartition{Partition: of, Count: 50}))
		require.NoError(w, w.commit(0, 500, 1))
		w.restart()
		positions, err := w.db.Positions(w.Context(), testkit.Cluster)
		require.NoError(w, err)
		require.Equal(w, []protocol.Position{{Partition: (of + 1) % 50, Offset: 6}}, positions)
		require.ErrorIs(w, w.commit(0, 500, 1), storage.ErrDuplicate)
		require.NoError(w, w.commit(0, 510, 2))
	})
}

// TestImportOverLiveGroup imports an older state of an existing group: the known orders are those of the import.
func TestImportOverLiveGroup(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.NoError(w, w.commit(0, 10, 100))
		require.NoError(w, w.commit(1, 10, 5))
		var lines bytes.Buffer
		require.NoError(w, w.db.Export(w.Context(), &lines))
		require.NoError(w, w.commit(0, 20, 200))
		require.NoError(w, w.commit(1, 20, 300))
		require.NoError(w, w.db.Import(w.Context(), &lines))
		require.Equal(w, []int64{10, 100}, w.window(0))
		require.ErrorIs(w, w.commit(0, 10, 100), storage.ErrDuplicate)
		require.ErrorIs(w, w.commit(1, 10, 4), storage.ErrDuplicate)
		require.NoError(w, w.commit(0, 20, 200))
		require.NoError(w, w.commit(1, 15, 6))
		require.NoError(w, w.commit(1, 20, 300))
		require.Equal(w, []int64{10, 5, 15, 6, 20, 300}, w.window(1))
	})
}

// TestKnownMovesWithItsPartition lets a restored group gain topics and partitions, and lose some.
func TestKnownMovesWithItsPartition(t *testing.T) {
	bubble(t, nil, func(w *world) {
		for _, topic := range []string{"a", "b", "c"} {
			for p := range int32(300) {
				require.NoError(w, w.db.SetEndOffset(w.Context(), testkit.Cluster, topic, protocol.EndOffset{Partition: p, Offset: 1000}))
			}
		}
		commit := func(topic string, partition int32, order int64) error {
			return w.db.Commit(w.Context(), testkit.Cluster, "group", protocol.Commit{
				Topic: topic, Partition: partition, Offset: 1, Order: order, Timestamp: time.Now().UnixMilli(),
			})
		}
		require.NoError(w, commit("a", 1, 100))
		require.NoError(w, commit("b", 1, 50))
		require.NoError(w, commit("c", 1, 9))
		w.restart()
		require.NoError(w, commit("a", 299, 1))
		require.NoError(w, w.db.DeleteGroupTopic(w.Context(), testkit.Cluster, "group", "b"))
		require.NoError(w, commit("c", 290, 1))
		require.NoError(w, commit("b", 1, 3))
		require.NoError(w, commit("a", 1, 200))
		require.NoError(w, commit("c", 1, 200))
		require.ErrorIs(w, commit("a", 1, 99), storage.ErrDuplicate)
		require.ErrorIs(w, commit("c", 1, 8), storage.ErrDuplicate)
		require.NoError(w, commit("c", 1, 10))
		require.NoError(w, commit("a", 1, 101))
		require.NoError(w, commit("c", 290, 0))
	})
}
