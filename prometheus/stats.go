package prometheus

import (
	"slices"
	"strings"

	prom "github.com/prometheus/client_golang/prometheus"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// outcomeDone is the outcome of a request that was carried out.
const outcomeDone = "done"

// expected are the reasons for which a type of request can be dropped, in addition to an unknown cluster. Their series exist
// from the start: a rate needs the 0 before the first 1.
var expected = map[protocol.StorageRequestConstant][]storage.Reason{
	protocol.StorageSetBrokerOffset: {storage.ReasonInvalid, storage.ReasonStale, storage.ReasonFull},
	protocol.StorageSetConsumerOffset: {
		storage.ReasonUnknownTopic, storage.ReasonUnknownPartition, storage.ReasonFiltered, storage.ReasonTooOld,
		storage.ReasonDuplicate, storage.ReasonBackfill, storage.ReasonInvalid, storage.ReasonFull,
	},
	protocol.StorageSetConsumerOwner: {
		storage.ReasonUnknownTopic, storage.ReasonUnknownPartition, storage.ReasonFiltered, storage.ReasonInvalid,
		storage.ReasonFull,
	},
	protocol.StorageSetDeleteTopic:      {storage.ReasonUnknownTopic},
	protocol.StorageSetDeleteGroup:      {storage.ReasonUnknownGroup, storage.ReasonUnknownTopic},
	protocol.StorageFetchConsumer:       {storage.ReasonUnknownGroup},
	protocol.StorageFetchTopic:          {storage.ReasonUnknownTopic},
	protocol.StorageClearConsumerOwners: {storage.ReasonUnknownGroup},
}

// outcomeLabel returns a reason as a label value.
func outcomeLabel(reason storage.Reason) string { return strings.ReplaceAll(string(reason), "-", "_") }

// typeLabel returns the name of a request type without its prefix: SetBrokerOffset.
func typeLabel(request protocol.StorageRequestConstant) string {
	return strings.TrimPrefix(request.String(), "Storage")
}

// plainMetric is a metric of Stats without labels.
type plainMetric struct {
	name, help string
	kind       prom.ValueType
	value      func(*storage.Stats) float64
}

const (
	gauge   = prom.GaugeValue
	counter = prom.CounterValue
)

var plainMetrics = []plainMetric{
	{"clusters", "Clusters of the store.", gauge, func(s *storage.Stats) float64 { return float64(s.Clusters) }},
	{"groups", "Consumer groups in the store.", gauge, func(s *storage.Stats) float64 { return float64(s.Groups) }},
	{"group_topics", "Topics that groups hold, counted once for each group.", gauge, func(s *storage.Stats) float64 { return float64(s.GroupTopics) }},
	{"group_partitions", "Partitions that groups hold, counted once for each group.", gauge, func(s *storage.Stats) float64 { return float64(s.GroupPartitions) }},
	{"topics", "Topics that have an end offset.", gauge, func(s *storage.Stats) float64 { return float64(s.Topics) }},
	{"partitions", "Partitions of the topics that have an end offset.", gauge, func(s *storage.Stats) float64 { return float64(s.Partitions) }},
	{"memory_bytes", "Memory of groups and topics, without the inner parts of Go's maps.", gauge, func(s *storage.Stats) float64 { return float64(s.Bytes) }},
	{"queued_requests", "Requests that wait in the module's channel.", gauge, func(s *storage.Stats) float64 { return float64(s.Relay.QueuedRequests) }},
	{"queued_answers", "Answers that wait to be built.", gauge, func(s *storage.Stats) float64 { return float64(s.Relay.QueuedAnswers) }},
	{"waiting_replies", "Answers that wait for their requester to read them.", gauge, func(s *storage.Stats) float64 { return float64(s.Relay.WaitingReplies) }},
	{"waiting_replies_bytes", "Memory of the answers that wait for their requester, by estimate.", gauge, func(s *storage.Stats) float64 { return float64(s.Relay.WaitingBytes) }},
	{"refused_answers_total", "Fetches whose reply was closed because too many answers were being built.", counter, func(s *storage.Stats) float64 { return float64(s.Relay.RefusedAnswers) }},
	{"stuck_calls_total", "Requests and answers that did not return when the module stopped.", counter, func(s *storage.Stats) float64 { return float64(s.Relay.StuckCalls) }},
	{"sweeps_total", "Sweeps for what has expired.", counter, func(s *storage.Stats) float64 { return float64(s.Sweeps) }},
	{"expired_groups_total", "Groups removed because they gave no sign of life.", counter, func(s *storage.Stats) float64 { return float64(s.ExpiredGroups) }},
	{"expired_group_topics_total", "Topics of living groups removed because the group did not commit them.", counter, func(s *storage.Stats) float64 { return float64(s.ExpiredTopics) }},
	{"swept_topics_total", "Topics removed because nobody polled their end offsets.", counter, func(s *storage.Stats) float64 { return float64(s.SweptTopics) }},
	{"stuck_groups_total", "How often ten fresh commits of a group were refused in a row because of their orders.", counter, func(s *storage.Stats) float64 { return float64(s.StuckGroups) }},
	{"remembered_deletions", "Groups of which a deletion is remembered for a replay.", gauge, func(s *storage.Stats) float64 { return float64(s.RememberedDeletions) }},
	{"watchers", "Watchers of the store.", gauge, func(s *storage.Stats) float64 { return float64(s.Watchers.Now) }},
	{"watcher_unread_events", "Events that watchers have not read, counted once for each watcher.", gauge, func(s *storage.Stats) float64 { return float64(s.Watchers.UnreadEvents) }},
	{"watcher_unread_bytes", "Memory of the events that watchers have not read.", gauge, func(s *storage.Stats) float64 { return float64(s.Watchers.UnreadBytes) }},
	{"watcher_missed_events_total", "Events that watchers did not get because they read too slowly.", counter, func(s *storage.Stats) float64 { return float64(s.Watchers.Missed) }},
	{"watchers_refused_total", "Watchers refused because of the limit.", counter, func(s *storage.Stats) float64 { return float64(s.Watchers.Refused) }},
	{"damaged", "1 once a panic has interrupted a change; no snapshot is saved after that.", gauge, func(s *storage.Stats) float64 { return zeroOrOne(s.Damaged) }},
	{"lost_log_lines_total", "Log lines that were not written because the logger panicked or did not return.", counter, func(s *storage.Stats) float64 { return float64(s.LostLines) }},
	{"panics_total", "Panics that were contained.", counter, func(s *storage.Stats) float64 { return float64(s.Panics + s.Relay.Panics) }},
	{"snapshots_saved_total", "Snapshots that were saved.", counter, func(s *storage.Stats) float64 { return float64(s.Snapshots.Saved) }},
	{"snapshots_failed_total", "Snapshots that could not be saved.", counter, func(s *storage.Stats) float64 { return float64(s.Snapshots.Failed) }},
}

// snapshotMetrics exist once a snapshot was saved.
var snapshotMetrics = []plainMetric{
	{"last_snapshot_timestamp_seconds", "When the newest snapshot was begun, in Unix seconds; absent before the first.", gauge, func(s *storage.Stats) float64 { return float64(s.Snapshots.Last.UnixMilli()) / 1000 }},
	{"last_snapshot_duration_seconds", "How long the newest snapshot took; absent before the first.", gauge, func(s *storage.Stats) float64 { return s.Snapshots.Duration.Seconds() }},
	{"last_snapshot_left_out", "Groups and topics that the newest snapshot lacks because the format has no room for them; absent before the first.", gauge, func(s *storage.Stats) float64 { return float64(s.Snapshots.LeftOut) }},
	{"last_snapshot_size_bytes", "Size of the newest snapshot; absent before the first.", gauge, func(s *storage.Stats) float64 { return float64(s.Snapshots.Bytes) }},
}

// remoteMetrics exist if the state of a store is on servers.
var remoteMetrics = []plainMetric{
	{"remote_calls", "Calls that wait for the servers of the state.", gauge, func(s *storage.Stats) float64 { return float64(s.Remote.Calls) }},
	{"remote_calls_limit", "How many calls may wait for the servers of the state at once.", gauge, func(s *storage.Stats) float64 { return float64(s.Remote.MostCalls) }},
	{"remote_held_buckets", "Parts of the shared state that this process alone feeds.", gauge, func(s *storage.Stats) float64 { return float64(s.Remote.HeldBuckets) }},
	{"remote_round_trips_total", "Round trips to the servers of the state.", counter, func(s *storage.Stats) float64 { return float64(s.Remote.RoundTrips) }},
	{"remote_connections_total", "Connections made to the servers of the state.", counter, func(s *storage.Stats) float64 { return float64(s.Remote.Connections) }},
	{"remote_conflicts_total", "Attempts repeated because another process had changed the same.", counter, func(s *storage.Stats) float64 { return float64(s.Remote.Conflicts) }},
	{"remote_retries_total", "Attempts repeated because a server could not be reached or was being replaced.", counter, func(s *storage.Stats) float64 { return float64(s.Remote.Retries) }},
	{"remote_unavailable_total", "Calls that failed because the servers could not be reached in time.", counter, func(s *storage.Stats) float64 { return float64(s.Remote.Unavailable) }},
	{"remote_earlier_states_total", "How often a part of the state turned out to be an earlier one, as after a failover.", counter, func(s *storage.Stats) float64 { return float64(s.Remote.EarlierStates) }},
	{"remote_replica_reads_total", "Reads that replicas answered.", counter, func(s *storage.Stats) float64 { return float64(s.Remote.ReplicaReads) }},
	{"remote_replica_misses_total", "Reads that masters answered because replicas were too far behind or did not answer.", counter, func(s *storage.Stats) float64 { return float64(s.Remote.ReplicaMisses) }},
}

// zeroOrOne returns the value of a gauge for a boolean.
func zeroOrOne(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// abandonedMetrics are the counters of answers that nobody read, by their label.
var abandonedMetrics = []struct {
	cause string
	value func(*storage.RelayStats) uint64
}{
	{"timed_out", func(s *storage.RelayStats) uint64 { return s.TimedOutReplies }},
	{"evicted", func(s *storage.RelayStats) uint64 { return s.EvictedReplies }},
	{"stopped", func(s *storage.RelayStats) uint64 {
		// If a module does not distinguish the causes, the total may exceed their sum.
		return s.AbandonedReplies - min(s.AbandonedReplies, s.TimedOutReplies+s.EvictedReplies)
	}},
}

// faultMetrics are the counters of senders' faults, by their label.
var faultMetrics = []struct {
	fault string
	value func(*storage.Stats) uint64
}{
	{"nil_request", func(s *storage.Stats) uint64 { return s.Relay.NilRequests }},
	{"nil_reply", func(s *storage.Stats) uint64 { return s.Relay.NilReplies }},
	{"closed_reply", func(s *storage.Stats) uint64 { return s.Relay.ClosedReplies }},
	{"unknown_type", func(s *storage.Stats) uint64 { return s.Relay.UnknownTypes }},
}

// statsMetrics exports the statistics of a store.
type statsMetrics struct {
	running   *prom.Desc
	requests  *prom.Desc
	faults    *prom.Desc
	abandoned *prom.Desc
	plain     []*prom.Desc // of plainMetrics
	snapshot  []*prom.Desc // of snapshotMetrics
	remote    []*prom.Desc // of remoteMetrics
}

func newStatsMetrics(o Options) *statsMetrics {
	desc := func(name, help string, labels ...string) *prom.Desc {
		return prom.NewDesc(o.Prefix+name, help, labels, o.ConstLabels)
	}
	m := &statsMetrics{
		running:   desc("running", "1 while the store runs; 0 otherwise, and all other metrics are absent."),
		requests:  desc("requests_total", "Requests by type and outcome: done, or the reason why they were dropped.", "type", "outcome"),
		faults:    desc("faulty_requests_total", "Invalid requests, by the fault of their sender.", "fault"),
		abandoned: desc("abandoned_replies_total", "Answers that nobody read, by cause.", "cause"),
	}
	for _, p := range plainMetrics {
		m.plain = append(m.plain, desc(p.name, p.help))
	}
	for _, p := range snapshotMetrics {
		m.snapshot = append(m.snapshot, desc(p.name, p.help))
	}
	for _, p := range remoteMetrics {
		m.remote = append(m.remote, desc(p.name, p.help))
	}
	return m
}

func (m *statsMetrics) describe(out chan<- *prom.Desc) {
	for _, desc := range slices.Concat([]*prom.Desc{m.running, m.requests, m.faults, m.abandoned}, m.plain, m.snapshot, m.remote) {
		out <- desc
	}
}

// isRunning returns the metric for whether the store runs.
func (m *statsMetrics) isRunning(running bool) prom.Metric {
	return prom.MustNewConstMetric(m.running, gauge, zeroOrOne(running))
}

// appendTo appends the statistics.
func (m *statsMetrics) appendTo(metrics []prom.Metric, s storage.Stats) []prom.Metric {
	add := func(desc *prom.Desc, kind prom.ValueType, value float64, labels ...string) {
		metrics = append(metrics, prom.MustNewConstMetric(desc, kind, value, labels...))
	}
	for request, count := range s.Requests.ByType() {
		label := typeLabel(request)
		add(m.requests, counter, float64(count.Done), label, outcomeDone)
		for outcome, n := range dropped(request, count.Dropped) {
			add(m.requests, counter, float64(n), label, outcome)
		}
	}
	for _, f := range faultMetrics {
		add(m.faults, counter, float64(f.value(&s)), f.fault)
	}
	for _, a := range abandonedMetrics {
		add(m.abandoned, counter, float64(a.value(&s.Relay)), a.cause)
	}
	for i, p := range plainMetrics {
		add(m.plain[i], p.kind, p.value(&s))
	}
	if s.Remote.MostCalls > 0 {
		for i, p := range remoteMetrics {
			add(m.remote[i], p.kind, p.value(&s))
		}
	}
	if s.Snapshots.Last.IsZero() {
		return metrics
	}
	for i, p := range snapshotMetrics {
		add(m.snapshot[i], p.kind, p.value(&s))
	}
	return metrics
}

// dropped counts dropped requests of one type by outcome.
func dropped(request protocol.StorageRequestConstant, reasons map[storage.Reason]uint64) map[string]uint64 {
	counts := make(map[string]uint64)
	if request != protocol.StorageFetchClusters {
		counts[outcomeLabel(storage.ReasonUnknownCluster)] = 0
	}
	for _, reason := range expected[request] {
		counts[outcomeLabel(reason)] = 0
	}
	for reason, n := range reasons {
		counts[outcomeLabel(reason)] = n
	}
	return counts
}
