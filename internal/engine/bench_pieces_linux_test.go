package engine

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/protocol"
)

// BenchmarkPiece measures for how long a shard is held by one piece of something large, in processor time, since by the clock the
// longest would be that during which the machine did something else; see BenchmarkHold.
func BenchmarkPiece(b *testing.B) {
	each := func(e *Engine, c *Cluster, groups, topics int) {
		for t := range topics {
			e.SetEndOffset(c, fmt.Sprint("t", t), &protocol.EndOffset{Offset: 9})
		}
		for g := range groups {
			for t := range topics {
				e.Commit(c, fmt.Sprint("g", g), &protocol.Commit{Topic: fmt.Sprint("t", t), Offset: 1, Order: 1, Timestamp: startTime})
			}
		}
	}
	for _, test := range []struct {
		name string
		// prepare returns a piece, which reports whether there are more.
		prepare func(e *Engine, c *Cluster, s *shard) (piece func() (more bool))
	}{
		{"delete-topic-of-100000-groups", func(e *Engine, c *Cluster, s *shard) func() bool {
			each(e, c, 100_000, 1)
			t := c.topics.Delete("t0")
			return func() bool { return s.forgetTopicOfSome(t, startTime) }
		}},
		{"delete-group-of-100000-topics", func(e *Engine, c *Cluster, s *shard) func() bool {
			each(e, c, 1, 100_000)
			s.delete(s.listed()[0], startTime)
			return s.drainSome
		}},
		{"add-100000-topics-to-a-group", func(e *Engine, c *Cluster, _ *shard) func() bool {
			each(e, c, 1, 1)
			for t := range 100_000 {
				e.SetEndOffset(c, fmt.Sprint("t", t), &protocol.EndOffset{Offset: 9})
			}
			t := 0
			return func() bool {
				t++
				e.Commit(c, "g0", &protocol.Commit{Topic: fmt.Sprint("t", t), Offset: 1, Order: 1, Timestamp: startTime})
				return t < 99_999
			}
		}},
		{"restore-group-of-100000-topics", func(e *Engine, c *Cluster, s *shard) func() bool {
			each(e, c, 1, 100_000)
			g := s.listed()[0]
			r := keepingGroup{r: new(snapshot.Group)}
			w := saver{engine: e, out: r, written: &writtenTopics{topics: map[*ends.Topic]bool{}}}
			for i := range g.topics {
				w.written.topics[g.topics[i].topic] = true
			}
			if err := w.group(s, g); err != nil {
				panic(err)
			}
			s.delete(g, startTime)
			s.drain()
			built, err := e.Loader().builder.group(c, r.r, startTime)
			if err != nil {
				panic(err)
			}
			for i := range built.topics {
				built.topics[i].topic = c.topics.Topic(built.topics[i].topic.Name)
			}
			built.nameTopics()
			built.arrives = true
			seen, through := startTime, len(built.topics)
			return func() bool {
				if through > 0 {
					through = s.arriveSome(built, through, false)
					return true
				}
				if ok, why := e.placeIn(s, built, seen, startTime, true); !ok {
					panic(why)
				}
				return false
			}
		}},
		{"expire-10000-groups-of-100-partitions", func(e *Engine, c *Cluster, s *shard) func() bool {
			each(e, c, 10_000, 100)
			expireAll(e)
			at := -1
			return func() bool {
				at, _ = e.sweepBatch(s, c, at, nil)
				return at != 0
			}
		}},
		{"trim-group-of-100000-partitions", func(e *Engine, c *Cluster, s *shard) func() bool {
			batch := make([]protocol.Commit, 100_000)
			for i := range batch {
				e.SetEndOffset(c, "t", &protocol.EndOffset{Partition: int32(i), TopicPartitionCount: int32(len(batch)), Offset: 1 << 30})
			}
			for round := range int64(10) {
				for i := range batch {
					batch[i] = protocol.Commit{
						Topic: "t", Partition: int32(i), Offset: 1000*round + int64(i)%7, Order: round + 1, Timestamp: startTime + 10_000*round,
					}
				}
				e.Commits(c, "g", batch, func(int, Reason) { panic("refused") })
			}
			g := s.listed()[0]
			from := 0
			return func() bool {
				from, _ = s.trimSome(g, from)
				return from >= 0
			}
		}},
		{"statistics-of-1000000-groups", func(e *Engine, c *Cluster, s *shard) func() bool {
			each(e, c, 1_000_000, 1)
			at, st := 0, Stats{}
			return func() bool {
				at = s.addGroups(&st, c, at)
				return at >= 0
			}
		}},
		{"owners-of-10000-partitions", func(e *Engine, c *Cluster, s *shard) func() bool {
			const partitions, rounds = 10_000, 50
			owners := make([]protocol.PartitionOwner, partitions)
			for i := range owners {
				e.SetEndOffset(c, "t", &protocol.EndOffset{Partition: int32(i), TopicPartitionCount: partitions, Offset: 9})
				owners[i] = protocol.PartitionOwner{Topic: "t", Partition: int32(i)}
			}
			var next [rounds]members
			var numbers [rounds][]uint32
			for round := range rounds {
				for i := range owners {
					owners[i].Owner, owners[i].ClientID = fmt.Sprint("host-", (i+round)%500), "c"
				}
				next[round], numbers[round] = membersOf(owners)
			}
			whys := make([]Reason, partitions)
			round := 0
			return func() bool {
				e.setMembers(c, "g", owners, next[round], numbers[round], whys)
				round++
				return round < rounds
			}
		}},
	} {
		b.Run(test.name, func(b *testing.B) {
			runtime.LockOSThread() // whose processor time it is
			defer runtime.UnlockOSThread()
			for range b.N {
				e, c, _ := newTestEngine(1, 10)
				s := &e.shards[0]
				s.remembers, s.shards = true, 1
				piece := test.prepare(e, c, s)
				var took []time.Duration
				for more := true; more; {
					begun := processorTime(b)
					more = piece()
					took = append(took, processorTime(b)-begun)
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1000, "median-µs")
				b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1000, "p99-µs")
				b.ReportMetric(float64(took[len(took)-1].Nanoseconds())/1000, "longest-µs")
				b.ReportMetric(float64(len(took)), "pieces")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// keepingGroup is an Output that keeps the group that it got last.
type keepingGroup struct {
	nothing
	r *snapshot.Group
}

func (k keepingGroup) WriteGroup(r *snapshot.Group) error {
	*k.r = *r
	return nil
}

// processorTime returns what the thread has used.
func processorTime(b *testing.B) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}
