package contract

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// exerciseReplace replaces commits that have no order by those of a log.
func exerciseReplace(t *testing.T, w *world) {
	ctx := context.Background()
	of := func(partition int32, offset, order, at int64) protocol.Commit {
		return protocol.Commit{Topic: "topic", Partition: partition, Offset: offset, Order: order, Timestamp: w.base + at}
	}
	replace := func(group string, commits []protocol.Commit, want ...error) {
		t.Helper()
		for i, err := range batchErrors(t, len(commits), w.store.ReplaceCommits(ctx, "local", group, commits)) {
			var wanted error
			if i < len(want) {
				wanted = want[i]
			}
			require.ErrorIs(t, err, wanted, "commit %d", i)
		}
	}
	w.commit("group", "topic", 0, 90, -1, 60_000)
	w.commit("group", "topic", 1, 95, -1, 60_000)
	replace("group", []protocol.Commit{of(0, 10, 4, 0), of(0, 50, 2, 0), of(0, 70, 9, 30_000)}, nil, nil, nil)
	w.window("group", "topic", "50/2/-@0 10/4/190@0 70/9/130@30000")
	p := w.partition("group", "topic", 0)
	require.Equal(t, [2]string{"host", "client"}, [2]string{p.Owner, p.ClientID}, "the owner stays")
	require.EqualValues(t, 95, w.lastCommit("group", 1).Offset, "another partition stays")

	// The known orders go too, and later commits are judged by the new orders.
	replace("group", []protocol.Commit{of(0, 80, 5, 40_000), of(1, 20, 6, 40_000)})
	w.window("group", "topic", "nil nil 80/5/120@40000")
	w.commit("group", "topic", 0, 85, 6, 50_000)
	w.window("group", "topic", "nil 80/5/120@40000 85/6/115@50000")

	// A partition none of whose commits is taken has none.
	replace("group", []protocol.Commit{of(0, 80, 5, 0), of(1, -1, 7, 0)}, nil, storage.ErrInvalid)
	require.Empty(t, w.partition("group", "topic", 1).Offsets)
	before := w.state()
	replace("group", nil)
	replace("nobody", []protocol.Commit{{Topic: "unknown", Timestamp: w.base}, of(9, 1, 1, 0)}, storage.ErrUnknownTopic, storage.ErrUnknownPartition)
	require.ErrorIs(t, w.store.ReplaceCommits(ctx, "nowhere", "group", []protocol.Commit{of(0, 1, 1, 0)}), storage.ErrUnknownCluster)
	require.Equal(t, before, w.state())
	replace("group", []protocol.Commit{of(0, -1, 7, 0)}, storage.ErrInvalid)
	w.groups("other")
	replace("new", []protocol.Commit{of(0, 80, 5, 0)})
	w.groups("other", "new")

	// Nobody sees the moment in between.
	both := []protocol.Commit{of(0, 80, 5, 0), of(0, 81, 6, 0)}
	replace("new", both)
	var readers sync.WaitGroup
	done := make(chan struct{})
	missing := make([]bool, 2)
	for i := range missing {
		readers.Go(func() {
			var group protocol.Group
			for {
				select {
				case <-done:
					return
				default:
				}
				err := w.store.Group(ctx, "local", "new", &group)
				missing[i] = missing[i] || err != nil || len(group.Topics) != 1 || len(group.Topics[0].Partitions[0].Commits) != 2
			}
		})
	}
	for range 200 {
		replace("new", both)
	}
	close(done)
	readers.Wait()
	require.NotContains(t, missing, true, "a reader saw no commits, or some")
}

// lastCommit returns the newest commit of a group on a partition of topic "topic".
func (w *world) lastCommit(group string, partition int) *protocol.ConsumerOffset {
	w.t.Helper()
	offsets := w.partition(group, "topic", partition).Offsets
	require.NotEmpty(w.t, offsets)
	return offsets[len(offsets)-1]
}
