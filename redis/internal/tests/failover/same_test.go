package failover_test

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// answered makes a call until it is answered: on a busy machine servers may need longer than a store waits for them.
func answered[T any](t *testing.T, call func() (T, error)) T {
	t.Helper()
	for {
		answer, err := call()
		if !errors.Is(err, storage.ErrUnavailable) {
			require.NoError(t, err)
			return answer
		}
	}
}

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
	found := answered(t, func() ([]protocol.Position, error) { return got.Positions(t.Context(), cluster) })
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
	list := answered(t, func() (iter.Seq[string], error) { return store.Groups(t.Context(), cluster) })
	all["groups"] = fmt.Sprint(slices.Sorted(list))
	list = answered(t, func() (iter.Seq[string], error) { return store.Topics(t.Context(), cluster) })
	all["topics"] = fmt.Sprint(slices.Sorted(list))
	for _, topic := range topics {
		list = answered(t, func() (iter.Seq[string], error) { return store.GroupsOfTopic(t.Context(), cluster, topic) })
		all["groups of "+topic] = fmt.Sprint(slices.Sorted(list))
		ends := answered(t, func() ([]int64, error) { return store.EndOffsets(t.Context(), cluster, topic, nil) })
		all["end offsets of "+topic] = fmt.Sprint(ends)
	}
	for _, name := range names {
		var group protocol.Group
		var err error
		await(t, func() bool {
			err = store.Group(t.Context(), cluster, name, &group)
			return !errors.Is(err, storage.ErrUnavailable)
		})
		if err != nil {
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
