package relay_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// filled starts a Relay of a DB with a group "small" of 10 partitions and a group "large" of 300, which commit offset 1.
func filled(t *testing.T) (*storage.Relay, *storage.DB) {
	t.Helper()
	db := testkit.Open(t, nil)
	for group, partitions := range map[string]int32{"small": 10, "large": 300} {
		for p := range partitions {
			require.NoError(t, db.SetEndOffset(t.Context(), testkit.Cluster, group, protocol.EndOffset{Partition: p, Offset: 1000}))
			require.NoError(t, db.Commit(t.Context(), testkit.Cluster, group, commitAt(group, p, 1)))
		}
	}
	r := storage.NewRelay(db, nil, storage.RelayOptions{})
	r.Start()
	return r, db
}

func commitAt(topic string, partition int32, offset int64) protocol.Commit {
	return protocol.Commit{Topic: topic, Partition: partition, Offset: offset, Order: offset, Timestamp: now()}
}

func request(kind protocol.StorageRequestConstant, group string, reply chan any) *protocol.StorageRequest {
	return &protocol.StorageRequest{RequestType: kind, Cluster: testkit.Cluster, Group: group, Topic: group, Reply: reply}
}

// A DB answers every kind of fetch, whatever the size of the answer and whether the Reply has room.
func TestAnswersOfEveryKind(t *testing.T) {
	t.Parallel()
	r, _ := filled(t)
	defer r.Stop()
	groups := []string{"small", "large"}
	for kind, want := range map[protocol.StorageRequestConstant][]string{
		protocol.StorageFetchClusters: {testkit.Cluster}, protocol.StorageFetchConsumers: groups,
		protocol.StorageFetchTopics: groups, protocol.StorageFetchConsumersForTopic: {"large"},
	} {
		for capacity := range 2 {
			reply := make(chan any, capacity)
			r.GetCommunicationChannel() <- request(kind, "large", reply)
			require.ElementsMatch(t, want, read(t, reply))
		}
	}
	for group, partitions := range map[string]int{"small": 10, "large": 300} {
		for capacity := range 2 {
			reply := make(chan any, capacity)
			r.GetCommunicationChannel() <- request(protocol.StorageFetchTopic, group, reply)
			require.Len(t, read(t, reply), partitions)
			reply = make(chan any, capacity)
			r.GetCommunicationChannel() <- request(protocol.StorageFetchConsumer, group, reply)
			require.Len(t, read(t, reply).(protocol.ConsumerTopics)[group], partitions)
		}
	}
	for _, kind := range []protocol.StorageRequestConstant{protocol.StorageFetchConsumer, protocol.StorageFetchTopic} {
		unknown := make(chan any, 1)
		r.GetCommunicationChannel() <- request(kind, "unknown", unknown)
		require.Nil(t, read(t, unknown))
	}
}

// A requester that does not read at once holds up nobody, and gets the answer as it was settled, whether its Reply has room
// or not, and over the channel as by Submit.
func TestAnswersAsSettled(t *testing.T) {
	t.Parallel()
	r, db := filled(t)
	defer r.Stop()
	offset := int64(1)
	for _, group := range []string{"small", "large"} {
		for capacity := range 2 {
			for name, send := range map[string]func(*protocol.StorageRequest){
				"channel": func(request *protocol.StorageRequest) { r.GetCommunicationChannel() <- request },
				"submit":  r.Submit,
			} {
				reply := make(chan any, capacity)
				send(request(protocol.StorageFetchConsumer, group, reply))
				lists := make(chan any)
				send(request(protocol.StorageFetchConsumers, "", lists))
				require.ElementsMatch(t, []string{"small", "large"}, read(t, lists))
				for g := range 2 {
					require.NoError(t, db.Commit(t.Context(), testkit.Cluster, []string{"small", "large"}[g], commitAt([]string{"small", "large"}[g], 3, offset+1)))
				}
				p := read(t, reply).(protocol.ConsumerTopics)[group][3]
				require.Equal(t, offset, p.Offsets[len(p.Offsets)-1].Offset, "%s, capacity %d, %s", group, capacity, name)
				offset++
			}
		}
	}
	require.Zero(t, r.Stats().AbandonedReplies)
}

// A requester that has closed its Reply, or used it for two requests, is counted, and nothing else happens.
func TestClosedReplies(t *testing.T) {
	t.Parallel()
	r, _ := filled(t)
	closed := make(chan any, 1)
	close(closed)
	requests := r.GetCommunicationChannel()
	requests <- request(protocol.StorageFetchConsumer, "small", closed)
	twice := make(chan any, 2)
	for range 2 {
		requests <- request(protocol.StorageFetchConsumer, "small", twice)
	}
	r.Stop()
	require.EqualValues(t, 2, r.Stats().ClosedReplies)
	require.NotNil(t, read(t, twice))
	require.Zero(t, r.Stats().Panics)
	require.Zero(t, r.Stats().AbandonedReplies)
}
