package engine

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/wire"
	"github.com/lagkeeper/storage/protocol"
)

// recordOf returns the bytes of a group.
func recordOf(e *Engine, c *Cluster, name string) *GroupRecord {
	r := new(GroupRecord)
	e.ViewGroup(c, name, func(v GroupView) {
		r.Meta = v.AppendMeta(nil)
		for i, t := range v.Topics() {
			topic := TopicRecord{Name: t.Name, Meta: v.AppendTopic(nil, i), Owners: v.AppendOwners(nil, i)}
			for number := range v.Partitions(i) {
				data, _ := v.AppendPartition(nil, i, number)
				topic.Partitions = append(topic.Partitions, PartitionRecord{Number: number, Data: data})
			}
			r.Topics = append(r.Topics, topic)
		}
	})
	return r
}

func answerOf(t testing.TB, e *Engine, c *Cluster, name string) protocol.ConsumerTopics {
	t.Helper()
	capture, why := e.Capture(c, name)
	require.Zero(t, why)
	defer capture.Release()
	return capture.ConsumerTopics()
}

// TestGroupThatIsKeptElsewhere takes a group out and puts it in again: it stays the same.
func TestGroupThatIsKeptElsewhere(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	e, c, clock := newTestEngine(1, 5, func(config *Config) { config.GroupsElsewhere = true })
	poll(t, e, c, 1000, "topic", "other", "owned")
	require.Zero(t, e.SetEndOffset(c, "topic", &protocol.EndOffset{Partition: 300, Offset: math.MaxInt64}))
	for i := range int64(20) {
		for _, topic := range []string{"topic", "other"} {
			commit := protocol.Commit{Topic: topic, Offset: random.Int64N(2000), Order: random.Int64N(30), Timestamp: clock.now - random.Int64N(100_000)}
			if i%7 == 0 && topic == "topic" {
				commit.Partition, commit.Offset = 300, random.Int64()
			}
			e.Commit(c, "group", &commit)
		}
	}
	for _, topic := range []string{"topic", "owned"} {
		require.Zero(t, e.SetOwner(c, "group", &protocol.PartitionOwner{Topic: topic, Owner: "host", ClientID: topic}))
	}
	require.True(t, e.KnowOrders(c, "group"))
	want, record := answerOf(t, e, c, "group"), recordOf(e, c, "group")

	e.DropGroup(c, "group")
	require.False(t, e.ViewGroup(c, "group", func(GroupView) {}))
	require.NoError(t, e.PutGroup(c, "group", record))
	require.Equal(t, want, answerOf(t, e, c, "group"))
	require.Equal(t, record, recordOf(e, c, "group"))
	// It replaces what is there.
	require.NoError(t, e.PutGroup(c, "group", record))
	require.Equal(t, want, answerOf(t, e, c, "group"))
	newest := want["other"][0].Offsets[4]
	require.Equal(t, Duplicate, e.Commit(c, "group", &protocol.Commit{Topic: "other", Offset: 1, Order: newest.Order, Timestamp: clock.now}))

	// A topic that was deleted meanwhile stays in the group until LoseDeleted.
	require.Zero(t, e.DeleteTopic(c, "topic"))
	poll(t, e, c, 5, "topic")
	require.NoError(t, e.PutGroup(c, "group", record))
	require.Empty(t, answerOf(t, e, c, "group")["topic"][0].BrokerOffsets)
	require.True(t, e.LoseDeleted(c, "group"))
	require.NotContains(t, answerOf(t, e, c, "group"), "topic")
	require.False(t, e.LoseDeleted(c, "group"))
}

func TestRelag(t *testing.T) {
	t.Parallel()
	e, c, clock := newTestEngine(1, 5)
	poll(t, e, c, 100, "topic")
	first := protocol.Commit{Topic: "topic", Offset: 10, Order: 1, Timestamp: clock.now}
	second := protocol.Commit{Topic: "topic", Offset: 20, Order: 2, Timestamp: clock.now}
	require.Zero(t, e.Commit(c, "group", &first))
	require.Zero(t, e.Commit(c, "group", &second))
	poll(t, e, c, math.MaxInt64, "topic")
	e.Relag(c, "group", []protocol.Commit{second})
	offsets := answerOf(t, e, c, "group")["topic"][0].Offsets
	require.EqualValues(t, 90, offsets[3].Lag.Value, "the commit was not relagged")
	require.EqualValues(t, uint64(math.MaxInt64-20), offsets[4].Lag.Value)
}

func FuzzGroupThatIsKeptElsewhere(f *testing.F) {
	e, c, clock := newTestEngine(1, 3)
	poll(f, e, c, 100, "topic")
	for i := range int64(4) {
		e.Commit(c, "group", &protocol.Commit{Topic: "topic", Offset: i, Order: i + 1, Timestamp: clock.now})
	}
	e.SetOwner(c, "group", &protocol.PartitionOwner{Topic: "topic", Owner: "host", ClientID: "id"})
	r := recordOf(e, c, "group")
	f.Add(r.Meta, r.Topics[0].Meta, r.Topics[0].Owners, r.Topics[0].Partitions[0].Data)
	f.Fuzz(func(t *testing.T, meta, topic, owners, data []byte) {
		e, c, clock := newTestEngine(1, 3)
		poll(t, e, c, 100, "topic")
		err := e.PutGroup(c, "group", &GroupRecord{Meta: meta, Topics: []TopicRecord{
			{Name: "topic", Meta: topic, Owners: owners, Partitions: []PartitionRecord{{Data: data}}},
		}})
		if err != nil {
			require.False(t, e.ViewGroup(c, "group", func(GroupView) {}))
			return
		}
		// The bytes can be used and kept again.
		e.Commit(c, "group", &protocol.Commit{Topic: "topic", Offset: 50, Order: -1, Timestamp: clock.now})
		if e.ViewGroup(c, "group", func(GroupView) {}) {
			require.NoError(t, e.PutGroup(c, "group", recordOf(e, c, "group")))
		}
	})
}

// Commits come back from bytes whatever their numbers are, and those of a group that goes on at its pace take few.
func TestCommitsInBytes(t *testing.T) {
	steady := make([]protocol.StoredCommit, 10)
	for i := range steady {
		at := int64(i) * 10_000
		steady[i] = protocol.StoredCommit{
			Offset: 1e12 + 7*at, Order: 5e12 + 9*at, Timestamp: 1_700_000_000_000 + at, ObservedTimestamp: 1_700_000_000_000 + at,
			LagKnown: true, Lag: 1_000_000,
		}
	}
	require.Less(t, len(appendCommits(nil, steady)), 80)
	random := rand.New(rand.NewPCG(1, 2))
	number := func() int64 { return random.Int64() >> random.IntN(64) }
	cases := [][]protocol.StoredCommit{nil, steady, {
		{Offset: math.MaxInt64, Timestamp: math.MaxInt64 / 2, ObservedTimestamp: math.MaxInt64 / 2000 * 1000, LagKnown: true, Lag: math.MaxUint64},
		{Order: math.MaxInt64, Timestamp: -1, ObservedTimestamp: -1000},
		{Offset: math.MaxInt64, Order: math.MaxInt64, LagKnown: true},
	}}
	for range 1000 {
		var commits []protocol.StoredCommit
		order := int64(0)
		for range random.IntN(12) {
			order = max(order, number())
			c := protocol.StoredCommit{Offset: number(), Order: order, Timestamp: number() / 2}
			c.ObservedTimestamp = (seconds(c.Timestamp) + number()>>20) * 1000
			if c.LagKnown = random.IntN(3) > 0; c.LagKnown {
				c.Lag = uint64(number())
			}
			commits = append(commits, c)
		}
		cases = append(cases, commits)
	}
	for _, commits := range cases {
		got, err := decodeCommits(&wire.Reader{Rest: appendCommits(nil, commits)}, nil)
		require.NoError(t, err)
		require.Equal(t, commits, got)
	}
}
