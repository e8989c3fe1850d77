package snapshot

import (
	"fmt"
	"math"

	"github.com/lagkeeper/storage/protocol"
)

// Never stands for a time that never was, such as the last commit of a group that has only owners.
const Never int64 = math.MinInt64

// MaxPartitions is the greatest partition count of a topic; a partition's number is below the count.
const MaxPartitions = 1 << 20

// Header is the header of a snapshot.
type Header struct {
	// TakenAt is when the snapshot was begun, in Unix milliseconds: the watermark. Everything that the store had taken by then
	// is in it; what it took while the snapshot was being written may be.
	TakenAt int64
	// Intervals is the configured number of commits kept per partition when the snapshot was taken.
	Intervals int
	// Sequence counts the snapshots of one store, 0 if the writer does not count. It is for people: which file is the
	// newest is decided by its name, never by Sequence or TakenAt.
	Sequence uint64
	// Positions are the positions up to which the commit log of each cluster had been applied before the first group was
	// written. They ascend by cluster and partition, which the format does not check.
	Positions []Position
}

// Position is the position up to which one partition of a cluster's commit log has been applied.
type Position struct {
	Cluster string
	protocol.Position
}

// Topic is what a store knows of one topic from the brokers.
type Topic struct {
	Cluster, Name string
	// PartitionCount is 0 to MaxPartitions.
	PartitionCount int32
	// ID is the id of the topic, zero if it is not known.
	ID protocol.TopicID
	// Partitions holds the known partitions in ascending order of Number; unknown ones may be left out.
	Partitions []Partition
}

// Partition is one partition of a Topic.
type Partition struct {
	// Number is at least 0 and below the topic's PartitionCount.
	Number int32
	// Incarnation distinguishes a partition from an earlier one of the same number. The format gives it no meaning.
	Incarnation uint32
	// LogStart is the first offset that the partition still holds.
	LogStart int64
	// EndOffsets is the history of the end offset, oldest first; empty if none is known.
	EndOffsets []EndOffset
	// Curve is the engine's own, kept byte for byte; nil and empty are the same.
	Curve []byte
}

// EndOffset is the end offset of a partition at one time.
type EndOffset struct {
	Offset int64
	// Timestamp is when the offset was seen, in Unix milliseconds.
	Timestamp int64
}

// Group is what a store knows of one consumer group.
type Group struct {
	Cluster, Name string
	// LastCommit and LastOwner are when the group last committed, and last had an owner set, in Unix milliseconds; Never
	// if that did not happen.
	LastCommit, LastOwner int64
	// Topics are in the order given; their names are expected to be distinct, which the format does not check.
	Topics []GroupTopic
	// Members are the owners that the Windows of the topics refer to.
	Members []Member
}

// Member is an owner of partitions. Both are "" when unknown.
type Member struct{ Owner, ClientID string }

// IsDeletion reports whether the record holds what was deleted from a group, and is no group.
func (g *Group) IsDeletion() bool {
	for i := range g.Topics {
		t := &g.Topics[i]
		if len(t.Partitions) > 0 {
			return t.Partitions[0].DeletedOrder != 0
		}
		if t.Windows.Count > 0 {
			return false
		}
	}
	return len(g.Topics) == 0
}

// GroupTopic is one topic of a Group.
type GroupTopic struct {
	Name string
	// PartitionCount is 0 to MaxPartitions.
	PartitionCount int32
	// LastCommit is when the group last committed the topic, in Unix milliseconds; Never if it did not.
	LastCommit int64
	// Partitions holds the partitions that the group has in ascending order of Number; others may be left out.
	Partitions []GroupPartition
	// Windows holds them in their place, in the form in which a snapshot has those of a group. See Group.Unpacked.
	Windows Windows
}

// GroupPartition is one partition of a GroupTopic.
type GroupPartition struct {
	// Number is at least 0 and below the topic's PartitionCount.
	Number int32
	// Owner and ClientID are "" when unknown.
	Owner, ClientID string
	// DeletedOrder is the greatest order of the commits that the partition had when it was removed from the group; 0 in a
	// partition that is in the group. A group with such partitions holds no others: it is a record of deletions, and
	// LastCommit is when they were made.
	DeletedOrder int64
	// Incarnation is the engine's own. The format gives it no meaning.
	Incarnation uint32
	// Commits is the window, oldest first. The Lag of a commit whose LagKnown is false is not kept: it reads as 0.
	Commits []protocol.StoredCommit
}

// Summary counts what is in a snapshot.
type Summary struct {
	// Topics and Groups count the records, GroupPartitions and Commits what all groups hold together.
	Topics, Groups, GroupPartitions, Commits uint64
	// Blocks counts the blocks of the file, its header and footer among them; JSON lines have none.
	Blocks uint64
	// Bytes is the length of the whole file, or of the JSON lines.
	Bytes uint64
}

// add counts topics, groups and what they hold.
func (s *Summary) add(more *Summary) {
	s.Topics += more.Topics
	s.Groups += more.Groups
	s.GroupPartitions += more.GroupPartitions
	s.Commits += more.Commits
}

// AddGroup counts a group and what it holds, packed or not.
func (s *Summary) AddGroup(g *Group) {
	s.Groups++
	for i := range g.Topics {
		s.GroupPartitions += uint64(len(g.Topics[i].Partitions) + g.Topics[i].Windows.Count)
		s.Commits += uint64(g.Topics[i].Windows.Commits)
		for j := range g.Topics[i].Partitions {
			s.Commits += uint64(len(g.Topics[i].Partitions[j].Commits))
		}
	}
}

// Sink takes the records of a snapshot: a writer, or an engine that loads. The caller may reuse the record and everything it
// points to when the call returns; names are strings and may be kept.
type Sink interface {
	WriteTopic(*Topic) error
	WriteGroup(*Group) error
}

// Output is a Sink that writes a snapshot, alone or with others.
type Output interface {
	Sink
	// Flush puts what was written in front of what any other Output of the snapshot gets later.
	Flush() error
}

// Validate returns an error if a Writer would refuse the header.
func (h *Header) Validate() error {
	if h.Intervals < 0 || h.Intervals > math.MaxInt32 {
		return fmt.Errorf("header: invalid intervals %d: must be between 0 and %d", h.Intervals, math.MaxInt32)
	}
	for i := range h.Positions {
		if p := &h.Positions[i]; p.Partition < 0 || p.Offset < 0 {
			return fmt.Errorf("header: invalid position %[3]d of log partition %[1]d of cluster %.100[2]q: must not be negative",
				p.Partition, p.Cluster, p.Offset)
		}
	}
	return nil
}

// Validate returns an error if the topic is not within the limits of its type.
func (t *Topic) Validate() error {
	if err := validCount(t.PartitionCount); err != nil {
		return fmt.Errorf("topic %q of cluster %q: %w", t.Name, t.Cluster, err)
	}
	previous := int32(-1)
	for i := range t.Partitions {
		if err := validNumber(t.Partitions[i].Number, previous, t.PartitionCount); err != nil {
			return fmt.Errorf("topic %q of cluster %q: %w", t.Name, t.Cluster, err)
		}
		previous = t.Partitions[i].Number
	}
	return nil
}

// Validate returns an error if the group is not within the limits of its type.
func (g *Group) Validate() error {
	for i := range g.Topics {
		t := &g.Topics[i]
		if err := validCount(t.PartitionCount); err != nil {
			return fmt.Errorf("group %q of cluster %q: topic %q: %w", g.Name, g.Cluster, t.Name, err)
		}
		previous := int32(-1)
		for j := range t.Partitions {
			if err := validNumber(t.Partitions[j].Number, previous, t.PartitionCount); err != nil {
				return fmt.Errorf("group %q of cluster %q: topic %q: %w", g.Name, g.Cluster, t.Name, err)
			}
			previous = t.Partitions[j].Number
		}
	}
	return nil
}

func validCount(count int32) error {
	if count < 0 || count > MaxPartitions {
		return fmt.Errorf("invalid partition count %d: must be between 0 and %d", count, MaxPartitions)
	}
	return nil
}

func validNumber(number, previous, count int32) error {
	switch {
	case number < 0 || number >= count:
		return fmt.Errorf("invalid partition %d: must be below %d", number, count)
	case number <= previous:
		return fmt.Errorf("invalid partition %d after %d: must ascend", number, previous)
	}
	return nil
}
