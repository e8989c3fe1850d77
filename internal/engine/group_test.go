package engine

import (
	"fmt"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// poll stores the end offset of partition 0 of some topics.
func poll(t testing.TB, e *Engine, c *Cluster, offset int64, topics ...string) {
	t.Helper()
	for _, topic := range topics {
		require.Zero(t, e.SetEndOffset(c, topic, &protocol.EndOffset{TopicPartitionCount: 1, Offset: offset}))
	}
}

// TestNoEndOffset judges a commit for a partition without an end offset, as happens if the topic is deleted while the group
// is being read.
func TestNoEndOffset(t *testing.T) {
	t.Parallel()
	e, c, clock := newTestEngine(1, 3)
	poll(t, e, c, 100, "topic")
	require.Zero(t, e.Commit(c, "group", &protocol.Commit{Topic: "topic", Offset: 10, Timestamp: clock.now}))
	g := e.onlyGroup(t, "group")
	topic := g.topics[0].topic
	w := g.windowOf(g.topics[0].first)
	tell := func(partition int32) judgement {
		reading := topic.Read()
		defer reading.Close()
		k := Capture{now: clock.now}
		lags := k.image.Lags(reading, false)
		lags.Add(partition, 10)
		view := reading.View(partition)
		var j judgement
		k.judge(&j, &view, w, 0)
		return j
	}
	require.Equal(t, protocol.PartitionBehind, tell(0).state)
	unknown := judgement{state: protocol.PartitionNoEndOffset, endAge: -1, logStart: -1}
	require.Equal(t, unknown, tell(1))
	c.topics.Delete("topic")
	require.Equal(t, unknown, tell(0))
	w = nil
	require.Equal(t, judgement{state: protocol.PartitionNoCommit, endAge: -1, logStart: -1}, tell(0))
}

// TestCaptureOfADeletedTopic reads a group between the moments at which a topic leaves the table and the group.
func TestCaptureOfADeletedTopic(t *testing.T) {
	t.Parallel()
	e, c, clock := newTestEngine(1, 3)
	poll(t, e, c, 100, "topic", "other")
	for _, topic := range []string{"topic", "other"} {
		require.Zero(t, e.Commit(c, "group", &protocol.Commit{Topic: topic, Offset: 10, Timestamp: clock.now}))
	}
	c.topics.Delete("topic")
	capture, why := e.Capture(c, "group")
	require.Zero(t, why)
	p := capture.ConsumerTopics()["topic"][0]
	capture.Release()
	require.Equal(t, protocol.PartitionNoEndOffset, p.State)
	require.Nil(t, p.Difference)
	require.Nil(t, p.EndOffsetAge)
	require.Empty(t, p.BrokerOffsets)
	require.Zero(t, p.CurrentLag)
	require.NotNil(t, p.Offsets[2])

	// The next commit for it finds the new topic of that name, not the old one.
	poll(t, e, c, 50, "topic")
	require.Zero(t, e.Commit(c, "group", &protocol.Commit{Topic: "topic", Offset: 40, Timestamp: clock.now}))
	e.checkInvariants(t)
	capture, _ = e.Capture(c, "group")
	defer capture.Release()
	p = capture.ConsumerTopics()["topic"][0]
	require.Equal(t, protocol.PartitionBehind, p.State)
	require.EqualValues(t, 10, *p.Difference)
	require.Nil(t, p.Offsets[1], "a commit of the old topic is left")
}

// TestNoRoomInAGroup fills a group up to its last slots. Commits without room change nothing, and the rest of their batch is
// stored.
func TestNoRoomInAGroup(t *testing.T) {
	t.Parallel()
	for _, there := range []bool{true, false} {
		t.Run(fmt.Sprint("group is there ", there), func(t *testing.T) {
			t.Parallel()
			e, c, clock := newTestEngine(1, 3)
			poll(t, e, c, 100, "topic", "other", "third")
			commit := func(topic string) protocol.Commit {
				return protocol.Commit{Topic: topic, Offset: 10, Timestamp: clock.now}
			}
			first := commit("topic")
			require.Zero(t, e.Commit(c, "group", &first))
			if there {
				g := e.onlyGroup(t, "group")
				g.memory.slots = append(g.memory.slots, make([]reference, maxSlots-len(g.memory.slots))...)
			} else {
				require.Zero(t, e.DeleteGroup(c, "group"))
			}
			before := e.Stats()
			refused := map[int]Reason{}
			e.Commits(c, "group", []protocol.Commit{commit("other"), commit("other"), commit("topic"), commit("third"), commit("topic")},
				func(i int, why Reason) { refused[i] = why })
			g := e.onlyGroup(t, "group")
			if there {
				require.Equal(t, map[int]Reason{0: Invalid, 1: Invalid, 3: Invalid}, refused)
				require.Len(t, g.topics, 1)
				require.Equal(t, 3, g.windowOf(g.topics[0].first).Len())
				require.Equal(t, Invalid, e.SetOwner(c, "group", &protocol.PartitionOwner{Topic: "other", Owner: "host"}))
				require.Len(t, g.topics, 1)
				require.Equal(t, before.GroupPartitions, e.Stats().GroupPartitions)
			} else {
				require.Empty(t, refused)
				require.Len(t, g.topics, 3)
			}
		})
	}
}

// TestManyTopics takes a group beyond the number of topics that are searched one by one, and back to one.
func TestManyTopics(t *testing.T) {
	t.Parallel()
	e, c, clock := newTestEngine(1, 3)
	const topics = 3 * fewTopics
	name := func(i int) string { return fmt.Sprint("topic", i) }
	for i := range topics {
		poll(t, e, c, 100, name(i))
		require.Zero(t, e.Commit(c, "group", &protocol.Commit{Topic: name(i), Offset: int64(i), Timestamp: clock.now}))
		e.checkInvariants(t)
	}
	for i := range topics - 1 {
		at := (i*7 + 3) % topics // in some other order
		require.Zero(t, e.DeleteGroupTopic(c, "group", name(at)))
		require.Equal(t, UnknownTopic, e.DeleteGroupTopic(c, "group", name(at)))
		e.checkInvariants(t)
		g := e.onlyGroup(t, "group")
		for j := range g.topics {
			var number int64
			_, err := fmt.Sscanf(g.topics[j].topic.Name, "topic%d", &number)
			require.NoError(t, err)
			require.Equal(t, number, g.windowOf(g.topics[j].first).NewestOffset())
		}
	}
	last := e.onlyGroup(t, "group").topics[0].topic.Name
	require.Zero(t, e.DeleteGroupTopic(c, "group", last))
	require.Equal(t, UnknownGroup, e.DeleteGroupTopic(c, "group", last))
	require.Empty(t, e.shards[0].groups)
	e.checkInvariants(t)
}

// TestMembersArePacked gives partitions new owners again and again: members that own nothing any more are forgotten.
func TestMembersArePacked(t *testing.T) {
	t.Parallel()
	e, c, clock := newTestEngine(1, 3)
	const partitions = 20
	for p := range int32(partitions) {
		require.Zero(t, e.SetEndOffset(c, "topic", &protocol.EndOffset{Partition: p, TopicPartitionCount: partitions, Offset: 9}))
	}
	owns := make([]member, partitions)
	for i := range 5000 {
		p := int32(i * i % partitions)
		owns[p] = member{fmt.Sprint("host", i), fmt.Sprint("client", i%3)}
		require.Zero(t, e.SetOwner(c, "group", &protocol.PartitionOwner{
			Topic: "topic", Partition: p, Owner: owns[p].owner, ClientID: owns[p].clientID,
		}))
		require.LessOrEqual(t, len(e.onlyGroup(t, "group").members.list), firstPack+1)
		if i%500 == 0 {
			require.Zero(t, e.Commit(c, "group", &protocol.Commit{Topic: "topic", Partition: p, Timestamp: clock.now}))
			e.checkInvariants(t)
		}
	}
	capture, why := e.Capture(c, "group")
	require.Zero(t, why)
	defer capture.Release()
	for p, partition := range capture.ConsumerTopics()["topic"] {
		require.Equal(t, owns[p], member{partition.Owner, partition.ClientID})
	}
}

// TestGroupsOfOneHash keeps groups apart whose hashes are equal.
func TestGroupsOfOneHash(t *testing.T) {
	t.Parallel()
	e, c, clock := newTestEngine(1, 3)
	poll(t, e, c, 100, "topic")
	topic := c.topics.Topic("topic")
	s := &e.shards[0]
	names := []string{"a", "b", "c", "d"}
	for _, name := range names {
		g := s.add(c, 42, name, clock.now)
		s.attach(g, topic, clock.now)
		g.touch(&g.topics[0], clock.now)
		e.checkInvariants(t)
	}
	for _, name := range []string{"b", "d", "a", "c"} { // from the middle, the front and the end of the chain
		for _, other := range names {
			if g := s.find(c, 42, other); g != nil {
				require.Equal(t, other, g.name)
			}
		}
		s.remove(s.find(c, 42, name))
		require.Nil(t, s.find(c, 42, name))
		e.checkInvariants(t)
	}
	require.Empty(t, s.groups)
	require.Empty(t, s.byTopic)
}

func TestHashTellsClusterAndGroupApart(t *testing.T) {
	t.Parallel()
	e := New(Config{Clusters: []string{"a", "ab"}, Shards: 1, Intervals: 1, Clock: &stoppedClock{}})
	require.NotEqual(t, e.Cluster("a").hash("bc"), e.Cluster("ab").hash("c"))
	require.NotEqual(t, e.Cluster("a").hash(""), e.Cluster("ab").hash(""))
}

// What a commit reads of a group with one topic and one block lies in four lines of the cache. The allocator has a size of that of a
// group, and so puts each at the beginning of a line.
func TestACommitReadsFourLinesOfAGroup(t *testing.T) {
	var g group
	const line = 64
	require.Zero(t, unsafe.Sizeof(g)%line)
	require.LessOrEqual(t, unsafe.Sizeof(g), uintptr(448))
	for what, end := range map[string]uintptr{
		"topic":   unsafe.Offsetof(g.firstTopic) + unsafe.Sizeof(g.firstTopic),
		"slots":   unsafe.Offsetof(g.memory) + unsafe.Offsetof(g.memory.slots) + unsafe.Sizeof(g.memory.slots),
		"counted": unsafe.Offsetof(g.memory) + unsafe.Offsetof(g.memory.counted) + unsafe.Sizeof(g.memory.counted),
		"block":   unsafe.Offsetof(g.memory) + unsafe.Offsetof(g.memory.firstBytes) + unsafe.Sizeof(g.memory.firstBytes),
	} {
		require.LessOrEqual(t, end, uintptr(4*line), what)
	}
}
