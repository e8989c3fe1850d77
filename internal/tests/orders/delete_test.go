package orders_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// TestDeletedStaysAway replays the commits of what was deleted before the restart.
func TestDeletedStaysAway(t *testing.T) {
	for name, remove := range map[string]func(w *world) error{
		"DeleteGroup":      func(w *world) error { return w.db.DeleteGroup(w.Context(), testkit.Cluster, "group") },
		"DeleteGroupTopic": func(w *world) error { return w.db.DeleteGroupTopic(w.Context(), testkit.Cluster, "group", "topic") },
		"SyncGroups":       func(w *world) error { return w.db.SyncGroups(w.Context(), testkit.Cluster, []string{"other"}) },
		"DeletePartition": func(w *world) error {
			return w.db.DeletePartition(w.Context(), testkit.Cluster, "group", "topic", 0, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.end("topic", 1000)
				at := time.Now().UnixMilli()
				require.NoError(w, w.commit("group", "topic", 0, 10, 7))
				require.NoError(w, remove(w))
				require.Equal(w, 1, w.stats().RememberedDeletions)
				for range 2 {
					w.restart()
					require.ErrorIs(w, w.commitAt("group", "topic", 0, 10, 7, at), storage.ErrDuplicate)
					require.Empty(w, w.groups())
				}
				w.db.ReplayDone()
				require.NoError(w, w.commit("group", "topic", 0, 10, 3), "after the replay any order is taken")
				require.Zero(w, w.stats().RememberedDeletions, "a returned group is not remembered as deleted")
				w.restart()
				require.NoError(w, w.commit("group", "topic", 0, 11, 4))
			})
		})
	}
}

// TestDeletionsAreForgotten waits until the deleted commits are too old to be taken.
func TestDeletionsAreForgotten(t *testing.T) {
	bubble(t, func(w *world) {
		w.options.ExpireGroup = time.Hour
		w.restart()
		w.end("topic", 1000)
		require.NoError(w, w.commit("group", "topic", 0, 10, 7))
		require.NoError(w, w.db.DeleteGroup(w.Context(), testkit.Cluster, "group"))
		time.Sleep(59 * time.Minute)
		require.Equal(w, 1, w.stats().RememberedDeletions)
		time.Sleep(3 * time.Minute)
		require.Zero(w, w.stats().RememberedDeletions)
	})
}

// TestDeletionsNeedASnapshot checks that deletions are not remembered if nothing would be restored.
func TestDeletionsNeedASnapshot(t *testing.T) {
	db := testkit.Open(t, nil)
	w := &world{T: t, db: db}
	w.end("topic", 1000)
	require.NoError(w, w.commit("group", "topic", 0, 10, 7))
	require.NoError(w, db.DeleteGroup(w.Context(), testkit.Cluster, "group"))
	require.Zero(w, w.stats().RememberedDeletions)
}

// TestDeletePartition removes partitions from a group by tombstones.
func TestDeletePartition(t *testing.T) {
	bubble(t, func(w *world) {
		ctx := w.Context()
		w.end("topic", 1000)
		w.end("second", 1000)
		for partition := range int32(2) {
			require.NoError(w, w.commit("group", "topic", partition, 10, 5))
		}
		require.NoError(w, w.commit("group", "second", 1, 10, 6))
		remove := func(topic string, partition int32, order int64) error {
			return w.db.DeletePartition(ctx, testkit.Cluster, "group", topic, partition, order)
		}
		require.ErrorIs(w, remove("topic", 0, 5), storage.ErrDuplicate, "the commit is as new as the tombstone")
		require.ErrorIs(w, remove("topic", 0, 4), storage.ErrDuplicate)
		require.ErrorIs(w, remove("topic", 2, 0), storage.ErrUnknownPartition)
		require.ErrorIs(w, remove("second", 0, 0), storage.ErrUnknownPartition)
		require.ErrorIs(w, remove("topic", -1, 0), storage.ErrInvalid)
		require.ErrorIs(w, remove("third", 0, 0), storage.ErrUnknownTopic)
		require.ErrorIs(w, w.db.DeletePartition(ctx, testkit.Cluster, "none", "topic", 0, 0), storage.ErrUnknownGroup)
		require.ErrorIs(w, w.db.DeletePartition(ctx, "unknown", "group", "topic", 0, 0), storage.ErrUnknownCluster)
		require.NoError(w, remove("topic", 0, 6))
		offsets, state := w.offsets("group", "topic", 0)
		require.Empty(w, offsets)
		require.Equal(w, protocol.PartitionNoCommit, state)
		offsets, _ = w.offsets("group", "topic", 1)
		require.Equal(w, []int64{10}, offsets, "indexes stay")
		require.NoError(w, w.commit("group", "topic", 0, 20, 1), "a deletion forgets the known orders")
		require.NoError(w, remove("topic", 0, 0))
		require.NoError(w, remove("topic", 1, 0))
		var into protocol.Group
		require.NoError(w, w.db.Group(ctx, testkit.Cluster, "group", &into))
		require.Len(w, into.Topics, 1, "a topic goes with its last partition")
		require.NoError(w, remove("second", 1, 100))
		require.Empty(w, w.groups(), "a group goes with its last topic")
		w.restart()
		require.Empty(w, w.groups())
	})
}

// TestSync deletes what is not in a complete list.
func TestSync(t *testing.T) {
	bubble(t, func(w *world) {
		ctx := w.Context()
		for _, name := range []string{"a", "b", "c"} {
			w.end(name, 1000)
			require.NoError(w, w.commit(name, name, 0, 10, 1))
			require.NoError(w, w.commit(name, "a", 0, 10, 1+10))
		}
		require.NoError(w, w.db.SyncTopics(ctx, testkit.Cluster, []string{"a", "c", "unknown"}))
		require.Equal(w, []string{"a", "c"}, w.topics())
		require.Equal(w, []string{"a", "b", "c"}, w.groups())
		require.NoError(w, w.db.SyncGroups(ctx, testkit.Cluster, []string{"b", "unknown"}))
		require.Equal(w, []string{"b"}, w.groups())
		require.NoError(w, w.db.SyncTopics(ctx, testkit.Cluster, nil))
		require.Empty(w, w.topics())
		require.Empty(w, w.groups())
		require.ErrorIs(w, w.db.SyncTopics(ctx, "unknown", nil), storage.ErrUnknownCluster)
		require.ErrorIs(w, w.db.SyncGroups(ctx, "unknown", nil), storage.ErrUnknownCluster)
	})
}
