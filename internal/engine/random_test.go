package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/protocol"
)

// naive is one group as plain maps.
type naive map[string]map[int32]*naivePartition

type naivePartition struct {
	commits []protocol.StoredCommit
	owner   member
	// known is the order up to which a snapshot had the commits, 0 for none.
	known int64
}

func (n naive) at(topic string, partition int32) *naivePartition {
	if n[topic] == nil {
		n[topic] = map[int32]*naivePartition{}
	}
	if n[topic][partition] == nil {
		n[topic][partition] = &naivePartition{}
	}
	return n[topic][partition]
}

// shape is the size of the world of a random run.
type shape struct {
	topics, partitions, intervals, requests int
	// wide makes commits that take much room.
	wide bool
	// spread is the greatest distance between the numbers of partitions; 0 stands for 1.
	spread int32
}

// numbers returns the partitions that are used, in ascending order.
func (s shape) numbers(chance *rand.Rand) []int32 {
	numbers := make([]int32, s.partitions)
	next := int32(0)
	for i := range numbers {
		numbers[i] = next
		next++
		if s.spread > 1 {
			next += chance.Int32N(s.spread)
		}
	}
	return numbers
}

// TestGroupAtRandom makes random changes to one group, compares what it holds with plain maps, and checks all invariants of
// its memory.
func TestGroupAtRandom(t *testing.T) {
	t.Parallel()
	for i, shape := range []shape{
		{topics: 3, partitions: 4, intervals: 3, requests: 4000},
		{topics: 30, partitions: 40, intervals: 10, requests: 5000},
		{topics: 12, partitions: 300, intervals: 30, requests: 8000, wide: true},
		{topics: 2, partitions: 3, intervals: 1000, requests: 5000, wide: true},
		{topics: 1, partitions: 700, intervals: 2, requests: 4000},
		{topics: 3, partitions: 12, intervals: 3, requests: 4000, spread: 500},
		{topics: 4, partitions: 300, intervals: 3, requests: 8000, spread: 8},
		{topics: 2, partitions: 900, intervals: 5, requests: 8000, spread: 4, wide: true},
	} {
		t.Run(fmt.Sprintf("%+v", shape), func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			runGroup(t, shape, rand.New(rand.NewPCG(seed, uint64(i))))
		})
	}
}

func runGroup(t *testing.T, shape shape, chance *rand.Rand) {
	e, c, clock := newTestEngine(1, shape.intervals)
	model := naive{}
	const end = 1 << 40
	numbers := shape.numbers(chance)
	topicOf := func(i int) string { return fmt.Sprint("topic", i) }
	poll := func(topic string) {
		for _, p := range numbers {
			if why := e.SetEndOffset(c, topic, &protocol.EndOffset{
				Partition: p, TopicPartitionCount: numbers[len(numbers)-1] + 1, Offset: end,
			}); why != 0 {
				t.Fatal(why)
			}
		}
	}
	for i := range shape.topics {
		poll(topicOf(i))
	}
	most, blocks := 0, 0
	var sparse, dense bool
	for request := range shape.requests {
		topic, partition := topicOf(chance.IntN(shape.topics)), numbers[chance.IntN(len(numbers))]
		switch dice := chance.IntN(1000); {
		case dice < 100 && shape.spread > 0:
			deletePartition(t, e, c, model, topic, partition)
		case dice < 900:
			clock.now += chance.Int64N(20_000)
			commitAtRandom(t, e, c, model.at(topic, partition), topic, partition, shape, chance, clock.now)
		case dice < 980:
			owner := protocol.PartitionOwner{Topic: topic, Partition: partition, Owner: fmt.Sprint("host", chance.IntN(200))}
			if chance.IntN(5) == 0 {
				owner.Owner = ""
			}
			require.Zero(t, e.SetOwner(c, "group", &owner))
			model.at(topic, partition).owner = member{owner.Owner, ""}
		case dice < 983:
			e.ClearOwners(c, "group")
			for _, partitions := range model {
				for _, p := range partitions {
					p.owner = member{}
				}
			}
		case dice < 990 && shape.topics > 2:
			why := e.DeleteGroupTopic(c, "group", topic)
			require.Equal(t, model[topic] != nil, why == 0)
			delete(model, topic)
		case dice < 992 && shape.spread > 0:
			saveAndLoad(t, e, model)
		case dice < 993 && shape.topics > 2:
			require.Zero(t, e.DeleteTopic(c, topic))
			delete(model, topic)
			poll(topic)
		case dice == 999 && chance.IntN(10) == 0:
			require.Equal(t, len(model) > 0, e.DeleteGroup(c, "group") == 0)
			model = naive{}
		default:
			e.Sweep()
		}
		if request%100 == 0 || request == shape.requests-1 {
			e.checkInvariants(t)
			compare(t, e, c, model)
		}
		if len(model) > 0 {
			g := e.onlyGroup(t, "group")
			m := &g.memory
			for i := range g.topics {
				sparse = sparse || g.topics[i].sparse
				dense = dense || !g.topics[i].sparse && g.topics[i].length > alwaysDense
			}
			most, blocks = max(most, m.windows), max(blocks, len(m.blocks))
		}
	}
	t.Logf("up to %d windows in %d blocks", most, blocks)
	if shape.wide && shape.partitions*shape.intervals > 5000 {
		require.Greater(t, blocks, 2, "no more than 64 KiB were reached")
	}
	if shape.spread > 0 {
		require.True(t, sparse, "no topic was sparse")
	}
	if shape.partitions > 500 {
		require.True(t, dense, "no topic became dense")
	}
	if st := e.Stats(); len(model) > 0 {
		require.Equal(t, len(model), st.GroupTopics)
	}
}

// deletePartition deletes a partition of the group from both.
func deletePartition(t *testing.T, e *Engine, c *Cluster, model naive, topic string, partition int32) {
	t.Helper()
	there := model[topic][partition] != nil
	require.Equal(t, there, e.DeletePartition(c, "group", topic, partition, 0) == 0)
	if !there {
		return
	}
	delete(model[topic], partition)
	if len(model[topic]) == 0 {
		delete(model, topic)
	}
}

// saveAndLoad replaces everything by what a snapshot of it holds.
func saveAndLoad(t *testing.T, e *Engine, model naive) {
	t.Helper()
	var file bytes.Buffer
	w := snapshot.NewWriter(&file, snapshot.Header{TakenAt: startTime, Intervals: e.config.Intervals})
	require.NoError(t, e.Save(w.Blocks(), w.Blocks()))
	_, err := w.Close()
	require.NoError(t, err)
	r, err := snapshot.NewReader(bytes.NewReader(file.Bytes()), int64(file.Len()))
	require.NoError(t, err)
	require.NoError(t, r.Read(t.Context(), e.Loader(), e.Loader()))
	for _, partitions := range model {
		for _, p := range partitions {
			p.known = 0
			if n := len(p.commits); n > 0 {
				p.known = p.commits[n-1].Order
			}
		}
	}
}

// commitAtRandom commits behind the newest commit, or somewhere before.
func commitAtRandom(
	t *testing.T, e *Engine, c *Cluster, p *naivePartition, topic string, partition int32, shape shape, chance *rand.Rand, now int64,
) {
	in := protocol.Commit{Topic: topic, Partition: partition, Timestamp: now, Offset: chance.Int64N(1 << 41)}
	if !shape.wide {
		in.Offset = 1<<40 - 5000 + chance.Int64N(2000)
	}
	newest := int64(10)
	if n := len(p.commits); n > 0 {
		newest = p.commits[n-1].Order
	}
	in.Order = newest + 1 + chance.Int64N(1000)
	if shape.wide && chance.IntN(3) == 0 {
		in.Order = newest + 1 + chance.Int64N(1<<40)
	}
	late := chance.IntN(20) == 0 && len(p.commits) > 1
	want, at := Reason(0), len(p.commits)
	if late {
		in.Order = p.commits[0].Order + chance.Int64N(newest-p.commits[0].Order)
		at, _ = slices.BinarySearchFunc(p.commits, in.Order, func(c protocol.StoredCommit, order int64) int { return int(c.Order - order) })
		full := len(p.commits) == shape.intervals
		switch {
		case in.Order <= p.known:
			want = Duplicate
		case full && at == 0 && in.Order == p.commits[0].Order:
			want = Backfill
		case p.commits[at].Order == in.Order:
			want = Duplicate
		case at > 0:
			in.Timestamp = p.commits[at-1].Timestamp // not earlier than the one before, so that it does not replace that
		}
	}
	require.Equal(t, want, e.Commit(c, "group", &in))
	if want != 0 {
		return
	}
	stored := protocol.StoredCommit{
		Offset: in.Offset, Order: in.Order, Timestamp: in.Timestamp, ObservedTimestamp: now / 1000 * 1000, LagKnown: !late,
	}
	if lag := int64(1<<40) - in.Offset; lag > 0 && !late {
		stored.Lag = uint64(lag)
	}
	p.commits = slices.Insert(p.commits, at, stored)
	if len(p.commits) > shape.intervals {
		p.commits = p.commits[1:]
	}
}

// compare compares the typed answer for a group with plain maps.
func compare(t *testing.T, e *Engine, c *Cluster, model naive) {
	t.Helper()
	capture, why := e.Capture(c, "group")
	if len(model) == 0 {
		require.Equal(t, UnknownGroup, why)
		return
	}
	require.Zero(t, why)
	var got protocol.Group
	capture.Group(&got)
	capture.Release()
	require.Len(t, got.Topics, len(model))
	for _, topic := range got.Topics {
		for p := range topic.Partitions {
			have, want := &topic.Partitions[p], model[topic.Name][int32(p)]
			if want == nil {
				want = &naivePartition{}
			}
			if want.owner != (member{have.Owner, have.ClientID}) {
				require.Equal(t, want.owner, member{have.Owner, have.ClientID}, "%s %d", topic.Name, p)
			}
			if !slices.Equal(want.commits, have.Commits) {
				require.Equal(t, want.commits, have.Commits, "%s %d", topic.Name, p)
			}
		}
		for p := range model[topic.Name] {
			require.Less(t, int(p), len(topic.Partitions))
		}
	}
}
