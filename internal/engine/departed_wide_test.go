package engine

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/feed"
	"github.com/lagkeeper/storage/protocol"
)

// TestDeletionOfAGroupWithManyTopics deletes a group of 60,000 topics if deletions are remembered. It would take minutes if
// each topic were searched for among all that were remembered before it.
func TestDeletionOfAGroupWithManyTopics(t *testing.T) {
	t.Parallel()
	const topics = 60_000
	clock := &stoppedClock{startTime}
	e := New(Config{
		Clusters: []string{"local"}, Shards: 1, Intervals: 10, ExpireGroup: 604_800_000, ExpireTopic: 604_800_000, Clock: clock,
		Remember: true, Hub: new(feed.Hub[protocol.Event]),
	})
	c := e.Cluster("local")
	name := func(i int) string { return fmt.Sprintf("topic-%06d", i) }
	commit := func(i int) {
		require.Zero(t, e.Commit(c, "g", &protocol.Commit{Topic: name(i), Offset: 5, Order: int64(i + 1), Timestamp: clock.now}))
	}
	for i := range topics {
		require.Zero(t, e.SetEndOffset(c, name(i), &protocol.EndOffset{Offset: 10}))
		commit(i)
	}
	require.Zero(t, e.DeleteGroup(c, "g"))
	d := &e.shards[0].departures
	x := d.byGroup[departedGroup{c, "g"}]
	require.Equal(t, topics, d.partitions)

	// What comes back is forgotten, from the front, the middle and the end, and the rest is still found.
	for i := range topics {
		if i%3 != 1 || i > topics/2 {
			commit(i)
		}
	}
	left := 0
	for i := range topics {
		at := x.topic(name(i))
		if i%3 != 1 || i > topics/2 {
			require.Negative(t, at, i)
			continue
		}
		left++
		require.Equal(t, name(i), x.topics[at].name)
		require.EqualValues(t, i+1, x.topics[at].partitions[0].order)
	}
	require.Equal(t, left, d.partitions)
	require.Len(t, x.topics, left)
	require.Equal(t, left, d.topics)
	require.EqualValues(t, e.Stats().Bytes, e.Used())
}
