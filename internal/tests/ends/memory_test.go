package ends_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

const lastPartition = 1<<20 - 1

// held returns the bytes of a store by its own count.
func held(t *testing.T, db *storage.DB) int64 {
	t.Helper()
	stats, err := db.Stats()
	require.NoError(t, err)
	return int64(stats.Bytes)
}

// allocated returns the bytes that do has allocated.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// The tests of memory are not parallel: they read what the whole process has allocated.

// TestSparsePartitions stores end offsets of few partitions with high numbers: only those take memory.
func TestSparsePartitions(t *testing.T) {
	db := testkit.Open(t, nil)
	set := func(partition int32) {
		require.NoError(t, db.SetEndOffset(t.Context(), testkit.Cluster, "topic", protocol.EndOffset{
			Partition: partition, TopicPartitionCount: lastPartition + 1, Offset: 7,
		}))
	}
	empty := held(t, db)
	require.Less(t, allocated(func() { set(lastPartition) }), uint64(64<<10))
	require.Less(t, held(t, db)-empty, int64(1<<10))
	const known = 1000
	require.Less(t, allocated(func() {
		for i := range int32(known) {
			set(i * 1048)
		}
	}), uint64(known*1<<14), "the directory is copied now and then")
	require.Less(t, held(t, db)-empty, int64(known*400))
	ends, err := db.EndOffsets(t.Context(), testkit.Cluster, "topic", nil)
	require.NoError(t, err)
	require.Len(t, ends, lastPartition+1)
	for partition, end := range ends {
		want := int64(-1)
		if partition == lastPartition || partition%1048 == 0 && partition/1048 < known {
			want = 7
		}
		require.Equal(t, want, end, "partition %d", partition)
	}
}

// TestSettlingAWideFetch settles the fetch of a group with one commit in a topic of a million partitions: hardly anything is
// allocated before the answer is built.
func TestSettlingAWideFetch(t *testing.T) {
	db := testkit.Open(t, nil)
	require.NoError(t, db.SetEndOffset(t.Context(), testkit.Cluster, "topic", protocol.EndOffset{
		TopicPartitionCount: lastPartition + 1, Offset: 100,
	}))
	require.NoError(t, db.Commit(t.Context(), testkit.Cluster, "group", protocol.Commit{
		Topic: "topic", Offset: 90, Timestamp: time.Now().UnixMilli(),
	}))
	request := &protocol.StorageRequest{
		RequestType: protocol.StorageFetchConsumer, Cluster: testkit.Cluster, Group: "group",
	}
	var build func() any
	require.Less(t, allocated(func() {
		var err error
		build, err = db.Fetch(t.Context(), request)
		require.NoError(t, err)
	}), uint64(1<<20))
	// Later changes are not in the answer.
	require.NoError(t, db.SetEndOffset(t.Context(), testkit.Cluster, "topic", protocol.EndOffset{Offset: 200}))
	require.NoError(t, db.DeleteTopic(t.Context(), testkit.Cluster, "topic"))
	var answer any
	// A partition without commits takes a pointer and its target.
	require.Less(t, allocated(func() { answer = build() }), uint64(lastPartition*170))
	partitions := answer.(protocol.ConsumerTopics)["topic"]
	require.Len(t, partitions, lastPartition+1)
	require.Equal(t, protocol.PartitionBehind, partitions[0].State)
	require.EqualValues(t, 10, partitions[0].CurrentLag)
	require.Equal(t, []int64{100}, partitions[0].BrokerOffsets)
	last := partitions[lastPartition]
	require.Equal(t, protocol.PartitionNoCommit, last.State)
	require.NotNil(t, last.Offsets)
	require.NotNil(t, last.BrokerOffsets)
	// The caller may change an answer.
	last.Offsets = append(last.Offsets, &protocol.ConsumerOffset{})
	last.BrokerOffsets = append(last.BrokerOffsets, 7)
	require.Empty(t, partitions[lastPartition-1].Offsets)
	require.Empty(t, partitions[lastPartition-1].BrokerOffsets)
}

// TestGroupLimit fills one group with topics of a million partitions each: it has room for eight of them less one partition.
func TestGroupLimit(t *testing.T) {
	t.Parallel()
	db := testkit.Open(t, nil)
	commit := func(topic string, count int32) error {
		require.NoError(t, db.SetEndOffset(t.Context(), testkit.Cluster, topic, protocol.EndOffset{
			TopicPartitionCount: count, Offset: 100,
		}))
		return db.Commit(t.Context(), testkit.Cluster, "group", protocol.Commit{
			Topic: topic, Offset: 90, Timestamp: time.Now().UnixMilli(),
		})
	}
	for i := range 7 {
		require.NoError(t, commit(fmt.Sprint("topic", i), lastPartition+1))
	}
	require.ErrorIs(t, commit("one more", lastPartition+1), storage.ErrInvalid)
	require.ErrorIs(t, commit("one more", lastPartition+1), storage.ErrInvalid, "a refused commit leaves nothing behind")
	require.NoError(t, commit("topic0", 0))
	require.NoError(t, commit("as large as fits", lastPartition))
	require.ErrorIs(t, commit("a small one", 1), storage.ErrInvalid)
	require.NoError(t, db.DeleteTopic(t.Context(), testkit.Cluster, "topic3"))
	require.NoError(t, commit("one more", lastPartition+1))
}
