package kafkafeed

import (
	"context"
	"errors"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// replayer is a store that waits for the end of a replay.
type replayer interface{ ReplayDone() }

// target is a cluster in a store.
type target struct {
	store   storage.Store
	cluster string
}

func (t target) setPosition(ctx context.Context, partition int32, offset int64) error {
	return t.store.SetPosition(ctx, t.cluster, protocol.Position{Partition: partition, Offset: offset})
}

func (t target) positions(ctx context.Context) (map[int32]int64, error) {
	positions, err := t.store.Positions(ctx, t.cluster)
	found := make(map[int32]int64, len(positions))
	for _, position := range positions {
		found[position.Partition] = position.Offset
	}
	return found, err
}

// deletePartition deletes a partition of a group unless its commit has the given order or a greater one; 0 deletes any.
func (t target) deletePartition(ctx context.Context, key commitKey, order int64) error {
	return known(t.store.DeletePartition(ctx, t.cluster, key.group, key.topic, key.partition, order))
}

func (t target) forgetOrders(ctx context.Context, partition, count int32) error {
	return t.store.ForgetOrders(ctx, t.cluster, protocol.LogPartition{Partition: partition, Count: count})
}

func (t target) replayDone() {
	if p, ok := t.store.(replayer); ok {
		p.ReplayDone()
	}
}

// known returns the error of a deletion, or nil if there was nothing to delete, or only something newer.
func known(err error) error {
	if errors.Is(err, storage.ErrDuplicate) || errors.Is(err, storage.ErrUnknownGroup) || errors.Is(err, storage.ErrUnknownTopic) || errors.Is(err, storage.ErrUnknownPartition) {
		return nil
	}
	return err
}

// fatal reports whether no later call can succeed.
func fatal(err error) bool {
	return errors.Is(err, storage.ErrStopped) || errors.Is(err, storage.ErrUnknownCluster)
}

func (t target) forgetAllOrders(ctx context.Context) error {
	return t.store.ForgetOrders(ctx, t.cluster)
}
