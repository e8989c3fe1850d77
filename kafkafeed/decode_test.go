package kafkafeed

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lagkeeper/storage/protocol"
)

func commitKeyBytes(version int16, group, topic string, partition int32) []byte {
	key := kmsg.NewOffsetCommitKey()
	key.Version, key.Group, key.Topic, key.Partition = version, group, topic, partition
	return key.AppendTo(nil)
}

func commitValueBytes(version int16, offset, timestamp int64) []byte {
	value := kmsg.NewOffsetCommitValue()
	value.Version, value.Offset, value.CommitTimestamp, value.Metadata = version, offset, timestamp, "host-1"
	if version >= 4 {
		value.TopicID = [16]byte{1, 2, 3}
	}
	return value.AppendTo(nil)
}

func groupKeyBytes(group string) []byte {
	key := kmsg.NewGroupMetadataKey()
	key.Version, key.Group = 2, group
	return key.AppendTo(nil)
}

func groupValueBytes(version int16, members int) []byte {
	value := kmsg.NewGroupMetadataValue()
	value.Version, value.ProtocolType, value.Protocol = version, "consumer", kmsg.StringPtr("range")
	for range members {
		member := kmsg.NewGroupMetadataValueMember()
		member.MemberID, member.ClientID = "m", "c"
		value.Members = append(value.Members, member)
	}
	return value.AppendTo(nil)
}

func versionKey(version int16) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(version)), 0, 1, 'g')
}

func TestDecodeCommits(t *testing.T) {
	for key := int16(0); key <= 1; key++ {
		for value := int16(0); value <= 4; value++ {
			record := &kgo.Record{Key: commitKeyBytes(key, "a.b", "orders.eu", 7), Value: commitValueBytes(value, 42, 1700),
				Partition: 3, Offset: 99}
			entry, err := Decode(record)
			require.NoError(t, err)
			want := Entry{Kind: KindCommit, Group: "a.b", Topic: "orders.eu", Partition: 7, Offset: 42, Timestamp: 1700,
				LogPartition: 3, Order: 99, Producer: -1}
			if value >= 4 {
				want.TopicID = [16]byte{1, 2, 3}
			}
			require.Equal(t, want, entry, "key %d, value %d", key, value)
		}
		entry, err := Decode(&kgo.Record{Key: commitKeyBytes(key, "g", "t", 0)})
		require.NoError(t, err)
		require.Equal(t, KindCommitTombstone, entry.Kind)
	}
}

func TestDecodeGroups(t *testing.T) {
	for version := int16(0); version <= 3; version++ {
		entry, err := Decode(&kgo.Record{Key: groupKeyBytes("g"), Value: groupValueBytes(version, 2)})
		require.NoError(t, err)
		require.Equal(t, Entry{Kind: KindGroup, Group: "g", Protocol: "consumer", Members: 2, Producer: -1}, entry)
	}
	entry, err := Decode(&kgo.Record{Key: groupKeyBytes("g")})
	require.NoError(t, err)
	require.Equal(t, KindGroupTombstone, entry.Kind)
}

func TestDecodeCountsOtherKinds(t *testing.T) {
	for version, want := range map[int16]Kind{
		3: KindConsumerGroup, 4: KindConsumerGroup, 8: KindConsumerGroup, 16: KindConsumerGroup,
		9: KindShareGroup, 10: KindShareGroup, 15: KindShareGroup,
		17: KindStreamsGroup, 23: KindStreamsGroup,
		24: KindUnknown, -1: KindUnknown, 32767: KindUnknown,
	} {
		entry, err := Decode(&kgo.Record{Key: versionKey(version), Value: []byte("anything")})
		require.NoError(t, err)
		require.Equal(t, want, entry.Kind, "key version %d", version)
	}
	// A value of a later version may have another meaning.
	for _, version := range []int16{5, -1} {
		value := binary.BigEndian.AppendUint16(nil, uint16(version))
		entry, err := Decode(&kgo.Record{Key: commitKeyBytes(1, "g", "t", 0), Value: value})
		require.NoError(t, err)
		require.Equal(t, KindUnknown, entry.Kind)
		entry, err = Decode(&kgo.Record{Key: groupKeyBytes("g"), Value: value})
		require.NoError(t, err)
		require.Equal(t, KindUnknown, entry.Kind)
	}
}

func TestDecodeMarkers(t *testing.T) {
	control := kgo.NewRecordAttrs(kgo.RecordAttrsOpts{Control: true, Transactional: true})
	for kind, want := range map[byte]Kind{0: KindAbortMarker, 1: KindCommitMarker, 2: KindControl} {
		entry, err := Decode(&kgo.Record{Key: []byte{0, 0, 0, kind}, Attrs: control, ProducerID: 5})
		require.NoError(t, err)
		require.Equal(t, Entry{Kind: want, Producer: 5}, entry)
	}
}

func TestDecodeCorrupt(t *testing.T) {
	whole := commitValueBytes(4, 42, 1700)
	hostile := append(commitValueBytes(3, 1, 1)[:0:0], 0, 4)
	hostile = append(hostile, make([]byte, 12)...)
	hostile = append(hostile, 1)                                        // metadata: empty
	hostile = append(hostile, make([]byte, 8)...)                       // timestamp
	hostile = append(hostile, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f) // a great number of tags
	for name, record := range map[string]*kgo.Record{
		"no key":             {Value: whole},
		"half a key":         {Key: commitKeyBytes(1, "g", "t", 1)[:5], Value: whole},
		"half a value":       {Key: commitKeyBytes(1, "g", "t", 1), Value: whole[:len(whole)-3]},
		"empty value":        {Key: commitKeyBytes(1, "g", "t", 1), Value: []byte{}},
		"negative offset":    {Key: commitKeyBytes(1, "g", "t", 1), Value: commitValueBytes(3, -1, 1)},
		"negative partition": {Key: commitKeyBytes(1, "g", "t", -1), Value: whole},
		"null group":         {Key: []byte{0, 2, 0xff, 0xff}},
		"many tags":          {Key: commitKeyBytes(1, "g", "t", 1), Value: hostile},
		"many members":       {Key: groupKeyBytes("g"), Value: append(groupValueBytes(3, 0)[:0:0], 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff)},
		"half a marker":      {Key: []byte{0, 0, 0}, Attrs: kgo.NewRecordAttrs(kgo.RecordAttrsOpts{Control: true})},
	} {
		entry, err := Decode(record)
		require.Error(t, err, name)
		require.Equal(t, KindCorrupt, entry.Kind, name)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(commitKeyBytes(1, "g", "t", 1), commitValueBytes(4, 1, 2), uint8(0))
	f.Add(commitKeyBytes(1, "g", "t", 1), commitValueBytes(3, 1, 2), uint8(0))
	f.Add(commitKeyBytes(1, strings.Repeat("g", 1<<15-1), "t", 1), commitValueBytes(3, 1, 2), uint8(0))
	f.Add(commitKeyBytes(0, "g", "t", 1), commitValueBytes(1, 1, 2), uint8(1))
	f.Add(groupKeyBytes("g"), groupValueBytes(3, 2), uint8(0))
	f.Add([]byte{0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 0}, uint8(3))
	f.Fuzz(func(t *testing.T, key, value []byte, bits uint8) {
		record := &kgo.Record{Key: key, Value: value, ProducerID: 7,
			Attrs: kgo.NewRecordAttrs(kgo.RecordAttrsOpts{Transactional: bits&1 != 0, Control: bits&2 != 0})}
		entry, err := Decode(record)
		require.Equal(t, err != nil, entry.Kind == KindCorrupt)
		require.Contains(t, Kinds(), entry.Kind)
		var commit protocol.Commit
		if known := newNames(); known.quick(record, &commit) {
			require.Equal(t, KindCommit, entry.Kind)
			require.Equal(t, int64(-1), entry.Producer)
			require.Equal(t, []string{entry.Group, entry.Topic}, []string{known.group.name, known.topic.name})
			require.Equal(t, protocol.Commit{Topic: entry.Topic, Partition: entry.Partition, Offset: entry.Offset, Order: entry.Order,
				Timestamp: entry.Timestamp}, commit)
		}
		if entry.Kind == KindCommit {
			// What the reference decoder reads must agree. Its loop over tags is unbounded, so it gets only values without tags.
			require.GreaterOrEqual(t, entry.Offset, int64(0))
			require.GreaterOrEqual(t, entry.Partition, int32(0))
			if version := binary.BigEndian.Uint16(value); version < firstFlexibleValue {
				reference := kmsg.NewOffsetCommitValue()
				if reference.ReadFrom(value) == nil {
					require.Equal(t, reference.Offset, entry.Offset)
					require.Equal(t, reference.CommitTimestamp, entry.Timestamp)
				}
			}
		}
	})
}
