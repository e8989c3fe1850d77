package kafkafeed

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lagkeeper/storage/protocol"
)

// quick decodes a record into a commit if it is of the usual kind: the commit of a partition outside of a transaction, of the versions
// that brokers write. It sets the group and topic of names, and reports whether it did. Whatever it decodes, decode would decode alike.
func (n *names) quick(record *kgo.Record, commit *protocol.Commit) bool {
	key, value := record.Key, record.Value
	if record.Attrs.IsControl() || record.Attrs.IsTransactional() || len(key) < 2+2 || len(value) < 2+8 {
		return false
	}
	if key[0] != 0 || key[1] != keyCommit {
		return false
	}
	group := int(binary.BigEndian.Uint16(key[2:]))
	topicAt := 2 + 2 + group
	if len(key) < topicAt+2 {
		return false
	}
	partitionAt := topicAt + 2 + int(binary.BigEndian.Uint16(key[topicAt:]))
	if len(key) < partitionAt+4 || partitionAt > maxQuick {
		return false
	}
	partition := int32(binary.BigEndian.Uint32(key[partitionAt:]))
	offset, timestamp, ok := quickValue(value)
	if !ok || partition < 0 {
		return false
	}
	commit.Partition, commit.Offset, commit.Order, commit.Timestamp = partition, offset, record.Offset, timestamp
	_, commit.Topic = n.find(key[4:topicAt], key[topicAt+2:partitionAt])
	return true
}

// maxQuick keeps the lengths in keys below those that stand for a negative number.
const maxQuick = 1 << 15

// quickValue decodes values of versions 3 and 4, which brokers have written since Kafka 2.1.
func quickValue(value []byte) (offset, timestamp int64, ok bool) {
	const metadataAt = 2 + 8 + 4
	if value[0] != 0 || len(value) < metadataAt+2 {
		return 0, 0, false
	}
	timeAt := metadataAt
	switch value[1] {
	case 3:
		timeAt += 2 + int(binary.BigEndian.Uint16(value[metadataAt:]))
	case 4:
		size := int(value[metadataAt]) // of the text, plus one
		if size >= 0x80 {
			return 0, 0, false
		}
		timeAt += max(size, 1)
	default:
		return 0, 0, false
	}
	offset = int64(binary.BigEndian.Uint64(value[2:]))
	if timeAt >= maxQuick || len(value) < timeAt+8 || offset < 0 {
		return 0, 0, false
	}
	if value[1] == 4 {
		r := reader{rest: value[timeAt+8:]}
		if r.tags(func(uint64, []byte) {}); r.short {
			return 0, 0, false
		}
	}
	return offset, int64(binary.BigEndian.Uint64(value[timeAt:])), true
}
