package storage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"

	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/protocol"
)

// memoryStore is the Store of an InMemoryStorage.
type memoryStore struct {
	// engine is nil while the module does not run.
	engine atomic.Pointer[engine.Engine]
}

// enter begins a request that concerns a cluster.
func (m *memoryStore) enter(ctx context.Context, cluster string, as protocol.StorageRequestConstant) (*engine.Engine, *engine.Cluster, error) {
	e, err := m.running(ctx)
	if err != nil {
		return nil, nil, err
	}
	c := e.Cluster(cluster)
	if c == nil {
		return nil, nil, count(ctx, e, as, engine.UnknownCluster)
	}
	return e, c, nil
}

// enterBatch begins a batch of n requests that concern a cluster.
func (m *memoryStore) enterBatch(
	ctx context.Context, cluster string, as protocol.StorageRequestConstant, n int,
) (*engine.Engine, *engine.Cluster, error) {
	e, err := m.running(ctx)
	if err != nil {
		return nil, nil, err
	}
	c := e.Cluster(cluster)
	if c == nil {
		for range n {
			_ = e.Count(as, engine.UnknownCluster)
		}
		return nil, nil, ErrUnknownCluster
	}
	return e, c, nil
}

func (m *memoryStore) running(ctx context.Context) (*engine.Engine, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e := m.engine.Load()
	if e == nil {
		return nil, ErrStopped
	}
	return e, nil
}

func (m *memoryStore) SetEndOffset(ctx context.Context, cluster, topic string, end protocol.EndOffset) error {
	e, c, err := m.enter(ctx, cluster, protocol.StorageSetBrokerOffset)
	if err != nil {
		return err
	}
	return e.Count(protocol.StorageSetBrokerOffset, e.SetEndOffset(c, topic, &end))
}

func (m *memoryStore) SetEndOffsets(ctx context.Context, cluster, topic string, ends []protocol.EndOffset) error {
	e, c, err := m.enterBatch(ctx, cluster, protocol.StorageSetBrokerOffset, len(ends))
	if err != nil {
		return err
	}
	var batch batchErrors
	e.SetEndOffsets(c, topic, ends, batch.add)
	return batch.err()
}

func (m *memoryStore) Commit(ctx context.Context, cluster, group string, commit protocol.Commit) error {
	e, c, err := m.enter(ctx, cluster, protocol.StorageSetConsumerOffset)
	if err != nil {
		return err
	}
	return e.Commit(c, group, &commit).Err()
}

func (m *memoryStore) Commits(ctx context.Context, cluster, group string, commits []protocol.Commit) error {
	e, c, err := m.enterBatch(ctx, cluster, protocol.StorageSetConsumerOffset, len(commits))
	if err != nil {
		return err
	}
	var batch batchErrors
	e.Commits(c, group, commits, batch.add)
	return batch.err()
}

func (m *memoryStore) SetOwner(ctx context.Context, cluster, group string, owner protocol.PartitionOwner) error {
	e, c, err := m.enter(ctx, cluster, protocol.StorageSetConsumerOwner)
	if err != nil {
		return err
	}
	return e.SetOwner(c, group, &owner).Err()
}

func (m *memoryStore) ClearOwners(ctx context.Context, cluster, group string) error {
	e, c, err := m.enter(ctx, cluster, protocol.StorageClearConsumerOwners)
	if err != nil {
		return err
	}
	return e.Count(protocol.StorageClearConsumerOwners, e.ClearOwners(c, group))
}

func (m *memoryStore) DeleteTopic(ctx context.Context, cluster, topic string) error {
	e, c, err := m.enter(ctx, cluster, protocol.StorageSetDeleteTopic)
	if err != nil {
		return err
	}
	return e.Count(protocol.StorageSetDeleteTopic, e.DeleteTopic(c, topic))
}

func (m *memoryStore) DeleteGroup(ctx context.Context, cluster, group string) error {
	e, c, err := m.enter(ctx, cluster, protocol.StorageSetDeleteGroup)
	if err != nil {
		return err
	}
	return e.Count(protocol.StorageSetDeleteGroup, e.DeleteGroup(c, group))
}

func (m *memoryStore) DeleteGroupTopic(ctx context.Context, cluster, group, topic string) error {
	e, c, err := m.enter(ctx, cluster, protocol.StorageSetDeleteGroup)
	if err != nil {
		return err
	}
	return e.Count(protocol.StorageSetDeleteGroup, e.DeleteGroupTopic(c, group, topic))
}

func (m *memoryStore) Clusters(ctx context.Context) ([]string, error) {
	e, err := m.running(ctx)
	if err != nil {
		return nil, err
	}
	_ = count(ctx, e, protocol.StorageFetchClusters, 0)
	return append([]string{}, e.Clusters()...), nil
}

func (m *memoryStore) Groups(ctx context.Context, cluster string) (iter.Seq[string], error) {
	e, c, err := m.enter(ctx, cluster, protocol.StorageFetchConsumers)
	if err != nil {
		return nil, err
	}
	names, why := e.Groups(c)
	return names.All(), count(ctx, e, protocol.StorageFetchConsumers, why)
}

func (m *memoryStore) Topics(ctx context.Context, cluster string) (iter.Seq[string], error) {
	e, c, err := m.enter(ctx, cluster, protocol.StorageFetchTopics)
	if err != nil {
		return nil, err
	}
	names, why := e.Topics(c)
	return names.All(), count(ctx, e, protocol.StorageFetchTopics, why)
}

func (m *memoryStore) GroupsOfTopic(ctx context.Context, cluster, topic string) (iter.Seq[string], error) {
	e, c, err := m.enter(ctx, cluster, protocol.StorageFetchConsumersForTopic)
	if err != nil {
		return nil, err
	}
	names, why := e.GroupsOfTopic(c, topic)
	return names.All(), count(ctx, e, protocol.StorageFetchConsumersForTopic, why)
}

func (m *memoryStore) EndOffsets(ctx context.Context, cluster, topic string, dst []int64) ([]int64, error) {
	e, c, err := m.enter(ctx, cluster, protocol.StorageFetchTopic)
	if err != nil {
		return dst, err
	}
	dst, why := e.EndOffsets(c, topic, dst)
	return dst, count(ctx, e, protocol.StorageFetchTopic, why)
}

func (m *memoryStore) Group(ctx context.Context, cluster, group string, into *protocol.Group) error {
	into.Topics = into.Topics[:0]
	e, c, err := m.enter(ctx, cluster, protocol.StorageFetchConsumer)
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

func (m *memoryStore) Fetch(ctx context.Context, request *protocol.StorageRequest) (func() any, error) {
	if request.RequestType == protocol.StorageFetchClusters {
		clusters, err := m.Clusters(ctx)
		return func() any { return clusters }, err
	}
	e, c, err := m.enter(ctx, request.Cluster, request.RequestType)
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

// BatchError is returned by the batches of a Store when some of what they were given was not stored. It unwraps to the
// reasons, each once.
type BatchError struct {
	// Refused are those that were not stored, in the order of the batch.
	Refused []Refusal
}

// Refusal is one element of a batch that was not stored.
type Refusal struct {
	// Index is its place in the batch.
	Index int
	// Err says why.
	Err error
}

// Error names the first refusal and how many there are.
func (b *BatchError) Error() string {
	if len(b.Refused) == 0 {
		return "store batch: nothing refused"
	}
	return fmt.Sprintf("store batch: %d refused, the first at index %d: %v", len(b.Refused), b.Refused[0].Index, b.Refused[0].Err)
}

// Unwrap returns the reasons, each once.
func (b *BatchError) Unwrap() []error {
	var reasons []error
	for _, refusal := range b.Refused {
		if !slices.Contains(reasons, refusal.Err) {
			reasons = append(reasons, refusal.Err)
		}
	}
	return reasons
}

// batchErrors gathers refusals.
type batchErrors []Refusal

func (b *batchErrors) add(index int, why engine.Reason) {
	*b = append(*b, Refusal{Index: index, Err: why})
}

func (b batchErrors) err() error {
	if len(b) == 0 {
		return nil
	}
	return &BatchError{Refused: b}
}
