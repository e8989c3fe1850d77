package storage

import (
	"context"
	"fmt"
	"io"
	"iter"

	"github.com/lagkeeper/storage/protocol"
)

// liveStore is the Store of a Coordinator: it passes every call on to the current module, so that it can be kept when another
// is configured.
type liveStore struct{ coordinator *Coordinator }

// closedDB returns ErrStopped for modules without a typed API.
var closedDB DB

func (l liveStore) now() Store {
	if s := l.coordinator.backend(); s != nil {
		return s
	}
	return &closedDB
}

// persistent returns the module's Persistent, nil if it has none.
func (l liveStore) persistent() Persistent {
	p, _ := l.now().(Persistent)
	return p
}

var (
	_ Backend     = liveStore{}
	_ Watcher     = liveStore{}
	_ StatsSource = liveStore{}
	_ Persistent  = liveStore{}
	_ ClusterSet  = liveStore{}
	_ LogSharer   = liveStore{}
)

func (l liveStore) LogPartitions() int {
	if s, ok := l.now().(LogSharer); ok {
		return s.LogPartitions()
	}
	return 0
}

func (l liveStore) Share(ctx context.Context, changed func(logPartitions []int32)) error {
	if s, ok := l.now().(LogSharer); ok {
		return s.Share(ctx, changed)
	}
	return fmt.Errorf("share log: %w", ErrUnsupported)
}

func (l liveStore) SetEndOffset(ctx context.Context, cluster, topic string, end protocol.EndOffset) error {
	return l.now().SetEndOffset(ctx, cluster, topic, end)
}

func (l liveStore) SetEndOffsetBatch(ctx context.Context, cluster, topic string, ends []protocol.EndOffset) error {
	return l.now().SetEndOffsetBatch(ctx, cluster, topic, ends)
}

func (l liveStore) SeedEndOffsets(ctx context.Context, cluster, topic string, partition int32, points []protocol.EndOffsetAt) error {
	return l.now().SeedEndOffsets(ctx, cluster, topic, partition, points)
}

func (l liveStore) Commit(ctx context.Context, cluster, group string, commit protocol.Commit) error {
	return l.now().Commit(ctx, cluster, group, commit)
}

func (l liveStore) CommitBatch(ctx context.Context, cluster, group string, commits []protocol.Commit) error {
	return l.now().CommitBatch(ctx, cluster, group, commits)
}

func (l liveStore) ReplaceCommits(ctx context.Context, cluster, group string, commits []protocol.Commit) error {
	return l.now().ReplaceCommits(ctx, cluster, group, commits)
}

func (l liveStore) SetOwner(ctx context.Context, cluster, group string, owner protocol.PartitionOwner) error {
	return l.now().SetOwner(ctx, cluster, group, owner)
}

func (l liveStore) SetOwners(ctx context.Context, cluster, group string, owners []protocol.PartitionOwner) error {
	return l.now().SetOwners(ctx, cluster, group, owners)
}

func (l liveStore) ClearOwners(ctx context.Context, cluster, group string) error {
	return l.now().ClearOwners(ctx, cluster, group)
}

func (l liveStore) DeleteTopic(ctx context.Context, cluster, topic string) error {
	return l.now().DeleteTopic(ctx, cluster, topic)
}

func (l liveStore) DeleteGroup(ctx context.Context, cluster, group string) error {
	return l.now().DeleteGroup(ctx, cluster, group)
}

func (l liveStore) DeleteGroupTopic(ctx context.Context, cluster, group, topic string) error {
	return l.now().DeleteGroupTopic(ctx, cluster, group, topic)
}

func (l liveStore) DeletePartition(ctx context.Context, cluster, group, topic string, partition int32, order int64) error {
	return l.now().DeletePartition(ctx, cluster, group, topic, partition, order)
}

func (l liveStore) SyncTopics(ctx context.Context, cluster string, topics []string) error {
	return l.now().SyncTopics(ctx, cluster, topics)
}

func (l liveStore) SyncGroups(ctx context.Context, cluster string, groups []string) error {
	return l.now().SyncGroups(ctx, cluster, groups)
}

func (l liveStore) ForgetOrders(ctx context.Context, cluster string, logPartitions ...protocol.LogPartition) error {
	return l.now().ForgetOrders(ctx, cluster, logPartitions...)
}

func (l liveStore) SetPosition(ctx context.Context, cluster string, log protocol.Position) error {
	return l.now().SetPosition(ctx, cluster, log)
}

func (l liveStore) Positions(ctx context.Context, cluster string) ([]protocol.Position, error) {
	return l.now().Positions(ctx, cluster)
}

func (l liveStore) Clusters(ctx context.Context) ([]string, error) {
	return l.now().Clusters(ctx)
}

func (l liveStore) Groups(ctx context.Context, cluster string) (iter.Seq[string], error) {
	return l.now().Groups(ctx, cluster)
}

func (l liveStore) Topics(ctx context.Context, cluster string) (iter.Seq[string], error) {
	return l.now().Topics(ctx, cluster)
}

func (l liveStore) GroupsOfTopic(ctx context.Context, cluster, topic string) (iter.Seq[string], error) {
	return l.now().GroupsOfTopic(ctx, cluster, topic)
}

func (l liveStore) EndOffsets(ctx context.Context, cluster, topic string, dst []int64) ([]int64, error) {
	return l.now().EndOffsets(ctx, cluster, topic, dst)
}

func (l liveStore) Group(ctx context.Context, cluster, group string, into *protocol.Group) error {
	return l.now().Group(ctx, cluster, group, into)
}

func (l liveStore) Fetch(ctx context.Context, request *protocol.StorageRequest) (answer func() any, err error) {
	if b, ok := l.now().(Backend); ok {
		return b.Fetch(ctx, request)
	}
	return nil, fmt.Errorf("fetch: %w", ErrUnsupported)
}

func (l liveStore) Watch(ctx context.Context, filter WatchFilter) (iter.Seq[protocol.Event], error) {
	return l.coordinator.Watch(ctx, filter)
}

func (l liveStore) Stats() (Stats, error) { return l.coordinator.Stats() }

func (l liveStore) Snapshot(ctx context.Context) error {
	if p := l.persistent(); p != nil {
		return p.Snapshot(ctx)
	}
	return fmt.Errorf("save snapshot: %w", ErrUnsupported)
}

func (l liveStore) Restored() Restored {
	if p := l.persistent(); p != nil {
		return p.Restored()
	}
	return Restored{}
}

func (l liveStore) ReplayDone() {
	if p := l.persistent(); p != nil {
		p.ReplayDone()
	}
}

func (l liveStore) Export(ctx context.Context, w io.Writer) error {
	if p := l.persistent(); p != nil {
		return p.Export(ctx, w)
	}
	return fmt.Errorf("export: %w", ErrUnsupported)
}

func (l liveStore) Import(ctx context.Context, r io.Reader) error {
	if p := l.persistent(); p != nil {
		return p.Import(ctx, r)
	}
	return fmt.Errorf("import: %w", ErrUnsupported)
}

func (l liveStore) AddCluster(name string) error {
	if s, ok := l.now().(ClusterSet); ok {
		return s.AddCluster(name)
	}
	return fmt.Errorf("add cluster: %w", ErrUnsupported)
}

func (l liveStore) RemoveCluster(name string) error {
	if s, ok := l.now().(ClusterSet); ok {
		return s.RemoveCluster(name)
	}
	return fmt.Errorf("remove cluster: %w", ErrUnsupported)
}
