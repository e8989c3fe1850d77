package kafkafeed

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lagkeeper/storage"
)

// benchmarkGroups have 50 partitions each.
const benchmarkGroups = 2_000

// commitsFlag is the size of the log that is read: all of it is in memory, at about 250 bytes per commit.
var commitsFlag = flag.Int("commits", 500_000, "how many commits BenchmarkCatchUp reads")

func benchmarkKafka(b *testing.B) *kfake.Cluster {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(50, "orders"), kfake.SeedTopics(8, logTopic))
	require.NoError(b, err)
	b.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	require.NoError(b, err)
	defer client.Close()
	keys := make([][]byte, benchmarkGroups)
	now := time.Now().UnixMilli()
	for i := range *commitsFlag {
		group, partition := i%benchmarkGroups, int32(i/benchmarkGroups%50)
		keys[group] = commitKeyBytes(1, fmt.Sprintf("consumer-group-%04d", group), "orders", partition)
		client.Produce(b.Context(), &kgo.Record{Topic: logTopic, Partition: int32(group % 8), Key: keys[group],
			Value: commitValueBytes(3, int64(i), now)}, nil)
	}
	require.NoError(b, client.Flush(b.Context()))
	return cluster
}

// BenchmarkCatchUp reads a log into a store. The floor is reading it alone.
func BenchmarkCatchUp(b *testing.B) {
	cluster := benchmarkKafka(b)
	seeds := kgo.SeedBrokers(cluster.ListenAddrs()...)
	b.Run("bare read", func(b *testing.B) {
		defer reportCPU(b, *commitsFlag)()
		for b.Loop() {
			client, err := (&config{client: []kgo.Opt{seeds, kgo.ConsumeTopics(logTopic)}}).newClient(b.Context())
			require.NoError(b, err)
			for read := 0; read < *commitsFlag; {
				fetches := client.PollFetches(b.Context())
				require.NoError(b, fetches.Err())
				read += fetches.NumRecords()
			}
			client.Close()
		}
		b.ReportMetric(float64(*commitsFlag)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
	b.Run("into a store", func(b *testing.B) {
		b.ReportAllocs()
		defer reportCPU(b, *commitsFlag)()
		before := heap()
		var grown uint64
		peak := watchHeap()
		for b.Loop() {
			store, err := storage.Open(storage.Options{Clusters: []string{"prod"}})
			require.NoError(b, err)
			feed, err := New(store, "prod", ClientOpts(seeds), Interval(time.Hour), WithMode(ModeLog))
			require.NoError(b, err)
			ctx, stop := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			go func() { ended <- feed.Run(ctx) }()
			<-feed.Ready()
			b.StopTimer()
			grown = max(grown, heap()-min(before, heap()))
			b.StartTimer()
			stop()
			<-ended
			require.Equal(b, uint64(*commitsFlag), feed.Status().Records[KindCommit])
			require.NoError(b, store.Close())
		}
		all, live := peak()
		b.ReportMetric(float64(all-before)/(1<<20), "MiB-peak")
		b.ReportMetric(float64(live-min(live, before))/(1<<20), "MiB-live-peak")
		b.ReportMetric(float64(grown)/(1<<20), "MiB-left")
		b.ReportMetric(float64(*commitsFlag)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
}

// heap returns the live heap in bytes.
func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// watchHeap samples the heap until its result is called, which returns two peaks: of the whole heap, in which there is as much garbage
// as live data and log in this process, and of the live heap at a collection.
func watchHeap() (peak func() (all, live uint64)) {
	done, ended := make(chan struct{}), make(chan struct{})
	var all, live uint64
	go func() {
		defer close(ended)
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}}
		for {
			metrics.Read(samples)
			all, live = max(all, samples[0].Value.Uint64()), max(live, samples[1].Value.Uint64())
			select {
			case <-done:
				return
			case <-ticker.C:
			}
		}
	}()
	return func() (uint64, uint64) {
		close(done)
		<-ended
		return all, live
	}
}
