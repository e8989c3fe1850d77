package watch_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// TestFollowImport imports into a running store: a replaced group is deleted and created, and the follower ends up with the
// state of the store.
func TestFollowImport(t *testing.T) {
	t.Parallel()
	s := testkit.Started(t, testkit.Config())
	ctx, store := context.Background(), s.Store()
	persistent, err := s.Module.(testkit.AsModule).Persistent()
	require.NoError(t, err)
	end := func(topics ...string) {
		for _, topic := range topics {
			require.NoError(t, store.SetEndOffset(ctx, "local", topic, protocol.EndOffset{TopicPartitionCount: 1, Offset: 100}))
		}
	}
	commit := func(group string, topics ...string) {
		for _, topic := range topics {
			require.NoError(t, store.Commit(ctx, "local", group, protocol.Commit{Topic: topic, Timestamp: time.Now().UnixMilli()}))
		}
	}
	end("a", "b")
	commit("replaced", "a", "b")
	commit("deleted", "a")
	var exported bytes.Buffer
	require.NoError(t, persistent.Export(ctx, &exported))

	require.NoError(t, store.DeleteTopic(ctx, "local", "b"))
	require.NoError(t, store.DeleteGroup(ctx, "local", "deleted"))
	end("c", "d")
	commit("replaced", "c")
	commit("kept", "d")
	w := watch(s, storage.WatchFilter{})
	follower := listed(t, store)
	require.NoError(t, persistent.Import(ctx, &exported))
	end("the last")
	for _, event := range w.until(func(e protocol.Event) bool { return e.Topic == "the last" }) {
		require.NoError(t, follower.apply(event))
	}
	lists := listed(t, store)
	requireSame(t, lists, follower, "follower")
	require.True(t, lists.groupTopics["local/replaced/b"])
	require.False(t, lists.groupTopics["local/replaced/c"])
}
