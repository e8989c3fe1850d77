package bench_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/lagkeeper/storage/protocol"
)

// BenchmarkFetch measures fetching a group of 100 partitions of one topic with ten commits each: as the answer of the
// channel protocol, over the channel, and typed into memory that is used again. Its floor is building the same answer,
// object by object in slabs, from a ready slice.
func BenchmarkFetch(b *testing.B) {
	w := newBenchWorld(b, 1_000, 100, 10, nil)
	w.load(b, 12)
	ctx := context.Background()
	request := &protocol.StorageRequest{RequestType: protocol.StorageFetchConsumer, Cluster: benchCluster, Group: w.groupNames[7]}
	var ready protocol.Group
	must(b, w.store.Group(ctx, benchCluster, request.Group, &ready))
	b.Run("floor=build", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sink = buildAnswer(&ready, 10)
		}
	})
	b.Run("answer", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			answer, err := w.store.Fetch(ctx, request)
			must(b, err)
			sink = answer().(protocol.ConsumerTopics)
		}
	})
	b.Run("channel", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r := *request
			r.Reply = make(chan interface{}, 1)
			w.coordinator.App.StorageChannel <- &r
			sink = (<-r.Reply).(protocol.ConsumerTopics)
		}
	})
	b.Run("typed", func(b *testing.B) {
		b.ReportAllocs()
		var into protocol.Group
		for b.Loop() {
			must(b, w.store.Group(ctx, benchCluster, request.Group, &into))
		}
	})
}

var sink protocol.ConsumerTopics

// buildAnswer builds the answer of the channel protocol from a typed one.
func buildAnswer(g *protocol.Group, intervals int) protocol.ConsumerTopics {
	type extras struct {
		difference int64
		age        protocol.Age
		timeLag    protocol.TimeLag
	}
	type commitAndLag struct {
		commit protocol.ConsumerOffset
		lag    protocol.Lag
	}
	partitions, commits, ends := 0, 0, 0
	for _, t := range g.Topics {
		partitions += len(t.Partitions)
		for i := range t.Partitions {
			commits += len(t.Partitions[i].Commits)
			ends += len(t.Partitions[i].EndOffsets)
		}
	}
	answer := make(protocol.ConsumerTopics, len(g.Topics))
	slab, extra := make([]protocol.ConsumerPartition, partitions), make([]extras, partitions)
	pointers := make([]*protocol.ConsumerPartition, partitions)
	offsets, all := make([]*protocol.ConsumerOffset, partitions*intervals), make([]commitAndLag, commits)
	endSlab := make([]int64, 0, ends)
	for _, t := range g.Topics {
		for i := range t.Partitions {
			in, out, more := &t.Partitions[i], &slab[i], &extra[i]
			from := len(endSlab)
			endSlab = append(endSlab, in.EndOffsets...)
			*more = extras{in.Difference, protocol.Age{Duration: in.EndOffsetAge}, in.TimeLag}
			*out = protocol.ConsumerPartition{
				Offsets: offsets[:intervals:intervals], BrokerOffsets: endSlab[from:], Owner: in.Owner, ClientID: in.ClientID,
				CurrentLag: in.CurrentLag, State: in.State, Difference: &more.difference, EndOffsetAge: &more.age, TimeLag: &more.timeLag,
			}
			offsets = offsets[intervals:]
			at := intervals - len(in.Commits)
			for j, c := range in.Commits {
				to := &all[j]
				to.commit = protocol.ConsumerOffset{Offset: c.Offset, Order: c.Order, Timestamp: c.Timestamp, ObservedTimestamp: c.ObservedTimestamp}
				if c.LagKnown {
					to.lag.Value = c.Lag
					to.commit.Lag = &to.lag
				}
				out.Offsets[at+j] = &to.commit
			}
			all = all[len(in.Commits):]
			pointers[i] = out
		}
		answer[t.Name] = pointers[:len(t.Partitions):len(t.Partitions)]
		slab, extra, pointers = slab[len(t.Partitions):], extra[len(t.Partitions):], pointers[len(t.Partitions):]
	}
	return answer
}

// BenchmarkGroupsOfTopic measures listing the groups of a topic among 1,000 and 10,000 groups of 100 partitions, each
// topic having ten groups, or all groups one topic. Its floor is copying as many strings.
func BenchmarkGroupsOfTopic(b *testing.B) {
	for _, size := range []struct {
		name           string
		groups, topics int
	}{{"groups=1000/topics=100", 1_000, 100}, {"groups=10000/topics=1000", 10_000, 1_000}, {"groups=10000/topics=1", 10_000, 1}} {
		b.Run(size.name, func(b *testing.B) {
			w := newBenchWorld(b, size.groups, 100, 10, nil)
			if size.topics == 1 {
				for g := range w.topicOf {
					w.topicOf[g] = w.topicNames[0]
				}
			}
			w.load(b, 2)
			answer := 0
			b.Run("floor=copy", func(b *testing.B) {
				names := w.groupNames[:size.groups/size.topics]
				for b.Loop() {
					answer = len(slices.Clone(names))
				}
			})
			b.Run("list", func(b *testing.B) {
				request := &protocol.StorageRequest{RequestType: protocol.StorageFetchConsumersForTopic, Cluster: benchCluster, Topic: w.topicOf[0]}
				for b.Loop() {
					list, err := w.store.Fetch(context.Background(), request)
					must(b, err)
					answer = len(list().([]string))
				}
			})
			b.ReportMetric(float64(answer), "names")
		})
	}
}

// BenchmarkCommitWhileListing measures the 99th percentile of a typed commit while nothing else runs, and while one goroutine
// lists the 10,000 groups of a topic again and again.
func BenchmarkCommitWhileListing(b *testing.B) {
	groups := 10_000
	if testing.Short() {
		groups = 1_000
	}
	w := newBenchWorld(b, groups, 100, 10, nil)
	for g := range w.topicOf {
		w.topicOf[g] = w.topicNames[0]
	}
	w.load(b, 2)
	picks := w.picks(1 << 16)
	next := 0
	percentile := func(b *testing.B) {
		var took []time.Duration
		for ; b.Loop(); next++ {
			start := time.Now()
			pick := &picks[next&(len(picks)-1)]
			must(b, w.store.Commit(context.Background(), benchCluster, pick.group, pick.again(next/len(picks))))
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
		b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
	}
	b.Run("idle", percentile)
	for _, pause := range []time.Duration{0, time.Millisecond} {
		b.Run(map[time.Duration]string{0: "listing=always", time.Millisecond: "listing=1000-a-second"}[pause], func(b *testing.B) {
			quit, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				ticker := time.NewTicker(max(pause, 1))
				defer ticker.Stop()
				for {
					select {
					case <-quit:
						return
					default:
					}
					if pause > 0 {
						<-ticker.C
					}
					names, err := w.store.GroupsOfTopic(context.Background(), benchCluster, w.topicNames[0])
					if err != nil {
						b.Error(err)
						return
					}
					for range names {
					}
				}
			}()
			percentile(b)
			close(quit)
			<-done
		})
	}
}
