package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/feed"
	"github.com/lagkeeper/storage/protocol"
)

// rememberDeletions deletes n groups of one partition in a store of one shard.
func rememberDeletions(tb testing.TB, e *Engine, n int) {
	tb.Helper()
	c := e.Cluster("local")
	now := e.config.Clock.Now()
	require.Zero(tb, e.SetEndOffset(c, "topic", &protocol.EndOffset{TopicPartitionCount: 1, Offset: 10}))
	for i := range n {
		name := fmt.Sprint("group", i)
		require.Zero(tb, e.Commit(c, name, &protocol.Commit{Topic: "topic", Order: int64(i) + 1, Timestamp: now}))
		require.Zero(tb, e.DeleteGroup(c, name))
	}
}

// TestDeparturesAreBounded deletes more groups than are remembered: the oldest are forgotten.
func TestDeparturesAreBounded(t *testing.T) {
	t.Parallel()
	const more = 100
	e := remembering()
	rememberDeletions(t, e, maxDeparted+more)
	require.Equal(t, maxDeparted, e.Stats().Remembered)
	d := &e.shards[0].departures
	c := e.Cluster("local")
	require.Nil(t, d.byGroup[departedGroup{c, fmt.Sprint("group", more-1)}])
	require.NotNil(t, d.byGroup[departedGroup{c, fmt.Sprint("group", more)}])
	require.Equal(t, maxDeparted, d.partitions)
	require.LessOrEqual(t, len(d.queue), 2*maxDeparted)
	for e.shards[0].forgetDeparted(e.config.Clock.Now() + 1) {
	}
	require.Zero(t, e.Stats().Remembered)
	require.Nil(t, d.byGroup, "a map keeps the memory of all that it ever held")
}

// TestDeparturesOfOneGroup keeps the partitions of one group apart, whatever is forgotten of it.
func TestDeparturesOfOneGroup(t *testing.T) {
	t.Parallel()
	e := remembering()
	c, d := e.Cluster("local"), &e.shards[0].departures
	for round := range int64(1000) {
		x := d.of(c, fmt.Sprint("group", round%7), round)
		for p := range int32(3) {
			d.add(x, fmt.Sprint("topic", round%3), departedPartition{partition: p, order: round + 1})
		}
		d.forget(c, fmt.Sprint("group", round%5), "topic0", int32(round%3))
	}
	partitions := 0
	for _, x := range d.byGroup {
		partitions += x.size()
		require.Equal(t, x, d.queue[d.from(x.number)].departure)
	}
	require.Equal(t, partitions, d.partitions)
	require.LessOrEqual(t, len(d.queue), 64)
}

func remembering() *Engine {
	return New(Config{
		Clusters: []string{"local"}, Shards: 1, Intervals: 10, ExpireGroup: time.Hour.Milliseconds(),
		ExpireTopic: time.Hour.Milliseconds(), Clock: &stoppedClock{1_000_000_000}, Remember: true,
		Hub: new(feed.Hub[protocol.Event]),
	})
}
