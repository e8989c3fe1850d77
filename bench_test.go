package storage_test

import (
	"context"
	"sync"
	"testing"

	"go.uber.org/zap"

	"github.com/lagkeeper/storage/protocol"
)

// BenchmarkChannelCommit measures one commit over an unbuffered StorageChannel, by one sender and by 64, of 100,000
// group-partitions. Its floor is the bare hand-off of the same pointers to a goroutine that does nothing.
func BenchmarkChannelCommit(b *testing.B) {
	const groups, partitions = 1_000, 100
	for _, senders := range []int{1, 64} {
		name := map[int]string{1: "senders=1", 64: "senders=64"}[senders]
		b.Run(name+"/floor=handoff", func(b *testing.B) {
			requests := channelRequests(newBenchWorld(b, groups, partitions, 10, nil), senders)
			channel := make(chan *protocol.StorageRequest)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for range channel {
				}
			}()
			sendAll(b, channel, requests)
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
				sendAll(b, w.coordinator.App.StorageChannel, channelRequests(w, senders))
			})
		}
	}
}

// channelRequests makes for each sender its own requests, in the order in which groups commit: partition after partition
// of one group, then of another. Requests know no order, so that each is appended however often it is sent.
func channelRequests(w *benchWorld, senders int) [][]*protocol.StorageRequest {
	w.round++
	all := make([][]*protocol.StorageRequest, senders)
	for s := range all {
		for len(all[s]) < 131072/senders {
			g := w.random.IntN(w.groups)
			for p := range w.partitions {
				c := w.next(g, p)
				all[s] = append(all[s], &protocol.StorageRequest{
					RequestType: protocol.StorageSetConsumerOffset, Cluster: benchCluster, Group: w.groupNames[g],
					Topic: c.Topic, Partition: c.Partition, Offset: c.Offset, Timestamp: c.Timestamp,
				})
			}
		}
	}
	return all
}

// sendAll sends b.N requests, spread over the senders.
func sendAll(b *testing.B, channel chan *protocol.StorageRequest, requests [][]*protocol.StorageRequest) {
	b.ReportAllocs()
	var senders sync.WaitGroup
	b.ResetTimer()
	for s, mine := range requests {
		senders.Add(1)
		go func() {
			defer senders.Done()
			for i := s; i < b.N; i += len(requests) {
				channel <- mine[i/len(requests)%len(mine)]
			}
		}()
	}
	senders.Wait()
	b.StopTimer()
}

// mapChain is the floor of a typed commit: the least that any store with these keys does. The entry has the size of a
// commit, five numbers of eight bytes.
type mapChain map[string]map[string][][5]int64

func newMapChain(w *benchWorld) mapChain {
	chain := make(mapChain)
	for g, name := range w.groupNames {
		chain[name] = map[string][][5]int64{w.topicOf[g]: make([][5]int64, w.partitions)}
	}
	return chain
}

// pick is a commit for a random group-partition.
type pick struct {
	group  string
	commit protocol.Commit
}

func (w *benchWorld) picks(n int) []pick {
	w.round++
	picks := make([]pick, n)
	for i := range picks {
		g := w.random.IntN(w.groups)
		picks[i] = pick{w.groupNames[g], w.next(g, w.random.IntN(w.partitions))}
	}
	return picks
}

// again is the commit of a pick as it comes the nth time, in regular steps, and without an order so that it is appended.
func (p *pick) again(n int) protocol.Commit {
	c := p.commit
	c.Order = 0
	c.Offset += int64(n) * 1_000
	c.Timestamp += int64(n) * 10_000
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
				return w.store.Commit(context.Background(), benchCluster, pick.group, pick.again(i>>17))
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

// BenchmarkBatch measures Store.Commits of the 100 partitions of a group, per commit, of 1,000,000 group-partitions.
func BenchmarkBatch(b *testing.B) {
	w := newBenchWorld(b, 10_000, 100, 10, nil)
	w.load(b, 12)
	picks := w.picks(1 << 17)
	b.Run("floor=single", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			pick := &picks[i&(len(picks)-1)]
			must(b, w.store.Commit(context.Background(), benchCluster, pick.group, pick.again(i>>17)))
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
			must(b, w.store.Commits(context.Background(), benchCluster, w.groupNames[g], batch))
		}
		b.ReportMetric(float64(b.Elapsed())/float64(b.N)/100, "ns/commit")
	})
}
