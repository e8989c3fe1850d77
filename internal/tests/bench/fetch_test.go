package bench_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lagkeeper/storage/protocol"
)

// fetchOverChannel fetches a group as an application does: with a request and a reply channel of its own.
func (w *benchWorld) fetchOverChannel(group string) protocol.ConsumerTopics {
	return fetchOver(w.coordinator.App.StorageChannel, group)
}

func fetchOver(requests chan<- *protocol.StorageRequest, group string) protocol.ConsumerTopics {
	reply := make(chan interface{}, 1)
	requests <- &protocol.StorageRequest{
		RequestType: protocol.StorageFetchConsumer, Cluster: benchCluster, Group: group, Reply: reply,
	}
	return (<-reply).(protocol.ConsumerTopics)
}

// BenchmarkFetchSizes measures fetching groups of 10, 100 and 10,000 partitions with ten commits each over the channel, one group
// after the other of 100,000 group-partitions, and the same answers without the way over it. Its floors are building them from ready
// slices, and a bare goroutine that does so for requests from a channel.
func BenchmarkFetchSizes(b *testing.B) {
	for _, partitions := range []int{10, 100, 10_000} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			w := newBenchWorld(b, 100_000/partitions, partitions, 10, nil)
			w.load(b, 12)
			ready := make([]protocol.Group, min(len(w.groupNames), 100))
			for i := range ready {
				must(b, w.store.Group(context.Background(), benchCluster, w.groupNames[i], &ready[i]))
			}
			b.Run("floor=build", func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					sink = buildAnswer(&ready[i%len(ready)], 10)
				}
			})
			b.Run("floor=channel", func(b *testing.B) {
				requests := make(chan *protocol.StorageRequest)
				defer close(requests)
				go func() {
					for request := range requests {
						request.Reply <- buildAnswer(&ready[0], 10)
						close(request.Reply)
					}
				}()
				b.ReportAllocs()
				for b.Loop() {
					sink = fetchOver(requests, w.groupNames[0])
				}
			})
			b.Run("answer", func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					answer, err := w.store.Fetch(context.Background(), &protocol.StorageRequest{
						RequestType: protocol.StorageFetchConsumer, Cluster: benchCluster, Group: w.groupNames[i*7919%len(w.groupNames)],
					})
					must(b, err)
					sink = answer().(protocol.ConsumerTopics)
				}
			})
			b.Run("channel/one-group", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					sink = w.fetchOverChannel(w.groupNames[0])
				}
			})
			b.Run("channel", func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					sink = w.fetchOverChannel(w.groupNames[i*7919%len(w.groupNames)])
				}
			})
		})
	}
}

// BenchmarkFetchBesideWriters measures fetching a group of 100 partitions with ten commits each over the channel while one sender
// commits at a steady rate over the same channel, and how long the commits took to be received.
func BenchmarkFetchBesideWriters(b *testing.B) {
	for _, rate := range []int{0, 100_000} {
		b.Run(fmt.Sprintf("commits-a-second=%d", rate), func(b *testing.B) {
			w := newBenchWorld(b, 1_000, 100, 10, nil)
			w.load(b, 12)
			quit, sent := make(chan struct{}), make(chan []time.Duration)
			start := time.Now()
			go func() { sent <- w.sendAt(rate, quit) }()
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				at := time.Now()
				sink = w.fetchOverChannel(w.groupNames[i*7919%len(w.groupNames)])
				took = append(took, time.Since(at))
			}
			close(quit)
			waits := <-sent
			b.ReportMetric(float64(len(waits))/time.Since(start).Seconds(), "commits/s")
			if slices.Sort(waits); len(waits) > 0 {
				b.ReportMetric(float64(waits[len(waits)/2].Nanoseconds()), "commit-p50-ns")
				b.ReportMetric(float64(waits[len(waits)*99/100].Nanoseconds()), "commit-p99-ns")
				b.ReportMetric(float64(waits[len(waits)*999/1000].Nanoseconds()), "commit-p99.9-ns")
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
		})
	}
}

// sendAt commits at a steady rate over the channel until quit is closed, and returns how long each commit took to be received. It
// sends what is due every half a millisecond.
func (w *benchWorld) sendAt(rate int, quit <-chan struct{}) (waits []time.Duration) {
	start, sent := time.Now(), 0
	ticker := time.NewTicker(500 * time.Microsecond)
	defer ticker.Stop()
	for {
		select {
		case <-quit:
			return waits
		case <-ticker.C:
		}
		for due := int(time.Since(start).Seconds() * float64(rate)); sent < due; sent++ {
			g, p := sent/w.partitions%w.groups, sent%w.partitions
			c := w.next(g, p)
			c.Order += int64(sent/len(w.offsets)+1) * w.orderStep()
			c.Timestamp += int64(sent/len(w.offsets)+1) * 10_000
			request := &protocol.StorageRequest{
				RequestType: protocol.StorageSetConsumerOffset, Cluster: benchCluster, Group: w.groupNames[g],
				Topic: c.Topic, Partition: c.Partition, Offset: c.Offset, Order: c.Order, Timestamp: c.Timestamp,
			}
			at := time.Now()
			w.coordinator.App.StorageChannel <- request
			waits = append(waits, time.Since(at))
		}
	}
}
