package storage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/internal/lines"
	"github.com/lagkeeper/storage/protocol"
)

// enter begins n requests of one type, which count as dropped if there is no such cluster.
func (db *DB) enter(
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
			_ = count(ctx, e, as, engine.UnknownCluster)
		}
		return nil, nil, ErrUnknownCluster
	}
	return e, c, nil
}

// find is enter for a call that is no request of the channel protocol, and not counted as one.
func (db *DB) find(ctx context.Context, cluster string) (*engine.Engine, *engine.Cluster, error) {
	return db.enter(ctx, cluster, 0, 0)
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
	e, c, err := db.enter(ctx, cluster, protocol.StorageSetBrokerOffset, 1)
	if err != nil {
		return err
	}
	return db.outcome(e.Count(protocol.StorageSetBrokerOffset, e.SetEndOffset(c, topic, &end)))
}

func (db *DB) SetEndOffsetBatch(ctx context.Context, cluster, topic string, ends []protocol.EndOffset) error {
	e, c, err := db.enter(ctx, cluster, protocol.StorageSetBrokerOffset, len(ends))
	if err != nil {
		return err
	}
	var batch batchErrors
	e.SetEndOffsets(c, topic, ends, batch.add)
	return db.outcomes(batch)
}

func (db *DB) Commit(ctx context.Context, cluster, group string, commit protocol.Commit) error {
	e, c, err := db.enter(ctx, cluster, protocol.StorageSetConsumerOffset, 1)
	if err != nil {
		return err
	}
	return db.outcome(e.Commit(c, group, &commit))
}

// CommitEach makes a DB Overlapping.
func (db *DB) CommitEach(ctx context.Context, requests []protocol.StorageRequest, outcomes *[]error) {
	s, err := db.running(ctx)
	if err != nil {
		for range requests {
			*outcomes = append(*outcomes, err)
		}
		return
	}
	s.engine.CommitEach(requests, func(_ int, why engine.Reason) { *outcomes = append(*outcomes, db.outcome(why)) })
}

func (db *DB) CommitBatch(ctx context.Context, cluster, group string, commits []protocol.Commit) error {
	e, c, err := db.enter(ctx, cluster, protocol.StorageSetConsumerOffset, len(commits))
	if err != nil {
		return err
	}
	var batch batchErrors
	e.Commits(c, group, commits, batch.add)
	return db.outcomes(batch)
}

func (db *DB) ReplaceCommits(ctx context.Context, cluster, group string, commits []protocol.Commit) error {
	e, c, err := db.enter(ctx, cluster, protocol.StorageSetConsumerOffset, len(commits))
	if err != nil {
		return err
	}
	var batch batchErrors
	e.ReplaceCommits(c, group, commits, batch.add)
	return db.outcomes(batch)
}

func (db *DB) SetOwner(ctx context.Context, cluster, group string, owner protocol.PartitionOwner) error {
	e, c, err := db.enter(ctx, cluster, protocol.StorageSetConsumerOwner, 1)
	if err != nil {
		return err
	}
	return db.outcome(e.SetOwner(c, group, &owner))
}

func (db *DB) SetOwners(ctx context.Context, cluster, group string, owners []protocol.PartitionOwner) error {
	e, c, err := db.enter(ctx, cluster, protocol.StorageSetConsumerOwner, len(owners))
	if err != nil {
		return err
	}
	var batch batchErrors
	if why := e.SetOwners(c, group, owners, batch.add); why != 0 {
		return errorOf(why)
	}
	return db.outcomes(batch)
}

func (db *DB) ClearOwners(ctx context.Context, cluster, group string) error {
	e, c, err := db.enter(ctx, cluster, protocol.StorageClearConsumerOwners, 1)
	if err != nil {
		return err
	}
	return errorOf(e.Count(protocol.StorageClearConsumerOwners, e.ClearOwners(c, group)))
}

func (db *DB) DeleteTopic(ctx context.Context, cluster, topic string) error {
	e, c, err := db.enter(ctx, cluster, protocol.StorageSetDeleteTopic, 1)
	if err != nil {
		return err
	}
	return errorOf(e.Count(protocol.StorageSetDeleteTopic, e.DeleteTopic(c, topic)))
}

func (db *DB) DeleteGroup(ctx context.Context, cluster, group string) error {
	e, c, err := db.enter(ctx, cluster, protocol.StorageSetDeleteGroup, 1)
	if err != nil {
		return err
	}
	return errorOf(e.Count(protocol.StorageSetDeleteGroup, e.DeleteGroup(c, group)))
}

func (db *DB) DeleteGroupTopic(ctx context.Context, cluster, group, topic string) error {
	e, c, err := db.enter(ctx, cluster, protocol.StorageSetDeleteGroup, 1)
	if err != nil {
		return err
	}
	return errorOf(e.Count(protocol.StorageSetDeleteGroup, e.DeleteGroupTopic(c, group, topic)))
}

func (db *DB) DeletePartition(ctx context.Context, cluster, group, topic string, partition int32, order int64) error {
	e, c, err := db.find(ctx, cluster)
	if err != nil {
		return err
	}
	return errorOf(e.DeletePartition(c, group, topic, partition, order))
}

func (db *DB) SeedEndOffsets(ctx context.Context, cluster, topic string, partition int32, points []protocol.EndOffsetAt) error {
	e, c, err := db.find(ctx, cluster)
	if err != nil {
		return err
	}
	return fromEngine(e.SeedEndOffsets(c, topic, partition, points))
}

func (db *DB) SyncTopics(ctx context.Context, cluster string, topics []string) error {
	e, c, err := db.find(ctx, cluster)
	if err != nil {
		return err
	}
	return errorOf(e.SyncTopics(c, topics))
}

func (db *DB) SyncGroups(ctx context.Context, cluster string, groups []string) error {
	e, c, err := db.find(ctx, cluster)
	if err != nil {
		return err
	}
	return errorOf(e.SyncGroups(c, groups))
}

func (db *DB) ForgetOrders(ctx context.Context, cluster string, logPartitions ...protocol.LogPartition) error {
	e, c, err := db.find(ctx, cluster)
	if err != nil {
		return err
	}
	return fromEngine(e.ForgetOrders(c, logPartitions))
}

func (db *DB) SetPosition(ctx context.Context, cluster string, log protocol.Position) error {
	e, c, err := db.find(ctx, cluster)
	if err != nil {
		return err
	}
	return errorOf(e.SetPosition(c, log))
}

func (db *DB) Positions(ctx context.Context, cluster string) ([]protocol.Position, error) {
	e, c, err := db.find(ctx, cluster)
	if err != nil {
		return nil, err
	}
	positions, why := e.Positions(c)
	return positions, errorOf(why)
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
	e, c, err := db.enter(ctx, cluster, protocol.StorageFetchConsumers, 1)
	if err != nil {
		return nil, err
	}
	names, why := e.Groups(c)
	return names.All(), count(ctx, e, protocol.StorageFetchConsumers, why)
}

func (db *DB) Topics(ctx context.Context, cluster string) (iter.Seq[string], error) {
	e, c, err := db.enter(ctx, cluster, protocol.StorageFetchTopics, 1)
	if err != nil {
		return nil, err
	}
	names, why := e.Topics(c)
	return names.All(), count(ctx, e, protocol.StorageFetchTopics, why)
}

func (db *DB) GroupsOfTopic(ctx context.Context, cluster, topic string) (iter.Seq[string], error) {
	e, c, err := db.enter(ctx, cluster, protocol.StorageFetchConsumersForTopic, 1)
	if err != nil {
		return nil, err
	}
	names, why := e.GroupsOfTopic(c, topic)
	return names.All(), count(ctx, e, protocol.StorageFetchConsumersForTopic, why)
}

func (db *DB) EndOffsets(ctx context.Context, cluster, topic string, dst []int64) ([]int64, error) {
	e, c, err := db.enter(ctx, cluster, protocol.StorageFetchTopic, 1)
	if err != nil {
		return dst, err
	}
	dst, why := e.EndOffsets(c, topic, dst)
	return dst, count(ctx, e, protocol.StorageFetchTopic, why)
}

func (db *DB) Group(ctx context.Context, cluster, group string, into *protocol.Group) error {
	into.Topics = into.Topics[:0]
	e, c, err := db.enter(ctx, cluster, protocol.StorageFetchConsumer, 1)
	if err != nil {
		return err
	}
	capture, why := e.CaptureTimed(c, group)
	if err := count(ctx, e, protocol.StorageFetchConsumer, why); err != nil {
		return err
	}
	defer capture.Release()
	capture.Group(into)
	return nil
}

func (db *DB) Fetch(ctx context.Context, request *protocol.StorageRequest) (func() any, error) {
	ready, build, err := db.settle(ctx, request, 0)
	if build == nil {
		build = func() any { return ready }
	}
	return build, err
}

// settle is Fetch, but builds an answer of up to so many partitions and commits, and then returns no function.
func (db *DB) settle(ctx context.Context, request *protocol.StorageRequest, atOnce int) (ready any, build func() any, err error) {
	if request.RequestType == protocol.StorageFetchClusters {
		clusters, err := db.Clusters(ctx)
		return clusters, nil, err
	}
	e, c, err := db.enter(ctx, request.Cluster, request.RequestType, 1)
	if err != nil {
		return nil, nil, err
	}
	var names engine.Names
	var why engine.Reason
	switch request.RequestType {
	case protocol.StorageFetchConsumers:
		names, why = e.Groups(c)
	case protocol.StorageFetchTopics:
		names, why = e.Topics(c)
	case protocol.StorageFetchConsumersForTopic:
		names, why = e.GroupsOfTopic(c, request.Topic)
	case protocol.StorageFetchTopic:
		offsets, why := e.EndOffsets(c, request.Topic, []int64{})
		return offsets, nil, count(ctx, e, request.RequestType, why)
	case protocol.StorageFetchConsumer:
		capture, why := e.Capture(c, request.Group)
		if err := count(ctx, e, request.RequestType, why); err != nil {
			return nil, nil, err
		}
		if capture.Size() > atOnce {
			return nil, func() any {
				defer capture.Release()
				return capture.ConsumerTopics()
			}, nil
		}
		defer capture.Release()
		return capture.ConsumerTopics(), nil, nil
	default:
		return nil, nil, fmt.Errorf("fetch %s: %w", request.RequestType, errors.ErrUnsupported)
	}
	if err := count(ctx, e, request.RequestType, why); err != nil {
		return nil, nil, err
	}
	if names.Len() > atOnce {
		return nil, func() any { return names.Strings() }, nil
	}
	return names.Strings(), nil, nil
}

// outcome is errorOf, and warns now and then if the store is full.
func (db *DB) outcome(why engine.Reason) error {
	if why == engine.Full {
		db.warnFull()
	}
	return errorOf(why)
}

// outcomes is outcome for a batch.
func (db *DB) outcomes(batch batchErrors) error {
	for i := range batch {
		if errors.Is(batch[i].Err, ErrFull) {
			db.warnFull()
		}
	}
	return batch.err()
}

func (db *DB) warnFull() {
	s := db.session.Load()
	if s == nil {
		return
	}
	if n := s.refused.Add(1); lines.WorthALine(n) {
		s.options.Logger.Warn("store full: new groups, topics and partitions are refused until there is room",
			zap.Int64("max_memory", s.options.MaxMemory), zap.Int64("bytes", s.engine.Used()), zap.Uint64("count", n))
	}
}

// stuckGroups warns of groups whose fresh commits are refused because of their orders.
type stuckGroups struct {
	log *zap.Logger
	n   atomic.Uint64
}

func (s *stuckGroups) warn(cluster, group string) {
	if n := s.n.Add(1); lines.WorthALine(n) {
		s.log.Warn("fresh commits refused because of their orders: if the cluster was rebuilt or failed over, call ForgetOrders",
			zap.String("cluster", cluster), zap.String("consumer", group), zap.Uint64("count", n))
	}
}
