package ownprotocol_test

import (
	"sync"
	"testing"
	"time"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage/internal/migrationtest/ownprotocol"
	"github.com/lagkeeper/storage/internal/migrationtest/ownprotocol/protocol"
	"github.com/lagkeeper/storage/internal/migrationtest/ownprotocol/storage"
)

var _ protocol.Coordinator = (*storage.Coordinator)(nil)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
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
