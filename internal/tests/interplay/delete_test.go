package interplay_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// TestDeletedThenFirstRecord deletes a group because its log began anew, takes the first record of the new log, and restarts:
// the old orders are forgotten for good.
func TestDeletedThenFirstRecord(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.NoError(w, w.commit(0, 900, 1_000_000))
		require.NoError(w, w.db.DeleteGroup(w.Context(), testkit.Cluster, "group"))
		require.NoError(w, w.commit(0, 10, 0))
		w.restart()
		w.poll(1000)
		require.NoError(w, w.commit(0, 20, 1))
		require.NoError(w, w.commit(0, 30, 2))
		w.restart()
		w.poll(1000)
		require.NoError(w, w.commit(0, 40, 3))
		require.EqualValues(w, 960, w.look(0).CurrentLag)
	})
}

// TestDeletedGroupStaysDeleted replays what was before a deletion, after one restart and after two.
func TestDeletedGroupStaysDeleted(t *testing.T) {
	bubble(t, nil, func(w *world) {
		for order := int64(1); order <= 3; order++ {
			require.NoError(w, w.commit(0, 10*order, order))
		}
		require.NoError(w, w.commit(1, 10, 7))
		require.NoError(w, w.db.DeleteGroup(w.Context(), testkit.Cluster, "group"))
		for range 3 {
			w.restart()
			w.poll(1000)
			for order := int64(0); order <= 3; order++ {
				require.ErrorIs(w, w.commit(0, 10*order, order), storage.ErrDuplicate)
			}
			w.gone()
		}
		w.db.ReplayDone()
		require.NoError(w, w.commit(0, 10, 1))
		w.restart()
		w.poll(1000)
		require.ErrorIs(w, w.commit(1, 10, 7), storage.ErrDuplicate, "the other partition is still remembered as deleted")
		require.NoError(w, w.commit(0, 20, 2))
	})
}

// TestLastPartitionStaysDeleted removes the last partition, and with it the group, and replays.
func TestLastPartitionStaysDeleted(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.NoError(w, w.commit(0, 10, 5))
		require.NoError(w, w.commit(1, 10, 6))
		remove := func(partition int32, order int64) error {
			return w.db.DeletePartition(w.Context(), testkit.Cluster, "group", "topic", partition, order)
		}
		require.ErrorIs(w, remove(0, 5), storage.ErrDuplicate)
		require.NoError(w, remove(0, 7))
		require.Equal(w, protocol.PartitionNoCommit, w.look(0).State)
		require.NoError(w, remove(1, 8))
		w.gone()
		w.restart()
		w.poll(1000)
		require.ErrorIs(w, w.commit(0, 10, 5), storage.ErrDuplicate)
		require.ErrorIs(w, w.commit(1, 10, 6), storage.ErrDuplicate)
		require.ErrorIs(w, remove(0, 7), storage.ErrUnknownGroup)
		w.gone()
		require.NoError(w, w.commit(0, 20, 9))
		require.ErrorIs(w, remove(0, 7), storage.ErrDuplicate)
		require.Equal(w, []int64{20, 9}, w.window(0))
	})
}

// TestForgetOrdersForgetsDeleted deletes, calls ForgetOrders, and restarts.
func TestForgetOrdersForgetsDeleted(t *testing.T) {
	bubble(t, nil, func(w *world) {
		require.NoError(w, w.commit(0, 10, 1_000_000))
		require.NoError(w, w.db.DeleteGroup(w.Context(), testkit.Cluster, "group"))
		require.NoError(w, w.db.ForgetOrders(w.Context(), testkit.Cluster, protocol.LogPartition{
			Partition: protocol.LogPartitionOf("group", 3), Count: 3,
		}))
		w.restart()
		w.poll(1000)
		require.NoError(w, w.commit(0, 20, 1))
	})
}
