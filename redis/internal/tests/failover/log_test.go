package failover_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/lagkeeper/storage/protocol"
)

const (
	cluster = "prod"
	// buckets is the number of log partitions, and of the buckets of groups.
	buckets = 12
	// endOffset is the end offset of every partition. It is constant, so that the lag of a commit does not depend on when it is
	// stored.
	endOffset       = 1_000_000_000
	topicPartitions = 4
)

var topics = []string{"orders", "payments", "clicks"}

// record is one record of the commit log: a commit, or a tombstone for one partition of a group.
type record struct {
	group     string
	tombstone bool
	commit    protocol.Commit // a tombstone has only topic, partition and order
}

// commitLog is a __consumer_offsets in memory. It never loses a record.
type commitLog struct {
	mu         sync.Mutex
	partitions [buckets][]record // guarded by mu
	offsets    map[string]int64  // guarded by mu: the newest offset of each group-partition
	clock      int64             // guarded by mu: the time of the newest record, in Unix milliseconds
	// live gives records their real time, and leaves out tombstones. It is set before the first record is written.
	live bool
	// grown is closed and replaced when a record is written; guarded by mu.
	grown chan struct{}
}

func newLog() *commitLog {
	return &commitLog{offsets: map[string]int64{}, clock: time.Now().Add(-time.Hour).UnixMilli(), grown: make(chan struct{})}
}

// groups are the same number of groups for each log partition.
func groups(perBucket int) []string {
	var names []string
	var count [buckets]int
	for i := 0; len(names) < perBucket*buckets; i++ {
		name := fmt.Sprint("group-", i)
		if p := protocol.LogPartitionOf(name, buckets); count[p] < perBucket {
			count[p]++
			names = append(names, name)
		}
	}
	return names
}

// write writes a record of a group on a random partition.
func (l *commitLog) write(chance *rand.Rand, group string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := protocol.LogPartitionOf(group, buckets)
	l.clock++
	if l.live {
		l.clock = time.Now().UnixMilli()
	}
	r := record{group: group, commit: protocol.Commit{
		Topic: topics[chance.IntN(len(topics))], Partition: chance.Int32N(topicPartitions),
		Order: int64(len(l.partitions[p])) + 1, Timestamp: l.clock,
	}}
	key := fmt.Sprint(group, r.commit.Topic, r.commit.Partition)
	if !l.live && chance.IntN(100) == 0 {
		r.tombstone = true
	} else {
		l.offsets[key] += 1 + chance.Int64N(1000)
		r.commit.Offset = l.offsets[key]
	}
	l.partitions[p] = append(l.partitions[p], r)
	close(l.grown)
	l.grown = make(chan struct{})
}

// read returns the records of a log partition from an offset on, at most n.
func (l *commitLog) read(partition int32, from int64, n int) (records []record, grown <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.partitions[partition][from:]
	return all[:min(n, len(all))], l.grown
}

func (l *commitLog) end(partition int32) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.partitions[partition]))
}
