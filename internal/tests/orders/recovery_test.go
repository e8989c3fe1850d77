package orders_test

import (
	"bytes"
	"iter"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// TestIdleGroupIsConfirmed restarts with a group that no longer commits.
func TestIdleGroupIsConfirmed(t *testing.T) {
	for name, c := range map[string]struct {
		done  func(w *world)
		state protocol.PartitionState
	}{
		"ReplayDone":     {func(w *world) { w.db.ReplayDone() }, protocol.PartitionBehind},
		"replay-timeout": {func(*world) { time.Sleep(10*time.Minute + time.Second) }, protocol.PartitionBehind},
		"sooner":         {func(*world) { time.Sleep(9 * time.Minute) }, protocol.PartitionRestored},
		"for ever": {func(w *world) {
			w.options.ReplayTimeout = -1
			w.restart()
			time.Sleep(12 * time.Hour)
			w.end("topic", 1000)
		}, protocol.PartitionRestored},
		"an import": {func(w *world) {
			w.db.ReplayDone()
			var lines bytes.Buffer
			require.NoError(w, w.db.Export(w.Context(), &lines))
			require.NoError(w, w.db.Import(w.Context(), &lines))
			time.Sleep(10*time.Minute + time.Second)
			w.end("topic", 1000)
		}, protocol.PartitionBehind},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.end("topic", 1000)
				require.NoError(w, w.commit("group", "topic", 0, 10, 7))
				w.restart()
				w.end("topic", 1000)
				_, state := w.offsets("group", "topic", 0)
				require.Equal(w, protocol.PartitionRestored, state)
				c.done(w)
				_, state = w.offsets("group", "topic", 0)
				require.Equal(w, c.state, state)
			})
		})
	}
}

// TestTopicsDeletedMeanwhile restarts without a topic that was deleted while the process was down.
func TestTopicsDeletedMeanwhile(t *testing.T) {
	bubble(t, func(w *world) {
		for _, topic := range []string{"kept", "gone"} {
			w.end(topic, 1000)
			require.NoError(w, w.commit("group", topic, 0, 10, 7))
		}
		w.restart()
		events, err := w.db.Watch(w.Context(), storage.WatchFilter{})
		require.NoError(w, err)
		next, stop := iter.Pull(events)
		defer stop()
		time.Sleep(9 * time.Minute)
		w.end("kept", 1000)
		require.Equal(w, []string{"gone", "kept"}, w.topics())
		time.Sleep(3 * time.Minute)
		require.Equal(w, []string{"kept"}, w.topics())
		event, _ := next()
		require.Equal(w, protocol.EventTopicExpired, event.Kind)
		require.Equal(w, "gone", event.Topic)
		require.EqualValues(w, 1, w.stats().SweptTopics)
		var into protocol.Group
		require.NoError(w, w.db.Group(w.Context(), testkit.Cluster, "group", &into))
		require.Len(w, into.Topics, 1)
	})
}

// TestUnreachableBrokers keeps topics that nobody could poll, and an ordinary topic that is polled.
func TestUnreachableBrokers(t *testing.T) {
	bubble(t, func(w *world) {
		w.options.ExpireTopic = time.Hour
		w.end("one", 1000)
		w.end("two", 1000)
		w.restart()
		time.Sleep(12 * time.Hour)
		require.Equal(w, []string{"one", "two"}, w.topics(), "nobody polls, so nothing is known to be deleted")
		for range 10 {
			w.end("one", 1000)
			w.end("two", 1000)
			time.Sleep(10 * time.Minute)
		}
		require.Equal(w, []string{"one", "two"}, w.topics())
		for range 10 {
			w.end("one", 1000)
			time.Sleep(10 * time.Minute)
		}
		require.Equal(w, []string{"one"}, w.topics())
	})
}

// TestPositions finds the positions of a snapshot again, and no others.
func TestPositions(t *testing.T) {
	bubble(t, func(w *world) {
		ctx := w.Context()
		set := func(partition int32, offset int64) error {
			return w.db.SetPosition(ctx, testkit.Cluster, protocol.Position{Partition: partition, Offset: offset})
		}
		is := func(want ...protocol.Position) {
			w.Helper()
			got, err := w.db.Positions(ctx, testkit.Cluster)
			require.NoError(w, err)
			require.ElementsMatch(w, want, got)
		}
		is()
		require.NoError(w, set(49, 7))
		require.NoError(w, set(3, 100))
		require.NoError(w, set(3, 90), "a lower position is taken")
		require.ErrorIs(w, set(-1, 0), storage.ErrInvalid)
		require.ErrorIs(w, set(0, -1), storage.ErrInvalid)
		w.restart()
		is(protocol.Position{Partition: 3, Offset: 90}, protocol.Position{Partition: 49, Offset: 7})
		require.NoError(w, set(3, 120))
		require.NoError(w, w.db.Snapshot(ctx))
		var lines bytes.Buffer
		require.NoError(w, w.db.Export(ctx, &lines))
		require.NoError(w, set(3, 500))
		require.NoError(w, set(4, 1))
		require.NoError(w, w.db.ForgetOrders(ctx, testkit.Cluster, protocol.LogPartition{Partition: 49, Count: 50}))
		is(protocol.Position{Partition: 3, Offset: 500}, protocol.Position{Partition: 4, Offset: 1})
		w.end("topic", 10)
		require.NoError(w, w.commit("group", "topic", 0, 1, 1))
		require.NoError(w, w.db.Import(ctx, &lines))
		is(protocol.Position{Partition: 3, Offset: 120})
		require.NoError(w, w.db.ForgetOrders(ctx, testkit.Cluster))
		is()
		w.restart()
		is()
		for partition := range int32(10_000) {
			require.NoError(w, set(partition, 1))
		}
		require.ErrorIs(w, set(10_000, 1), storage.ErrInvalid)
		require.NoError(w, set(9_999, 2))
		_, err := w.db.Positions(ctx, "unknown")
		require.ErrorIs(w, err, storage.ErrUnknownCluster)
	})
}
