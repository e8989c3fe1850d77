package snapshot

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// state is a whole snapshot in memory, a Sink that keeps copies of what it is given.
type state struct {
	Header Header
	Topics []Topic
	Groups []Group
}

func (s *state) WriteTopic(t *Topic) error {
	c := *t
	c.Partitions = nil
	for _, p := range t.Partitions {
		p.EndOffsets = append([]EndOffset(nil), p.EndOffsets...)
		p.Curve = append([]byte(nil), p.Curve...)
		c.Partitions = append(c.Partitions, p)
	}
	s.Topics = append(s.Topics, c)
	return nil
}

func (s *state) WriteGroup(g *Group) error {
	c := *g
	c.Topics = nil
	for _, t := range g.Topics {
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

func (s *state) copyTo(sink Sink) error {
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

func (s *state) fill(w *Writer) error { return s.copyTo(w) }

func (s *state) encode(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b, s.Header)
	require.NoError(t, s.copyTo(w))
	sum, err := w.Close()
	require.NoError(t, err)
	require.EqualValues(t, b.Len(), sum.Bytes)
	return b.Bytes()
}

func decode(b []byte) (*state, error) {
	r, err := NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	s := &state{Header: r.Header()}
	return s, r.CopyTo(s)
}

// generator makes random states. A wild one uses the whole range of every field, one that is not makes what a store has.
type generator struct {
	*rand.Rand
	wild bool
}

// newGenerator prints its seed; SNAPSHOT_SEED repeats a run.
func newGenerator(t testing.TB, wild bool) *generator {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SNAPSHOT_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("SNAPSHOT_SEED=%d", seed)
	return &generator{rand.New(rand.NewPCG(seed, 1)), wild}
}

// fixedGenerator makes the same states every time: the seeds of a fuzz target may not change from run to run.
func fixedGenerator(wild bool) *generator { return &generator{rand.New(rand.NewPCG(1, 1)), wild} }

func (g *generator) int64(usual int64) int64 {
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

func (g *generator) name(prefix string, n int) string {
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

const testNow = 1_760_000_000_123

func (g *generator) state(topics, groups int) *state {
	s := &state{Header: Header{
		TakenAt: g.int64(testNow), Intervals: g.IntN(1000), Sequence: g.Uint64(), Creator: g.name("test", 1),
	}}
	for n := range topics {
		s.Topics = append(s.Topics, g.topic(n))
	}
	for n := range groups {
		s.Groups = append(s.Groups, g.group(n, topics))
	}
	return s
}

func (g *generator) topic(n int) Topic {
	t := Topic{
		Cluster: g.name("cluster", g.IntN(3)), Name: g.name("topic", n), Incarnation: g.Uint64() >> g.IntN(64),
		PartitionCount: g.Int32N(12),
	}
	if g.IntN(2) == 0 {
		for i := range t.ID {
			t.ID[i] = byte(g.Uint32())
		}
	}
	if g.wild && g.IntN(4) == 0 {
		t.PartitionCount = MaxPartitions - 11 + g.Int32N(12)
	}
	for number := int32(0); number < t.PartitionCount; number += 1 + g.Int32N(1+t.PartitionCount/8) {
		p := Partition{Number: number, Incarnation: g.Uint32() >> g.IntN(32), LogStart: g.int64(int64(g.IntN(1000)))}
		offset, at := int64(g.IntN(1e9)), int64(testNow-100_000)
		for range g.IntN(11) {
			offset += int64(g.IntN(5000))
			at += 10_000 + int64(g.IntN(50))
			p.EndOffsets = append(p.EndOffsets, EndOffset{Offset: g.int64(offset), Timestamp: g.int64(at)})
		}
		for range g.IntN(3) * g.IntN(20) {
			p.Curve = append(p.Curve, byte(g.Uint32()))
		}
		t.Partitions = append(t.Partitions, p)
	}
	return t
}

func (g *generator) group(n, topics int) Group {
	group := Group{
		Cluster: g.name("cluster", g.IntN(3)), Name: g.name("group", n), LastCommit: g.int64(testNow - 500),
		LastOwner: Never,
	}
	if g.IntN(2) == 0 {
		group.LastOwner = g.int64(testNow - 5000)
	}
	for i := range g.IntN(4) {
		t := GroupTopic{
			Name: g.name("topic", (n+i)%max(topics, 1)), PartitionCount: g.Int32N(12), LastCommit: g.int64(testNow - 700),
		}
		for number := int32(0); number < t.PartitionCount; number += 1 + g.Int32N(2) {
			p := GroupPartition{Number: number, Commits: g.window(g.IntN(11))}
			if g.IntN(2) == 0 {
				p.Owner, p.ClientID = g.name("10.0.0", g.IntN(5)), g.name("client", g.IntN(5))
			}
			if g.IntN(4) == 0 {
				p.DeletedOrder, p.Incarnation = g.int64(1_000_000), g.Uint32()>>g.IntN(32)
			}
			t.Partitions = append(t.Partitions, p)
		}
		group.Topics = append(group.Topics, t)
	}
	return group
}

func (g *generator) window(n int) (commits []protocol.StoredCommit) {
	offset, order := int64(g.IntN(1e9)), int64(900_000+g.IntN(1000))
	at := int64(testNow - 10_000*n)
	for range n {
		offset += int64(g.IntN(5000))
		order += int64(100 + g.IntN(50))
		at += 10_000 + int64(g.IntN(50))
		c := protocol.StoredCommit{
			Offset: g.int64(offset), Order: g.int64(order), Timestamp: g.int64(at),
		}
		c.ObservedTimestamp = g.int64((at + int64(g.IntN(1500))) / 1000 * 1000)
		if g.IntN(10) > 0 {
			c.LagKnown, c.Lag = true, uint64(g.int64(int64(g.IntN(300)/100*g.IntN(100))))
		}
		commits = append(commits, c)
	}
	return commits
}
