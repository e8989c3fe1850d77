package orders_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

func (w *world) replace(group string, commits ...protocol.Commit) error {
	return w.db.ReplaceCommits(w.Context(), testkit.Cluster, group, commits)
}

// TestReplacedAge lets a group be as old as the commits in its log, however late its committed offsets were fetched.
func TestReplacedAge(t *testing.T) {
	bubble(t, func(w *world) {
		w.end("topic", 100)
		w.end("other", 100)
		require.NoError(w, w.commit("group", "topic", 0, 50, -1))
		require.NoError(w, w.commit("group", "topic", 1, 50, -1))
		require.NoError(w, w.commit("group", "other", 0, 50, -1))
		old := time.Now().Add(-6 * 24 * time.Hour).UnixMilli()
		require.NoError(w, w.replace("group",
			protocol.Commit{Topic: "topic", Partition: 0, Offset: 40, Order: 1, Timestamp: old},
			protocol.Commit{Topic: "topic", Partition: 1, Offset: 40, Order: 2, Timestamp: old - 1000},
			protocol.Commit{Topic: "other", Partition: 0, Offset: 40, Order: 3, Timestamp: old - 2000}))
		var into protocol.Group
		require.NoError(w, w.db.Group(w.Context(), testkit.Cluster, "group", &into))
		require.Len(w, into.Topics, 2)
		time.Sleep(24*time.Hour - time.Second)
		require.NoError(w, w.db.Group(w.Context(), testkit.Cluster, "group", &into))
		time.Sleep(2 * time.Second)
		require.ErrorIs(w, w.db.Group(w.Context(), testkit.Cluster, "group", &into), storage.ErrUnknownGroup)
	})
}

// TestReplacingTellsNobody checks that there are no events for groups and topics, except for those without a commit
// afterwards.
func TestReplacingTellsNobody(t *testing.T) {
	bubble(t, func(w *world) {
		w.end("topic", 100)
		w.end("other", 100)
		require.NoError(w, w.commit("group", "topic", 0, 50, -1))
		require.NoError(w, w.commit("group", "other", 0, 50, -1))
		ctx, cancel := context.WithCancel(w.Context())
		defer cancel()
		events, err := w.db.Watch(ctx, storage.WatchFilter{})
		require.NoError(w, err)
		now := time.Now().UnixMilli()
		require.NoError(w, w.replace("group", protocol.Commit{Topic: "topic", Offset: 40, Order: 1, Timestamp: now}))
		require.Error(w, w.replace("group", protocol.Commit{Topic: "other", Offset: -1, Order: 1, Timestamp: now}))
		require.NoError(w, w.db.DeleteGroup(w.Context(), testkit.Cluster, "group"))
		var seen []protocol.EventKind
		for event := range events {
			if seen = append(seen, event.Kind); event.Kind == protocol.EventGroupDeleted {
				cancel()
			}
		}
		require.Equal(w, []protocol.EventKind{protocol.EventGroupTopicDeleted, protocol.EventGroupDeleted}, seen)
	})
}

// TestReplacingEndsWhatWasKnown takes commits that a snapshot, or a deletion, would have refused.
func TestReplacingEndsWhatWasKnown(t *testing.T) {
	bubble(t, func(w *world) {
		w.end("topic", 100)
		require.NoError(w, w.commit("restored", "topic", 0, 50, 9))
		require.NoError(w, w.commit("deleted", "topic", 0, 50, 9))
		require.NoError(w, w.db.DeleteGroup(w.Context(), testkit.Cluster, "deleted"))
		w.restart()
		for _, group := range []string{"restored", "deleted"} {
			require.ErrorIs(w, w.commit(group, "topic", 0, 30, 5), storage.ErrDuplicate, group)
			require.NoError(w, w.replace(group, protocol.Commit{Topic: "topic", Offset: 30, Order: 5, Timestamp: time.Now().UnixMilli()}), group)
			require.NoError(w, w.commit(group, "topic", 0, 31, 6), group)
		}
	})
}

// TestReplaceMany replaces more commits than a shard is held for at once, of a sparse topic too.
func TestReplaceMany(t *testing.T) {
	bubble(t, func(w *world) {
		var commits []protocol.Commit
		now := time.Now().UnixMilli()
		for i := range int32(300) {
			partition := i * 1000
			require.NoError(w, w.db.SetEndOffset(w.Context(), testkit.Cluster, "sparse", protocol.EndOffset{Partition: partition, Offset: 100}))
			require.NoError(w, w.commit("group", "sparse", partition, 50, -1))
			for order := range int64(3) {
				commits = append(commits, protocol.Commit{Topic: "sparse", Partition: partition, Offset: 10 * order, Order: order + 1, Timestamp: now})
			}
		}
		// Half of the partitions then have no commit.
		for i := range commits {
			if commits[i].Partition%2000 == 0 {
				commits[i].Offset = -1
			}
		}
		require.Error(w, w.replace("group", commits...))
		var into protocol.Group
		require.NoError(w, w.db.Group(w.Context(), testkit.Cluster, "group", &into))
		for partition, p := range into.Topics[0].Partitions {
			switch {
			case partition%2000 == 1000:
				require.Len(w, p.Commits, 3, partition)
				require.EqualValues(w, 20, p.Commits[2].Offset)
			default:
				require.Empty(w, p.Commits, partition)
			}
		}
	})
}
