package prometheus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	prom "github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// lagMetrics exports the lags of groups.
type lagMetrics struct {
	options LagOptions
	descs   [lagSeries]*prom.Desc // by series; nil for those without this aggregation
	room    rooms
	constants,
	states []*dto.LabelPair // labels: the constant ones, and one for each state

	exported      *prom.Desc
	exportedBytes *prom.Desc
	droppedGroups *prom.Desc
}

func newLagMetrics(o Options) *lagMetrics {
	m := &lagMetrics{options: *o.Lags}
	desc := func(name, help string, labels ...string) *prom.Desc {
		return prom.NewDesc(o.Prefix+name, help, labels, o.ConstLabels)
	}
	for name, value := range o.ConstLabels {
		m.constants = append(m.constants, labelPair(name, value))
	}
	for _, state := range states {
		m.states = append(m.states, labelPair("state", state.label))
	}
	for series, d := range lagDescriptions {
		labels := []string{"cluster", "group", "topic"}
		if o.Lags.By == PerPartition {
			labels = append(labels, "partition")
		}
		if lagSeriesKind(series) == stateSeries {
			labels = append(labels, "state")
		}
		if help := d.help[o.Lags.By]; help != "" {
			m.descs[series] = desc("consumergroup_"+d.name, help, labels...)
		}
	}
	m.room = newRooms(o, m.states)
	m.exported = desc("exporter_series", "Series of lags that are exported.")
	m.exportedBytes = desc("exporter_series_bytes", "Bytes that the exported series of lags take in a scrape, at most.")
	m.droppedGroups = desc("exporter_groups_dropped",
		"Groups that are not exported, by reason: MaxSeries or MaxBytes is reached, or another group has the same label.", "reason")
	return m
}

func (m *lagMetrics) describe(out chan<- *prom.Desc) {
	for _, desc := range m.descs {
		if desc != nil {
			out <- desc
		}
	}
	out <- m.exported
	out <- m.exportedBytes
	out <- m.droppedGroups
}

// The reasons for which a group is left out.
const (
	noSeriesLeft = iota
	noBytesLeft
	labelTaken
	dropReasons // the number of reasons
)

var dropLabels = [dropReasons]string{noSeriesLeft: "max_series", noBytesLeft: "max_bytes", labelTaken: "label_taken"}

// misfits is the number of successive groups that may be read without fitting. The rest are counted without being read: a
// store that holds a hundred times what is exported is not read whole for each scrape.
const misfits = 100

// nameKey is a group, or a topic, of a cluster.
type nameKey struct{ cluster, name string }

func compareKeys(a, b nameKey) int {
	return cmp.Or(cmp.Compare(a.cluster, b.cluster), cmp.Compare(a.name, b.name))
}

// list returns the groups of a store in the order in which they get room. That is the order of their names, so which groups
// are shown depends only on what the store holds: it is the same at the next collection, after a restart, and in another
// process that monitors the same Kafka.
func list(ctx context.Context, store storage.Store, clusters []string) ([]nameKey, error) {
	var keys []nameKey
	for _, cluster := range clusters {
		groups, err := store.Groups(ctx, cluster)
		if errors.Is(err, storage.ErrUnknownCluster) {
			continue // removed since the clusters were listed
		}
		if err != nil {
			return nil, fmt.Errorf("list groups of cluster %s: %w", cluster, err)
		}
		for group := range groups {
			keys = append(keys, nameKey{cluster, group})
		}
	}
	slices.SortFunc(keys, compareKeys)
	return keys, nil
}

// appendTo appends the series of the groups of a store, as they are now. It returns an error if the store is stopped
// meanwhile.
func (m *lagMetrics) appendTo(
	ctx context.Context, metrics []prom.Metric, store storage.Store, clusters []string,
) ([]prom.Metric, error) {
	keys, err := list(ctx, store, clusters)
	if err != nil {
		return nil, err
	}
	var group protocol.Group
	var dropped [dropReasons]int
	var used room
	exported, missed, why := 0, 0, noSeriesLeft
	w := writer{metrics: m, by: m.options.By, ends: topicEnds{store: store, held: make(map[nameKey][]int64)}}
	for i, key := range keys {
		if missed == misfits {
			dropped[why] += len(keys) - i
			break
		}
		err := store.Group(ctx, key.cluster, key.name, &group)
		if errors.Is(err, storage.ErrUnknownGroup) || errors.Is(err, storage.ErrUnknownCluster) {
			continue // deleted or expired since it was listed
		}
		if err != nil {
			return nil, err
		}
		group.Topics = slices.DeleteFunc(group.Topics, func(topic protocol.GroupTopic) bool {
			return !m.options.wants(key.cluster, key.name, topic.Name)
		})
		if len(group.Topics) == 0 {
			continue
		}
		if shown := labelOf(key.name); shown != key.name {
			if _, taken := slices.BinarySearchFunc(keys, nameKey{key.cluster, shown}, compareKeys); taken {
				dropped[labelTaken]++
				continue
			}
		}
		w.begin(key)
		need := m.room.of(&group, w.groupLabels)
		switch {
		case need.series > m.options.MaxSeries-used.series:
			why = noSeriesLeft
		case need.bytes > m.options.MaxBytes-used.bytes:
			why = noBytesLeft
		default:
			missed = 0
			used.series += need.series
			used.bytes += need.bytes
			before := len(metrics)
			metrics = w.appendGroup(ctx, metrics, key.cluster, &group)
			exported += len(metrics) - before
			continue
		}
		dropped[why]++
		missed++
	}
	metrics = append(metrics,
		prom.MustNewConstMetric(m.exported, gauge, float64(exported)),
		prom.MustNewConstMetric(m.exportedBytes, gauge, float64(used.bytes)))
	for reason, n := range dropped {
		metrics = append(metrics, prom.MustNewConstMetric(m.droppedGroups, gauge, float64(n), dropLabels[reason]))
	}
	return metrics, nil
}

// writer makes the series of groups, one after the other.
type writer struct {
	metrics *lagMetrics
	by      Aggregation
	ends    topicEnds

	groupLabels []*dto.LabelPair
	partitions  []*dto.LabelPair // labels of the partitions by number, as far as they were needed
	points      []point
}

// begin makes the labels of a group.
func (w *writer) begin(key nameKey) {
	w.groupLabels = append(slices.Clip(w.metrics.constants),
		labelPair("cluster", labelOf(key.cluster)), labelPair("group", labelOf(key.name)))
}

// appendGroup appends the series of a group, as of the moment at which it was taken.
func (w *writer) appendGroup(
	ctx context.Context, metrics []prom.Metric, cluster string, group *protocol.Group,
) []prom.Metric {
	for i := range group.Topics {
		topic := &group.Topics[i]
		if !topicLabelIsFree(group, topic.Name) {
			continue
		}
		labels := append(slices.Clip(w.groupLabels), labelPair("topic", labelOf(topic.Name)))
		if w.by == PerTopic {
			w.points = appendTopic(w.points[:0], topic, w.ends.holdMore(ctx, cluster, topic), group.TakenAt)
			metrics = w.appendPoints(metrics, sortedPairs(labels))
			continue
		}
		for number := range topic.Partitions {
			w.points = appendPartition(w.points[:0], &topic.Partitions[number], group.TakenAt)
			metrics = w.appendPoints(metrics, sortedPairs(labels, w.partition(number)))
		}
	}
	return metrics
}

// partition returns the label of a partition.
func (w *writer) partition(number int) *dto.LabelPair {
	for len(w.partitions) <= number {
		w.partitions = append(w.partitions, labelPair("partition", strconv.Itoa(len(w.partitions))))
	}
	return w.partitions[number]
}

// appendPoints appends a series for each point, all with the same labels but for the state.
func (w *writer) appendPoints(metrics []prom.Metric, labels []*dto.LabelPair) []prom.Metric {
	samples := make([]sample, len(w.points))
	for i, p := range w.points {
		samples[i] = sample{desc: w.metrics.descs[p.series], labels: labels, value: p.value}
		if p.series == stateSeries {
			samples[i].labels = sortedPairs(labels, w.metrics.states[p.state])
		}
		metrics = append(metrics, &samples[i])
	}
	return metrics
}

// topicEnds are the end offsets of topics, each read once per collection.
type topicEnds struct {
	store storage.Store
	held  map[nameKey][]int64 // by cluster and topic
}

// holdMore reports whether a topic has partitions with messages that are missing from a group's answer because they were
// added after the group last met a new one.
func (e *topicEnds) holdMore(ctx context.Context, cluster string, topic *protocol.GroupTopic) bool {
	key := nameKey{cluster, topic.Name}
	ends, known := e.held[key]
	if !known {
		// A topic that has become unknown holds nothing. If the store has stopped, the next read finds that out.
		ends, _ = e.store.EndOffsets(ctx, cluster, topic.Name, nil)
		e.held[key] = ends
	}
	for partition := len(topic.Partitions); partition < len(ends); partition++ {
		if ends[partition] > 0 {
			return true
		}
	}
	return false
}

func topicLabelIsFree(group *protocol.Group, name string) bool {
	shown := labelOf(name)
	if shown == name {
		return true
	}
	for i := range group.Topics {
		if group.Topics[i].Name == shown {
			return false
		}
	}
	return true
}
