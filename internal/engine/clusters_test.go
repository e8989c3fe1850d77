package engine

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/feed"
	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/protocol"
)

func clustersEngine() *Engine {
	return New(Config{
		Clusters: []string{"local"}, Shards: 3, Intervals: 3, ExpireGroup: 3_600_000, ExpireTopic: 1_800_000, Remember: true,
		Clock: &stoppedClock{startTime}, Hub: new(feed.Hub[protocol.Event]),
	})
}

// requireNothingOf checks that a shard holds nothing of a cluster that was removed.
func requireNothingOf(t *testing.T, e *Engine) {
	t.Helper()
	e.checkInvariants(t)
	requireCounted(t, e)
	for i := range e.shards {
		s := &e.shards[i]
		for _, g := range s.groups {
			require.False(t, g.cluster.removed.Load(), g.name)
		}
		for c := range s.lists {
			require.False(t, c.removed.Load(), c.Name)
		}
		for group := range s.departures.byGroup {
			require.False(t, group.cluster.removed.Load(), group.name)
		}
	}
}

// TestNothingAppearsInARemovedCluster makes every call that creates something, in a cluster that was looked up before it was
// removed.
func TestNothingAppearsInARemovedCluster(t *testing.T) {
	t.Parallel()
	e := clustersEngine()
	commit := protocol.Commit{Topic: "a", Offset: 1, Order: 5, Timestamp: 1_700_000_000_000}
	fill := func(c *Cluster) {
		require.Zero(t, e.SetEndOffset(c, "a", &protocol.EndOffset{Offset: 100, TopicID: protocol.TopicID{1}}))
		for i := range 600 {
			require.Zero(t, e.Commit(c, fmt.Sprint(i), &commit))
		}
		require.Zero(t, e.DeleteGroup(c, "0"))
	}
	fill(e.Cluster("local"))
	requireNothingOf(t, e)
	empty := e.Used()
	require.NoError(t, e.AddCluster("gone"))
	c := e.Cluster("gone")
	fill(c)
	require.Equal(t, 2, e.Stats().Remembered)

	im := e.Import()
	require.NoError(t, im.WriteTopic(&snapshot.Topic{Cluster: "gone", Name: "b", PartitionCount: 1}))
	require.NoError(t, im.WriteGroup(&snapshot.Group{
		Cluster: "gone", Name: "imported", LastCommit: 1_700_000_000_000, LastOwner: snapshot.Never,
		Topics: []snapshot.GroupTopic{{Name: "b", PartitionCount: 1, LastCommit: 1_700_000_000_000}},
	}))
	topic := c.topics.Topic("a")
	before := e.Version()
	require.Zero(t, e.RemoveCluster("gone"))
	require.NotEqual(t, before, e.Version())
	require.Nil(t, e.Cluster("gone"))
	require.NoError(t, im.Apply([]snapshot.Position{{Cluster: "gone", Position: protocol.Position{Offset: 1}}}))

	end := protocol.EndOffset{Offset: 1, TopicID: protocol.TopicID{2}}
	require.Equal(t, UnknownCluster, e.SetEndOffset(c, "a", &end))
	_, why := e.setEndOffset(c, topic, &end, 1_700_000_000_000)
	require.Zero(t, why, "it counts as if it had come before the topic was deleted")
	e.SetEndOffsets(c, "b", []protocol.EndOffset{end}, func(_ int, why Reason) { require.Equal(t, UnknownCluster, why) })
	require.Equal(t, UnknownTopic, e.Commit(c, "new", &commit))
	owners := []protocol.PartitionOwner{{Topic: "a", Owner: "x"}}
	require.Zero(t, e.SetOwners(c, "new", owners, func(_ int, why Reason) { require.Equal(t, UnknownTopic, why) }))
	require.Empty(t, c.topics.Topics(nil))
	requireNothingOf(t, e)
	require.Less(t, e.Used()-empty, int64(20_000), "600 groups took ten times as much; the maps of the shards keep their size")
	require.Equal(t, 1, e.Stats().Remembered)
}

// TestAClusterThatGoes uses a cluster after it was removed from the set and before its groups and topics have gone.
func TestAClusterThatGoes(t *testing.T) {
	t.Parallel()
	e := clustersEngine()
	c := e.Cluster("local")
	end := protocol.EndOffset{Offset: 1, TopicID: protocol.TopicID{1}}
	require.Zero(t, e.SetEndOffset(c, "a", &end))
	commit := protocol.Commit{Topic: "a", Offset: 1, Order: 5, Timestamp: 1_700_000_000_000}
	require.Zero(t, e.Commit(c, "old", &commit))
	im := e.Import()
	require.NoError(t, im.WriteGroup(&snapshot.Group{
		Cluster: "local", Name: "imported", LastCommit: 1_700_000_000_000, LastOwner: snapshot.Never,
		Topics: []snapshot.GroupTopic{{Name: "a", PartitionCount: 1, LastCommit: 1_700_000_000_000}},
	}))
	_, why := e.takeCluster("local")
	require.Zero(t, why)
	c.topics.Close()

	end.TopicID[0]++
	require.Equal(t, UnknownCluster, e.SetEndOffset(c, "a", &end))
	require.Equal(t, UnknownCluster, e.SetEndOffset(c, "b", &end))
	require.Equal(t, UnknownCluster, e.Commit(c, "new", &commit))
	e.SetOwners(c, "new", []protocol.PartitionOwner{{Topic: "a", Owner: "x"}}, func(_ int, why Reason) { require.Equal(t, UnknownCluster, why) })
	require.NoError(t, im.Apply(nil))
	names, why := e.Groups(c)
	require.Zero(t, why)
	require.Equal(t, []string{"old"}, names.Strings())
	require.Len(t, c.topics.Topics(nil), 1)
	// Deletions of a removed cluster must not push out remembered deletions of others.
	require.Zero(t, e.DeleteGroup(c, "old"))
	require.Zero(t, e.Stats().Remembered)
}

// TestGroupsOfAClusterThatGoes commits to a cluster while it is being removed: no group may be left behind.
func TestGroupsOfAClusterThatGoes(t *testing.T) {
	t.Parallel()
	e := clustersEngine()
	commit := protocol.Commit{Topic: "a", Offset: 1, Order: 5, Timestamp: 1_700_000_000_000}
	for round := range 200 {
		require.NoError(t, e.AddCluster("gone"))
		c := e.Cluster("gone")
		require.Zero(t, e.SetEndOffset(c, "a", &protocol.EndOffset{Offset: 100}))
		var using sync.WaitGroup
		for user := range 3 {
			using.Go(func() {
				for i := range 50 {
					e.Commit(c, fmt.Sprint(user, "-", round, "-", i), &commit)
					e.SetEndOffset(c, fmt.Sprint(i), &protocol.EndOffset{Offset: 100})
				}
			})
		}
		require.Zero(t, e.RemoveCluster("gone"))
		using.Wait()
		require.Empty(t, c.topics.Topics(nil))
		requireNothingOf(t, e)
	}
}
