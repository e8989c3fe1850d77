package kafkafeed

import (
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lagkeeper/storage/kafkafeed/internal/kafkatest"
)

// realCommits is the size of the log of BenchmarkCatchUpWithRealKafka. Groups commit some 50,000 partitions a second.
var realCommits = flag.Int("real-commits", 0, "how many commits BenchmarkCatchUpWithRealKafka reads; 0 skips it")

// BenchmarkCatchUpWithRealKafka is BenchmarkCatchUp with three brokers that run in processes of their own, and a log of commits that
// groups have made. The brokers know these groups, so the feed fetches the committed offsets of all of them first, and keeps what it
// reads apart until the end: a first start.
func BenchmarkCatchUpWithRealKafka(b *testing.B) {
	if *realCommits == 0 {
		b.Skip("a real Kafka takes too long to start for each run of all benchmarks: set -real-commits")
	}
	const partitions = 50
	kafka := kafkatest.Start(b, 3, map[string]string{"offsets.topic.replication.factor": "1"})
	seeds := kgo.SeedBrokers(kafka.Addresses()...)
	client, err := kgo.NewClient(seeds)
	require.NoError(b, err)
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(b.Context(), partitions, 1, nil, "orders")
	require.NoError(b, err)
	groups := min(benchmarkGroups, *realCommits/partitions)
	rounds := *realCommits / partitions / groups
	for round := range rounds {
		commitRound(b, client, groups, partitions, int64(round))
	}
	benchmarkCatchUp(b, seeds, rounds*groups*partitions)
}

// commitRound commits an offset of some partitions for each of some groups.
func commitRound(b *testing.B, client *kgo.Client, groups int, partitions int32, offset int64) {
	admin := kadm.NewClient(client)
	var to kadm.Offsets
	for partition := range partitions {
		to.AddOffset("orders", partition, offset, -1)
	}
	var next atomic.Int32
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for group := int(next.Add(1)) - 1; group < groups; group = int(next.Add(1)) - 1 {
				if err := admin.CommitAllOffsets(b.Context(), fmt.Sprintf("consumer-group-%04d", group), to); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}
