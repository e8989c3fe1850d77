package kafkafeed

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Kind is the kind of a record of __consumer_offsets.
type Kind string

// The kinds of records. The zero value is not a kind.
const (
	// KindCommit is a committed offset of one group on one partition.
	KindCommit Kind = "commit"
	// KindCommitTombstone is the deletion of the committed offset of one group on one partition.
	KindCommitTombstone Kind = "commit-tombstone"
	// KindGroup is the metadata of a classic group.
	KindGroup Kind = "group"
	// KindGroupTombstone is the deletion of the metadata of a classic group. The group itself may still exist: Kafka writes such a
	// tombstone when it converts the group to the new protocol.
	KindGroupTombstone Kind = "group-tombstone"
	// KindConsumerGroup is any record of the new consumer group protocol.
	KindConsumerGroup Kind = "consumer-group"
	// KindShareGroup is any record of a share group.
	KindShareGroup Kind = "share-group"
	// KindStreamsGroup is any record of a streams group.
	KindStreamsGroup Kind = "streams-group"
	// KindCommitMarker ends a transaction whose commits count.
	KindCommitMarker Kind = "commit-marker"
	// KindAbortMarker ends a transaction whose commits do not count.
	KindAbortMarker Kind = "abort-marker"
	// KindControl is a control record that ends no transaction.
	KindControl Kind = "control"
	// KindUnknown is a record of a key version, or a commit of a value version, that this package does not know.
	KindUnknown Kind = "unknown"
	// KindCorrupt is a record that cannot be decoded; the error of Decode says why.
	KindCorrupt Kind = "corrupt"
)

// Kinds returns every kind that Decode returns.
func Kinds() []Kind {
	return []Kind{KindCommit, KindCommitTombstone, KindGroup, KindGroupTombstone, KindConsumerGroup, KindShareGroup,
		KindStreamsGroup, KindCommitMarker, KindAbortMarker, KindControl, KindUnknown, KindCorrupt}
}

// Entry is a decoded record of __consumer_offsets.
type Entry struct {
	Kind Kind
	// Group is set for commits, classic groups and their tombstones, and for those of a value version that is not known.
	Group string
	// Topic and Partition are set for commits and their tombstones, and for commits of a value version that is not known.
	Topic     string
	Partition int32
	// Offset is the committed offset, Timestamp when it was committed in Unix milliseconds. Both are set for commits.
	Offset    int64
	Timestamp int64
	// TopicID is the id of the committed topic; all zeros if the commit does not have it.
	TopicID [16]byte
	// Protocol is the protocol type of a classic group, "consumer" for consumers.
	Protocol string
	// Members is the number of members of a classic group.
	Members int

	// LogPartition and Order are the position of the record in __consumer_offsets.
	LogPartition int32
	Order        int64
	// Producer is the id of the producer of a transactional record or of a marker, -1 for any other record.
	Producer int64
}

// The versions of keys and values that Kafka 4.3 writes.
const (
	keyCommitLegacy    = 0
	keyCommit          = 1
	keyGroup           = 2
	keyConsumerRegex   = 16
	maxCommitValue     = 4
	maxGroupValue      = 4
	firstFlexibleValue = 4
	tagTopicID         = 0
)

var errShort = errors.New("record is too short")

// Decode decodes a record of __consumer_offsets. Control records require kgo.KeepControlRecords. Decode never panics, does not keep
// the record's memory, and returns an error if and only if the kind is KindCorrupt.
func Decode(record *kgo.Record) (Entry, error) {
	var entry Entry
	err := entry.decode(record, nil)
	return entry, err
}

// decode is Decode with a cache of names.
func (e *Entry) decode(record *kgo.Record, known *names) error {
	*e = Entry{LogPartition: record.Partition, Order: record.Offset, Producer: -1}
	if record.Attrs.IsControl() || record.Attrs.IsTransactional() {
		e.Producer = record.ProducerID
	}
	var err error
	if record.Attrs.IsControl() {
		e.Kind, err = decodeMarker(record.Key)
	} else {
		err = e.decodeRecord(record.Key, record.Value, known)
	}
	if err != nil {
		*e = Entry{Kind: KindCorrupt, LogPartition: e.LogPartition, Order: e.Order, Producer: e.Producer}
		return fmt.Errorf("decode record %d of partition %d: %w", record.Offset, record.Partition, err)
	}
	return nil
}

func decodeMarker(key []byte) (Kind, error) {
	r := reader{rest: key}
	_, kind := r.int16(), r.int16()
	switch {
	case r.short:
		return KindCorrupt, errShort
	case kind == 0:
		return KindAbortMarker, nil
	case kind == 1:
		return KindCommitMarker, nil
	default:
		return KindControl, nil
	}
}

func (e *Entry) decodeRecord(key, value []byte, known *names) error {
	r := reader{rest: key}
	version := r.int16()
	if r.short {
		return errShort
	}
	switch {
	case version == keyCommitLegacy || version == keyCommit:
		group, topic := r.name(), r.name()
		e.Partition = r.int32()
		if r.short {
			return errShort
		}
		if e.Partition < 0 {
			return fmt.Errorf("invalid partition %d: must not be negative", e.Partition)
		}
		if known != nil {
			e.Group, e.Topic = known.find(group, topic)
		} else {
			e.Group, e.Topic = string(group), string(topic)
		}
		if value == nil {
			e.Kind = KindCommitTombstone
			return nil
		}
		return e.decodeCommit(value)
	case version == keyGroup:
		e.Group = string(r.name())
		if r.short {
			return errShort
		}
		if value == nil {
			e.Kind = KindGroupTombstone
			return nil
		}
		return e.decodeGroup(value)
	case version > keyGroup && version <= 8, version == keyConsumerRegex:
		e.Kind = KindConsumerGroup
	case version >= 9 && version <= 15:
		e.Kind = KindShareGroup
	case version >= 17 && version <= 23:
		e.Kind = KindStreamsGroup
	default:
		e.Kind = KindUnknown
	}
	return nil
}

func (e *Entry) decodeCommit(value []byte) error {
	r := reader{rest: value}
	version := r.int16()
	if r.short {
		return errShort
	}
	if version < 0 || version > maxCommitValue {
		// A new version may change the meaning, so it is not decoded in part.
		e.Kind = KindUnknown
		return nil
	}
	e.Offset = r.int64()
	if version >= 3 {
		r.int32() // leader epoch
	}
	if version >= firstFlexibleValue {
		r.compactBytes() // metadata
	} else {
		r.bytes16()
	}
	e.Timestamp = r.int64()
	if version == 1 {
		r.int64() // expiry
	}
	if version >= firstFlexibleValue {
		r.tags(func(tag uint64, value []byte) {
			if tag == tagTopicID && len(value) == len(e.TopicID) {
				copy(e.TopicID[:], value)
			}
		})
	}
	if r.short {
		return errShort
	}
	if e.Offset < 0 {
		return fmt.Errorf("invalid offset %d: must not be negative", e.Offset)
	}
	e.Kind = KindCommit
	return nil
}

func (e *Entry) decodeGroup(value []byte) error {
	r := reader{rest: value}
	version := r.int16()
	if r.short {
		return errShort
	}
	if version < 0 || version > maxGroupValue {
		e.Kind = KindUnknown
		return nil
	}
	flexible := version >= firstFlexibleValue
	text := r.bytes16
	if flexible {
		text = r.compactBytes
	}
	e.Protocol = string(text())
	r.int32() // generation
	text()    // protocol
	text()    // leader
	if version >= 2 {
		r.int64() // when the state began
	}
	members := int64(0)
	if flexible {
		members = int64(r.uvarint()) - 1
	} else {
		members = int64(r.int32())
	}
	// A member takes more than one byte.
	if r.short || members < 0 || members > int64(len(r.rest)) {
		return errShort
	}
	e.Members = int(members)
	e.Kind = KindGroup
	return nil
}

// reader reads big-endian fields. Once a field is missing, short is set and every further field is zero.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) take(n uint64) []byte {
	if r.short || n > uint64(len(r.rest)) {
		r.short = true
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	value, n := binary.Uvarint(r.rest)
	if r.short || n <= 0 {
		r.short = true
		return 0
	}
	r.rest = r.rest[n:]
	return value
}

// bytes16 reads a string with a two-byte length; null, whose length is -1, reads as empty.
func (r *reader) bytes16() []byte {
	n := r.int16()
	if n <= 0 {
		r.short = r.short || n < -1
		return nil
	}
	return r.take(uint64(n))
}

// compactBytes reads a string with a variable length, stored as length + 1; null, stored as 0, reads as empty.
func (r *reader) compactBytes() []byte {
	n := r.uvarint()
	if n <= 1 {
		return nil
	}
	return r.take(n - 1)
}

// name reads a name, which is never null.
func (r *reader) name() []byte {
	n := r.int16()
	if n < 0 {
		r.short = true
		return nil
	}
	return r.take(uint64(n))
}

func (r *reader) tags(each func(tag uint64, value []byte)) {
	for n := r.uvarint(); n > 0 && !r.short; n-- {
		tag := r.uvarint()
		if value := r.take(r.uvarint()); !r.short {
			each(tag, value)
		}
	}
}
