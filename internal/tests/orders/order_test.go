package orders_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// TestOrderZero sends the first record of a log again: after a restart, and as a backfill while a newer commit is stored.
func TestOrderZero(t *testing.T) {
	t.Run("restart", func(t *testing.T) {
		bubble(t, func(w *world) {
			w.end("topic", 1000)
			commits := []struct{ offset, order int64 }{{10, 0}, {500, 1}, {1000, 2}}
			for _, c := range commits {
				require.NoError(w, w.commit("group", "topic", 0, c.offset, c.order))
			}
			w.restart()
			w.end("topic", 1000)
			for _, c := range commits {
				require.ErrorIs(w, w.commit("group", "topic", 0, c.offset, c.order), storage.ErrDuplicate)
			}
			offsets, state := w.offsets("group", "topic", 0)
			require.Equal(w, []int64{10, 500, 1000}, offsets)
			require.Equal(w, protocol.PartitionCaughtUp, state)
		})
	})
	t.Run("backfill", func(t *testing.T) {
		bubble(t, func(w *world) {
			w.end("topic", 1000)
			require.NoError(w, w.commit("group", "topic", 0, 1000, 2))
			require.NoError(w, w.commit("group", "topic", 0, 10, 0))
			require.NoError(w, w.commit("group", "topic", 0, 500, 1))
			require.ErrorIs(w, w.commit("group", "topic", 0, 10, 0), storage.ErrDuplicate)
			offsets, _ := w.offsets("group", "topic", 0)
			require.Equal(w, []int64{10, 500, 1000}, offsets)
		})
	})
	t.Run("unset", func(t *testing.T) {
		bubble(t, func(w *world) {
			w.end("topic", 1000)
			for i := range int64(3) {
				require.NoError(w, w.commit("group", "topic", 0, i, 0), "a caller of v1.0.0 leaves the order unset")
				w.restart()
			}
			offsets, _ := w.offsets("group", "topic", 0)
			require.Equal(w, []int64{0, 1, 2}, offsets)
		})
	})
}

// TestKnownPerPartition has a group whose partitions come from different logs.
func TestKnownPerPartition(t *testing.T) {
	bubble(t, func(w *world) {
		w.end("topic", 1000)
		require.NoError(w, w.commit("group", "topic", 0, 10, 99_999))
		require.NoError(w, w.commit("group", "topic", 1, 10, 49))
		w.restart()
		require.ErrorIs(w, w.commit("group", "topic", 0, 10, 99_999), storage.ErrDuplicate)
		require.ErrorIs(w, w.commit("group", "topic", 1, 10, 49), storage.ErrDuplicate)
		for order := int64(50); order < 60; order++ {
			require.NoError(w, w.commit("group", "topic", 1, order, order))
		}
	})
}

// TestRebuiltCluster begins again with orders from 1 after orders from 1,000,000.
func TestRebuiltCluster(t *testing.T) {
	for name, cure := range map[string]func(w *world){
		"ForgetOrders": func(w *world) { require.NoError(w, w.db.ForgetOrders(w.Context(), testkit.Cluster)) },
		"ForgetOrders of its partition": func(w *world) {
			log := protocol.LogPartition{Partition: protocol.LogPartitionOf("group", 50), Count: 50}
			require.NoError(w, w.db.ForgetOrders(w.Context(), testkit.Cluster, log))
		},
		"DeleteGroup": func(w *world) { require.NoError(w, w.db.DeleteGroup(w.Context(), testkit.Cluster, "group")) },
		"SyncGroups":  func(w *world) { require.NoError(w, w.db.SyncGroups(w.Context(), testkit.Cluster, nil)) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.end("topic", 5000)
				for i := range int64(100) {
					require.NoError(w, w.commit("group", "topic", 0, i, 1_000_000+i))
				}
				w.restart()
				cure(w)
				for i := range int64(1000) {
					require.NoError(w, w.commit("group", "topic", 0, i, i+1))
					if i == 500 {
						w.restart()
					}
				}
				offsets, _ := w.offsets("group", "topic", 0)
				require.Equal(w, []int64{990, 991, 992, 993, 994, 995, 996, 997, 998, 999}, offsets)
				require.Zero(w, w.stats().StuckGroups)
			})
		})
	}
}

// TestForgetOrdersKeepsTheRest forgets the orders of one partition of the log, and no others.
func TestForgetOrdersKeepsTheRest(t *testing.T) {
	bubble(t, func(w *world) {
		ctx := w.Context()
		w.end("topic", 5000)
		other := "other"
		require.NotEqual(w, protocol.LogPartitionOf("group", 50), protocol.LogPartitionOf(other, 50))
		for _, group := range []string{"group", other} {
			require.NoError(w, w.commit(group, "topic", 0, 100, 700))
			require.NoError(w, w.commit(group, "topic", 0, 200, 800))
		}
		w.restart()
		log := protocol.LogPartition{Partition: protocol.LogPartitionOf("group", 50), Count: 50}
		require.NoError(w, w.db.ForgetOrders(ctx, testkit.Cluster, log))
		require.NoError(w, w.commit("group", "topic", 0, 300, 1))
		require.ErrorIs(w, w.commit(other, "topic", 0, 300, 1), storage.ErrDuplicate)
		offsets, _ := w.offsets("group", "topic", 0)
		require.Equal(w, []int64{100, 200, 300}, offsets, "windows stay")
		for want, bad := range map[string]protocol.LogPartition{
			"invalid number of log partitions 0: must be at least 1": {},
			"invalid log partition 50: must be between 0 and 49":     {Partition: 50, Count: 50},
			"invalid log partition -1: must be between 0 and 49":     {Partition: -1, Count: 50},
		} {
			err := w.db.ForgetOrders(ctx, testkit.Cluster, bad)
			require.ErrorIs(w, err, storage.ErrInvalid)
			require.EqualError(w, err, want)
		}
		require.ErrorIs(w, w.db.ForgetOrders(ctx, "unknown"), storage.ErrUnknownCluster)
	})
}

// TestStuckGroupIsTold counts and logs a group whose fresh commits are refused in a row, but not replays and second feeders.
func TestStuckGroupIsTold(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	bubble(t, func(w *world) {
		w.options.Logger = zap.New(core)
		w.restart()
		w.end("topic", 5000)
		for i := range int64(20) {
			require.NoError(w, w.commit("group", "topic", 0, i, 1000+i))
			require.ErrorIs(w, w.commit("group", "topic", 0, i, 1000+i), storage.ErrDuplicate, "a second feeder sends it too")
		}
		require.Zero(w, w.stats().StuckGroups)
		for i := range int64(25) {
			time.Sleep(time.Second)
			require.ErrorIs(w, w.commit("group", "topic", 0, i, i+1), storage.ErrBackfill)
			require.EqualValues(w, (i+1)/10-(i+1)/20, w.stats().StuckGroups, "once, at the tenth: %d", i)
		}
		require.Equal(w, 1, logs.FilterMessageSnippet("ForgetOrders").Len())
		require.NoError(w, w.db.ForgetOrders(w.Context(), testkit.Cluster))
		require.NoError(w, w.commit("group", "topic", 0, 1, 26))
	})
}
