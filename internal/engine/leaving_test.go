package engine

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/internal/feed"
	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/protocol"
)

// leavingWorld is an engine with a group of many topics that has just been removed; none of its topics has followed yet.
type leavingWorld struct {
	*testing.T
	e *Engine
	c *Cluster
	s *shard
}

const leavingTopics = manyTopics + 2*sweepBatch

func (w *leavingWorld) commit(topic int, order int64) Reason {
	return w.e.Commit(w.c, "g", &protocol.Commit{Topic: fmt.Sprint("t", topic), Offset: 1, Order: order, Timestamp: startTime})
}

func newLeavingWorld(t *testing.T, remove func(s *shard, g *group, now int64)) *leavingWorld {
	e := New(Config{
		Clusters: []string{"local"}, Shards: 1, Intervals: 10, ExpireGroup: 1_000_000_000, ExpireTopic: 1_000_000_000,
		Remember: true, Clock: &stoppedClock{startTime}, Hub: &feed.Hub[protocol.Event]{},
	})
	c := e.Cluster("local")
	w := &leavingWorld{T: t, e: e, c: c, s: &e.shards[0]}
	for i := range leavingTopics {
		e.SetEndOffset(c, fmt.Sprint("t", i), &protocol.EndOffset{Offset: 9})
		require.Zero(t, w.commit(i, 5))
	}
	w.s.mu.Lock()
	remove(w.s, e.shards[0].listed()[0], startTime)
	w.s.mu.Unlock()
	require.Len(t, w.s.leaving, 1)
	return w
}

// gone checks that nothing finds the group, and that its topics have no other group.
func (w *leavingWorld) gone() {
	w.Helper()
	_, why := w.e.Capture(w.c, "g")
	require.Equal(w, UnknownGroup, why)
	names, why := w.e.Groups(w.c)
	require.Zero(w, why)
	require.Empty(w, names.Strings())
	for _, topic := range []string{"t0", fmt.Sprint("t", leavingTopics-1)} {
		names, why = w.e.GroupsOfTopic(w.c, topic)
		require.Zero(w, why)
		require.Empty(w, names.Strings(), topic)
	}
}

// remembers reports whether the deletion of a topic of the group is remembered, for a snapshot.
func (w *leavingWorld) remembers(topic int) bool {
	x := w.s.departures.byGroup[departedGroup{w.c, "g"}]
	if x == nil {
		return false
	}
	i := x.topic(fmt.Sprint("t", topic))
	if i < 0 {
		return false
	}
	j, found := x.topics[i].find(0)
	return found && x.topics[i].partitions[j].order == 5
}

// TestManyTopicsLeaveInPieces looks at a group that was deleted while its topics follow, and commits to it.
func TestManyTopicsLeaveInPieces(t *testing.T) {
	w := newLeavingWorld(t, (*shard).delete)
	w.gone()
	require.True(t, w.s.drainSome())
	w.gone()
	require.NotEmpty(t, w.s.leaving[departedGroup{w.c, "g"}].group.topics)
	require.True(t, w.remembers(leavingTopics-1))
	require.False(t, w.remembers(0))

	// The next replay must accept what has returned, whether its topic has followed or not.
	require.Zero(t, w.commit(1, 6))
	require.Zero(t, w.commit(leavingTopics-1, 6))
	names, _ := w.e.GroupsOfTopic(w.c, "t1")
	require.Equal(t, []string{"g"}, names.Strings())
	require.Zero(t, w.e.DeleteTopic(w.c, "t2"))
	w.s.drain()
	require.Nil(t, w.s.leaving)
	w.e.checkInvariants(t)
	require.Len(t, w.e.onlyGroup(t, "g").topics, 2)
	for topic := range leavingTopics {
		require.Equal(t, topic != 1 && topic != leavingTopics-1, w.remembers(topic), topic)
	}
	require.Zero(t, w.commit(1, 7))
}

// TestManyTopicsLeaveWithoutMemory removes a group as an import does: the deletion must not be remembered.
func TestManyTopicsLeaveWithoutMemory(t *testing.T) {
	w := newLeavingWorld(t, func(s *shard, g *group, _ int64) { s.remove(g) })
	w.gone()
	require.Zero(t, w.commit(0, 1))
	w.e.Sweep()
	require.Nil(t, w.s.leaving)
	w.e.checkInvariants(t)
	require.Zero(t, w.commit(9, 1))
	require.Zero(t, w.e.Stats().Remembered)
}

// TestManyTopicsAreForgotten replaces commits and restarts orders before all topics have followed.
func TestManyTopicsAreForgotten(t *testing.T) {
	w := newLeavingWorld(t, (*shard).delete)
	w.e.ReplaceCommits(w.c, "g", []protocol.Commit{{Topic: "t3", Offset: 1, Order: 2, Timestamp: startTime}},
		func(_ int, why Reason) { t.Fatal(why) })
	w.s.drain()
	require.False(t, w.remembers(3))
	require.True(t, w.remembers(4))

	w = newLeavingWorld(t, (*shard).delete)
	require.Zero(t, w.e.ForgetOrders(w.c, nil))
	require.Nil(t, w.s.leaving)
	require.False(t, w.remembers(4))
	w.e.checkInvariants(t)
}

// TestSweepingInPieces sweeps groups with more topics than one batch: an expired group, and groups most of whose topics have expired.
func TestSweepingInPieces(t *testing.T) {
	e, c, clock := newTestEngine(1, 10)
	const topics = 2*sweepBatch + 10
	commit := func(group string, topic int) {
		require.Zero(t, e.Commit(c, group, &protocol.Commit{Topic: fmt.Sprint("t", topic), Offset: 1, Timestamp: clock.now}))
	}
	for i := range topics {
		e.SetEndOffset(c, fmt.Sprint("t", i), &protocol.EndOffset{Offset: 9})
		for _, group := range []string{"lives", "expires", "lives too"} {
			commit(group, i)
		}
	}
	clock.now += e.config.ExpireTopic / 2
	commit("lives", 7)
	commit("lives too", 8)
	clock.now += e.config.ExpireTopic/2 + 10_000
	at, _ := e.sweepBatch(&e.shards[0], c, -1, nil)
	require.Equal(t, 3, at, "the last of three groups is not done yet")
	require.Len(t, e.onlyGroup(t, "lives too").topics, topics-sweepBatch)
	e.Sweep()
	require.Len(t, e.onlyGroup(t, "lives").topics, 1)
	require.Len(t, e.onlyGroup(t, "lives too").topics, 1)
	st := e.Stats()
	require.Equal(t, 2, st.Groups)
	require.EqualValues(t, 1, st.ExpiredGroups)
	require.EqualValues(t, 2*(topics-1), st.ExpiredTopics)
	e.checkInvariants(t)
}

// keeping is an Output that keeps the deletions of one group.
type keeping struct {
	nothing
	deleted map[string]bool
}

func (k keeping) WriteGroup(r *snapshot.Group) error {
	for i := range r.Topics {
		k.deleted[r.Topics[i].Name] = r.IsDeletion()
	}
	return nil
}

// TestManyTopicsAreSavedAsDeleted saves before all topics have followed, for a group that stays away and for one that is back.
func TestManyTopicsAreSavedAsDeleted(t *testing.T) {
	w := newLeavingWorld(t, (*shard).delete)
	k := keeping{deleted: map[string]bool{}}
	require.NoError(t, w.e.Save(k))
	require.Len(t, k.deleted, leavingTopics)
	for topic, deleted := range k.deleted {
		require.True(t, deleted, topic)
	}
	require.Nil(t, w.s.leaving)

	w = newLeavingWorld(t, (*shard).delete)
	require.Zero(t, w.commit(leavingTopics-1, 6))
	g := w.e.onlyGroup(t, "g")
	k = keeping{deleted: map[string]bool{}}
	saver := saver{engine: w.e, out: k, written: &writtenTopics{topics: map[*ends.Topic]bool{g.topics[0].topic: true}}}
	require.NoError(t, saver.group(w.s, g))
	require.Len(t, k.deleted, leavingTopics)
	require.False(t, k.deleted[g.topics[0].topic.Name])
	require.True(t, k.deleted["t0"])
}

// built returns a group of the same name and topics that was built outside the shard.
func (w *leavingWorld) built() *group {
	w.Helper()
	r := &snapshot.Group{Name: "g", LastCommit: startTime}
	for i := range leavingTopics {
		r.Topics = append(r.Topics, snapshot.GroupTopic{Name: fmt.Sprint("t", i), PartitionCount: 1, LastCommit: startTime,
			Partitions: []snapshot.GroupPartition{{Commits: []protocol.StoredCommit{{Offset: 1, Order: 7, Timestamp: startTime}}}}})
	}
	built, err := w.e.Loader().builder.group(w.c, r, startTime)
	require.NoError(w, err)
	return built
}

// TestManyTopicsArriveInPieces replaces a deleted group with one of many topics, and looks before that one has arrived.
func TestManyTopicsArriveInPieces(t *testing.T) {
	w := newLeavingWorld(t, (*shard).delete)
	g := w.built()
	for i := range g.topics {
		g.topics[i].topic = w.c.topics.Topic(g.topics[i].topic.Name)
	}
	seen := w.s.arrive(g, false)
	w.gone()
	// A topic that is deleted now leaves both groups, the one that arrives and the one that leaves.
	require.Zero(t, w.e.DeleteTopic(w.c, "t3"))
	require.Negative(t, g.find("t3"))
	placed, why := w.e.placeIn(w.s, g, seen, startTime, true)
	require.Zero(t, why)
	require.True(t, placed)
	names, _ := w.e.GroupsOfTopic(w.c, "t5")
	require.Equal(t, []string{"g"}, names.Strings())
	w.s.drain()
	w.e.checkInvariants(t)

	// A group that is turned away leaves nothing behind.
	g = w.built()
	for i := range g.topics {
		if g.topics[i].topic = w.c.topics.Topic(g.topics[i].topic.Name); g.topics[i].topic == nil {
			g.topics[i].topic = ends.Departed("t3", 1)
		}
	}
	seen = w.s.arrive(g, false)
	require.Len(t, g.topics, leavingTopics-1)
	w.s.stopped = true
	placed, why = w.e.placeIn(w.s, g, seen, startTime, true)
	require.False(t, placed)
	require.Equal(t, Stopped, why)
	w.s.stopped = false
	w.s.drain()
	w.e.checkInvariants(t)
}

// TestManyTopicsReturn loads a group whose deletion is remembered: none of its commits may be refused.
func TestManyTopicsReturn(t *testing.T) {
	for _, drained := range []bool{true, false} {
		w := newLeavingWorld(t, (*shard).delete)
		if drained {
			w.s.drain()
		}
		placed, why := w.e.place(w.built(), startTime, true)
		require.Zero(t, why)
		require.True(t, placed)
		require.Nil(t, w.s.leaving)
		require.Zero(t, w.s.departures.len())
		require.EqualValues(t, 1, w.e.Stats().Groups)
		w.e.checkInvariants(t)

		// A group of the same topics takes its place.
		placed, why = w.e.place(w.built(), startTime, true)
		require.Zero(t, why)
		require.True(t, placed)
		require.Nil(t, w.s.leaving)
		require.EqualValues(t, leavingTopics, w.e.Stats().GroupTopics)
		w.e.checkInvariants(t)
	}
}
