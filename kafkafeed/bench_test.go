package kafkafeed

import (
	"context"
	"flag"
	"fmt"
	"math"
	"runtime"
	"runtime/metrics"
	"strings"
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

// BenchmarkCatchUp reads a log into a store, in turn with the floor: reading it alone, with the same client. The brokers do not know the
// groups, so the feed stores all that it reads at once, as after a restart.
func BenchmarkCatchUp(b *testing.B) {
	cluster := benchmarkKafka(b)
	benchmarkCatchUp(b, kgo.SeedBrokers(cluster.ListenAddrs()...), *commitsFlag)
}

func benchmarkCatchUp(b *testing.B, seeds kgo.Opt, commits int) {
	c := &catchUp{b: b, seeds: seeds, commits: commits, lowest: math.Inf(1)}
	for b.Loop() {
		c.pair()
	}
	c.report()
}

// catchUp measures how a log is read.
type catchUp struct {
	b       *testing.B
	seeds   kgo.Opt
	commits int

	bare, into        cost
	pairs             []string // rates
	lowest            float64  // of the ratios of all pairs
	peak, live, stays uint64   // heap of a store and its feed, in bytes over what it was before
}

// cost is elapsed time and the processor time of the process.
type cost struct{ elapsed, cpu time.Duration }

func (c *cost) add(do func()) time.Duration {
	runtime.GC()
	at, cpu := time.Now(), usedCPU()
	do()
	took := time.Since(at)
	c.elapsed, c.cpu = c.elapsed+took, c.cpu+usedCPU()-cpu
	return took
}

// pair reads the log alone, and then into a store.
func (c *catchUp) pair() {
	bare := c.bare.add(c.read)
	before := heap()
	store, err := storage.Open(storage.Options{Clusters: []string{"prod"}})
	require.NoError(c.b, err)
	peak := watchHeap()
	var stop func() Status
	into := c.into.add(func() { stop = c.feed(store) })
	all, live := peak()
	c.peak, c.live = max(c.peak, all-min(all, before)), max(c.live, live-min(live, before))
	after := heap()
	c.stays = max(c.stays, after-min(after, before))
	require.Equal(c.b, uint64(c.commits), stop().Records[KindCommit])
	require.NoError(c.b, store.Close())
	ratio := bare.Seconds() / into.Seconds()
	c.lowest = min(c.lowest, ratio)
	c.pairs = append(c.pairs, fmt.Sprintf("%.0f and %.0f records/s: %.2f", float64(c.commits)/bare.Seconds(), float64(c.commits)/into.Seconds(), ratio))
}

// read reads the log.
func (c *catchUp) read() {
	client, err := (&config{client: []kgo.Opt{c.seeds, kgo.ConsumeTopics(logTopic)}}).newClient(c.b.Context())
	require.NoError(c.b, err)
	defer client.Close()
	for read := 0; read < c.commits; {
		fetches := client.PollFetches(c.b.Context())
		require.NoError(c.b, fetches.Err())
		read += fetches.NumRecords()
	}
}

// feed feeds a store until it is ready, and returns the function that stops the feed.
func (c *catchUp) feed(store storage.Store) (stop func() Status) {
	feed, err := New(store, "prod", ClientOpts(c.seeds), Interval(time.Hour), WithMode(ModeLog))
	require.NoError(c.b, err)
	ctx, cancel := context.WithCancel(c.b.Context())
	ended := make(chan error, 1)
	go func() { ended <- feed.Run(ctx) }()
	<-feed.Ready()
	return func() Status {
		cancel()
		<-ended
		return feed.Status()
	}
}

func (c *catchUp) report() {
	c.b.Log(strings.Join(c.pairs, "; "))
	records := float64(c.commits) * float64(c.b.N)
	c.b.ReportMetric(0, "ns/op") // the time of both
	c.b.ReportMetric(records/c.bare.elapsed.Seconds(), "bare-records/s")
	c.b.ReportMetric(records/c.into.elapsed.Seconds(), "records/s")
	c.b.ReportMetric(c.bare.elapsed.Seconds()/c.into.elapsed.Seconds(), "ratio")
	c.b.ReportMetric(c.lowest, "lowest-ratio")
	c.b.ReportMetric(float64(c.bare.cpu)/records, "bare-cpu-ns/record")
	c.b.ReportMetric(float64(c.into.cpu)/records, "cpu-ns/record")
	c.b.ReportMetric(float64(c.peak)/(1<<20), "MiB-peak")
	c.b.ReportMetric(float64(c.live)/(1<<20), "MiB-live-peak")
	c.b.ReportMetric(float64(c.stays)/(1<<20), "MiB-left")
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
