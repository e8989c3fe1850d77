package prometheus

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// lagMetrics exports the lags of groups.
type lagMetrics struct {
	options LagOptions
	feed    *feed
	roster  roster
	descs   [lagSeries]*prom.Desc // by series; nil for those that options.By does not have

	exported      *prom.Desc
	droppedGroups *prom.Desc
	droppedSeries *prom.Desc
	missedEvents  *prom.Desc
}

func newLagMetrics(source Source, o Options) *lagMetrics {
	m := &lagMetrics{options: *o.Lags}
	m.feed = &feed{source: source, roster: &m.roster}
	desc := func(name, help string, labels ...string) *prom.Desc {
		return prom.NewDesc(o.Prefix+name, help, labels, o.ConstLabels)
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
	m.exported = desc("exporter_series", "Series of lags that are exported.")
	m.droppedGroups = desc("exporter_groups_dropped", "Groups that are not exported because MaxSeries is reached.")
	m.droppedSeries = desc("exporter_series_dropped", "Series that are not exported because MaxSeries is reached, as last counted.")
	m.missedEvents = desc("exporter_missed_events_total", "Changes of the store that the exporter was too slow for, so that it had to list again.")
	return m
}

func (m *lagMetrics) describe(out chan<- *prom.Desc) {
	for _, desc := range m.descs {
		if desc != nil {
			out <- desc
		}
	}
	out <- m.exported
	out <- m.droppedGroups
	out <- m.droppedSeries
	out <- m.missedEvents
}

// sheet is what a collection reads one group into.
type sheet struct {
	group  protocol.Group
	points []point
}

var sheets = sync.Pool{New: func() any { return new(sheet) }}

func (m *lagMetrics) collect(ctx context.Context, out chan<- prom.Metric, store storage.Store) {
	if m.feed.follow(ctx, store) != nil {
		return // it has just stopped
	}
	s := sheets.Get().(*sheet)
	defer sheets.Put(s)
	list := m.roster.candidates()
	var exported, droppedGroups, droppedSeries int
	for i := range list {
		c := &list[i]
		left := m.options.MaxSeries - exported
		if c.shown || c.weight == unweighed || c.weight <= left {
			err := store.Group(ctx, c.cluster, c.group, &s.group)
			switch {
			case err == nil:
				s.points = m.appendPoints(s.points[:0], c.groupKey, &s.group, time.Now().UnixMilli())
				c.weight = len(s.points)
			case errors.Is(err, storage.ErrUnknownGroup):
				// Deleted or expired, though the feed may not have told yet.
				s.points, c.weight = s.points[:0], unweighed
			default: // it has stopped
				return
			}
			c.shown = c.weight <= left && m.labelIsFree(c.groupKey)
			if c.shown {
				exported += len(s.points)
				m.emit(out, c.groupKey, s.points)
				continue
			}
			if c.weight == unweighed {
				continue
			}
		}
		droppedGroups++
		droppedSeries += c.weight
	}
	m.roster.settle(list)
	out <- prom.MustNewConstMetric(m.exported, gauge, float64(exported))
	out <- prom.MustNewConstMetric(m.droppedGroups, gauge, float64(droppedGroups))
	out <- prom.MustNewConstMetric(m.droppedSeries, gauge, float64(droppedSeries))
	out <- prom.MustNewConstMetric(m.missedEvents, counter, float64(m.feed.missed.Load()))
}

// labelIsFree tells whether no other group has the name that a group is shown under, which takes one whose name is not
// UTF-8.
func (m *lagMetrics) labelIsFree(key groupKey) bool {
	shown := labelOf(key.group)
	return shown == key.group || !m.roster.holds(groupKey{key.cluster, shown})
}

// appendPoints appends what there is to export of a group, as of now in Unix milliseconds.
func (m *lagMetrics) appendPoints(points []point, key groupKey, group *protocol.Group, now int64) []point {
	for i := range group.Topics {
		topic := &group.Topics[i]
		if !m.options.wants(key.cluster, key.group, topic.Name) || !topicLabelIsFree(group, topic.Name) {
			continue
		}
		p := pointer{points: points, topic: labelOf(topic.Name)}
		if m.options.By == PerTopic {
			p.addTopic(topic.Partitions, now)
		} else {
			for number := range topic.Partitions {
				p.partition = strconv.Itoa(number)
				p.addPartition(&topic.Partitions[number], now)
			}
		}
		points = p.points
	}
	return points
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

// emit sends the points of a group.
func (m *lagMetrics) emit(out chan<- prom.Metric, key groupKey, points []point) {
	cluster, group := labelOf(key.cluster), labelOf(key.group)
	for i := range points {
		p := &points[i]
		labels := append(make([]string, 0, 5), cluster, group, p.topic)
		if m.options.By == PerPartition {
			labels = append(labels, p.partition)
		}
		if p.series == stateSeries {
			labels = append(labels, p.state)
		}
		out <- prom.MustNewConstMetric(m.descs[p.series], gauge, p.value, labels...)
	}
}
