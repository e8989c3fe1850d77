package stats_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// TestStatsContent counts what exists, as it comes and goes.
func TestStatsContent(t *testing.T) {
	t.Parallel()
	s := testkit.Started(t, testkit.Config())
	ctx, store, now := t.Context(), s.Store(), time.Now().UnixMilli()
	is := func(groups, groupTopics, groupPartitions, topics, partitions int) {
		t.Helper()
		stats := s.Stats()
		require.Equal(t, []int{groups, groupTopics, groupPartitions, topics, partitions},
			[]int{stats.Groups, stats.GroupTopics, stats.GroupPartitions, stats.Topics, stats.Partitions})
	}
	end := func(cluster, topic string, partition int32) {
		require.NoError(t, store.SetEndOffset(ctx, cluster, topic, protocol.EndOffset{Partition: partition, TopicPartitionCount: 9, Offset: 9}))
	}
	commit := func(cluster, group, topic string, partition int32) {
		require.NoError(t, store.Commit(ctx, cluster, group, protocol.Commit{Topic: topic, Partition: partition, Timestamp: now}))
	}
	is(0, 0, 0, 0, 0)
	require.Zero(t, s.Stats().Bytes)
	end("local", "a", 3)
	is(0, 0, 0, 1, 1)
	end("local", "a", 0)
	end("local", "a", 0)
	end("local", "b", 0)
	end("remote", "a", 0)
	is(0, 0, 0, 3, 4)
	commit("local", "g", "a", 3)
	commit("local", "g", "a", 3)
	is(1, 1, 1, 3, 4)
	commit("local", "g", "a", 0)
	commit("local", "g", "b", 0)
	commit("remote", "g", "a", 0)
	is(2, 3, 4, 3, 4)
	require.NoError(t, store.SetOwner(ctx, "local", "h", protocol.PartitionOwner{Topic: "a", Owner: "host"}))
	is(3, 4, 5, 3, 4)
	require.Positive(t, s.Stats().Bytes)
	require.NoError(t, store.DeleteTopic(ctx, "local", "a"))
	is(2, 2, 2, 2, 2)
	require.NoError(t, store.DeleteGroup(ctx, "local", "g"))
	require.NoError(t, store.DeleteGroup(ctx, "remote", "g"))
	is(0, 0, 0, 2, 2)
}

// TestStatsSweeps counts sweeps and what they remove: topics of living groups, and groups.
func TestStatsSweeps(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
		s.End(100)
		s.Send(testkit.EndOf("second", 0, 1, 100))
		s.Commits(10)
		s.Send(testkit.CommitOf("group", "second", 0, 10, 1, time.Now().UnixMilli()))
		is := func(sweeps, groups, topics uint64) {
			t.Helper()
			stats := s.Stats()
			require.Equal(t, []uint64{sweeps, groups, topics}, []uint64{stats.Sweeps, stats.ExpiredGroups, stats.ExpiredTopics})
		}
		time.Sleep(6 * time.Second)
		is(0, 0, 0)
		time.Sleep(5 * time.Second)
		is(1, 0, 0)
		time.Sleep(10 * time.Second)
		is(2, 0, 0)
		s.Commits(20)
		time.Sleep(20 * time.Second) // second is 41 s old, topic 20 s
		is(4, 0, 1)
		time.Sleep(30 * time.Second) // topic is 50 s old, and the group with it
		is(7, 1, 1)
		require.Zero(t, s.Stats().Groups)
		s.Commits(30)
		is(7, 1, 1)
		time.Sleep(101 * time.Second)
		is(17, 2, 1)
	}, "expire-group", 100, "expire-topic", 30, "sweep-interval", 10)
}

// TestStatsBytes compares the counted bytes with the growth of the heap. It is not parallel, so that nothing else grows the
// heap.
func TestStatsBytes(t *testing.T) {
	const groups, topics, partitions, commits = 600, 60, 40, 6
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	s := testkit.Started(t, testkit.Config("intervals", 10))
	store, ctx := s.Store(), context.Background()
	before := heap()
	now := time.Now().UnixMilli() - 3_600_000
	batch := make([]protocol.Commit, partitions)
	ends := make([]protocol.EndOffset, partitions)
	for round := range int64(commits) {
		for topic := range topics {
			for p := range ends {
				ends[p] = protocol.EndOffset{
					Partition: int32(p), TopicPartitionCount: partitions, Offset: 1_000_000 + round*3000 + int64(topic*p),
					Timestamp: now + round*30_000,
				}
			}
			require.NoError(t, store.SetEndOffsetBatch(ctx, "local", fmt.Sprint("topic", topic), ends))
		}
		for group := range groups {
			name := fmt.Sprint("a group with a name ", group)
			for p := range batch {
				batch[p] = protocol.Commit{
					Topic: fmt.Sprint("topic", group%topics), Partition: int32(p), Offset: 999_000 + round*3000 + int64(group*p%1000),
					Order: 1 + round*100_000 + int64(group*partitions+p), Timestamp: now + round*30_000 + int64(group),
				}
				if round == 0 && p%4 == 0 {
					require.NoError(t, store.Commit(ctx, "local", name, batch[p]))
					require.NoError(t, store.SetOwner(ctx, "local", name, protocol.PartitionOwner{
						Topic: batch[p].Topic, Partition: int32(p), Owner: fmt.Sprint("host-of-owner-", p), ClientID: name,
					}))
					batch[p].Order++
				}
			}
			require.NoError(t, store.CommitBatch(ctx, "local", name, batch))
		}
	}
	grown := float64(heap() - before)
	stats := s.Stats()
	require.Equal(t, groups, stats.Groups)
	require.Equal(t, groups*partitions, stats.GroupPartitions)
	require.Equal(t, topics*partitions, stats.Partitions)
	t.Logf("%d bytes told, %.0f on the heap, %.1f %%", stats.Bytes, grown, 100*float64(stats.Bytes)/grown)
	require.InDelta(t, grown, stats.Bytes, 0.15*grown)
}
