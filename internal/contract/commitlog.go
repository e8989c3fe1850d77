package contract

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// exerciseCommitLog covers the calls of an application that reads the commit log, which have no request on the channel.
func exerciseCommitLog(t *testing.T, factory Factory) {
	ctx := context.Background()
	typed := func(name string, run func(w *world)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(newWorld(t, factory, worldConfig, wayNamed("typed")))
		})
	}
	remove := func(w *world, group, topic string, partition int32, order int64) error {
		return w.store.DeletePartition(ctx, "local", group, topic, partition, order)
	}

	typed("a tombstone takes one partition out", func(w *world) {
		w.end("topic", 0, 2, 100)
		w.end("topic", 1, 2, 100)
		w.end("other", 0, 1, 100)
		w.commit("group", "topic", 0, 10, 5, 0)
		w.commit("group", "topic", 1, 20, 6, 0)
		w.commit("group", "other", 0, 30, 7, 0)
		require.NoError(w.t, remove(w, "group", "topic", 0, 10))
		require.Empty(w.t, w.partition("group", "topic", 0).Offsets)
		require.NotEmpty(w.t, w.partition("group", "topic", 1).Offsets)
		require.NoError(w.t, remove(w, "group", "topic", 1, 11))
		w.groupsOf("topic")
		w.groups("group")
		require.NoError(w.t, remove(w, "group", "other", 0, 12))
		w.groups()
		w.topics("other", "topic")
	})
	typed("a tombstone removes nothing that is newer", func(w *world) {
		w.end("topic", 0, 1, 100)
		w.commit("group", "topic", 0, 10, 20, 0)
		before := w.state()
		require.ErrorIs(w.t, remove(w, "group", "topic", 0, 10), storage.ErrDuplicate)
		require.Equal(w.t, before, w.state())
		require.NoError(w.t, remove(w, "group", "topic", 0, 0), "order 0 removes the partition whatever it has")
		w.groups()
	})
	typed("a tombstone of what is not there", func(w *world) {
		w.end("topic", 0, 2, 100)
		w.commit("group", "topic", 0, 10, 5, 0)
		before := w.state()
		require.ErrorIs(w.t, remove(w, "nobody", "topic", 0, 9), storage.ErrUnknownGroup)
		require.ErrorIs(w.t, remove(w, "group", "nothing", 0, 9), storage.ErrUnknownTopic)
		require.ErrorIs(w.t, remove(w, "group", "topic", 1, 9), storage.ErrUnknownPartition)
		require.ErrorIs(w.t, remove(w, "group", "topic", -1, 9), storage.ErrInvalid)
		require.ErrorIs(w.t, w.store.DeletePartition(ctx, "nowhere", "group", "topic", 0, 9), storage.ErrUnknownCluster)
		require.Equal(w.t, before, w.state())
	})
	typed("a partition that was taken out may come back", func(w *world) {
		w.end("topic", 0, 1, 100)
		w.commit("group", "topic", 0, 10, 5, 0)
		require.NoError(w.t, remove(w, "group", "topic", 0, 10))
		w.commit("group", "topic", 0, 40, 11, 1000)
		w.window("group", "topic", "nil nil 40/11/60@1000")
	})
	typed("complete lists", func(w *world) {
		for i := range 3 {
			topic := fmt.Sprint("topic", i)
			w.end(topic, 0, 1, 100)
			w.commit(fmt.Sprint("group", i), topic, 0, 10, 5, 0)
			w.commit("all", topic, 0, 10, 5, 0)
		}
		require.NoError(w.t, w.store.SyncTopics(ctx, "local", []string{"topic1", "topic2", "never seen"}))
		w.topics("topic1", "topic2")
		w.groups("all", "group1", "group2")
		require.NoError(w.t, w.store.SyncGroups(ctx, "local", []string{"group2"}))
		w.groups("group2")
		w.topics("topic1", "topic2")
		require.NoError(w.t, w.store.SyncGroups(ctx, "local", nil))
		w.groups()
		require.NoError(w.t, w.store.SyncTopics(ctx, "local", nil))
		w.topics()
	})
	typed("orders that begin anew", func(w *world) {
		w.end("topic", 0, 1, 100)
		for i := range int64(3) {
			w.commit("group", "topic", 0, 10+i, 1_000_000+i, i)
		}
		w.drops(storage.ErrBackfill, w.commitOf("group", "topic", 0, 50, 1, 1000))
		require.NoError(w.t, w.store.ForgetOrders(ctx, "local"))
		require.Equal(w.t, []int64{10, 11, 12}, w.offsets("group", "topic"), "windows stay")
		w.commit("group", "topic", 0, 50, 1, 1000)
		w.commit("group", "topic", 0, 60, 2, 2000)
		require.Equal(w.t, []int64{12, 50, 60}, w.offsets("group", "topic"))
		require.EqualValues(w.t, 40, w.partition("group", "topic", 0).CurrentLag)
		require.ErrorIs(w.t, w.store.ForgetOrders(ctx, "local", protocol.LogPartition{Partition: 50, Count: 50}), storage.ErrInvalid)
	})
	typed("positions", func(w *world) {
		at := func() []protocol.Position {
			positions, err := w.store.Positions(ctx, "local")
			require.NoError(w.t, err)
			return positions
		}
		require.Empty(w.t, at())
		require.NoError(w.t, w.store.SetPosition(ctx, "local", protocol.Position{Partition: 7, Offset: 100}))
		require.NoError(w.t, w.store.SetPosition(ctx, "local", protocol.Position{Partition: 2, Offset: 0}))
		require.Equal(w.t, []protocol.Position{{Partition: 2, Offset: 0}, {Partition: 7, Offset: 100}}, at())
		require.NoError(w.t, w.store.SetPosition(ctx, "local", protocol.Position{Partition: 7, Offset: 90}))
		require.Equal(w.t, []protocol.Position{{Partition: 2, Offset: 0}, {Partition: 7, Offset: 90}}, at())
		for _, bad := range []protocol.Position{{Partition: -1, Offset: 1}, {Partition: 1, Offset: -1}} {
			require.ErrorIs(w.t, w.store.SetPosition(ctx, "local", bad), storage.ErrInvalid)
		}
		require.Len(w.t, at(), 2)
	})
}

// offsets returns the offsets in the window of a group on partition 0 of a topic.
func (w *world) offsets(group, topic string) (offsets []int64) {
	w.t.Helper()
	for _, commit := range w.partition(group, topic, 0).Offsets {
		if commit != nil {
			offsets = append(offsets, commit.Offset)
		}
	}
	return offsets
}
