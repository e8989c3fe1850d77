// Package snapshottest makes states for tests of code that reads and writes snapshots.
package snapshottest

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/protocol"
)

// State is a whole snapshot in memory, a Sink that keeps copies of its records.
type State struct {
	Header snapshot.Header
	Topics []snapshot.Topic
	Groups []snapshot.Group
}

// WriteTopic keeps a copy of the topic.
func (s *State) WriteTopic(t *snapshot.Topic) error {
	c := *t
	c.Partitions = nil
	for _, p := range t.Partitions {
		p.EndOffsets = append([]snapshot.EndOffset(nil), p.EndOffsets...)
		p.Curve = append([]byte(nil), p.Curve...)
		c.Partitions = append(c.Partitions, p)
	}
	s.Topics = append(s.Topics, c)
	return nil
}

// WriteGroup keeps a copy of the group, unpacked.
func (s *State) WriteGroup(g *snapshot.Group) error {
	c := g.Unpacked()
	topics := c.Topics
	c.Topics = nil
	for _, t := range topics {
		partitions := t.Partitions
		t.Partitions = nil
		for _, p := range partitions {
			p.Commits = append([]protocol.StoredCommit(nil), p.Commits...)
			t.Partitions = append(t.Partitions, p)
		}
		c.Topics = append(c.Topics, t)
	}
	s.Groups = append(s.Groups, c)
	return nil
}

// CopyTo writes all topics and then all groups to the sink.
func (s *State) CopyTo(sink snapshot.Sink) error {
	for i := range s.Topics {
		if err := sink.WriteTopic(&s.Topics[i]); err != nil {
			return err
		}
	}
	for i := range s.Groups {
		if err := sink.WriteGroup(&s.Groups[i]); err != nil {
			return err
		}
	}
	return nil
}

// Save is CopyTo for an Output.
func (s *State) Save(out snapshot.Output) error { return s.CopyTo(out) }

// Packed returns the state with its groups packed, as an engine passes them on.
func (s *State) Packed() *State {
	packed := &State{Header: s.Header, Topics: s.Topics}
	for i := range s.Groups {
		packed.Groups = append(packed.Groups, Packed(&s.Groups[i]))
	}
	return packed
}

// Fill is CopyTo, packed, for a function that needs a Writer.
func (s *State) Fill(w *snapshot.Writer) error { return s.CopyTo(Packing{w.Blocks()}) }

// Encode returns the file of the state.
func (s *State) Encode(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := snapshot.NewWriter(&b, s.Header)
	require.NoError(t, s.Fill(w))
	sum, err := w.Close()
	require.NoError(t, err)
	require.EqualValues(t, b.Len(), sum.Bytes)
	return b.Bytes()
}

// Decode returns the state of a file.
func Decode(b []byte) (*State, error) {
	r, err := snapshot.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	s := &State{Header: r.Header()}
	if err := r.Read(context.Background(), s); err != nil {
		return nil, err
	}
	return s, nil
}

// Generator makes random states. A wild one uses the whole range of every field, others make what a store has.
type Generator struct {
	*rand.Rand
	wild bool
}

// NewGenerator prints its seed; SNAPSHOT_SEED repeats a run.
func NewGenerator(t testing.TB, wild bool) *Generator {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SNAPSHOT_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("SNAPSHOT_SEED=%d", seed)
	return &Generator{rand.New(rand.NewPCG(seed, 1)), wild}
}

// SeededGenerator makes states that depend only on the seed, and are not wild.
func SeededGenerator(seed uint64) *Generator {
	return &Generator{rand.New(rand.NewPCG(seed, 3)), false}
}

// FixedGenerator makes the same states every time: the seeds of a fuzz target may not change from run to run.
func FixedGenerator(wild bool) *Generator { return &Generator{rand.New(rand.NewPCG(1, 1)), wild} }

func (g *Generator) int64(usual int64) int64 {
	if !g.wild {
		return usual
	}
	switch g.IntN(6) {
	case 0:
		return []int64{0, -1, 1, math.MinInt64, math.MinInt64 + 1, math.MaxInt64, 1 << 53, 1<<53 + 1}[g.IntN(8)]
	case 1:
		return int64(g.Uint64())
	}
	return usual
}

// Name makes a name of a prefix and a number.
func (g *Generator) Name(prefix string, n int) string {
	if g.wild {
		switch g.IntN(8) {
		case 0:
			return ""
		case 1:
			return "\xff\x00<&>\"\n\u2028 é 日本 " + strconv.Itoa(n)
		case 2:
			b := make([]byte, g.IntN(300))
			for i := range b {
				b[i] = byte(g.Uint32())
			}
			return string(b)
		}
	}
	return fmt.Sprintf("%s-%04d", prefix, n)
}

// Now is the time of the states, in Unix milliseconds.
const Now = 1_760_000_000_123

// State makes a state with as many topics and groups.
func (g *Generator) State(topics, groups int) *State {
	s := &State{Header: snapshot.Header{
		TakenAt: g.int64(Now), Intervals: g.IntN(1000), Sequence: g.Uint64()}}
	for n := range topics {
		s.Topics = append(s.Topics, g.Topic(n))
	}
	for n := range groups {
		s.Groups = append(s.Groups, g.Group(n, topics))
	}
	return s
}

// Topic makes a topic; n is in its name.
func (g *Generator) Topic(n int) snapshot.Topic {
	t := snapshot.Topic{
		Cluster: g.Name("cluster", g.IntN(3)), Name: g.Name("topic", n),
		PartitionCount: g.Int32N(12),
	}
	if g.IntN(2) == 0 {
		for i := range t.ID {
			t.ID[i] = byte(g.Uint32())
		}
	}
	if g.wild && g.IntN(4) == 0 {
		t.PartitionCount = snapshot.MaxPartitions - 11 + g.Int32N(12)
	}
	for number := int32(0); number < t.PartitionCount; number += 1 + g.Int32N(1+t.PartitionCount/8) {
		p := snapshot.Partition{Number: number, Incarnation: g.Uint32() >> g.IntN(32), LogStart: g.int64(int64(g.IntN(1000)))}
		offset, at := int64(g.IntN(1e9)), int64(Now-100_000)
		for range g.IntN(11) {
			offset += int64(g.IntN(5000))
			at += 10_000 + int64(g.IntN(50))
			p.EndOffsets = append(p.EndOffsets, snapshot.EndOffset{Offset: g.int64(offset), Timestamp: g.int64(at)})
		}
		for range g.IntN(3) * g.IntN(20) {
			p.Curve = append(p.Curve, byte(g.Uint32()))
		}
		t.Partitions = append(t.Partitions, p)
	}
	return t
}

// Group makes a group that knows some of as many topics; n is in its name.
func (g *Generator) Group(n, topics int) snapshot.Group {
	group := snapshot.Group{
		Cluster: g.Name("cluster", g.IntN(3)), Name: g.Name("group", n), LastCommit: g.int64(Now - 500),
		LastOwner: snapshot.Never,
	}
	if g.IntN(2) == 0 {
		group.LastOwner = g.int64(Now - 5000)
	}
	deletion := g.IntN(4) == 0
	for i := range g.IntN(4) {
		t := snapshot.GroupTopic{
			Name: g.Name("topic", (n+i)%max(topics, 1)), PartitionCount: g.Int32N(12), LastCommit: g.int64(Now - 700),
		}
		if deletion {
			t.PartitionCount, t.LastCommit = 1+t.PartitionCount, snapshot.Never
		}
		for number := int32(0); number < t.PartitionCount; number += 1 + g.Int32N(2) {
			p := snapshot.GroupPartition{Number: number}
			if deletion {
				p.DeletedOrder = 1 + g.int64(1_000_000)
				if p.DeletedOrder == 0 {
					p.DeletedOrder = 1
				}
				t.Partitions = append(t.Partitions, p)
				continue
			}
			p.Commits, p.Incarnation = g.Window(g.IntN(11)), g.Uint32()>>(24+g.IntN(8))
			if g.IntN(2) == 0 {
				p.Owner, p.ClientID = g.Name("10.0.0", g.IntN(5)), g.Name("client", g.IntN(5))
			}
			t.Partitions = append(t.Partitions, p)
		}
		group.Topics = append(group.Topics, t)
	}
	return group
}

// Window makes n commits of a partition.
func (g *Generator) Window(n int) (commits []protocol.StoredCommit) {
	offset, order := int64(g.IntN(1e9)), int64(900_000+g.IntN(1000))
	at := Now - 10_000*int64(n)
	for range n {
		offset += int64(g.IntN(5000))
		order += int64(100 + g.IntN(50))
		at += 10_000 + int64(g.IntN(50))
		c := protocol.StoredCommit{
			Offset: g.int64(offset), Order: g.int64(order), Timestamp: g.int64(at),
		}
		c.ObservedTimestamp = g.int64(at+int64(g.IntN(1500))) / 1000 * 1000
		if g.IntN(10) > 0 {
			c.LagKnown, c.Lag = true, uint64(g.int64(int64(g.IntN(300)/100*g.IntN(100))))
		}
		commits = append(commits, c)
	}
	return commits
}
