package storage

import (
	"context"
	"iter"

	"github.com/lagkeeper/storage/protocol"
)

// Store is the typed, synchronous API of a module, for an application that embeds it directly: the twelve requests of the
// channel as methods, plus batches. It obeys the same contract as the channel, says with an error what the channel can
// only answer with silence, and is safe for any number of goroutines. What a call changed is visible to every call that
// begins after it returned, over the channel too.
//
// Every method returns ErrStopped before Start and after Stop, the context's error when the context is done before the
// call begins, and ErrUnknownCluster for a cluster that the store does not have (a name is looked up as given, then in lower
// case).
type Store interface {
	// SetEndOffset stores the end offset of one partition and creates the topic if it is new; a topic id other than the
	// known one deletes the topic first. It returns ErrInvalid for an offset, partition or count out of range, and ErrStale.
	SetEndOffset(ctx context.Context, cluster, topic string, end protocol.EndOffset) error
	// SetEndOffsetBatch stores the end offsets of many partitions of one topic. What is sound is stored; the error, if any,
	// is a *BatchError.
	SetEndOffsetBatch(ctx context.Context, cluster, topic string, ends []protocol.EndOffset) error
	// SeedEndOffsets stores what the end offset of a partition was before the store began to watch it, so that a lag in time can
	// be older than the store. What the store has measured stays as it is: points that are not older than the first end offset
	// that it remembers, or contradict what is known, are left out. A lag that rests on points says so with its Source, and its
	// margin includes theirs. It does nothing if Options.CurveSegments turns the lag in time off. There may be 128 points; their
	// times ascend, their offsets do not descend. It returns ErrUnknownTopic, ErrUnknownPartition for a partition without an
	// end offset, and ErrInvalid for a negative offset, one above the newest end offset, a time in the future, a margin below 0
	// or above protocol.MaxTimeMargin, or an unknown source: no point is taken then.
	SeedEndOffsets(ctx context.Context, cluster, topic string, partition int32, points []protocol.EndOffsetAt) error
	// Commit stores one commit. It returns ErrTooOld, ErrFiltered, ErrUnknownTopic, ErrUnknownPartition, ErrInvalid,
	// ErrBackfill or ErrDuplicate if the commit is dropped.
	Commit(ctx context.Context, cluster, group string, commit protocol.Commit) error
	// CommitBatch stores many commits of one group, in the order given, and costs far less than that many calls of Commit.
	// What is sound is stored; the error, if any, is a *BatchError.
	CommitBatch(ctx context.Context, cluster, group string, commits []protocol.Commit) error
	// ReplaceCommits makes commits all that a group has committed on the partitions that they are of, as DeletePartition and
	// CommitBatch would one after the other, but nobody sees the moment in between: each partition is replaced at once, and if it
	// has commits then, neither group nor topic is deleted and its owner stays. The commits of a partition stand together. Group and
	// topic are as old as the commits that they have then. It is for a feed that began with commits without an order and has read
	// the log by now. A partition of which no commit is taken has none afterwards. The error, if any, is a *BatchError with the
	// reasons of Commit.
	ReplaceCommits(ctx context.Context, cluster, group string, commits []protocol.Commit) error
	// SetOwner stores who consumes a partition. It returns ErrFiltered, ErrUnknownTopic, ErrUnknownPartition or
	// ErrInvalid if that is dropped.
	SetOwner(ctx context.Context, cluster, group string, owner protocol.PartitionOwner) error
	// SetOwners makes owners all that a group has: a partition that is not among them has none afterwards, nor has one whose
	// new owner is refused. Nobody sees the old owners gone and the new ones missing, and a watcher learns only of what is
	// another. Of two owners of one partition the later counts. An empty list, like one that is refused as a whole, leaves
	// the group without owners; it makes no group, and an unknown group is no error. The error, if any, is a *BatchError
	// with the reasons of SetOwner, unless it is one of those of every method.
	SetOwners(ctx context.Context, cluster, group string, owners []protocol.PartitionOwner) error
	// ClearOwners empties owner and client id of every partition of a group. It returns ErrUnknownGroup.
	ClearOwners(ctx context.Context, cluster, group string) error
	// DeleteTopic removes a topic from the brokers and from every group. It returns ErrUnknownTopic.
	DeleteTopic(ctx context.Context, cluster, topic string) error
	// DeleteGroup removes a group. It returns ErrUnknownGroup.
	DeleteGroup(ctx context.Context, cluster, group string) error
	// DeleteGroupTopic removes one topic from a group, and the group when none is left. It returns ErrUnknownGroup, and
	// ErrUnknownTopic for a topic that the group does not hold.
	DeleteGroupTopic(ctx context.Context, cluster, group, topic string) error

	// DeletePartition takes one partition out of a group, as a tombstone in __consumer_offsets does. order is the tombstone's
	// position there: what the group has committed since stays, and the call returns ErrDuplicate, as for a tombstone that is known.
	// An order of 0 or less takes the partition out whatever was committed. The topic goes from the group with its last
	// partition, the group with its last topic. It returns ErrUnknownGroup, ErrUnknownTopic, ErrUnknownPartition and
	// ErrInvalid.
	DeletePartition(ctx context.Context, cluster, group, topic string, partition int32, order int64) error
	// SyncTopics deletes, as DeleteTopic does, the topics that are not among the given: for a caller that has the complete
	// list. An empty list deletes all. A topic that is created while the call runs stays.
	SyncTopics(ctx context.Context, cluster string, topics []string) error
	// SyncGroups deletes, as DeleteGroup does, the groups that are not among the given. An empty list deletes all. A group that
	// is created while the call runs stays; one that was there and commits meanwhile does not.
	SyncGroups(ctx context.Context, cluster string, groups []string) error
	// ForgetOrders says that the orders of commits begin anew, as after the cluster was rebuilt or failed over: whatever
	// order comes next is newer than what is there. Windows stay; the orders in them become 0. It concerns the groups of the
	// given partitions of the commit log, with none given all of the cluster, and forgets their positions. Call it before the
	// first commit of the new order. It returns ErrInvalid for a partition out of range.
	ForgetOrders(ctx context.Context, cluster string, logPartitions ...protocol.LogPartition) error
	// SetPosition notes that the records of one partition of __consumer_offsets before log.Offset have been applied: their
	// commits, deletions and all. A lower offset than before is taken as it is. It returns ErrInvalid for a negative
	// partition or offset, and for the 10,001st partition of a cluster.
	SetPosition(ctx context.Context, cluster string, log protocol.Position) error
	// Positions returns where to go on reading __consumer_offsets, ascending by partition. After a restart it is what the
	// snapshot contains, exactly: no slack is needed.
	Positions(ctx context.Context, cluster string) ([]protocol.Position, error)

	// Clusters returns the clusters, sorted.
	Clusters(ctx context.Context) ([]string, error)
	// Groups returns the groups of a cluster that have not expired, as they are at the call, in no particular order.
	Groups(ctx context.Context, cluster string) (iter.Seq[string], error)
	// Topics returns the topics of a cluster, as they are at the call, in no particular order.
	Topics(ctx context.Context, cluster string) (iter.Seq[string], error)
	// GroupsOfTopic returns the groups that hold a topic and have not expired, as they are at the call, in no particular
	// order; none for an unknown topic.
	GroupsOfTopic(ctx context.Context, cluster, topic string) (iter.Seq[string], error)
	// EndOffsets appends the newest end offset of each partition of a topic to dst and returns the result; the index is
	// the partition, and it is -1 for a partition without one. It returns ErrUnknownTopic.
	EndOffsets(ctx context.Context, cluster, topic string, dst []int64) ([]int64, error)
	// Group fills into with everything about a group, reusing its memory. It returns ErrUnknownGroup, and leaves into
	// empty then.
	Group(ctx context.Context, cluster, group string, into *protocol.Group) error
}
