package prometheus_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	lagprom "github.com/lagkeeper/storage/prometheus"
)

func feedRegistry(t *testing.T, options lagprom.Options, feeds ...func() lagprom.FeedStatus) *prom.Registry {
	t.Helper()
	collector, err := lagprom.NewFeed(options, feeds...)
	require.NoError(t, err)
	registry := prom.NewPedanticRegistry()
	require.NoError(t, registry.Register(collector))
	return registry
}

func TestFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // its clock begins at 946684800
		now := time.Now()
		status := lagprom.FeedStatus{
			Cluster: "prod", Mode: "log", Ready: true,
			Logs: []lagprom.FeedLog{
				{Partition: 1, Next: 40, Position: 30, End: 60, OpenTransactions: 2, PendingCommits: 5, Time: now.Add(-90 * time.Second)},
				{Partition: 0, Next: 70, Position: 70, End: 70, Time: now.Add(-time.Hour)},
				{Partition: 3, End: 10},
				{Partition: 2},
				{Partition: 4, Next: 1, End: 2, Time: now.Add(time.Minute)},
			},
			Records: map[string]uint64{"commit": 7, "commit-tombstone": 0},
			Errors:  map[string]uint64{"end offsets": 3, "list of groups": 0},
			Refused: 1, Early: 4, EarlyDropped: 6, OpenPartitions: 8,
			LastPoll: now.Add(-1500 * time.Millisecond), PollDuration: 250 * time.Millisecond,
		}
		other := lagprom.FeedStatus{Cluster: "test\xff", Mode: "unheard of"}
		registry := feedRegistry(t, lagprom.Options{}, func() lagprom.FeedStatus { return status }, func() lagprom.FeedStatus { return other })
		want := `
# HELP lagstore_feed_early_commits Commits that wait for the end offset of their partition.
# TYPE lagstore_feed_early_commits gauge
lagstore_feed_early_commits{cluster="prod"} 4
lagstore_feed_early_commits{cluster="test` + "\uFFFD" + `"} 0
# HELP lagstore_feed_early_commits_dropped_total Commits that waited in vain: their topic was deleted, or is not wanted.
# TYPE lagstore_feed_early_commits_dropped_total counter
lagstore_feed_early_commits_dropped_total{cluster="prod"} 6
lagstore_feed_early_commits_dropped_total{cluster="test` + "\uFFFD" + `"} 0
# HELP lagstore_feed_last_poll_duration_seconds How long the newest complete poll took; absent before the first.
# TYPE lagstore_feed_last_poll_duration_seconds gauge
lagstore_feed_last_poll_duration_seconds{cluster="prod"} 0.25
# HELP lagstore_feed_last_poll_timestamp_seconds When the newest complete poll was begun, in Unix seconds; absent before the first.
# TYPE lagstore_feed_last_poll_timestamp_seconds gauge
lagstore_feed_last_poll_timestamp_seconds{cluster="prod"} 9.466847985e+08
# HELP lagstore_feed_log_behind_seconds Age of the newest record that was read, 0 if all are; absent if there are records and none was read.
# TYPE lagstore_feed_log_behind_seconds gauge
lagstore_feed_log_behind_seconds{cluster="prod",partition="0"} 0
lagstore_feed_log_behind_seconds{cluster="prod",partition="1"} 90
lagstore_feed_log_behind_seconds{cluster="prod",partition="2"} 0
lagstore_feed_log_behind_seconds{cluster="prod",partition="4"} 0
# HELP lagstore_feed_log_end_offset Newest known end of the partition of __consumer_offsets.
# TYPE lagstore_feed_log_end_offset gauge
lagstore_feed_log_end_offset{cluster="prod",partition="0"} 70
lagstore_feed_log_end_offset{cluster="prod",partition="1"} 60
lagstore_feed_log_end_offset{cluster="prod",partition="2"} 0
lagstore_feed_log_end_offset{cluster="prod",partition="3"} 10
lagstore_feed_log_end_offset{cluster="prod",partition="4"} 2
# HELP lagstore_feed_log_next_offset Offset of the next record of __consumer_offsets to read.
# TYPE lagstore_feed_log_next_offset gauge
lagstore_feed_log_next_offset{cluster="prod",partition="0"} 70
lagstore_feed_log_next_offset{cluster="prod",partition="1"} 40
lagstore_feed_log_next_offset{cluster="prod",partition="2"} 0
lagstore_feed_log_next_offset{cluster="prod",partition="3"} 0
lagstore_feed_log_next_offset{cluster="prod",partition="4"} 1
# HELP lagstore_feed_log_open_transactions Transactions that no marker has ended yet.
# TYPE lagstore_feed_log_open_transactions gauge
lagstore_feed_log_open_transactions{cluster="prod",partition="0"} 0
lagstore_feed_log_open_transactions{cluster="prod",partition="1"} 2
lagstore_feed_log_open_transactions{cluster="prod",partition="2"} 0
lagstore_feed_log_open_transactions{cluster="prod",partition="3"} 0
lagstore_feed_log_open_transactions{cluster="prod",partition="4"} 0
# HELP lagstore_feed_log_partitions Partitions of __consumer_offsets that are read; the first 1,000 have series of their own.
# TYPE lagstore_feed_log_partitions gauge
lagstore_feed_log_partitions{cluster="prod"} 5
lagstore_feed_log_partitions{cluster="test` + "\uFFFD" + `"} 0
# HELP lagstore_feed_log_pending_commits Commits of open transactions that are kept until a marker.
# TYPE lagstore_feed_log_pending_commits gauge
lagstore_feed_log_pending_commits{cluster="prod",partition="0"} 0
lagstore_feed_log_pending_commits{cluster="prod",partition="1"} 5
lagstore_feed_log_pending_commits{cluster="prod",partition="2"} 0
lagstore_feed_log_pending_commits{cluster="prod",partition="3"} 0
lagstore_feed_log_pending_commits{cluster="prod",partition="4"} 0
# HELP lagstore_feed_log_position_offset Offset at which reading begins again after a restart: lower than the next while transactions are open.
# TYPE lagstore_feed_log_position_offset gauge
lagstore_feed_log_position_offset{cluster="prod",partition="0"} 70
lagstore_feed_log_position_offset{cluster="prod",partition="1"} 30
lagstore_feed_log_position_offset{cluster="prod",partition="2"} 0
lagstore_feed_log_position_offset{cluster="prod",partition="3"} 0
lagstore_feed_log_position_offset{cluster="prod",partition="4"} 0
# HELP lagstore_feed_mode 1 for the mode that the feed is in: auto until it has found out, then log or poll; 0 for the others.
# TYPE lagstore_feed_mode gauge
lagstore_feed_mode{cluster="prod",mode="auto"} 0
lagstore_feed_mode{cluster="prod",mode="log"} 1
lagstore_feed_mode{cluster="prod",mode="poll"} 0
lagstore_feed_mode{cluster="test` + "\uFFFD" + `",mode="auto"} 1
lagstore_feed_mode{cluster="test` + "\uFFFD" + `",mode="log"} 0
lagstore_feed_mode{cluster="test` + "\uFFFD" + `",mode="poll"} 0
# HELP lagstore_feed_open_partitions Partitions that had open transactions at the last poll.
# TYPE lagstore_feed_open_partitions gauge
lagstore_feed_open_partitions{cluster="prod"} 8
lagstore_feed_open_partitions{cluster="test` + "\uFFFD" + `"} 0
# HELP lagstore_feed_ready 1 once what the store answers of the cluster is complete; 0 before.
# TYPE lagstore_feed_ready gauge
lagstore_feed_ready{cluster="prod"} 1
lagstore_feed_ready{cluster="test` + "\uFFFD" + `"} 0
# HELP lagstore_feed_records_total Records of __consumer_offsets that were read, by kind.
# TYPE lagstore_feed_records_total counter
lagstore_feed_records_total{cluster="prod",kind="commit"} 7
lagstore_feed_records_total{cluster="prod",kind="commit_tombstone"} 0
# HELP lagstore_feed_refused_requests Kinds of requests that the brokers do not allow.
# TYPE lagstore_feed_refused_requests gauge
lagstore_feed_refused_requests{cluster="prod"} 1
lagstore_feed_refused_requests{cluster="test` + "\uFFFD" + `"} 0
# HELP lagstore_feed_request_errors_total Failed requests, by what was asked.
# TYPE lagstore_feed_request_errors_total counter
lagstore_feed_request_errors_total{cluster="prod",request="end_offsets"} 3
lagstore_feed_request_errors_total{cluster="prod",request="list_of_groups"} 0
`
		require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(want)))
		lint(t, registry)

		readme, err := os.ReadFile("README.md")
		require.NoError(t, err)
		families, err := registry.Gather()
		require.NoError(t, err)
		for _, family := range families {
			require.Contains(t, string(readme), "`"+strings.TrimPrefix(family.GetName(), "lagstore_")+"`")
		}
	})
}

// Whatever the status of a feed, the number of series is bounded and no count is lost.
func TestFeedIsBounded(t *testing.T) {
	status := lagprom.FeedStatus{Cluster: "prod", Records: make(map[string]uint64), Errors: make(map[string]uint64)}
	for i := range 5000 {
		status.Logs = append(status.Logs, lagprom.FeedLog{Partition: int32(i / 2)})
		status.Records[fmt.Sprintf("kind %04d", i)] = 1
		status.Errors[fmt.Sprintf("request %04d", i)] = 2
	}
	registry := feedRegistry(t, lagprom.Options{Prefix: "my_"}, func() lagprom.FeedStatus { return status })
	families, err := registry.Gather()
	require.NoError(t, err)
	series, sums := make(map[string]int), make(map[string]float64)
	for _, family := range families {
		series[family.GetName()] = len(family.GetMetric())
		for _, m := range family.GetMetric() {
			sums[family.GetName()] += m.GetCounter().GetValue()
		}
	}
	require.Equal(t, 65, series["my_feed_records_total"])
	require.Equal(t, 65, series["my_feed_request_errors_total"])
	require.Equal(t, 5000.0, sums["my_feed_records_total"])
	require.Equal(t, 10_000.0, sums["my_feed_request_errors_total"])
	require.Equal(t, 1000, series["my_feed_log_next_offset"])
	require.Equal(t, 1000, series["my_feed_log_behind_seconds"])
	partitions, ok := value(t, registry, "my_feed_log_partitions", nil)
	require.True(t, ok)
	require.Equal(t, 5000.0, partitions)
}

// Names with the same label value are counted together.
func TestFeedLabelsThatAreTheSame(t *testing.T) {
	status := lagprom.FeedStatus{Errors: map[string]uint64{"end offsets": 1, "END-offsets": 2}}
	registry := feedRegistry(t, lagprom.Options{}, func() lagprom.FeedStatus { return status })
	errs, ok := value(t, registry, "lagstore_feed_request_errors_total", map[string]string{"request": "end_offsets"})
	require.True(t, ok)
	require.Equal(t, 3.0, errs)
}

func TestFeedOptions(t *testing.T) {
	_, err := lagprom.NewFeed(lagprom.Options{
		Prefix: "1", Lags: &lagprom.LagOptions{}, ConstLabels: prom.Labels{"mode": "x", "cluster": "y"},
	}, nil)
	require.ErrorContains(t, err, `invalid Prefix "1"`)
	require.ErrorContains(t, err, "must be nil for a feed")
	require.ErrorContains(t, err, `invalid ConstLabels: the metrics have a label "mode"`)
	require.ErrorContains(t, err, `invalid ConstLabels: the metrics have a label "cluster"`)
	require.ErrorContains(t, err, "a feed is nil")
}

// ExampleNewFeed exports a feed. docs/kafkafeed.md shows what a program does instead of this literal.
func ExampleNewFeed() {
	status := func() lagprom.FeedStatus {
		return lagprom.FeedStatus{Cluster: "prod", Mode: "log", Logs: []lagprom.FeedLog{{Partition: 7, Next: 90, Position: 80, End: 100}}}
	}
	collector, err := lagprom.NewFeed(lagprom.Options{}, status)
	if err != nil {
		panic(err)
	}
	registry := prom.NewRegistry()
	registry.MustRegister(collector)
	families, err := registry.Gather()
	if err != nil {
		panic(err)
	}
	for _, family := range families {
		if name := family.GetName(); strings.HasSuffix(name, "_offset") {
			fmt.Println(name, family.GetMetric()[0].GetGauge().GetValue())
		}
	}
	// Output:
	// lagstore_feed_log_end_offset 100
	// lagstore_feed_log_next_offset 90
	// lagstore_feed_log_position_offset 80
}
