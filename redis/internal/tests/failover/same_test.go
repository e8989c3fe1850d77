package failover_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// same compares a store with one in memory that has seen the log once.
func same(t *testing.T, log *commitLog, names []string, got storage.Store) {
	t.Helper()
	want, err := storage.Open(storage.Options{Clusters: []string{cluster}})
	require.NoError(t, err)
	defer func() { require.NoError(t, want.Close()) }()
	require.NoError(t, poll(t.Context(), want))
	var positions []protocol.Position
	for p := range int32(buckets) {
		for from, end := int64(0), log.end(p); from < end; {
			records, _ := log.read(p, from, 100)
			feed := &feed{store: want, log: log, partition: p}
			require.NoError(t, feed.apply(t.Context(), records))
			from += int64(len(records))
		}
		positions = append(positions, protocol.Position{Partition: p, Offset: log.end(p)})
	}
	found, err := got.Positions(t.Context(), cluster)
	require.NoError(t, err)
	require.Equal(t, positions, found)
	wanted, was := describe(t, want, names), describe(t, got, names)
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		require.Equal(t, wanted[name], was[name], name)
	}
	require.Len(t, was, len(wanted))
}

// describe returns all answers of a store, without the times at which it received the data: a replay is later.
func describe(t *testing.T, store storage.Store, names []string) map[string]string {
	t.Helper()
	all := map[string]string{}
	list, err := store.Groups(t.Context(), cluster)
	require.NoError(t, err)
	all["groups"] = fmt.Sprint(slices.Sorted(list))
	list, err = store.Topics(t.Context(), cluster)
	require.NoError(t, err)
	all["topics"] = fmt.Sprint(slices.Sorted(list))
	for _, topic := range topics {
		list, err = store.GroupsOfTopic(t.Context(), cluster, topic)
		require.NoError(t, err)
		all["groups of "+topic] = fmt.Sprint(slices.Sorted(list))
		ends, err := store.EndOffsets(t.Context(), cluster, topic, nil)
		require.NoError(t, err)
		all["end offsets of "+topic] = fmt.Sprint(ends)
	}
	for _, name := range names {
		var group protocol.Group
		if err := store.Group(t.Context(), cluster, name, &group); err != nil {
			all[name] = err.Error()
			continue
		}
		for _, topic := range group.Topics {
			text := ""
			for p, partition := range topic.Partitions {
				text += fmt.Sprintf("%d: lag %d, %v\n", p, partition.CurrentLag, partition.State)
				for _, c := range partition.Commits {
					text += fmt.Sprintf("   %d order %d at %d lag %d %v\n", c.Offset, c.Order, c.Timestamp, c.Lag, c.LagKnown)
				}
			}
			all[name+" on "+topic.Name] = text
		}
	}
	return all
}
