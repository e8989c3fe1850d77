package engine

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/protocol"
)

// TestTopicsThatComeAndGoLeaveNoBlocksBehind lets a group that keeps one topic gain and lose a large one many times, as a
// consumer of a pattern does.
func TestTopicsThatComeAndGoLeaveNoBlocksBehind(t *testing.T) {
	t.Parallel()
	e, c, clock := newTestEngine(1, 10)
	const partitions = 1_000
	commit := func(topic string, n int) {
		for p := range n {
			require.Zero(t, e.SetEndOffset(c, topic, &protocol.EndOffset{Partition: int32(p), Offset: 100}))
			require.Zero(t, e.Commit(c, "mirror", &protocol.Commit{Topic: topic, Partition: int32(p), Offset: 50, Timestamp: clock.now}))
		}
	}
	commit("kept", 1)
	most := 0
	for round := range 50 {
		topic := fmt.Sprintf("topic-%d", round)
		commit(topic, partitions)
		g := e.shards[0].listed()[0]
		if round == 2 {
			most = len(g.memory.blocks)
		}
		g.memory.checkInvariants(t)
		require.Zero(t, e.DeleteGroupTopic(c, "mirror", topic))
		g.memory.checkInvariants(t)
	}
	require.LessOrEqual(t, len(e.shards[0].listed()[0].memory.blocks), most+1)
}

// TestABlockIsTrimmedOnce trims a group whose blocks the allocator cannot make smaller: it is not tried again.
func TestABlockIsTrimmedOnce(t *testing.T) {
	t.Parallel()
	for windows := 100; windows < 700; windows += 20 {
		m := memory{slots: make([]reference, windows)}
		for slot := range windows {
			m.add(uint32(slot), 48)
		}
		m.trim(0, len(m.blocks))
		before := make([]*byte, len(m.blocks))
		for i := range m.blocks {
			before[i] = &m.bytes[i][0]
		}
		m.trim(0, len(m.blocks))
		for i := range m.blocks {
			require.Same(t, before[i], &m.bytes[i][0], "%d windows", windows)
		}
		m.checkInvariants(t)
	}
}

// TestALoadedGroupThatCannotBeLeavesTheOldOne loads records that are refused or left out: the existing group stays.
func TestALoadedGroupThatCannotBeLeavesTheOldOne(t *testing.T) {
	t.Parallel()
	e, c, clock := newTestEngine(1, 10)
	require.Zero(t, e.SetEndOffset(c, "topic", &protocol.EndOffset{Offset: 100}))
	require.Zero(t, e.Commit(c, "group", &protocol.Commit{Topic: "topic", Offset: 50, Timestamp: clock.now}))
	load := func(topics ...string) error {
		r := &snapshot.Group{Cluster: "local", Name: "group", LastCommit: clock.now, LastOwner: snapshot.Never}
		for _, topic := range topics {
			r.Topics = append(r.Topics, snapshot.GroupTopic{Name: topic, PartitionCount: 1, LastCommit: clock.now})
		}
		return e.Loader().WriteGroup(r)
	}
	require.ErrorIs(t, load("topic", "topic"), Invalid)
	require.NoError(t, load("nowhere"))
	k, why := e.Capture(c, "group")
	require.Zero(t, why)
	require.Len(t, k.ConsumerTopics()["topic"][0].Offsets, 10)
	k.Release()
	require.Zero(t, e.DeleteTopic(c, "topic"))
	_, why = e.Capture(c, "group")
	require.Equal(t, UnknownGroup, why)
}

// TestALoadedGroupFromTheFutureExpires loads a group from a snapshot whose clock was ahead.
func TestALoadedGroupFromTheFutureExpires(t *testing.T) {
	t.Parallel()
	e, c, clock := newTestEngine(1, 10)
	require.Zero(t, e.SetEndOffset(c, "topic", &protocol.EndOffset{Offset: 100}))
	far := clock.now + 1<<50
	require.NoError(t, e.Loader().WriteGroup(&snapshot.Group{
		Cluster: "local", Name: "group", LastCommit: far, LastOwner: snapshot.Never,
		Topics: []snapshot.GroupTopic{{Name: "topic", PartitionCount: 1, LastCommit: far}},
	}))
	clock.now += e.config.ExpireGroup + 1
	e.Sweep()
	require.Zero(t, e.Stats().Groups)
}
