package engine

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lagkeeper/storage/protocol"
)

// committer commits to a group in the only shard of an engine until it is stopped, and records the longest commit.
type committer struct {
	longest atomic.Int64
	stop    chan struct{} // closed to end it
	done    chan struct{} // closed when it has ended
}

func startCommitter(e *Engine, c *Cluster) *committer {
	w := &committer{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for {
			select {
			case <-w.stop:
				return
			default:
			}
			begun := time.Now()
			e.Commit(c, "other", &protocol.Commit{Topic: "other", Offset: 1, Timestamp: e.config.Clock.Coarse()})
			if took := int64(time.Since(begun)); took > w.longest.Load() {
				w.longest.Store(took)
			}
		}
	}()
	return w
}

func (w *committer) end() {
	close(w.stop)
	<-w.done
}

// BenchmarkHold measures the longest wait of a commit to the same shard while something large is done. It reports the least
// of all runs: a hold is in each of them, but what else the machine does is not.
func BenchmarkHold(b *testing.B) {
	batch := make([]protocol.Commit, 1_000_000)
	for i := range batch {
		batch[i] = protocol.Commit{Topic: "other", Offset: int64(i), Order: int64(i + 1), Timestamp: startTime}
	}
	owners := make([]protocol.PartitionOwner, 10_000)
	manyPartitions := func(e *Engine, c *Cluster) {
		for i := range owners {
			e.SetEndOffset(c, "t", &protocol.EndOffset{Partition: int32(i), TopicPartitionCount: int32(len(owners)), Offset: 9})
			owners[i] = protocol.PartitionOwner{Topic: "t", Partition: int32(i)}
		}
	}
	commitEach := func(e *Engine, c *Cluster, groups, topics int) {
		for t := range topics {
			e.SetEndOffset(c, fmt.Sprint("t", t), &protocol.EndOffset{Offset: 9})
		}
		for g := range groups {
			for t := range topics {
				e.Commit(c, fmt.Sprint("g", g), &protocol.Commit{Topic: fmt.Sprint("t", t), Offset: 1, Timestamp: startTime})
			}
		}
	}
	for _, test := range []struct {
		name    string
		prepare func(e *Engine, c *Cluster)
		do      func(e *Engine, c *Cluster)
	}{
		{"batch-of-1000000", func(*Engine, *Cluster) {}, func(e *Engine, c *Cluster) {
			e.Commits(c, "g", batch, func(int, Reason) {})
		}},
		{"delete-topic-of-100000-groups", func(e *Engine, c *Cluster) { commitEach(e, c, 100_000, 1) },
			func(e *Engine, c *Cluster) { e.DeleteTopic(c, "t0") }},
		{"save-group-of-100000-topics", func(e *Engine, c *Cluster) { commitEach(e, c, 1, 100_000) },
			func(e *Engine, _ *Cluster) { _ = e.Save(nothing{}) }},
		{"fetch-group-of-100000-topics", func(e *Engine, c *Cluster) { commitEach(e, c, 1, 100_000) },
			func(e *Engine, c *Cluster) {
				if k, why := e.Capture(c, "g0"); why == 0 {
					k.Release()
				}
			}},
		{"delete-group-of-100000-topics", func(e *Engine, c *Cluster) { commitEach(e, c, 1, 100_000) },
			func(e *Engine, c *Cluster) { e.DeleteGroup(c, "g0") }},
		{"expire-group-of-100000-topics", func(e *Engine, c *Cluster) { commitEach(e, c, 1, 100_000); expireAll(e) },
			func(e *Engine, _ *Cluster) { e.Sweep() }},
		{"expire-1000000-group-partitions", func(e *Engine, c *Cluster) { commitEach(e, c, 10_000, 100); expireAll(e) },
			func(e *Engine, _ *Cluster) { e.Sweep() }},
		{"owners-of-10000-partitions-100-times", manyPartitions, func(e *Engine, c *Cluster) {
			for round := range 100 {
				for i := range owners {
					owners[i].Owner, owners[i].ClientID = fmt.Sprint("host-", (i+round)%500), fmt.Sprint("client-", round)
				}
				e.SetOwners(c, "g", owners, func(int, Reason) {})
			}
		}},
		{"list-300000-groups", func(e *Engine, c *Cluster) { commitEach(e, c, 300_000, 1) },
			func(e *Engine, c *Cluster) { _, _ = e.Groups(c) }},
		{"sweep-group-of-100000-topics", func(e *Engine, c *Cluster) { commitEach(e, c, 1, 100_000) },
			func(e *Engine, _ *Cluster) { e.Sweep() }},
		{"statistics-of-1000000-groups", func(e *Engine, c *Cluster) { commitEach(e, c, 1_000_000, 1) },
			func(e *Engine, _ *Cluster) { e.Stats() }},
	} {
		b.Run(test.name, func(b *testing.B) {
			longest, took := time.Hour, time.Hour
			for range b.N {
				e, c, _ := newTestEngine(1, 10)
				e.SetEndOffset(c, "other", &protocol.EndOffset{Offset: 9})
				test.prepare(e, c)
				runtime.GC()
				w := startCommitter(e, c)
				begun := time.Now()
				test.do(e, c)
				took = min(took, time.Since(begun))
				w.end()
				longest = min(longest, time.Duration(w.longest.Load()))
			}
			b.ReportMetric(float64(longest.Microseconds())/1000, "longest-ms")
			b.ReportMetric(float64(took.Microseconds())/1000, "took-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// expireAll moves the clock to where every group of a test has expired except the one that keeps committing.
func expireAll(e *Engine) {
	e.config.Clock.(*stoppedClock).now += e.config.ExpireGroup + 10_000
}

// BenchmarkTake measures how long a shard is held while a group of 100,000 topics is copied.
func BenchmarkTake(b *testing.B) {
	e, c, _ := newTestEngine(1, 10)
	for t := range 100_000 {
		e.SetEndOffset(c, fmt.Sprint("t", t), &protocol.EndOffset{Offset: 9})
		e.Commit(c, "g", &protocol.Commit{Topic: fmt.Sprint("t", t), Offset: 1, Timestamp: startTime})
	}
	g := e.shards[0].listed()[0]
	k := new(Capture)
	for tries := 0; !k.take(g, tries); tries++ {
		k.grow()
	}
	for b.Loop() {
		k.take(g, 0)
	}
}
