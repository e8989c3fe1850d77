package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/inspector"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/status"
)

// reading is all that can be shown, at one moment.
type reading struct {
	at       time.Time
	clusters []clusterState
	groups   []*groupRow // the most alarming first, then by lag
	events   []event     // oldest first
}

// groupRow is a group as the table shows it.
type groupRow struct {
	inspector.GroupRow
	at    int64  // time of the read, in Unix milliseconds
	topic string // the name of the group's only topic, or the number of its topics
	trend []float64
	// shownCluster is the cluster if there are several.
	shownCluster string
}

// groupKey identifies a group.
type groupKey struct{ cluster, group string }

func (r *groupRow) key() groupKey { return groupKey{r.Cluster, r.Group} }

// trendLength is the number of readings that a trend shows.
const trendLength = 10

// reader reads the store for the screen.
type reader struct {
	source   inspector.Source
	clusters []string
	states   func() []clusterState // of the clusters
	now      func() time.Time

	before map[groupKey]*groupRow // the rows of the newest reading
	polls  map[string]int64       // the newest poll of each cluster in it
	buffer protocol.Group
}

// read reads every group.
func (r *reader) read(ctx context.Context) (reading, error) {
	out := reading{at: r.now(), clusters: r.states()}
	rows := make(map[groupKey]*groupRow, len(r.before))
	polls := make(map[string]int64)
	for _, c := range out.clusters {
		if c.LastPoll != nil {
			polls[c.Cluster] = *c.LastPoll
		}
	}
	err := r.each(ctx, func(cluster, name string, group *protocol.Group) {
		row := &groupRow{GroupRow: inspector.RowOf(cluster, name, group, status.Options{}), at: group.TakenAt.UnixMilli()}
		row.topic = fmt.Sprintf("%d topics", len(group.Topics))
		if len(group.Topics) == 1 {
			row.topic = group.Topics[0].Name
		}
		if len(r.clusters) > 1 {
			row.shownCluster = cluster
		}
		row.trend = r.trend(row, polls[cluster] != r.polls[cluster])
		rows[row.key()] = row
		out.groups = append(out.groups, row)
	})
	r.before, r.polls = rows, polls
	slices.SortFunc(out.groups, byAlarm)
	return out, err
}

// trend returns the lags of a group at the newest polls, -1 for an unknown lag.
func (r *reader) trend(row *groupRow, polled bool) []float64 {
	var lags []float64
	if before := r.before[row.key()]; before != nil {
		lags = before.trend
		if !polled {
			lags = lags[:len(lags)-1] // the newest one replaces it
		}
	}
	lag := -1.0
	if row.Lag.Messages != nil {
		lag = float64(*row.Lag.Messages)
	}
	return append(slices.Clone(lags[max(0, len(lags)-trendLength+1):]), lag)
}

// details reads every group with its partitions, by cluster and name.
func (r *reader) details(ctx context.Context) (out []*inspector.GroupDetail, err error) {
	err = r.each(ctx, func(cluster, name string, group *protocol.Group) {
		out = append(out, inspector.DetailOf(cluster, name, group, status.Options{}))
	})
	return out, err
}

// detail reads one group, nil if it does not exist.
func (r *reader) detail(ctx context.Context, key groupKey) (*inspector.GroupDetail, error) {
	var group protocol.Group
	err := r.source.Group(storage.Uncounted(ctx), key.cluster, key.group, &group)
	if errors.Is(err, storage.ErrUnknownGroup) || errors.Is(err, storage.ErrUnknownCluster) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return inspector.DetailOf(key.cluster, key.group, &group, status.Options{}), nil
}

func (r *reader) each(ctx context.Context, do func(cluster, name string, group *protocol.Group)) error {
	ctx = storage.Uncounted(ctx)
	for _, cluster := range r.clusters {
		names, err := r.source.Groups(ctx, cluster)
		if err != nil {
			return fmt.Errorf("read groups of cluster %s: %w", cluster, err)
		}
		for _, name := range slices.Sorted(names) {
			switch err := r.source.Group(ctx, cluster, name, &r.buffer); {
			case err == nil:
				do(cluster, name, &r.buffer)
			case !errors.Is(err, storage.ErrUnknownGroup): // it was deleted after it had been listed
				return fmt.Errorf("read group %q of cluster %s: %w", name, cluster, err)
			}
		}
	}
	return nil
}

// missing returns what the reading lacks, one item per line.
func (r *reading) missing() (out missing) {
	for _, cluster := range r.clusters {
		for _, what := range cluster.Missing {
			out = append(out, cluster.Cluster+": "+what)
		}
	}
	return out
}

// byAlarm orders the most alarming group first, and among equals the one with the greater lag.
func byAlarm(a, b *groupRow) int {
	return cmp.Or(by("status")(a, b), by("lag")(a, b), by("cluster")(a, b), by("group")(a, b))
}

// by orders groups by a column, as the pages do.
func by(column string) func(a, b *groupRow) int {
	return func(a, b *groupRow) int { return a.Compare(&b.GroupRow, column) }
}
