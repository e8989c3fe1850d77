package relay_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// roundTrip is how long each call of a remote store takes.
const roundTrip = time.Millisecond

// remote is a store a round trip away.
type remote struct {
	*storage.DB
	calls, batches, underWay, most *atomic.Int64
}

func (r remote) InFlight() int { return 8 }

func (r remote) travel() (back func()) {
	r.calls.Add(1)
	if n := r.underWay.Add(1); n > r.most.Load() {
		r.most.Store(n)
	}
	<-time.After(roundTrip)
	return func() { r.underWay.Add(-1) }
}

func (r remote) Commit(ctx context.Context, cluster, group string, commit protocol.Commit) error {
	defer r.travel()()
	return r.DB.Commit(ctx, cluster, group, commit)
}

func (r remote) CommitBatch(ctx context.Context, cluster, group string, commits []protocol.Commit) error {
	defer r.travel()()
	r.batches.Add(1)
	return r.DB.CommitBatch(ctx, cluster, group, commits)
}

func (r remote) SetEndOffset(ctx context.Context, cluster, topic string, end protocol.EndOffset) error {
	defer r.travel()()
	return r.DB.SetEndOffset(ctx, cluster, topic, end)
}

// Requests to a store that is a round trip away share round trips, a limited number at once, and take effect in their order:
// each fetch sees what was sent before it, and nothing that was sent later.
func TestRemoteStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := testkit.Open(t, nil)
		store := remote{db, new(atomic.Int64), new(atomic.Int64), new(atomic.Int64), new(atomic.Int64)}
		r := storage.NewRelay(store, nil, storage.RelayOptions{})
		r.Start()
		begun := time.Now()
		requests := r.GetCommunicationChannel()
		const rounds, groups, topics = 20, 10, 5
		var replies []chan any
		sent := int64(0)
		for round := range int64(rounds) {
			for topic := range topics {
				sent++
				requests <- &protocol.StorageRequest{
					RequestType: protocol.StorageSetBrokerOffset, Cluster: testkit.Cluster, Topic: fmt.Sprint("topic-", topic),
					TopicPartitionCount: 1, Offset: 1000 + round, Timestamp: now(),
				}
			}
			for group := range groups {
				for topic := range topics {
					sent++
					requests <- &protocol.StorageRequest{
						RequestType: protocol.StorageSetConsumerOffset, Cluster: testkit.Cluster, Group: fmt.Sprint("group-", group),
						Topic: fmt.Sprint("topic-", topic), Offset: round, Order: round + 1, Timestamp: now(),
					}
				}
			}
			reply := make(chan any, 1)
			replies = append(replies, reply)
			requests <- &protocol.StorageRequest{RequestType: protocol.StorageFetchConsumer, Cluster: testkit.Cluster, Group: "group-3", Reply: reply}
		}
		for round, reply := range replies {
			answer, ok := read(t, reply).(protocol.ConsumerTopics)
			require.True(t, ok)
			require.Len(t, answer, topics)
			for _, partitions := range answer {
				offsets := partitions[0].Offsets
				require.EqualValues(t, round, offsets[len(offsets)-1].Offset)
				require.EqualValues(t, 1000, offsets[len(offsets)-1].Lag.Value, "against the end offset sent just before")
			}
		}
		require.Less(t, time.Since(begun), time.Duration(sent)*roundTrip/5)
		require.LessOrEqual(t, store.most.Load(), int64(store.InFlight()))
		require.Greater(t, store.most.Load(), int64(1))
		require.Positive(t, store.batches.Load())
		require.Less(t, store.calls.Load(), sent/2)
		r.Stop()
		require.Zero(t, r.Stats().Panics)
	})
}

// An element that a batch refuses is dropped and logged for its own request, and the rest is stored.
func TestRemoteStoreRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := testkit.Open(t, nil)
		store := remote{db, new(atomic.Int64), new(atomic.Int64), new(atomic.Int64), new(atomic.Int64)}
		r := storage.NewRelay(store, nil, storage.RelayOptions{})
		r.Start()
		requests := r.GetCommunicationChannel()
		requests <- &protocol.StorageRequest{
			RequestType: protocol.StorageSetBrokerOffset, Cluster: testkit.Cluster, Topic: "topic", TopicPartitionCount: 4, Offset: 9, Timestamp: now(),
		}
		for _, topic := range []string{"topic", "unknown", "topic", "unknown"} {
			requests <- &protocol.StorageRequest{
				RequestType: protocol.StorageSetConsumerOffset, Cluster: testkit.Cluster, Group: "group", Topic: topic, Offset: 3, Order: -1, Timestamp: now(),
			}
		}
		reply := make(chan any, 1)
		requests <- &protocol.StorageRequest{RequestType: protocol.StorageFetchConsumer, Cluster: testkit.Cluster, Group: "group", Reply: reply}
		answer, ok := read(t, reply).(protocol.ConsumerTopics)
		require.True(t, ok)
		require.Len(t, answer, 1)
		offsets := answer["topic"][0].Offsets
		require.NotNil(t, offsets[len(offsets)-1])
		require.NotNil(t, offsets[len(offsets)-2])
		r.Stop()
		stats, err := db.Stats()
		require.NoError(t, err)
		require.EqualValues(t, 2, stats.Requests.Commit.Done)
		require.EqualValues(t, 2, stats.Requests.Commit.Dropped[storage.ReasonUnknownTopic])
		require.Positive(t, store.batches.Load())
	})
}
