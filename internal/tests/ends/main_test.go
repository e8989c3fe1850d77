package ends_test

import (
	"iter"
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

// world is a store in a bubble, whose clock moves only when the test sleeps.
type world struct {
	*testing.T
	db    *storage.DB
	order int64
	// id is the topic id of end offsets.
	id protocol.TopicID
	// start is the log start of end offsets.
	start int64
}

// bubble runs a test with a store and, if restarting is true, a snapshot.
func bubble(t *testing.T, test func(w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(&world{T: t, db: testkit.Open(t, nil)}) })
}

// sleep sleeps some seconds.
func sleep(seconds int) { time.Sleep(time.Duration(seconds) * time.Second) }

// poll stores an end offset of partition 0 of "topic" that was seen some seconds ago, and returns the error.
func (w *world) poll(offset int64, secondsAgo int) error {
	return w.pollOf(0, 1, offset, secondsAgo)
}

func (w *world) pollOf(partition, count int32, offset int64, secondsAgo int) error {
	return w.db.SetEndOffset(w.Context(), testkit.Cluster, "topic", protocol.EndOffset{
		Partition: partition, TopicPartitionCount: count, Offset: offset, LogStartOffset: w.start, TopicID: w.id,
		Timestamp: time.Now().Add(-time.Duration(secondsAgo) * time.Second).UnixMilli(),
	})
}

// end is poll for a current end offset that must be taken.
func (w *world) end(offset int64) {
	w.Helper()
	require.NoError(w, w.poll(offset, 0))
}

// commit stores a commit of a group, made now.
func (w *world) commit(group string, partition int32, offset int64) {
	w.Helper()
	w.order++
	require.NoError(w, w.db.Commit(w.Context(), testkit.Cluster, group, protocol.Commit{
		Topic: "topic", Partition: partition, Offset: offset, Order: w.order, Timestamp: time.Now().UnixMilli(),
	}))
}

// look returns a partition of a group.
func (w *world) look(group string, partition int) protocol.GroupPartition {
	w.Helper()
	var into protocol.Group
	require.NoError(w, w.db.Group(w.Context(), testkit.Cluster, group, &into))
	require.Len(w, into.Topics, 1)
	require.Greater(w, len(into.Topics[0].Partitions), partition)
	return into.Topics[0].Partitions[partition]
}

// is checks the state of partition 0 of a group, and the difference; if none is given, there must be none.
func (w *world) is(group string, state protocol.PartitionState, difference ...int64) protocol.GroupPartition {
	w.Helper()
	p := w.look(group, 0)
	require.Equal(w, state, p.State, group)
	require.Equal(w, len(difference) > 0, p.DifferenceKnown, group)
	if len(difference) > 0 {
		require.Equal(w, difference[0], p.Difference, group)
		require.EqualValues(w, max(0, difference[0]), p.CurrentLag, group)
	} else {
		require.Equal(w, protocol.TimeLagUnknown, p.TimeLag.Kind, "a time lag without a difference")
	}
	return p
}

var (
	firstID  = protocol.TopicID{1}
	secondID = protocol.TopicID{2}
	thirdID  = protocol.TopicID{3}
)

// kinds watches the store and returns a function that returns the kinds of the next n events.
func kinds(w *world) func(n int) []protocol.EventKind {
	w.Helper()
	events, err := w.db.Watch(w.Context(), storage.WatchFilter{})
	require.NoError(w, err)
	next, stop := iter.Pull(events)
	w.Cleanup(stop)
	return func(n int) []protocol.EventKind {
		var all []protocol.EventKind
		for range n {
			event, ok := next()
			require.True(w, ok)
			all = append(all, event.Kind)
		}
		return all
	}
}
