package contract

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// exerciseTyped covers what only the typed API has. What it shares with the channel is covered by the other tests, each of
// which runs over it too.
func exerciseTyped(t *testing.T, factory Factory) {
	ctx := context.Background()
	// typed runs a test in a world with the typed API, and skips it if the module has none.
	typed := func(name string, run func(t *testing.T, w *world)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, factory, worldConfig, wayNamed("typed"))
			populate(w)
			run(t, w)
		})
	}

	typed("after Stop everything is ErrStopped", func(t *testing.T, w *world) {
		stop(t, w.module)
		for name, call := range calls(w.store) {
			require.ErrorIs(t, call(ctx), storage.ErrStopped, name)
		}
	})
	typed("a context that is done stops a call before it begins", func(t *testing.T, w *world) {
		before := w.state()
		done, cancel := context.WithCancel(ctx)
		cancel()
		for name, call := range calls(w.store) {
			require.ErrorIs(t, call(done), context.Canceled, name)
		}
		require.Equal(t, before, w.state())
	})
	typed("lists are as they were at the call", func(t *testing.T, w *world) {
		groups, err := w.store.Groups(ctx, "local")
		require.NoError(t, err)
		topics, err := w.store.Topics(ctx, "local")
		require.NoError(t, err)
		holders, err := w.store.GroupsOfTopic(ctx, "local", "topic")
		require.NoError(t, err)
		w.end("later", 0, 1, 100)
		w.commit("later", "topic", 0, 10, 1, 0)
		w.sets(request(protocol.StorageSetDeleteGroup, "local", "other", ""))
		require.ElementsMatch(t, []string{"group", "other"}, slices.Collect(groups))
		require.ElementsMatch(t, []string{"topic"}, slices.Collect(topics))
		require.ElementsMatch(t, []string{"group", "other"}, slices.Collect(holders))
	})
	typed("lists can be left early and read again", func(t *testing.T, w *world) {
		for i := range 100 {
			w.commit(fmt.Sprint("group", i), "topic", 0, 10, 1, 0)
		}
		groups, err := w.store.Groups(ctx, "local")
		require.NoError(t, err)
		var first []string
		for name := range groups {
			if first = append(first, name); len(first) == 7 {
				break
			}
		}
		require.Len(t, first, 7)
	})
	typed("a Group is filled again and again", func(t *testing.T, w *world) {
		w.end("wide", 9, 10, 100)
		for partition := range int32(10) {
			w.end("wide", partition, 10, 100)
			w.commit("wide", "wide", partition, int64(partition), 1, 0)
			w.commit("wide", "topic", 1, int64(partition), int64(partition)+1, int64(partition))
		}
		want := map[string]string{}
		for _, group := range []string{"group", "other", "wide"} {
			want[group] = text(w.do(request(protocol.StorageFetchConsumer, "local", group, "")), true)
		}
		var into protocol.Group
		for range 3 {
			for _, group := range []string{"group", "wide", "other", "wide", "group"} {
				require.NoError(t, w.store.Group(ctx, "local", group, &into))
				got := answer{value: consumerTopics(&into, 3), replied: true}
				require.Equal(t, want[group], text(got, true), group)
			}
			require.ErrorIs(t, w.store.Group(ctx, "local", "unknown", &into), storage.ErrUnknownGroup)
			require.Empty(t, into.Topics)
		}
	})
	typed("two Groups share nothing", func(t *testing.T, w *world) {
		var one, two protocol.Group
		require.NoError(t, w.store.Group(ctx, "local", "group", &one))
		want := text(answer{value: consumerTopics(&one, 3), replied: true}, true)
		require.NoError(t, w.store.Group(ctx, "local", "other", &two))
		for _, topic := range two.Topics {
			for i := range topic.Partitions {
				topic.Partitions[i] = protocol.GroupPartition{Owner: "spoilt"}
			}
		}
		w.commit("group", "topic", 0, 99, 99, 99_000)
		require.Equal(t, want, text(answer{value: consumerTopics(&one, 3), replied: true}, true))
	})
	typed("what Fetch answers is settled when it returns", func(t *testing.T, w *world) {
		for _, r := range fetches() {
			want := text(w.do(r), true)
			build, err := w.store.Fetch(ctx, &r)
			require.NoError(t, err)
			w.end("topic", 0, 9, 900)
			w.end("new"+want, 0, 1, 1)
			w.commit("new"+want, "topic", 0, 10, 1, 0)
			w.commit("group", "topic", 0, 90, 90+int64(r.RequestType), 9000)
			require.Equal(t, want, text(answer{value: build(), replied: true}, true), describe(&r))
		}
	})
	typed("Fetch takes fetches only", func(t *testing.T, w *world) {
		before := w.state()
		for kind := range protocol.StorageRequestConstant(protocol.StorageRequestTypes + 1) {
			r := request(kind, "local", "group", "topic")
			if !isFetch(&r) {
				_, err := w.store.Fetch(ctx, &r)
				require.Error(t, err, kind)
			}
		}
		require.Equal(t, before, w.state())
	})
	typed("EndOffsets appends", func(t *testing.T, w *world) {
		room := make([]int64, 1, 16)
		room[0] = 7
		got, err := w.store.EndOffsets(ctx, "local", "topic", room)
		require.NoError(t, err)
		require.Equal(t, []int64{7, 200, 300}, got)
		got, err = w.store.EndOffsets(ctx, "local", "unknown", got[:1])
		require.ErrorIs(t, err, storage.ErrUnknownTopic)
		require.Equal(t, []int64{7}, got)
	})
	typed("a batch stores what is sound", exerciseBatch)
	typed("owners are replaced as a whole", exerciseSetOwners)
	typed("commits are replaced at once", exerciseReplace)
	typed("a lag in time can be older than the store", exerciseSeed)
}

// calls are all methods of a store, each called with valid arguments.
func calls(s storage.Backend) map[string]func(context.Context) error {
	end := protocol.EndOffset{TopicPartitionCount: 1, Offset: 1}
	commit := protocol.Commit{Topic: "topic", Offset: 1}
	owner := protocol.PartitionOwner{Topic: "topic", Owner: "host"}
	return map[string]func(context.Context) error{
		"SetEndOffset": func(ctx context.Context) error { return s.SetEndOffset(ctx, "local", "topic", end) },
		"SetEndOffsetBatch": func(ctx context.Context) error {
			return s.SetEndOffsetBatch(ctx, "local", "topic", []protocol.EndOffset{end})
		},
		"SeedEndOffsets": func(ctx context.Context) error { return s.SeedEndOffsets(ctx, "local", "topic", 0, nil) },
		"Commit":         func(ctx context.Context) error { return s.Commit(ctx, "local", "group", commit) },
		"CommitBatch": func(ctx context.Context) error {
			return s.CommitBatch(ctx, "local", "group", []protocol.Commit{commit})
		},
		"ReplaceCommits": func(ctx context.Context) error {
			return s.ReplaceCommits(ctx, "local", "group", []protocol.Commit{commit})
		},
		"SetOwner": func(ctx context.Context) error { return s.SetOwner(ctx, "local", "group", owner) },
		"SetOwners": func(ctx context.Context) error {
			return s.SetOwners(ctx, "local", "group", []protocol.PartitionOwner{owner})
		},
		"ClearOwners": func(ctx context.Context) error { return s.ClearOwners(ctx, "local", "group") },
		"DeleteTopic": func(ctx context.Context) error { return s.DeleteTopic(ctx, "local", "topic") },
		"DeleteGroup": func(ctx context.Context) error { return s.DeleteGroup(ctx, "local", "group") },
		"DeleteGroupTopic": func(ctx context.Context) error {
			return s.DeleteGroupTopic(ctx, "local", "group", "topic")
		},
		"DeletePartition": func(ctx context.Context) error {
			return s.DeletePartition(ctx, "local", "group", "topic", 0, 0)
		},
		"SyncTopics":   func(ctx context.Context) error { return s.SyncTopics(ctx, "local", nil) },
		"SyncGroups":   func(ctx context.Context) error { return s.SyncGroups(ctx, "local", nil) },
		"ForgetOrders": func(ctx context.Context) error { return s.ForgetOrders(ctx, "local") },
		"SetPosition": func(ctx context.Context) error {
			return s.SetPosition(ctx, "local", protocol.Position{Partition: 1, Offset: 1})
		},
		"Positions": func(ctx context.Context) error { _, err := s.Positions(ctx, "local"); return err },
		"Clusters":  func(ctx context.Context) error { _, err := s.Clusters(ctx); return err },
		"Groups":    func(ctx context.Context) error { _, err := s.Groups(ctx, "local"); return err },
		"Topics":    func(ctx context.Context) error { _, err := s.Topics(ctx, "local"); return err },
		"GroupsOfTopic": func(ctx context.Context) error {
			_, err := s.GroupsOfTopic(ctx, "local", "topic")
			return err
		},
		"EndOffsets": func(ctx context.Context) error { _, err := s.EndOffsets(ctx, "local", "topic", nil); return err },
		"Group":      func(ctx context.Context) error { return s.Group(ctx, "local", "group", &protocol.Group{}) },
		"Fetch": func(ctx context.Context) error {
			r := request(protocol.StorageFetchTopics, "local", "", "")
			_, err := s.Fetch(ctx, &r)
			return err
		},
	}
}
