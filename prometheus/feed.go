package prometheus

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"
)

// FeedStatus is what a FeedCollector exports of a feed, which fills the store with the commits and end offsets of one Kafka
// cluster. It is a struct of its own so that this module needs no Kafka client.
type FeedStatus struct {
	// Cluster is the name of the cluster in the store. It distinguishes the feeds of one collector.
	Cluster string
	// Mode is "auto" until the feed has chosen, then "log" or "poll".
	Mode string
	// Ready reports whether what the store answers is complete.
	Ready bool
	// Logs are the partitions of __consumer_offsets that are read; none in poll mode.
	Logs []FeedLog
	// Records counts the records of the log by kind, Errors the failed requests by kind. A kind with 0 has a series too.
	Records, Errors map[string]uint64
	// Refused is the number of kinds of requests that the brokers do not allow.
	Refused int
	// Early is the number of commits that wait for the end offset of their partition, EarlyDropped the number of those that
	// were dropped because none came.
	Early        int
	EarlyDropped uint64
	// OpenPartitions is the number of partitions with open transactions at the last poll.
	OpenPartitions int
	// LastPoll is when the newest complete poll was begun, PollDuration how long it took. If LastPoll is zero, there was none.
	LastPoll     time.Time
	PollDuration time.Duration
}

// FeedLog is how far a feed has read one partition of __consumer_offsets.
type FeedLog struct {
	Partition int32
	// Next is the offset of the next record to read, Position where reading begins again after a restart, End the newest known
	// end of the partition.
	Next, Position, End int64
	// OpenTransactions is the number of open transactions, PendingCommits the number of their commits that are kept.
	OpenTransactions, PendingCommits int
	// Time is the time of the newest record that was read; zero if there was none.
	Time time.Time
}

const (
	// maxFeedLogs is the number of partitions of one log that are exported. Kafka makes 50 by default.
	maxFeedLogs = 1000
	// maxFeedValues is the number of values that the labels kind and request may have.
	maxFeedValues = 64
	// otherValues is the value for everything beyond maxFeedValues.
	otherValues = "other"
)

// feedModes are the values of the label mode. Any other mode is exported as the first.
var feedModes = []string{"auto", "log", "poll"}

// plainFeedMetrics are the metrics of a feed that have no label but cluster.
var plainFeedMetrics = []struct {
	name, help string
	kind       prom.ValueType
	value      func(*FeedStatus) float64
}{
	{"feed_ready", "1 once what the store answers of the cluster is complete; 0 before.", gauge, func(s *FeedStatus) float64 { return zeroOrOne(s.Ready) }},
	{"feed_refused_requests", "Kinds of requests that the brokers do not allow.", gauge, func(s *FeedStatus) float64 { return float64(s.Refused) }},
	{"feed_early_commits", "Commits that wait for the end offset of their partition.", gauge, func(s *FeedStatus) float64 { return float64(s.Early) }},
	{"feed_early_commits_dropped_total", "Commits that waited in vain: their topic was deleted, or is not wanted.", counter, func(s *FeedStatus) float64 { return float64(s.EarlyDropped) }},
	{"feed_open_partitions", "Partitions that had open transactions at the last poll.", gauge, func(s *FeedStatus) float64 { return float64(s.OpenPartitions) }},
	{"feed_log_partitions", "Partitions of __consumer_offsets that are read; the first 1,000 have series of their own.", gauge, func(s *FeedStatus) float64 { return float64(len(s.Logs)) }},
}

// pollFeedMetrics are absent before the first poll.
var pollFeedMetrics = []struct {
	name, help string
	value      func(*FeedStatus) float64
}{
	{"feed_last_poll_timestamp_seconds", "When the newest complete poll was begun, in Unix seconds; absent before the first.", func(s *FeedStatus) float64 { return float64(s.LastPoll.UnixNano()) / 1e9 }},
	{"feed_last_poll_duration_seconds", "How long the newest complete poll took; absent before the first.", func(s *FeedStatus) float64 { return s.PollDuration.Seconds() }},
}

// logFeedMetrics have a series for each partition of __consumer_offsets.
var logFeedMetrics = []struct {
	name, help string
	value      func(*FeedLog) float64
}{
	{"feed_log_next_offset", "Offset of the next record of __consumer_offsets to read.", func(l *FeedLog) float64 { return float64(l.Next) }},
	{"feed_log_position_offset", "Offset at which reading begins again after a restart: lower than the next while transactions are open.", func(l *FeedLog) float64 { return float64(l.Position) }},
	{"feed_log_end_offset", "Newest known end of the partition of __consumer_offsets.", func(l *FeedLog) float64 { return float64(l.End) }},
	{"feed_log_open_transactions", "Transactions that no marker has ended yet.", func(l *FeedLog) float64 { return float64(l.OpenTransactions) }},
	{"feed_log_pending_commits", "Commits of open transactions that are kept until a marker.", func(l *FeedLog) float64 { return float64(l.PendingCommits) }},
}

// FeedCollector exports the status of feeds. It is a prometheus.Collector, may be used by any number of goroutines, and holds
// nothing between two collections.
type FeedCollector struct {
	feeds                           []func() FeedStatus
	mode, records, errors, behind   *prom.Desc
	plainDescs, pollDescs, logDescs []*prom.Desc
}

var _ prom.Collector = (*FeedCollector)(nil)

// NewFeed makes a FeedCollector of one or more feeds, each of a cluster of its own. Every collection calls each function
// once, from any goroutine. It returns an error that names every fault of the options; Lags must be nil.
func NewFeed(options Options, feeds ...func() FeedStatus) (*FeedCollector, error) {
	faults := []error{options.Validate()}
	if options.Lags != nil {
		faults = append(faults, fmt.Errorf("invalid Lags %+v: must be nil for a feed", *options.Lags))
	}
	for name := range options.ConstLabels {
		if slices.Contains(feedLabels, name) {
			faults = append(faults, fmt.Errorf("invalid ConstLabels: the metrics have a label %q themselves", name))
		}
	}
	if slices.ContainsFunc(feeds, func(feed func() FeedStatus) bool { return feed == nil }) {
		faults = append(faults, errors.New("a feed is nil"))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("make collector of feeds: %w", err)
	}
	options = options.withDefaults()
	desc := func(name, help string, labels ...string) *prom.Desc {
		return prom.NewDesc(options.Prefix+name, help, append([]string{"cluster"}, labels...), options.ConstLabels)
	}
	c := &FeedCollector{
		feeds:   slices.Clone(feeds),
		mode:    desc("feed_mode", "1 for the mode that the feed is in: auto until it has found out, then log or poll; 0 for the others.", "mode"),
		records: desc("feed_records_total", "Records of __consumer_offsets that were read, by kind.", "kind"),
		errors:  desc("feed_request_errors_total", "Failed requests, by what was asked.", "request"),
		behind: desc("feed_log_behind_seconds",
			"Age of the newest record that was read, 0 if all are; absent if there are records and none was read.", "partition"),
	}
	for _, m := range plainFeedMetrics {
		c.plainDescs = append(c.plainDescs, desc(m.name, m.help))
	}
	for _, m := range pollFeedMetrics {
		c.pollDescs = append(c.pollDescs, desc(m.name, m.help))
	}
	for _, m := range logFeedMetrics {
		c.logDescs = append(c.logDescs, desc(m.name, m.help, "partition"))
	}
	return c, nil
}

// feedLabels are the labels of the metrics of a feed beyond ownLabels.
var feedLabels = []string{"mode", "kind", "request"}

// Describe implements prometheus.Collector.
func (c *FeedCollector) Describe(out chan<- *prom.Desc) {
	for _, desc := range slices.Concat([]*prom.Desc{c.mode, c.records, c.errors, c.behind}, c.plainDescs, c.pollDescs, c.logDescs) {
		out <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *FeedCollector) Collect(out chan<- prom.Metric) {
	for _, feed := range c.feeds {
		status := feed()
		c.collect(out, &status)
	}
}

func (c *FeedCollector) collect(out chan<- prom.Metric, s *FeedStatus) {
	cluster := strings.ToValidUTF8(s.Cluster, "\uFFFD") // a label that is not UTF-8 would fail the whole scrape
	add := func(desc *prom.Desc, kind prom.ValueType, value float64, labels ...string) {
		out <- prom.MustNewConstMetric(desc, kind, value, append([]string{cluster}, labels...)...)
	}
	mode := max(slices.Index(feedModes, s.Mode), 0)
	for i, name := range feedModes {
		add(c.mode, gauge, zeroOrOne(i == mode), name)
	}
	for kind, n := range bounded(s.Records) {
		add(c.records, counter, float64(n), kind)
	}
	for request, n := range bounded(s.Errors) {
		add(c.errors, counter, float64(n), request)
	}
	for i, m := range plainFeedMetrics {
		add(c.plainDescs[i], m.kind, m.value(s))
	}
	if !s.LastPoll.IsZero() {
		for i, m := range pollFeedMetrics {
			add(c.pollDescs[i], gauge, m.value(s))
		}
	}
	now := time.Now()
	for _, log := range firstLogs(s.Logs) {
		partition := strconv.Itoa(int(log.Partition))
		for i, m := range logFeedMetrics {
			add(c.logDescs[i], gauge, m.value(&log), partition)
		}
		switch {
		case log.Next >= log.End:
			add(c.behind, gauge, 0, partition)
		case !log.Time.IsZero():
			add(c.behind, gauge, max(now.Sub(log.Time).Seconds(), 0), partition)
		}
	}
}

// firstLogs returns the partitions with the lowest numbers, at most maxFeedLogs and each once: a duplicate would fail the
// whole scrape.
func firstLogs(logs []FeedLog) []FeedLog {
	sorted := slices.SortedStableFunc(slices.Values(logs), func(a, b FeedLog) int { return int(a.Partition) - int(b.Partition) })
	sorted = slices.CompactFunc(sorted, func(a, b FeedLog) bool { return a.Partition == b.Partition })
	return sorted[:min(len(sorted), maxFeedLogs)]
}

// bounded returns counts by label value, in lower case with underscores. Kinds beyond maxFeedValues, in the order of their
// names, are counted as otherValues.
func bounded(counts map[string]uint64) map[string]uint64 {
	labels := make(map[string]uint64)
	names := make([]string, 0, len(counts))
	for name := range counts {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		label := otherValues
		if i < maxFeedValues {
			label = strings.Map(labelRune, strings.ToLower(name))
		}
		labels[label] += counts[name]
	}
	return labels
}

// labelRune replaces everything but letters and digits by an underscore.
func labelRune(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
		return r
	}
	return '_'
}
