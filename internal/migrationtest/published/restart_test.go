package published_test

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage/internal/migrationtest/published"
	"github.com/lagkeeper/storage/protocol"
)

// running is the application with what a test sends to it. It knows nothing that the published API does not have.
type running struct {
	t   *testing.T
	app *published.App
}

func startApp(t *testing.T) running {
	t.Helper()
	app := published.New(zap.NewNop())
	require.NoError(t, app.Start())
	return running{t, app}
}

func (r running) end(topic string, offset int64) {
	for partition := range int32(2) {
		r.app.Context.StorageChannel <- &protocol.StorageRequest{
			RequestType: protocol.StorageSetBrokerOffset, Cluster: "testcluster", Topic: topic, Partition: partition,
			TopicPartitionCount: 2, Offset: offset, Timestamp: time.Now().UnixMilli(),
		}
	}
}

// commit is one record of the commit log.
type commit struct {
	group, topic  string
	partition     int32
	offset, order int64
	at            time.Time
}

func (r running) commit(c commit) {
	r.app.Context.StorageChannel <- &protocol.StorageRequest{
		RequestType: protocol.StorageSetConsumerOffset, Cluster: "testcluster", Group: c.group, Topic: c.topic,
		Partition: c.partition, Offset: c.offset, Order: c.order, Timestamp: c.at.UnixMilli(),
	}
}

func (r running) fetch(request protocol.StorageRequest) any {
	request.Cluster, request.Reply = "testcluster", make(chan any)
	r.app.Context.StorageChannel <- &request
	return <-request.Reply
}

func (r running) group(name, topic string) protocol.ConsumerPartitions {
	r.t.Helper()
	topics, ok := r.fetch(protocol.StorageRequest{RequestType: protocol.StorageFetchConsumer, Group: name}).(protocol.ConsumerTopics)
	require.True(r.t, ok, name)
	return topics[topic]
}

func (r running) topics() any {
	return r.fetch(protocol.StorageRequest{RequestType: protocol.StorageFetchTopics})
}

// offsets are the offsets of a window, without the empty places.
func offsets(p *protocol.ConsumerPartition) (list []int64) {
	for _, c := range p.Offsets {
		if c != nil {
			list = append(list, c.Offset)
		}
	}
	return list
}

// An application that sets snapshot-path and changes nothing else goes on after a restart where it stood: what it reads again
// changes nothing, what is new is taken, a group that is stuck is stuck again, and what was deleted meanwhile goes.
func TestRestartWithNothingButTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		configure(t, map[string]any{"storage.mystorage.snapshot-path": filepath.Join(t.TempDir(), "lag.snapshot")})
		begin := time.Now()
		// The partitions of billing come from two commit logs. The first record of a log has order 0.
		log := []commit{
			{"billing", "orders", 0, 10, 0, begin}, {"billing", "orders", 0, 500, 1, begin.Add(time.Second)},
			{"billing", "orders", 0, 900, 99_999, begin.Add(2 * time.Second)}, {"billing", "orders", 1, 100, 49, begin},
			{"stuck", "orders", 0, 40, 7, begin}, {"reader", "legacy", 0, 5, 8, begin},
		}
		app := startApp(t)
		app.end("orders", 1000)
		app.end("legacy", 10)
		for _, c := range log {
			app.commit(c)
		}
		<-time.After(5 * time.Second)
		before := app.group("billing", "orders")
		require.Equal(t, protocol.PartitionBehind, before[0].State)
		app.app.Stop()

		<-time.After(time.Minute)
		app = startApp(t)
		defer app.app.Stop()
		require.Equal(t, protocol.PartitionRestored, app.group("billing", "orders")[0].State)
		app.end("orders", 1000) // legacy was deleted while nobody looked
		for _, c := range log {
			app.commit(c)
		}
		after := app.group("billing", "orders")
		for partition := range before {
			assert.Equal(t, offsets(before[partition]), offsets(after[partition]), "read again")
			assert.Equal(t, before[partition].CurrentLag, after[partition].CurrentLag)
			assert.Equal(t, protocol.PartitionBehind, after[partition].State)
		}
		for order := int64(50); order < 60; order++ {
			app.commit(commit{"billing", "orders", 1, 2 * order, order, time.Now()})
		}
		assert.Equal(t, []int64{100, 102, 104, 106, 108, 110, 112, 114, 116, 118}, offsets(app.group("billing", "orders")[1]))
	})
}

// Nothing of a group is in what the application reads after the restart, and still the group is judged again.
func TestStuckGroupAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		configure(t, map[string]any{"storage.mystorage.snapshot-path": filepath.Join(t.TempDir(), "lag.snapshot")})
		app := startApp(t)
		app.end("orders", 1000)
		app.end("legacy", 10)
		app.commit(commit{"stuck", "orders", 0, 40, 7, time.Now()})
		app.commit(commit{"reader", "legacy", 0, 5, 8, time.Now()})
		app.app.Stop()

		app = startApp(t)
		defer app.app.Stop()
		assert.ElementsMatch(t, []string{"orders", "legacy"}, app.topics())
		for range 11 {
			app.end("orders", 1000)
			<-time.After(time.Minute)
		}
		stuck := app.group("stuck", "orders")[0]
		assert.Equal(t, protocol.PartitionBehind, stuck.State)
		assert.EqualValues(t, 960, stuck.CurrentLag)
		<-time.After(2 * time.Minute) // a sweep
		assert.ElementsMatch(t, []string{"orders"}, app.topics())
		assert.Nil(t, app.fetch(protocol.StorageRequest{RequestType: protocol.StorageFetchConsumer, Group: "reader"}))
	})
}
