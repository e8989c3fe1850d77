package snapshottest

import (
	"fmt"
	"math/rand/v2"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/protocol"
)

// The state of the benchmarks: groups that consume one topic each with a member for every ten partitions, and commit all
// of it about every ten seconds, a commit of each partition a few milliseconds after that of the one before. Every tenth
// partition is idle; one in four of the others runs a lag.
const (
	BenchGroups     = 1000
	BenchPartitions = 100
	BenchCommits    = 10
)

// BenchState makes the state of the benchmarks.
func BenchState() *State {
	r := rand.New(rand.NewPCG(1, 2))
	s := &State{Header: snapshot.Header{TakenAt: Now, Intervals: BenchCommits, Sequence: 1}}
	for n := range BenchGroups / 10 {
		t := snapshot.Topic{Cluster: "production", Name: fmt.Sprintf("orders.events.v%03d", n), PartitionCount: BenchPartitions}
		for number := range int32(BenchPartitions) {
			p := snapshot.Partition{Number: number, LogStart: int64(r.IntN(1e6))}
			offset, at := int64(r.IntN(1e9)), int64(Now-10_000*BenchCommits)
			for range BenchCommits {
				offset += int64(r.IntN(2000))
				at += 10_000
				p.EndOffsets = append(p.EndOffsets, snapshot.EndOffset{Offset: offset, Timestamp: at})
			}
			t.Partitions = append(t.Partitions, p)
		}
		s.Topics = append(s.Topics, t)
	}
	for n := range BenchGroups {
		s.Groups = append(s.Groups, benchGroup(r, n))
	}
	return s
}

func benchGroup(r *rand.Rand, n int) snapshot.Group {
	t := snapshot.GroupTopic{
		Name: fmt.Sprintf("orders.events.v%03d", n/10), PartitionCount: BenchPartitions, LastCommit: Now - 100,
		Partitions: make([]snapshot.GroupPartition, BenchPartitions),
	}
	start, order := Now-10_000*BenchCommits-r.Int64N(10_000), 5_000_000_000+r.Int64N(1e9)
	base, rate := int64(r.IntN(1e9)), 1+r.IntN(3000)
	for i := range t.Partitions {
		t.Partitions[i] = snapshot.GroupPartition{
			Number: int32(i), Owner: fmt.Sprintf("/10.1.%d.%d", n%250, i/10),
			ClientID: fmt.Sprintf("consumer-orders-%d-%d", n, i/10), Commits: make([]protocol.StoredCommit, BenchCommits),
		}
	}
	offsets := make([]int64, BenchPartitions)
	for i := range offsets {
		offsets[i] = base + int64(r.IntN(1e7))
	}
	for k := range BenchCommits {
		at := start + int64(10_000*k+r.IntN(200))
		order += int64(1000 + r.IntN(200)) // other groups
		for i := range t.Partitions {
			c := protocol.StoredCommit{Order: order, Timestamp: at, ObservedTimestamp: (at + 30) / 1000 * 1000, LagKnown: true}
			if i%10 != 0 {
				offsets[i] += int64(rate/2 + r.IntN(rate))
				if i%4 == 1 {
					c.Lag = uint64(r.IntN(2 * rate))
				}
			}
			c.Offset = offsets[i]
			t.Partitions[i].Commits[k] = c
			order++
			at += int64(r.IntN(3))
		}
	}
	return snapshot.Group{
		Cluster: "production", Name: fmt.Sprintf("orders-consumer-%05d", n), LastCommit: Now - 100, LastOwner: Now - 900,
		Topics: []snapshot.GroupTopic{t},
	}
}
