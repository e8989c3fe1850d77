package protocol

import "time"

// EndOffset is the end offset of one partition of a topic, as a StorageSetBrokerOffset request has it.
type EndOffset struct {
	// Partition is the number of the partition, from 0.
	Partition int32
	// TopicPartitionCount is the number of partitions of the topic; 0 or less if the caller does not know. The count that the
	// store knows never shrinks, so only TopicID shows that a topic was recreated with fewer partitions.
	TopicPartitionCount int32
	// Offset is the next offset that the partition will assign, at least 0.
	Offset int64
	// Timestamp is when the offset was seen, in Unix milliseconds; 0 or less stands for now.
	Timestamp int64
	// LogStartOffset is the first offset that the partition still holds; 0 or less if the caller does not know.
	LogStartOffset int64
	// TopicID is the id of the topic, zero if the caller does not know. It lets the store distinguish a recreated topic from
	// one whose log was truncated or read from a replica that is behind.
	TopicID TopicID
}

// EndOffsetAt is the end offset of a partition at a moment, by the time of a record: the end offset was not above Offset at
// Time − Margin, and not below it at Time + Margin.
type EndOffsetAt struct {
	// Offset is that of the first record that was written at Time or later, at least 0.
	Offset int64
	// Time is exact to the millisecond.
	Time time.Time
	// Margin is by how much Time may be wrong, either way: from 0 to MaxTimeMargin.
	Margin time.Duration
	// Source says whose clock Time was read from.
	Source TimeSource
}

// MaxTimeMargin is the greatest Margin of an EndOffsetAt.
const MaxTimeMargin = 30 * 24 * time.Hour

// TimeSource is the source of the times that a lag in time rests on.
type TimeSource string

// The sources, from the most reliable to the least.
const (
	// TimeSourceStore stands for end offsets that a store has seen.
	TimeSourceStore TimeSource = "store"
	// TimeSourceBroker stands for records that the broker dated when it appended them.
	TimeSourceBroker TimeSource = "broker"
	// TimeSourceProducer stands for records that their producer dated; such times may be wrong, late or out of order.
	TimeSourceProducer TimeSource = "producer"
)

// Commit is one commit of a group, as a StorageSetConsumerOffset request has it.
type Commit struct {
	Topic     string
	Partition int32
	// Offset is the next offset that the group will read, at least 0.
	Offset int64
	// Order is the position of the commit in __consumer_offsets: the greater is the newer. It is 0 or less if the caller knows
	// none, which makes the commit the newest.
	Order int64
	// Timestamp is when the group committed, in Unix milliseconds. There is no default: a commit without a time, or with
	// one in seconds, is too old to be stored.
	Timestamp int64
}

// PartitionOwner is who consumes a partition for a group, as a StorageSetConsumerOwner request has it.
type PartitionOwner struct {
	Topic     string
	Partition int32
	// Owner is the host that consumes the partition.
	Owner string
	// ClientID is the client id of the consumer.
	ClientID string
}

// Group is everything about one group at one moment, the typed answer of a fetch. It is meant to be reused: its slices share
// a few large arrays, and the next fetch into the same Group overwrites them. Copy what you need longer.
type Group struct {
	// TakenAt is the moment, by the store's clock and to the millisecond, as of which everything here holds.
	TakenAt time.Time
	// Topics are the topics of the group, in no particular order.
	Topics []GroupTopic

	slabs GroupSlabs
}

// GroupSlabs are the arrays that the slices of a Group share.
type GroupSlabs struct {
	Partitions []GroupPartition
	Commits    []StoredCommit
	EndOffsets []int64
	Timed      []TimedEndOffset
}

// Slabs returns the arrays of a Group, for an engine that fills it.
func (g *Group) Slabs() *GroupSlabs { return &g.slabs }

// GroupTopic is one topic of a group.
type GroupTopic struct {
	Name string
	// Partitions are what the group has on the partitions of the topic; the index is the partition. There is an entry for
	// every partition that the topic had when a commit or owner last made the slice grow, even if the group has no commit
	// there. Partitions that were added to the topic since are absent until the group has a commit or owner on one of them.
	Partitions []GroupPartition
}

// GroupPartition is what is known of one group on one partition.
type GroupPartition struct {
	// Commits are the last commits, oldest first; empty if the group never committed.
	Commits []StoredCommit
	// EndOffsets are the last end offsets of the partition, oldest first; empty if none is known.
	EndOffsets []int64
	// TimedEndOffsets are end offsets of the partition with the times at which they were measured, oldest first, from which
	// rates can be computed: the newest, and some of those before it that belong to the same incarnation. It is empty if no
	// end offset is known.
	TimedEndOffsets []TimedEndOffset
	// Owner and ClientID are "" when unknown.
	Owner    string
	ClientID string
	// CurrentLag is the newest end offset less the newest commit, in messages. If the commit lies below LogStartOffset, that
	// counts in its place, since what lies between is Lost. It is 0 if end offset or commit is missing, or the commit is ahead.
	CurrentLag uint64

	// State says how far CurrentLag can be trusted.
	State PartitionState
	// Difference is CurrentLag with a sign: below 0 if the commit is ahead; see DifferenceKnown.
	Difference int64
	// DifferenceKnown is false if end offset or commit is missing, or they belong to different incarnations of the
	// partition.
	DifferenceKnown bool
	// EndOffsetAge is how long ago the newest end offset was seen; below 0 if none is known.
	EndOffsetAge time.Duration
	// LogStartOffset is the first offset that the partition still holds, even if the group has no commit there: if it equals
	// the newest end offset, there is nothing to read. -1 means that it is not known.
	LogStartOffset int64
	// TimeLag is the lag in time; its Kind is TimeLagUnknown if nothing can be said.
	TimeLag TimeLag
	// Lost is the number of messages that the group can no longer read because its commit lies below the first offset that the
	// partition still holds; 0 if there are none or that offset is not known.
	Lost uint64
}

// TimedEndOffset is an end offset with the time at which it was measured.
type TimedEndOffset struct {
	Offset int64
	Time   time.Time
}

// StoredCommit is a commit as the store keeps it.
type StoredCommit struct {
	Offset int64
	// Order is the position of the commit in __consumer_offsets. If the sender knew none it is that of the commit
	// before, 0 if there was none.
	Order int64
	// Timestamp is when the group committed, in Unix milliseconds.
	Timestamp int64
	// ObservedTimestamp is when the store took the commit, in Unix milliseconds, rounded down to a second.
	ObservedTimestamp int64
	// Lag is how far the commit was behind the end offset when it was taken, in messages; see LagKnown.
	Lag uint64
	// LagKnown is false if Lag is not known, as for a commit that arrived out of order.
	LagKnown bool
}
