package main

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/lagkeeper/storage/protocol"
)

// table is one moment of the cluster as the store tells it.
type table struct {
	Cluster string
	At      time.Time
	// Groups and Topics are how many the store knows; a topic that no group reads has no row.
	Groups int
	Topics int
	Rows   []row
}

// row is one group on one topic.
type row struct {
	Group string
	Topic string
	// Partitions is how many the topic has.
	Partitions int
	// Members is how many consumers own a partition of the topic, told apart by host and client id.
	Members int
	// Lag is how many messages the group is behind on all partitions whose lag the store stands by; LagKnown is false where
	// there are none. It is a lower bound where LagAtLeast is set: then there are other partitions with messages.
	Lag        uint64
	LagKnown   bool
	LagAtLeast bool
	// Lost is how many messages were deleted before the group could read them, as far as that is known.
	Lost uint64
	// BeyondEnd is by how many messages the group stands above the ends of partitions for good.
	BeyondEnd uint64
	// TimeLag is the lag in time.
	TimeLag timeLag
	// Rates are how fast lag comes and goes.
	Rates rates
	// Trend is the lag over the time from the oldest commit in the window to now, oldest first; empty where nothing was
	// committed.
	Trend []float64
	// Moved is how long ago the newest commit moved, -1 where nothing was committed. It is a lower bound where
	// MovedAtLeast is set: then the commit stands where it stood when the store first heard of it.
	Moved        time.Duration
	MovedAtLeast bool
	State        state
}

// view makes tables from the store's answers.
type view struct {
	store storeClient
	pace  pace
	now   func() time.Time
}

// table asks the store for everything it shows.
func (v view) table(ctx context.Context) (table, error) {
	t := table{Cluster: v.store.cluster, At: v.now()}
	topics, err := v.store.topics(ctx)
	if err != nil {
		return t, err
	}
	t.Topics = len(topics)
	ends := make(map[string][]int64) // of the topics that have a row
	groups, err := v.store.groups(ctx)
	if err != nil {
		return t, err
	}
	for _, name := range groups {
		group, err := v.store.group(ctx, name)
		if err != nil {
			return t, err
		}
		if group == nil {
			continue // expired or deleted since it was listed
		}
		t.Groups++
		for topic, partitions := range group {
			if _, ok := ends[topic]; !ok {
				if ends[topic], err = v.store.topic(ctx, topic); err != nil {
					return t, err
				}
			}
			t.Rows = append(t.Rows, makeRow(name, topic, partitions, ends[topic], t.At, v.pace))
		}
	}
	slices.SortFunc(t.Rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Topic, b.Topic))
	})
	return t, nil
}

// makeRow sums the partitions of a group's topic up. ends are the newest end offsets of the topic's partitions.
func makeRow(group, topic string, partitions protocol.ConsumerPartitions, ends []int64, now time.Time, pace pace) row {
	r := row{Group: group, Topic: topic, Partitions: max(len(ends), len(partitions)), Moved: -1}
	members := make(map[owner]bool)
	var moved int64 // when a commit last moved, in Unix ms; 0 for never
	var facts facts
	var series [][]lagAt
	var late greatest
	var rates rateSum
	for number := range r.Partitions {
		end := int64(-1)
		if number < len(ends) {
			end = ends[number]
		}
		var partition *protocol.ConsumerPartition
		if number < len(partitions) {
			partition = partitions[number]
		}
		newest := newestCommit(partition)
		// A partition that holds nothing, be it that nothing was written or that all was deleted, has no lag to know.
		if newest == nil && end > logStart(partition) || newest != nil && !trusted(partition) {
			r.LagAtLeast = true
			late.missing()
		}
		if partition == nil {
			continue
		}
		if partition.Owner != "" || partition.ClientID != "" {
			members[owner{partition.Owner, partition.ClientID}] = true
		}
		if newest == nil {
			continue
		}
		since, exact := lastMove(partition.Offsets)
		if since > moved {
			moved, r.MovedAtLeast = since, !exact
		}
		facts.committed = true
		facts.rewound = facts.rewound || rewound(partition.Offsets)
		facts.ahead = facts.ahead || partition.State == protocol.PartitionAhead
		facts.reset = facts.reset || partition.State == protocol.PartitionReset
		facts.beyond = facts.beyond || partition.State == protocol.PartitionBeyondEnd
		facts.restored = facts.restored || partition.State == protocol.PartitionRestored
		if partition.Lost != nil {
			r.Lost += *partition.Lost
		}
		if d := partition.Difference; partition.State == protocol.PartitionBeyondEnd && d != nil && *d < 0 {
			r.BeyondEnd += uint64(-*d)
		}
		if !trusted(partition) {
			continue
		}
		r.Lag += partition.CurrentLag
		r.LagKnown = true
		late.add(partition.TimeLag)
		rates.add(partition, now)
		lags := lagSeries(partition, now.UnixMilli())
		facts.samples = max(facts.samples, len(lags))
		series = append(series, lags)
	}
	r.Members = len(members)
	r.LagAtLeast = r.LagAtLeast && r.LagKnown
	r.TimeLag = late.result()
	r.Rates = rates.result(r.LagKnown && !r.LagAtLeast)
	if moved > 0 {
		r.Moved = max(0, now.Sub(time.UnixMilli(moved)))
	}
	r.Trend = sumSeries(series, trendPoints)
	r.State = classify(r, facts, pace)
	return r
}

// logStart is the first offset that a partition still holds, 0 if that is not known.
func logStart(partition *protocol.ConsumerPartition) int64 {
	if partition == nil || partition.LogStartOffset == nil {
		return 0
	}
	return *partition.LogStartOffset
}

// lastMove finds when the newest commit came to where it is: the time of the oldest commit in the unbroken run of equal
// offsets at the end of the window. exact is false where the run fills all that the window knows, so that the commit may
// have been there for longer.
func lastMove(window []*protocol.ConsumerOffset) (at int64, exact bool) {
	newest := window[len(window)-1]
	at = newest.Timestamp
	for i := len(window) - 2; i >= 0 && window[i] != nil; i-- {
		if window[i].Offset != newest.Offset {
			return at, true
		}
		at = window[i].Timestamp
	}
	return at, false
}

// rewound tells whether a commit in the window went back.
func rewound(window []*protocol.ConsumerOffset) bool {
	for i := 1; i < len(window); i++ {
		if window[i-1] != nil && window[i] != nil && window[i].Offset < window[i-1].Offset {
			return true
		}
	}
	return false
}
