package protocol

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// StorageRequestConstant is the type of a StorageRequest.
type StorageRequestConstant int

// The request types. A Fetch is answered on StorageRequest.Reply by exactly one value, after which Reply is closed; if
// there is nothing to answer, Reply is closed without a value.
const (
	// StorageSetBrokerOffset stores the end offset of a topic-partition. It takes Cluster, Topic, Partition,
	// TopicPartitionCount, Offset, Timestamp and, if they are known, LogStartOffset and TopicID.
	StorageSetBrokerOffset StorageRequestConstant = 0
	// StorageSetConsumerOffset stores a commit. It takes Cluster, Group, Topic, Partition, Offset, Order and Timestamp.
	StorageSetConsumerOffset StorageRequestConstant = 1
	// StorageSetConsumerOwner stores who consumes a partition. It takes Cluster, Group, Topic, Partition, Owner and
	// ClientID.
	StorageSetConsumerOwner StorageRequestConstant = 2
	// StorageSetDeleteTopic removes a topic from the brokers and from every group. It takes Cluster and Topic.
	StorageSetDeleteTopic StorageRequestConstant = 3
	// StorageSetDeleteGroup removes a group or, if Topic is set, that topic from the group. It takes Cluster, Group
	// and, if wanted, Topic.
	StorageSetDeleteGroup StorageRequestConstant = 4
	// StorageFetchClusters answers []string, the clusters that the store has now.
	StorageFetchClusters StorageRequestConstant = 5
	// StorageFetchConsumers answers []string, the groups of Cluster that have not expired.
	StorageFetchConsumers StorageRequestConstant = 6
	// StorageFetchTopics answers []string, the topics of Cluster.
	StorageFetchTopics StorageRequestConstant = 7
	// StorageFetchConsumer answers ConsumerTopics, everything about the Group of Cluster.
	StorageFetchConsumer StorageRequestConstant = 8
	// StorageFetchTopic answers []int64, the newest end offset of each partition of Topic in Cluster; the index is the
	// partition, and it is -1 for a partition without one.
	StorageFetchTopic StorageRequestConstant = 9
	// StorageClearConsumerOwners empties owner and client id of every partition of a group. It takes Cluster and Group.
	StorageClearConsumerOwners StorageRequestConstant = 10
	// StorageFetchConsumersForTopic answers []string, the groups of Cluster that hold Topic and have not expired; empty if there
	// are none, or the topic is not known.
	StorageFetchConsumersForTopic StorageRequestConstant = 11
)

var storageRequestNames = [...]string{
	StorageSetBrokerOffset:        "StorageSetBrokerOffset",
	StorageSetConsumerOffset:      "StorageSetConsumerOffset",
	StorageSetConsumerOwner:       "StorageSetConsumerOwner",
	StorageSetDeleteTopic:         "StorageSetDeleteTopic",
	StorageSetDeleteGroup:         "StorageSetDeleteGroup",
	StorageFetchClusters:          "StorageFetchClusters",
	StorageFetchConsumers:         "StorageFetchConsumers",
	StorageFetchTopics:            "StorageFetchTopics",
	StorageFetchConsumer:          "StorageFetchConsumer",
	StorageFetchTopic:             "StorageFetchTopic",
	StorageClearConsumerOwners:    "StorageClearConsumerOwners",
	StorageFetchConsumersForTopic: "StorageFetchConsumersForTopic",
}

// StorageRequestTypes is the number of request types; they are numbered from 0 without a gap.
const StorageRequestTypes = len(storageRequestNames)

// String returns the name of the constant, or "UNKNOWN" for a number that is none.
func (c StorageRequestConstant) String() string {
	if c < 0 || int(c) >= len(storageRequestNames) {
		return "UNKNOWN"
	}
	return storageRequestNames[c]
}

// MarshalText returns String as text. The error is always nil.
func (c StorageRequestConstant) MarshalText() ([]byte, error) {
	return []byte(c.String()), nil
}

// MarshalJSON returns String as a JSON string. The error is always nil.
func (c StorageRequestConstant) MarshalJSON() ([]byte, error) {
	return json.Marshal(c.String())
}

// StorageRequest is one request to the storage subsystem. The constants say which fields count; the others are ignored. The
// subsystem never changes a request.
type StorageRequest struct {
	RequestType StorageRequestConstant

	// Reply receives the answer to a Fetch. It may be unbuffered, and the requester may read it late or not at all. The
	// subsystem closes it, so it must not be used for a second request. It is nil in a request that is no Fetch.
	Reply chan interface{}

	Cluster string
	Group   string
	Topic   string

	// Partition is the number of a partition of Topic, from 0.
	Partition int32
	// TopicPartitionCount is the number of partitions of Topic; 0 or less if the sender does not know. The count that the
	// store knows never shrinks, so only TopicID shows that a topic was recreated with fewer partitions.
	TopicPartitionCount int32
	// Offset is the end offset (the next that the partition will assign) or the commit, at least 0.
	Offset int64
	// Order is the position of the commit in __consumer_offsets: the greater is the newer. It is 0 or less if the sender knows
	// none, which makes the commit the newest.
	Order int64
	// Timestamp is when the offset was seen or committed, in Unix milliseconds. For an end offset 0 or less stands for now; a
	// commit without a time is too old to be stored.
	Timestamp int64

	// Owner is the host that consumes the partition, ClientID the client id of the consumer.
	Owner    string
	ClientID string

	// LogStartOffset is the first offset that the partition still holds; 0 or less if the sender of an end offset does not
	// know.
	LogStartOffset int64
	// TopicID is the id of Topic, zero if the sender of an end offset does not know.
	TopicID TopicID
}

// ConsumerTopics is everything about one group: its partitions by topic.
type ConsumerTopics map[string]ConsumerPartitions

// ConsumerPartitions are the partitions of one topic of a group; the index is the partition. A partition for which the
// group committed nothing is present with empty Offsets. Partitions that were added to the topic since the group's commits
// or owners last made the slice grow are absent.
type ConsumerPartitions []*ConsumerPartition

// ConsumerPartition is what is known of a group on one partition.
type ConsumerPartition struct {
	// Offsets are the last commits, oldest first, with exactly as many entries as the configured intervals: nil entries
	// come first if there were fewer commits. It is empty if the group never committed.
	Offsets []*ConsumerOffset `json:"offsets"`
	// BrokerOffsets are the last end offsets of the partition, oldest first; empty if none is known.
	BrokerOffsets []int64 `json:"-"`
	// Owner is the host that consumes the partition, "" when unknown.
	Owner string `json:"owner"`
	// ClientID is the client id of the consumer, "" when unknown.
	ClientID string `json:"client_id"`
	// CurrentLag is the newest end offset less the newest commit, in messages. If the commit lies below LogStartOffset, that
	// counts in its place, since what lies between is Lost. It is 0 if end offset or commit is missing, or the commit is ahead.
	CurrentLag uint64 `json:"current-lag"`

	// State says how far CurrentLag can be trusted. It and the fields below are absent from JSON if they are not known.
	State PartitionState `json:"state,omitempty"`
	// Difference is CurrentLag with a sign: below 0 if the commit is ahead. It is nil if end offset or commit is missing, or they
	// belong to different incarnations of the partition.
	Difference *int64 `json:"lag-difference,omitempty"`
	// EndOffsetAge is how long ago the newest end offset was seen, in milliseconds in JSON; nil if none is known.
	EndOffsetAge *Age `json:"end-offset-age-ms,omitempty"`
	// LogStartOffset is the first offset that the partition still holds, even if the group has no commit there: if it equals
	// the newest end offset, there is nothing to read. nil means that it is not known.
	LogStartOffset *int64 `json:"-"`
	// TimeLag is the lag in time; nil if nothing can be said.
	TimeLag *TimeLag `json:"time-lag,omitempty"`
	// Lost is the number of messages that the group can no longer read because its commit lies below the first offset that the
	// partition still holds; nil if there are none or that offset is not known.
	Lost *uint64 `json:"lost-messages,omitempty"`
}

// ConsumerOffset is one commit of a group for one partition.
type ConsumerOffset struct {
	// Offset is the committed offset: the next that the group will read.
	Offset int64 `json:"offset"`
	// Order is the position of the commit in __consumer_offsets. If the sender knew none it is that of the commit
	// before, 0 if there was none.
	Order int64 `json:"-"`
	// Timestamp is when the group committed, in Unix milliseconds.
	Timestamp int64 `json:"timestamp"`
	// ObservedTimestamp is when the storage subsystem took the commit, in Unix milliseconds, rounded down to a second.
	ObservedTimestamp int64 `json:"observedAt"`
	// Lag is how far the commit was behind the end offset when it was taken, in messages; nil if that is not known,
	// as for a commit that arrived out of order.
	Lag *Lag `json:"lag"`
}

// Lag is a number of messages. A nil *Lag is a lag that is not known, and is null in JSON.
type Lag struct {
	// Value is the number of messages.
	Value uint64
}

// MarshalJSON returns the value as a JSON number. The error is always nil.
func (l Lag) MarshalJSON() ([]byte, error) {
	return strconv.AppendUint(nil, l.Value, 10), nil
}

// UnmarshalJSON takes a JSON number. It returns an error for anything else but null, which changes nothing.
func (l *Lag) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	value, err := strconv.ParseUint(string(data), 10, 64)
	if err != nil {
		return fmt.Errorf("read lag: %w", err)
	}
	l.Value = value
	return nil
}
