package bench_test

import (
	"fmt"
	"testing"

	"github.com/lagkeeper/storage/protocol"
)

// BenchmarkChannelCommitRandom measures one commit over an unbuffered StorageChannel, by one sender that makes a request for each, of
// random group-partitions of 100,000 and of 1,000,000. Its floor is the bare hand-off of the same requests.
func BenchmarkChannelCommitRandom(b *testing.B) {
	for _, groups := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("size=%d", groups*100), func(b *testing.B) {
			w := newBenchWorld(b, groups, 100, 10, nil)
			w.load(b, 12)
			picks := w.picks(1 << 17)
			next := 0
			send := func(b *testing.B, channel chan *protocol.StorageRequest) {
				b.ReportAllocs()
				for ; b.Loop(); next++ {
					pick := &picks[next&(len(picks)-1)]
					c := pick.again(next / len(picks))
					request := requestOf(pick.group, &c)
					channel <- &request
				}
			}
			b.Run("floor=handoff", func(b *testing.B) {
				channel, done := make(chan *protocol.StorageRequest), make(chan struct{})
				go func() {
					defer close(done)
					for range channel {
					}
				}()
				send(b, channel)
				close(channel)
				<-done
			})
			next = 0
			b.Run("commit", func(b *testing.B) { send(b, w.coordinator.App.StorageChannel) })
		})
	}
}

func requestOf(group string, c *protocol.Commit) protocol.StorageRequest {
	return protocol.StorageRequest{
		RequestType: protocol.StorageSetConsumerOffset, Cluster: benchCluster, Group: group,
		Topic: c.Topic, Partition: c.Partition, Offset: c.Offset, Order: c.Order, Timestamp: c.Timestamp,
	}
}
