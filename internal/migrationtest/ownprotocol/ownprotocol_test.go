package ownprotocol_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage/internal/leaktest"
	"github.com/lagkeeper/storage/internal/migrationtest/ownprotocol"
	"github.com/lagkeeper/storage/internal/migrationtest/ownprotocol/metrics"
	"github.com/lagkeeper/storage/internal/migrationtest/ownprotocol/protocol"
	"github.com/lagkeeper/storage/internal/migrationtest/ownprotocol/storage"
)

var _ protocol.Coordinator = (*storage.Coordinator)(nil)

func TestMain(m *testing.M) {
	leaktest.Main(m)
}

// newContext makes the context of an application that is the leader.
func newContext() *protocol.ApplicationContext {
	level := zap.NewAtomicLevel()
	return &protocol.ApplicationContext{
		Logger:             zap.NewNop(),
		LogLevel:           &level,
		ZookeeperRoot:      "/lagmonitor",
		ZookeeperConnected: true,
		ZookeeperExpired:   sync.NewCond(&sync.Mutex{}),
		StorageChannel:     make(chan *protocol.StorageRequest),
		NotifierChannel:    make(chan *protocol.GroupReport, 10),
	}
}

func TestAppRuns(t *testing.T) {
	viper.Reset()
	t.Cleanup(viper.Reset)
	viper.Set("storage.mystorage.class-name", "inmemory")
	viper.Set("cluster.testcluster.class-name", "kafka")

	app := newContext()
	coordinator := &storage.Coordinator{App: app, Log: app.Logger}
	require.Error(t, coordinator.Start(), "Start before Configure")
	require.NoError(t, coordinator.Stop(), "Stop before Configure")
	coordinator.Configure()
	require.NoError(t, coordinator.Start())
	defer func() { assert.NoError(t, coordinator.Stop()) }()

	now := time.Now().UnixMilli()
	app.StorageChannel <- &protocol.StorageRequest{
		RequestType: protocol.StorageSetBrokerOffset, Cluster: "testcluster", Topic: "orders",
		TopicPartitionCount: 1, Offset: 500, Timestamp: now,
	}
	for group, offset := range map[string]int64{"billing": 300, "shipping": 500} {
		app.StorageChannel <- &protocol.StorageRequest{
			RequestType: protocol.StorageSetConsumerOffset, Cluster: "testcluster", Group: group, Topic: "orders",
			Offset: offset, Order: 1, Timestamp: now,
		}
	}

	notifier := &ownprotocol.Notifier{App: app, Log: app.Logger}
	notifier.Report()
	require.Len(t, app.NotifierChannel, 1, "only billing lags")
	report := <-app.NotifierChannel
	assert.Equal(t, "testcluster", report.Cluster)
	assert.Equal(t, "billing", report.Group)
	assert.Equal(t, uint64(200), report.TotalLag)
	require.Len(t, report.Newest["orders"], 1)
	commit := report.Newest["orders"][0].Commit
	assert.Equal(t, int64(300), commit.Offset)
	assert.Equal(t, &protocol.Lag{Value: 200}, commit.Lag)

	app.ZookeeperConnected = false
	notifier.Report()
	assert.Empty(t, app.NotifierChannel)
}

func TestNotifierOnFixture(t *testing.T) {
	t.Cleanup(viper.Reset)
	coordinator := storage.CoordinatorWithOffsets()
	defer func() { assert.NoError(t, coordinator.Stop()) }()
	coordinator.App.ZookeeperConnected = true
	coordinator.App.NotifierChannel = make(chan *protocol.GroupReport, 10)

	notifier := &ownprotocol.Notifier{App: coordinator.App, Log: zap.NewNop()}
	notifier.Report()
	lags := map[string]uint64{}
	for len(coordinator.App.NotifierChannel) > 0 {
		report := <-coordinator.App.NotifierChannel
		lags[report.Group] = report.TotalLag
	}
	assert.Equal(t, map[string]uint64{"testgroup": 4321 - 1900, "testgroup2": 4321 - 1400}, lags)
}

// What leaves the store takes its series with it, however it leaves.
func TestSeriesAreRetired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		viper.Reset()
		defer viper.Reset()
		viper.Set("storage.mystorage.class-name", "inmemory")
		viper.Set("storage.mystorage.expire-group", 3600)
		viper.Set("cluster.testcluster.class-name", "kafka")
		app, lags := newContext(), new(metrics.Lags)
		coordinator := &storage.Coordinator{App: app, Log: app.Logger, Lags: lags}
		coordinator.Configure()
		require.NoError(t, coordinator.Start())
		require.Error(t, coordinator.Start(), "a second Start")
		send := func(request protocol.StorageRequest) {
			request.Cluster = "testcluster"
			app.StorageChannel <- &request
		}
		order := int64(0)
		commit := func(group, topic string) {
			order++
			for partition := range int32(2) {
				send(protocol.StorageRequest{
					RequestType: protocol.StorageSetConsumerOffset, Group: group, Topic: topic, Partition: partition,
					Offset: 1, Order: order, Timestamp: time.Now().UnixMilli(),
				})
				lags.Set(metrics.Series{Cluster: "testcluster", Group: group, Topic: topic, Partition: partition}, 9)
			}
		}
		for _, topic := range []string{"orders", "clicks"} {
			for partition := range int32(2) {
				send(protocol.StorageRequest{
					RequestType: protocol.StorageSetBrokerOffset, Topic: topic, Partition: partition,
					TopicPartitionCount: 2, Offset: 10, Timestamp: time.Now().UnixMilli(),
				})
			}
			for _, group := range []string{"a", "b", "c"} {
				commit(group, topic)
			}
		}
		held := func() map[string]bool {
			// The fetch comes after all that was sent, and the feed is read by the time that nothing moves any more.
			fetch := &protocol.StorageRequest{RequestType: protocol.StorageFetchClusters, Reply: make(chan interface{})}
			app.StorageChannel <- fetch
			<-fetch.Reply
			synctest.Wait()
			held := make(map[string]bool)
			for series := range lags.Values() {
				held[series.Group+" "+series.Topic] = true
			}
			return held
		}
		assert.Len(t, held(), 6)
		send(protocol.StorageRequest{RequestType: protocol.StorageSetDeleteGroup, Group: "a"})
		assert.Equal(t, map[string]bool{"b orders": true, "b clicks": true, "c orders": true, "c clicks": true}, held())
		send(protocol.StorageRequest{RequestType: protocol.StorageSetDeleteGroup, Group: "b", Topic: "clicks"})
		assert.Equal(t, map[string]bool{"b orders": true, "c orders": true, "c clicks": true}, held())
		send(protocol.StorageRequest{RequestType: protocol.StorageSetDeleteTopic, Topic: "clicks"})
		assert.Equal(t, map[string]bool{"b orders": true, "c orders": true}, held())
		<-time.After(30 * time.Minute)
		commit("c", "orders")
		<-time.After(31 * time.Minute)
		assert.Equal(t, map[string]bool{"c orders": true}, held(), "b has expired")

		require.NoError(t, coordinator.Stop())
		require.NoError(t, coordinator.Stop())
		assert.Len(t, lags.Values(), 2, "a store that stops says nothing of its groups")
	})
}
