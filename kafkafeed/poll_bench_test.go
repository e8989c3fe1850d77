package kafkafeed

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lagkeeper/storage"
)

// benchmarkPartitions is the number of partitions with a commit of each group of BenchmarkPoll.
const benchmarkPartitions = 50

// BenchmarkPoll is one poll of 2,000 groups with commits on 50 partitions each, on three brokers in the same process. The floor is
// only fetching the same commits, in one request.
func BenchmarkPoll(b *testing.B) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.SeedTopics(benchmarkPartitions, "wide"))
	require.NoError(b, err)
	b.Cleanup(cluster.Close)
	seeds := kgo.SeedBrokers(cluster.ListenAddrs()...)
	client, err := kgo.NewClient(seeds)
	require.NoError(b, err)
	b.Cleanup(client.Close)
	commitAll(b, kadm.NewClient(client), benchmarkGroups, benchmarkPartitions)
	counts := countRequests(cluster, kmsg.Metadata, kmsg.ListOffsets, kmsg.ListGroups, kmsg.OffsetFetch, kmsg.DescribeGroups, kmsg.FindCoordinator)
	requests := func() (all int64) {
		for _, count := range counts {
			all += count.Load()
		}
		return all
	}

	b.Run("bare request", func(b *testing.B) {
		admin := kadm.NewClient(client)
		listed, err := admin.ListGroups(b.Context())
		require.NoError(b, err)
		groups := slices.Sorted(slices.Values(listed.Groups()))
		defer reportCPU(b)()
		for b.Loop() {
			commits := admin.FetchManyOffsets(b.Context(), groups...)
			require.Len(b, commits, benchmarkGroups)
		}
	})
	b.Run("poll", func(b *testing.B) {
		store, err := storage.Open(storage.Options{Clusters: []string{"prod"}})
		require.NoError(b, err)
		defer store.Close()
		feed, err := New(store, "prod", ClientOpts(seeds), Interval(time.Hour), WithMode(ModePoll))
		require.NoError(b, err)
		ctx, stop := context.WithCancel(b.Context())
		ended := make(chan error, 1)
		go func() { ended <- feed.Run(ctx) }()
		<-feed.Ready()
		before := requests()
		b.ReportAllocs()
		defer reportCPU(b)()
		for b.Loop() {
			require.NoError(b, feed.pollEnds(ctx))
			require.NoError(b, feed.pollGroups(ctx))
		}
		b.ReportMetric(float64(requests()-before)/float64(b.N), "requests/op")
		stop()
		<-ended
		stats, err := store.Stats()
		require.NoError(b, err)
		require.Equal(b, benchmarkGroups*benchmarkPartitions, stats.GroupPartitions)
	})
}

// reportCPU returns a function that reports the processor time of each iteration.
func reportCPU(b *testing.B) (report func()) {
	before := usedCPU()
	return func() { b.ReportMetric(float64(usedCPU()-before)/float64(b.N), "cpu-ns/op") }
}
