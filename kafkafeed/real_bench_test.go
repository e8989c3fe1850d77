package kafkafeed

import (
	"flag"
	"fmt"
	"math"
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
// groups have made. The brokers know these groups, so a feed fetches the committed offsets of all of them before it reads the log.
func BenchmarkCatchUpWithRealKafka(b *testing.B) {
	if *realCommits == 0 {
		b.Skip("a real Kafka takes too long to start for each run of all benchmarks: set -real-commits")
	}
	const partitions, committers = 50, 64
	kafka := kafkatest.Start(b, 3, map[string]string{"offsets.topic.replication.factor": "1"})
	seeds := kgo.SeedBrokers(kafka.Addresses()...)
	client, err := kgo.NewClient(seeds)
	require.NoError(b, err)
	defer client.Close()
	admin := kadm.NewClient(client)
	_, err = admin.CreateTopic(b.Context(), partitions, 1, nil, "orders")
	require.NoError(b, err)
	groups := min(benchmarkGroups, *realCommits/partitions)
	rounds := *realCommits / partitions / groups
	for round := range rounds {
		var next atomic.Int32
		var wg sync.WaitGroup
		for range committers {
			wg.Go(func() {
				for {
					group := int(next.Add(1)) - 1
					if group >= groups {
						return
					}
					var to kadm.Offsets
					for partition := range int32(partitions) {
						to.AddOffset("orders", partition, int64(round), -1)
					}
					if err := admin.CommitAllOffsets(b.Context(), fmt.Sprintf("consumer-group-%04d", group), to); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
	c := &catchUp{b: b, seeds: seeds, commits: rounds * groups * partitions, lowest: math.Inf(1)}
	for b.Loop() {
		c.pair()
	}
	c.report()
}
