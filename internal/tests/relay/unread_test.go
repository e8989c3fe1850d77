package relay_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// TestUnreadAnswersAreBounded fetches a group of 100 partitions 10,000 times and reads nothing: the newest answers wait,
// within 1,024 and 64 MiB; the Replies of the others are closed and counted.
// It is not parallel, since it looks at the whole heap.
func TestUnreadAnswersAreBounded(t *testing.T) {
	db := testkit.Open(t, nil)
	for p := range int32(100) {
		require.NoError(t, db.SetEndOffset(t.Context(), testkit.Cluster, "topic", protocol.EndOffset{Partition: p, TopicPartitionCount: 100, Offset: 1 << 40}))
		for i := range int64(10) {
			require.NoError(t, db.Commit(t.Context(), testkit.Cluster, "group", protocol.Commit{
				Topic: "topic", Partition: p, Offset: 1000 * i, Order: i + 1, Timestamp: now() + 10_000*i - 100_000,
			}))
		}
	}
	r := storage.NewRelay(db, nil, storage.RelayOptions{ReplyTimeout: time.Hour})
	r.Start()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const fetches = 10_000
	var replies []chan any
	for range fetches {
		replies = append(replies, fetch(r, "group"))
	}
	require.Eventually(t, func() bool {
		s := r.Stats()
		return s.QueuedAnswers == 0 && s.WaitingReplies+int(s.EvictedReplies) == fetches
	}, testkit.Patience, time.Millisecond)
	runtime.GC()
	runtime.ReadMemStats(&after)
	s := r.Stats()
	require.Positive(t, s.WaitingReplies)
	require.LessOrEqual(t, s.WaitingReplies, 1024)
	require.LessOrEqual(t, s.WaitingBytes, 64<<20)
	require.EqualValues(t, s.EvictedReplies, s.AbandonedReplies)
	grown := int(after.HeapAlloc) - int(before.HeapAlloc)
	t.Logf("%d answers wait: %d MiB counted, heap grew by %d MiB", s.WaitingReplies, s.WaitingBytes>>20, grown>>20)
	// The estimate is within a factor of two of what the answers take.
	require.Greater(t, 2*s.WaitingBytes, grown)

	read1, closed := 0, 0
	for _, reply := range replies {
		if read(t, reply) != nil {
			read1++
		} else {
			closed++
		}
	}
	require.Equal(t, s.WaitingReplies, read1)
	require.EqualValues(t, s.EvictedReplies, closed)
	require.Eventually(t, func() bool { return r.Stats().WaitingReplies == 0 }, testkit.Patience, time.Millisecond)
	require.Zero(t, r.Stats().WaitingBytes)
	r.Stop()
}

// TestOldestGoesFirst checks the limit in number and the limit in bytes, each with its statistics.
func TestOldestGoesFirst(t *testing.T) {
	t.Parallel()
	big := func(*protocol.StorageRequest) any { return make([]byte, 10_000) }
	for name, test := range map[string]struct {
		options storage.RelayOptions
		kept    int
	}{
		"number":                   {storage.RelayOptions{MaxUnread: 3}, 3},
		"bytes":                    {storage.RelayOptions{MaxUnreadBytes: 30_000}, 2},
		"one greater than allowed": {storage.RelayOptions{MaxUnreadBytes: 1}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				test.options.ReplyTimeout = 10 * time.Second
				r, _ := relayOf(big, test.options)
				var replies []chan any
				for range 10 {
					replies = append(replies, fetch(r, "group"))
					synctest.Wait()
				}
				s := r.Stats()
				require.Equal(t, test.kept, s.WaitingReplies)
				require.Greater(t, s.WaitingBytes, 10_000*test.kept)
				require.EqualValues(t, 10-test.kept, s.EvictedReplies)
				for i, reply := range replies[:9] {
					if i < 10-test.kept {
						require.Nil(t, read(t, reply), i)
					} else {
						require.NotNil(t, read(t, reply), i)
					}
				}
				<-time.After(10 * time.Second)
				synctest.Wait()
				require.Nil(t, read(t, replies[9]), "the reply timeout has passed")
				s = r.Stats()
				require.EqualValues(t, 1, s.TimedOutReplies)
				require.EqualValues(t, 10-test.kept+1, s.AbandonedReplies)
				require.Zero(t, s.WaitingReplies)
				require.Zero(t, s.WaitingBytes)
				r.Stop()
			})
		})
	}
}

// TestBufferedReplyIsNotCounted has many requesters whose Reply accepts the answer at once.
func TestBufferedReplyIsNotCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, _ := relayOf(func(r *protocol.StorageRequest) any { return r.Group }, storage.RelayOptions{MaxUnread: 1, MaxUnreadBytes: 1})
		var replies []chan any
		for i := range 100 {
			reply := make(chan any, 1)
			r.Submit(&protocol.StorageRequest{RequestType: protocol.StorageFetchConsumer, Group: fmt.Sprint(i), Reply: reply})
			replies = append(replies, reply)
		}
		synctest.Wait()
		require.Zero(t, r.Stats().AbandonedReplies)
		for i, reply := range replies {
			require.Equal(t, fmt.Sprint(i), read(t, reply))
		}
		r.Stop()
	})
}

// TestZeroOptions makes a Relay without options: an answer that is not taken at once stays deliverable for 30 seconds.
func TestZeroOptions(t *testing.T) {
	t.Parallel()
	for _, options := range []storage.RelayOptions{{}, {Workers: -1, QueueDepth: -1, ReplyTimeout: -1, MaxUnread: -1, MaxUnreadBytes: -1}} {
		synctest.Test(t, func(t *testing.T) {
			r, _ := relayOf(func(r *protocol.StorageRequest) any { return r.Group }, options)
			late, never := fetch(r, "late"), fetch(r, "never")
			<-time.After(29 * time.Second)
			synctest.Wait()
			require.Equal(t, "late", read(t, late))
			<-time.After(2 * time.Second)
			synctest.Wait()
			require.Nil(t, read(t, never))
			require.EqualValues(t, 1, r.Stats().TimedOutReplies)
			r.Stop()
		})
	}
}
