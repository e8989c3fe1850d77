package contract

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// batched carries out runs of end offsets of one topic, and of commits of one group, as one batch each, and every other
// request alone.
func batched(t testing.TB, s *subject, requests []*protocol.StorageRequest) []answer {
	t.Helper()
	answers := make([]answer, len(requests))
	for begin := 0; begin < len(requests); {
		end := begin + 1
		for end < len(requests) && sameBatch(requests[begin], requests[end]) {
			end++
		}
		switch requests[begin].RequestType {
		case protocol.StorageSetBrokerOffset, protocol.StorageSetConsumerOffset:
			for i, err := range callBatch(t, s, requests[begin:end]) {
				answers[begin+i] = answer{err: err}
			}
		default:
			answers[begin] = overStore(t, s, requests[begin])
		}
		begin = end
	}
	return answers
}

// inRuns carries out successive commits of any groups in one call if the module is able to, and every other request alone.
func inRuns(t testing.TB, s *subject, requests []*protocol.StorageRequest) []answer {
	t.Helper()
	store, able := s.store.(storage.Overlapping)
	answers := make([]answer, len(requests))
	for begin := 0; begin < len(requests); {
		var run []protocol.StorageRequest
		for _, r := range requests[begin:] {
			if !able || r.RequestType != protocol.StorageSetConsumerOffset {
				break
			}
			run = append(run, *r)
		}
		if len(run) == 0 {
			answers[begin] = overStore(t, s, requests[begin])
			begin++
			continue
		}
		kept, outcomes := slices.Clone(run), []error(nil)
		store.CommitEach(context.Background(), run, &outcomes)
		require.Equal(t, kept, run, "requests were changed")
		require.Len(t, outcomes, len(run))
		for i, err := range outcomes {
			answers[begin+i] = answer{err: err}
		}
		begin += len(run)
	}
	return answers
}

func sameBatch(first, next *protocol.StorageRequest) bool {
	if next.RequestType != first.RequestType || next.Cluster != first.Cluster {
		return false
	}
	switch first.RequestType {
	case protocol.StorageSetBrokerOffset:
		return next.Topic == first.Topic
	case protocol.StorageSetConsumerOffset:
		return next.Group == first.Group
	}
	return false
}

// callBatch carries out requests that belong in one batch and returns the error of each.
func callBatch(t testing.TB, s *subject, requests []*protocol.StorageRequest) []error {
	t.Helper()
	first := requests[0]
	if first.RequestType == protocol.StorageSetBrokerOffset {
		all := make([]protocol.EndOffset, len(requests))
		for i, r := range requests {
			all[i] = endOffsetOf(r)
		}
		return batchErrors(t, len(all), s.store.SetEndOffsetBatch(context.Background(), first.Cluster, first.Topic, all))
	}
	all := make([]protocol.Commit, len(requests))
	for i, r := range requests {
		all[i] = commitOf(r)
	}
	return batchErrors(t, len(all), s.store.CommitBatch(context.Background(), first.Cluster, first.Group, all))
}

// batchErrors returns the error of each member of a batch of n.
func batchErrors(t testing.TB, n int, err error) []error {
	t.Helper()
	each := make([]error, n)
	if err == nil {
		return each
	}
	var batch *storage.BatchError
	if !errors.As(err, &batch) {
		// No member of the batch was handled.
		for i := range each {
			each[i] = err
		}
		return each
	}
	require.NotEmpty(t, batch.Refused, "a batch error without refusals")
	for _, fault := range batch.Refused {
		require.Nil(t, each[fault.Index], "two errors for member %d", fault.Index)
		each[fault.Index] = fault.Err
	}
	return each
}

func exerciseBatch(t *testing.T, w *world) {
	ctx := context.Background()
	requests := []protocol.StorageRequest{
		w.commitOf("batch", "topic", 0, 10, 10, 0),
		w.commitOf("batch", "unknown", 0, 20, 10, 0),
		w.commitOf("batch", "topic", 2, 20, 10, 0),
		w.commitOf("batch", "topic", 0, 20, 10, 0),
		w.commitOf("batch", "topic", -1, 20, 10, 0),
		w.commitOf("batch", "topic", 1, 20, 10, 0),
		w.commitOf("batch", "topic", 0, 30, 30, 3000),
		w.commitOf("batch", "topic", 0, 20, 20, 2000),
		w.commitOf("batch", "topic", 0, 5, 5, 2000),
	}
	var commits []protocol.Commit
	for i := range requests {
		commits = append(commits, commitOf(&requests[i]))
	}
	err := w.store.CommitBatch(ctx, "local", "batch", commits)
	each := batchErrors(t, len(commits), err)
	for i, want := range []error{
		nil, storage.ErrUnknownTopic, storage.ErrUnknownPartition, storage.ErrDuplicate, storage.ErrInvalid, nil, nil, nil,
		storage.ErrBackfill,
	} {
		require.Truef(t, sameReason(&requests[i], want, each[i]), "commit %d: want %v, got %v", i, want, each[i])
	}
	require.ErrorIs(t, err, storage.ErrDuplicate)
	require.ErrorIs(t, err, storage.ErrBackfill)
	w.window("batch", "topic", "10/10/190@0 20/20/-@2000 30/30/170@3000")

	ends := []protocol.EndOffset{
		{Partition: 0, TopicPartitionCount: 1, Offset: 1},
		{Partition: -1, TopicPartitionCount: 1, Offset: 2},
		{Partition: 0, TopicPartitionCount: modelLimit + 1, Offset: 3},
		{Partition: 3, Offset: 4},
		{Partition: 0, Offset: 5},
	}
	each = batchErrors(t, len(ends), w.store.SetEndOffsetBatch(ctx, "local", "batch", ends))
	for i, want := range []error{nil, storage.ErrInvalid, storage.ErrInvalid, nil, nil} {
		require.ErrorIs(t, each[i], want, "end offset %d", i)
	}
	w.ends("batch", 5, -1, -1, 4)

	// An empty batch, or one without a valid member, creates nothing.
	before := w.state()
	require.NoError(t, w.store.CommitBatch(ctx, "local", "nobody", nil))
	require.NoError(t, w.store.SetEndOffsetBatch(ctx, "local", "nothing", nil))
	require.Error(t, w.store.CommitBatch(ctx, "local", "nobody", commits[1:3]))
	require.Error(t, w.store.SetEndOffsetBatch(ctx, "local", "nothing", ends[1:3]))
	require.ErrorIs(t, w.store.CommitBatch(ctx, "nowhere", "nobody", commits), storage.ErrUnknownCluster)
	require.ErrorIs(t, w.store.SetEndOffsetBatch(ctx, "nowhere", "nothing", ends), storage.ErrUnknownCluster)
	require.Equal(t, before, w.state())
}
