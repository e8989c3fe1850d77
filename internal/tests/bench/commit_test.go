package bench_test

import (
	"context"
	"math/bits"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/lagkeeper/storage/protocol"
)

// BenchmarkChannelCommit measures one commit over an unbuffered StorageChannel, by one sender and by 64, of 100,000
// group-partitions: the senders commit partition after partition of one group, then of another, as groups do. Its floor is
// the bare hand-off of the same requests, made the same way, to a goroutine that does nothing.
func BenchmarkChannelCommit(b *testing.B) {
	const groups, partitions = 1_000, 100
	for _, senders := range []int{1, 64} {
		name := map[int]string{1: "senders=1", 64: "senders=64"}[senders]
		b.Run(name+"/floor=handoff", func(b *testing.B) {
			channel := make(chan *protocol.StorageRequest)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for range channel {
				}
			}()
			newBenchWorld(b, groups, partitions, 10, nil).sendAll(b, channel, senders)
			close(channel)
			<-done
		})
		for _, logger := range []struct {
			name string
			log  *zap.Logger
		}{{"log=none", nil}, {"log=json-at-info", jsonLogger()}} {
			b.Run(name+"/"+logger.name, func(b *testing.B) {
				w := newBenchWorld(b, groups, partitions, 10, logger.log)
				w.load(b, 12)
				w.sendAll(b, w.coordinator.App.StorageChannel, senders)
			})
		}
	}
}

// sendAll sends b.N commits, spread over the senders. Each sender has groups of its own and two requests that it uses in
// turn: over an unbuffered channel a request has taken effect when the next one has been received.
func (w *benchWorld) sendAll(b *testing.B, channel chan *protocol.StorageRequest, senders int) {
	b.ReportAllocs()
	var all sync.WaitGroup
	b.ResetTimer()
	for s := range senders {
		all.Add(1)
		go func() {
			defer all.Done()
			var requests [2]protocol.StorageRequest
			for i := range b.N/senders + 1 {
				g, p := (s+i/w.partitions*senders)%w.groups, i%w.partitions
				round := w.round + 1 + int64(i/w.partitions*senders/w.groups)
				request := &requests[i%len(requests)]
				*request = protocol.StorageRequest{
					RequestType: protocol.StorageSetConsumerOffset, Cluster: benchCluster, Group: w.groupNames[g],
					Topic: w.topicOf[g], Partition: int32(p), Offset: 1<<40 + round*1_000 + int64(i&127),
					Order: round*2_000 + int64(p) + 1, Timestamp: w.start + round*10_000 + int64(i&255),
				}
				channel <- request
			}
		}()
	}
	all.Wait()
	b.StopTimer()
}

// mapChain is the floor of a typed commit: the least that any store with these keys has to do. An entry is as large as a
// commit, five numbers of eight bytes.
type mapChain map[string]map[string][][5]int64

func newMapChain(w *benchWorld) mapChain {
	chain := make(mapChain)
	for g, name := range w.groupNames {
		chain[name] = map[string][][5]int64{w.topicOf[g]: make([][5]int64, w.partitions)}
	}
	return chain
}

// pick is a random group-partition and its next commit. All picks of a list differ.
type pick struct {
	group  string
	commit protocol.Commit
	step   int64 // by how much the order rises from lap to lap
}

// picks returns n picks, or as many as there are group-partitions, rounded down to a power of two.
func (w *benchWorld) picks(n int) []pick {
	w.round++
	n = min(n, 1<<(bits.Len(uint(len(w.offsets)))-1))
	picks := make([]pick, n)
	for i, at := range w.random.Perm(len(w.offsets))[:n] {
		g := at / w.partitions
		picks[i] = pick{w.groupNames[g], w.next(g, at%w.partitions), w.orderStep()}
	}
	return picks
}

// again returns the commit of a pick in lap n through the list: in steps like those before it.
func (p *pick) again(n int) protocol.Commit {
	c := p.commit
	c.Order += int64(n) * p.step
	c.Offset += int64(n)*1_000 + int64(n*37&127)
	c.Timestamp += int64(n)*10_000 + int64(n*101&511)
	return c
}

// BenchmarkTypedCommit measures Store.Commit of a random group-partition, of 10,000, 100,000 and 1,000,000. Its floor is a
// lookup of group and topic in bare maps and a store of forty bytes, at the same size.
func BenchmarkTypedCommit(b *testing.B) {
	for _, size := range []struct {
		name   string
		groups int
	}{{"size=10000", 100}, {"size=100000", 1_000}, {"size=1000000", 10_000}} {
		b.Run(size.name, func(b *testing.B) {
			w := newBenchWorld(b, size.groups, 100, 10, nil)
			w.load(b, 12)
			picks := w.picks(1 << 17)
			chain := newMapChain(w)
			b.Run("floor=maps", func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					pick := &picks[i&(len(picks)-1)]
					at := chain[pick.group][pick.commit.Topic]
					at[pick.commit.Partition] = [5]int64{int64(i), pick.commit.Offset, pick.commit.Order, pick.commit.Timestamp, 0}
				}
			})
			commit := func(i int) error {
				pick := &picks[i&(len(picks)-1)]
				return w.store.Commit(context.Background(), benchCluster, pick.group, pick.again(i/len(picks)))
			}
			next := 0
			b.Run("commit", func(b *testing.B) {
				b.ReportAllocs()
				for ; b.Loop(); next++ {
					must(b, commit(next))
				}
			})
			for _, goroutines := range []int{1, 2} {
				b.Run(map[int]string{1: "goroutines=1", 2: "goroutines=2"}[goroutines], func(b *testing.B) {
					var all sync.WaitGroup
					for g := range goroutines {
						all.Add(1)
						go func() {
							defer all.Done()
							for i := g; i < b.N; i += goroutines {
								if err := commit(next + i); err != nil {
									b.Error(err)
								}
							}
						}()
					}
					all.Wait()
					next += b.N
				})
			}
		})
	}
}

// BenchmarkBatch measures Store.CommitBatch of the 100 partitions of a group, per commit, of 1,000,000 group-partitions.
func BenchmarkBatch(b *testing.B) {
	w := newBenchWorld(b, 10_000, 100, 10, nil)
	w.load(b, 12)
	picks := w.picks(1 << 17)
	b.Run("floor=single", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			pick := &picks[i&(len(picks)-1)]
			must(b, w.store.Commit(context.Background(), benchCluster, pick.group, pick.again(i/len(picks))))
		}
	})
	b.Run("batch=100", func(b *testing.B) {
		b.ReportAllocs()
		batch := make([]protocol.Commit, 100)
		for i := 0; b.Loop(); i++ {
			g := i * 7919 % w.groups
			if i%w.groups == 0 {
				w.round++
			}
			for p := range batch {
				batch[p] = w.next(g, p)
			}
			must(b, w.store.CommitBatch(context.Background(), benchCluster, w.groupNames[g], batch))
		}
		b.ReportMetric(float64(b.Elapsed())/float64(b.N)/100, "ns/commit")
	})
}
