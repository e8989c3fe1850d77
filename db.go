package storage

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/protocol"
)

// enter begins a request that concerns a cluster.
func (db *DB) enter(ctx context.Context, cluster string, as protocol.StorageRequestConstant) (*engine.Engine, *engine.Cluster, error) {
	s, err := db.running(ctx)
	if err != nil {
		return nil, nil, err
	}
	e := s.engine
	c := e.Cluster(cluster)
	if c == nil {
		return nil, nil, count(ctx, e, as, engine.UnknownCluster)
	}
	return e, c, nil
}

// enterBatch begins a batch of n requests that concern a cluster.
func (db *DB) enterBatch(
	ctx context.Context, cluster string, as protocol.StorageRequestConstant, n int,
) (*engine.Engine, *engine.Cluster, error) {
	s, err := db.running(ctx)
	if err != nil {
		return nil, nil, err
	}
	e := s.engine
	c := e.Cluster(cluster)
	if c == nil {
		for range n {
			e.Count(as, engine.UnknownCluster)
		}
		return nil, nil, ErrUnknownCluster
	}
	return e, c, nil
}

// running returns the session, and ErrStopped if there is none.
func (db *DB) running(ctx context.Context) (*session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := db.session.Load()
	if s == nil {
		return nil, ErrStopped
	}
	return s, nil
}

func (db *DB) SetEndOffset(ctx context.Context, cluster, topic string, end protocol.EndOffset) error {
	e, c, err := db.enter(ctx, cluster, protocol.StorageSetBrokerOffset)
	if err != nil {
		return err
	}
	return db.outcome(e.Count(protocol.StorageSetBrokerOffset, e.SetEndOffset(c, topic, &end)))
}

func (db *DB) SetEndOffsetBatch(ctx context.Context, cluster, topic string, ends []protocol.EndOffset) error {
	e, c, err := db.enterBatch(ctx, cluster, protocol.StorageSetBrokerOffset, len(ends))
	if err != nil {
		return err
	}
	var batch batchErrors
	e.SetEndOffsets(c, topic, ends, batch.add)
	return db.outcomes(batch)
}

func (db *DB) Commit(ctx context.Context, cluster, group string, commit protocol.Commit) error {
	e, c, err := db.enter(ctx, cluster, protocol.StorageSetConsumerOffset)
	if err != nil {
		return err
	}
	return db.outcome(e.Commit(c, group, &commit))
}

func (db *DB) CommitBatch(ctx context.Context, cluster, group string, commits []protocol.Commit) error {
	e, c, err := db.enterBatch(ctx, cluster, protocol.StorageSetConsumerOffset, len(commits))
	if err != nil {
		return err
	}
	var batch batchErrors
	e.Commits(c, group, commits, batch.add)
	return db.outcomes(batch)
}

func (db *DB) SetOwner(ctx context.Context, cluster, group string, owner protocol.PartitionOwner) error {
	e, c, err := db.enter(ctx, cluster, protocol.StorageSetConsumerOwner)
	if err != nil {
		return err
	}
	return db.outcome(e.SetOwner(c, group, &owner))
}

func (db *DB) ClearOwners(ctx context.Context, cluster, group string) error {
	e, c, err := db.enter(ctx, cluster, protocol.StorageClearConsumerOwners)
	if err != nil {
		return err
	}
	return errorOf(e.Count(protocol.StorageClearConsumerOwners, e.ClearOwners(c, group)))
}

func (db *DB) DeleteTopic(ctx context.Context, cluster, topic string) error {
	e, c, err := db.enter(ctx, cluster, protocol.StorageSetDeleteTopic)
	if err != nil {
		return err
	}
	return errorOf(e.Count(protocol.StorageSetDeleteTopic, e.DeleteTopic(c, topic)))
}

func (db *DB) DeleteGroup(ctx context.Context, cluster, group string) error {
	e, c, err := db.enter(ctx, cluster, protocol.StorageSetDeleteGroup)
	if err != nil {
		return err
	}
	return errorOf(e.Count(protocol.StorageSetDeleteGroup, e.DeleteGroup(c, group)))
}

func (db *DB) DeleteGroupTopic(ctx context.Context, cluster, group, topic string) error {
	e, c, err := db.enter(ctx, cluster, protocol.StorageSetDeleteGroup)
	if err != nil {
		return err
	}
	return errorOf(e.Count(protocol.StorageSetDeleteGroup, e.DeleteGroupTopic(c, group, topic)))
}

func (db *DB) Clusters(ctx context.Context) ([]string, error) {
	s, err := db.running(ctx)
	if err != nil {
		return nil, err
	}
	e := s.engine
	_ = count(ctx, e, protocol.StorageFetchClusters, 0)
	return append([]string{}, e.Clusters()...), nil
}

func (db *DB) Groups(ctx context.Context, cluster string) (iter.Seq[string], error) {
	e, c, err := db.enter(ctx, cluster, protocol.StorageFetchConsumers)
	if err != nil {
		return nil, err
	}
	names, why := e.Groups(c)
	return names.All(), count(ctx, e, protocol.StorageFetchConsumers, why)
}

func (db *DB) Topics(ctx context.Context, cluster string) (iter.Seq[string], error) {
	e, c, err := db.enter(ctx, cluster, protocol.StorageFetchTopics)
	if err != nil {
		return nil, err
	}
	names, why := e.Topics(c)
	return names.All(), count(ctx, e, protocol.StorageFetchTopics, why)
}

func (db *DB) GroupsOfTopic(ctx context.Context, cluster, topic string) (iter.Seq[string], error) {
	e, c, err := db.enter(ctx, cluster, protocol.StorageFetchConsumersForTopic)
	if err != nil {
		return nil, err
	}
	names, why := e.GroupsOfTopic(c, topic)
	return names.All(), count(ctx, e, protocol.StorageFetchConsumersForTopic, why)
}

func (db *DB) EndOffsets(ctx context.Context, cluster, topic string, dst []int64) ([]int64, error) {
	e, c, err := db.enter(ctx, cluster, protocol.StorageFetchTopic)
	if err != nil {
		return dst, err
	}
	dst, why := e.EndOffsets(c, topic, dst)
	return dst, count(ctx, e, protocol.StorageFetchTopic, why)
}

func (db *DB) Group(ctx context.Context, cluster, group string, into *protocol.Group) error {
	into.Topics = into.Topics[:0]
	e, c, err := db.enter(ctx, cluster, protocol.StorageFetchConsumer)
	if err != nil {
		return err
	}
	capture, why := e.Capture(c, group)
	if err := count(ctx, e, protocol.StorageFetchConsumer, why); err != nil {
		return err
	}
	defer capture.Release()
	capture.Group(into)
	return nil
}

func (db *DB) Fetch(ctx context.Context, request *protocol.StorageRequest) (func() any, error) {
	if request.RequestType == protocol.StorageFetchClusters {
		clusters, err := db.Clusters(ctx)
		return func() any { return clusters }, err
	}
	e, c, err := db.enter(ctx, request.Cluster, request.RequestType)
	if err != nil {
		return nil, err
	}
	switch request.RequestType {
	case protocol.StorageFetchConsumers:
		names, why := e.Groups(c)
		return func() any { return names.Strings() }, count(ctx, e, request.RequestType, why)
	case protocol.StorageFetchTopics:
		names, why := e.Topics(c)
		return func() any { return names.Strings() }, count(ctx, e, request.RequestType, why)
	case protocol.StorageFetchConsumersForTopic:
		names, why := e.GroupsOfTopic(c, request.Topic)
		return func() any { return names.Strings() }, count(ctx, e, request.RequestType, why)
	case protocol.StorageFetchTopic:
		offsets, why := e.EndOffsets(c, request.Topic, []int64{})
		return func() any { return offsets }, count(ctx, e, request.RequestType, why)
	case protocol.StorageFetchConsumer:
		capture, why := e.Capture(c, request.Group)
		return func() any {
			defer capture.Release()
			return capture.ConsumerTopics()
		}, count(ctx, e, request.RequestType, why)
	default:
		return nil, fmt.Errorf("fetch %s: %w", request.RequestType, errors.ErrUnsupported)
	}
}
