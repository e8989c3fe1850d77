package lagredis

import (
	"encoding/binary"
	"strconv"

	"github.com/lagkeeper/storage/protocol"
)

// The fields of the hashes of groups and topics. Those of topics, partitions and owners continue after the first byte.
const (
	fieldVersion   = "v"
	fieldMeta      = "m"
	fieldTopic     = "t"
	fieldPartition = "p"
	fieldOwners    = "o"
	fieldDeletions = "d"
)

// counted returns a name after its length, so that nothing that follows can be taken for a part of it.
func counted(name string) string { return strconv.Itoa(len(name)) + ":" + name }

// groupTag and topicTag return the prefix of the keys of a bucket.
func (db *DB) groupTag(bucket int) string {
	return db.options.KeyPrefix + "{g" + strconv.Itoa(bucket) + "}:"
}

func (db *DB) topicTag(bucket int) string {
	return db.options.KeyPrefix + "{t" + strconv.Itoa(bucket) + "}:"
}

func (db *DB) settingsKey() string { return db.options.KeyPrefix + "{m}:settings" }

func (db *DB) groupKey(bucket int, cluster, group string) string {
	return db.groupTag(bucket) + "group:" + counted(cluster) + ":" + group
}

func (db *DB) liveKey(bucket int, cluster string) string {
	return db.groupTag(bucket) + "live:" + counted(cluster)
}

func (db *DB) stalestKey(bucket int, cluster string) string {
	return db.groupTag(bucket) + "stalest:" + counted(cluster)
}

func (db *DB) holdersKey(bucket int, cluster, topic string) string {
	return db.groupTag(bucket) + "of:" + counted(cluster) + ":" + topic
}

func (db *DB) positionsKey(bucket int, cluster string) string {
	return db.groupTag(bucket) + "positions:" + counted(cluster)
}

func (db *DB) sweptKey(bucket int) string       { return db.groupTag(bucket) + "swept" }
func (db *DB) groupEventsKey(bucket int) string { return db.groupTag(bucket) + "events" }

func (db *DB) topicKey(bucket int, cluster, topic string) string {
	return db.topicTag(bucket) + "topic:" + counted(cluster) + ":" + topic
}

func (db *DB) topicsKey(bucket int, cluster string) string {
	return db.topicTag(bucket) + "topics:" + counted(cluster)
}

func (db *DB) deletedKey(bucket int, cluster string) string {
	return db.topicTag(bucket) + "deleted:" + counted(cluster)
}

func (db *DB) topicEventsKey(bucket int) string { return db.topicTag(bucket) + "events" }

// groupBucket returns the bucket of a group: its partition of the commit log.
func (db *DB) groupBucket(group string) int {
	return int(protocol.LogPartitionOf(group, int32(db.options.Buckets)))
}

// topicBucket returns the bucket of a topic. It is the same function for another reason: all processes must agree on it.
func (db *DB) topicBucket(topic string) int { return db.groupBucket(topic) }

// numbered returns a field with numbers after its first byte.
func numbered(field string, numbers ...uint64) string {
	return string(appendNumbered(make([]byte, 0, 12), field, numbers...))
}

func appendNumbered(dst []byte, field string, numbers ...uint64) []byte {
	dst = append(dst, field...)
	for _, n := range numbers {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

// numbersOf returns the numbers after the first byte of a field; ok is false if their count differs.
func numbersOf(field string, numbers ...*uint64) (ok bool) {
	rest := field[1:]
	for _, to := range numbers {
		v, n := uvarint(rest)
		if n == 0 {
			return false
		}
		*to, rest = v, rest[n:]
	}
	return rest == ""
}

// uvarint reads a number from the beginning of a string; n is 0 if there is none.
func uvarint(s string) (v uint64, n int) {
	for n < len(s) && n < binary.MaxVarintLen64 {
		b := s[n]
		v |= uint64(b&0x7f) << (7 * n)
		n++
		if b < 0x80 {
			return v, n
		}
	}
	return 0, 0
}
