package storage

import (
	"context"
	"iter"

	"github.com/lagkeeper/storage/protocol"
)

// Store is the typed, synchronous API of a module, for an application that embeds it directly: the twelve requests of the
// channel as methods, batches, and more. It follows the same contract as the channel, and returns an error if the channel
// would drop a request silently. It may be used by any number of goroutines. A change is visible to every call that begins
// after the call that made it has returned, over the channel too.
//
// Every method returns ErrStopped before Start and after Stop, the context's error if the context is done before the call
// begins, and ErrUnknownCluster for an unknown cluster. A cluster is looked up as named, then in lower case.
type Store interface {
	// SetEndOffset stores the end offset of one partition and creates the topic if it is new; a topic id other than the
	// known one deletes the topic first. It returns ErrInvalid for an offset, partition or count out of range, and ErrStale.
	SetEndOffset(ctx context.Context, cluster, topic string, end protocol.EndOffset) error
	// SetEndOffsetBatch stores the end offsets of many partitions of one topic. Valid ones are stored; the error, if any, is a
	// *BatchError.
	SetEndOffsetBatch(ctx context.Context, cluster, topic string, ends []protocol.EndOffset) error
	// SeedEndOffsets stores what the end offset of a partition was before the store began to watch it, so that a lag in time
	// can be older than the store. Measured end offsets take precedence: a point is left out if it is not older than the first
	// end offset that the store remembers, or contradicts what is known. A lag that rests on points has their Source, and its
	// margin includes theirs. If Options.CurveSegments turns the lag in time off, the call does nothing. There may be 128
	// points; their times ascend, their offsets do not descend. It returns ErrUnknownTopic, ErrUnknownPartition for a
	// partition without an end offset, and ErrInvalid for a negative offset, an offset above the newest end offset, a time in
	// the future, a margin below 0 or above protocol.MaxTimeMargin, or an unknown source; then no point is stored.
	SeedEndOffsets(ctx context.Context, cluster, topic string, partition int32, points []protocol.EndOffsetAt) error
	// Commit stores one commit. It returns ErrTooOld, ErrFiltered, ErrUnknownTopic, ErrUnknownPartition, ErrInvalid,
	// ErrBackfill or ErrDuplicate if the commit is dropped.
	Commit(ctx context.Context, cluster, group string, commit protocol.Commit) error
	// CommitBatch stores many commits of one group, in the order given, and costs far less than as many calls of Commit. Valid
	// ones are stored; the error, if any, is a *BatchError.
	CommitBatch(ctx context.Context, cluster, group string, commits []protocol.Commit) error
	// ReplaceCommits replaces all commits of a group on the partitions that commits name. It is like DeletePartition followed
	// by CommitBatch, but each partition is replaced at once: nobody sees the moment in between, and if the partition has
	// commits afterwards, neither group nor topic is deleted and the owner stays. The commits of a partition must stand
	// together. Group and topic become as old as their commits. A partition none of whose commits is taken has none
	// afterwards. It is meant for a feed that began with commits without orders and has read the log since. The error, if any,
	// is a *BatchError with the reasons of Commit.
	ReplaceCommits(ctx context.Context, cluster, group string, commits []protocol.Commit) error
	// SetOwner stores who consumes a partition. It returns ErrFiltered, ErrUnknownTopic, ErrUnknownPartition or ErrInvalid if
	// the owner is dropped.
	SetOwner(ctx context.Context, cluster, group string, owner protocol.PartitionOwner) error
	// SetOwners replaces all owners of a group: a partition that owners does not name has none afterwards, nor has one whose
	// new owner is refused. Nobody sees the moment between old and new, and watchers get events only for owners that changed.
	// If a partition is named twice, the later owner counts. An empty list, or one that is refused as a whole, leaves the
	// group without owners; it creates no group, and for an unknown group it is no error. The error, if any, is a *BatchError
	// with the reasons of SetOwner, or one of those of every method.
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

	// DeletePartition removes one partition from a group, as a tombstone in __consumer_offsets does. order is the tombstone's
	// position there: if the group has committed since, the partition stays and the call returns ErrDuplicate, as for a
	// tombstone that is known. An order of 0 or less always removes the partition. The topic leaves the group with its last
	// partition, and the group is deleted with its last topic. It returns ErrUnknownGroup, ErrUnknownTopic,
	// ErrUnknownPartition and ErrInvalid.
	DeletePartition(ctx context.Context, cluster, group, topic string, partition int32, order int64) error
	// SyncTopics deletes, as DeleteTopic does, all topics that are not in the list: it is for callers that have the complete
	// list. An empty list deletes all. A topic that is created during the call stays.
	SyncTopics(ctx context.Context, cluster string, topics []string) error
	// SyncGroups deletes, as DeleteGroup does, all groups that are not in the list. An empty list deletes all. A group that is
	// created during the call stays; one that existed before and commits during the call does not.
	SyncGroups(ctx context.Context, cluster string, groups []string) error
	// ForgetOrders says that the orders of commits begin anew, for instance because the cluster was rebuilt or failed over:
	// the next commit counts as newer, whatever its order. Windows stay; the orders in them become 0. It applies to the groups
	// of the given partitions of the commit log, or of the whole cluster if none is given, and forgets the positions of those
	// partitions. Call it before the first commit of the new order. It returns ErrInvalid for a partition out of range.
	ForgetOrders(ctx context.Context, cluster string, logPartitions ...protocol.LogPartition) error
	// SetPosition notes that all records of one partition of __consumer_offsets before log.Offset have been applied, deletions
	// included. An offset lower than before is taken as it is. It returns ErrInvalid for a negative partition or offset, and
	// for the 10,001st partition of a cluster.
	SetPosition(ctx context.Context, cluster string, log protocol.Position) error
	// Positions returns where to continue reading __consumer_offsets, ascending by partition. After a restart these are the
	// positions that belong to the snapshot, so no slack is needed.
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
	// Group fills into with everything about a group, reusing its memory. It returns ErrUnknownGroup and leaves into empty if
	// there is no such group.
	Group(ctx context.Context, cluster, group string, into *protocol.Group) error
}
