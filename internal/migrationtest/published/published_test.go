package published_test

import (
	"testing"
	"time"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/leaktest"
	"github.com/lagkeeper/storage/internal/migrationtest/published"
	"github.com/lagkeeper/storage/protocol"
)

func TestMain(m *testing.M) {
	leaktest.Main(m)
}

// configure sets the global configuration, as the published API reads it.
func configure(t *testing.T, settings map[string]any) {
	t.Helper()
	viper.Reset()
	t.Cleanup(viper.Reset)
	viper.Set("storage.mystorage.class-name", "inmemory")
	viper.Set("cluster.testcluster.class-name", "kafka")
	for key, value := range settings {
		viper.Set(key, value)
	}
}

func status(context *protocol.ApplicationContext, group string) *protocol.ConsumerGroupStatus {
	request := &protocol.EvaluatorRequest{
		Reply: make(chan *protocol.ConsumerGroupStatus), Cluster: "testcluster", Group: group, ShowAll: true,
	}
	context.EvaluatorChannel <- request
	return <-request.Reply
}

func TestAppRuns(t *testing.T) {
	configure(t, map[string]any{"storage.mystorage.intervals": 2, "storage.mystorage.min-distance": 1})
	app := published.New(zap.NewNop())
	require.NoError(t, app.Start())
	defer app.Stop()
	assert.True(t, app.Context.ConfigurationValid)
	assert.True(t, app.Context.AppReady)

	now := time.Now().UnixMilli()
	for partition, end := range []int64{500, 90} {
		app.Context.StorageChannel <- &protocol.StorageRequest{
			RequestType: protocol.StorageSetBrokerOffset, Cluster: "testcluster", Topic: "orders",
			Partition: int32(partition), TopicPartitionCount: 2, Offset: end, Timestamp: now,
		}
	}
	for i, commit := range []struct {
		partition int32
		offset    int64
	}{{0, 300}, {0, 300}, {1, 70}, {1, 90}} {
		app.Context.StorageChannel <- &protocol.StorageRequest{
			RequestType: protocol.StorageSetConsumerOffset, Cluster: "testcluster", Group: "billing", Topic: "orders",
			Partition: commit.partition, Offset: commit.offset, Order: int64(i + 1), Timestamp: now - 10000 + 2000*int64(i),
		}
	}
	app.Context.StorageChannel <- &protocol.StorageRequest{
		RequestType: protocol.StorageSetConsumerOwner, Cluster: "testcluster", Group: "billing", Topic: "orders",
		Partition: 0, Owner: "10.0.0.7", ClientID: "billing-1",
	}

	got := status(app.Context, "billing")
	assert.Equal(t, protocol.StatusError, got.Status)
	assert.Equal(t, 2, got.TotalPartitions)
	assert.Equal(t, uint64(200), got.TotalLag)
	assert.Equal(t, float32(1), got.Complete)
	require.Len(t, got.Partitions, 2)
	stalled, fine := got.Partitions[0], got.Partitions[1]
	assert.Same(t, stalled, got.Maxlag)
	assert.Equal(t, protocol.StatusStall, stalled.Status)
	assert.Equal(t, "10.0.0.7", stalled.Owner)
	assert.Equal(t, "billing-1", stalled.ClientID)
	assert.Equal(t, int64(300), stalled.End.Offset)
	assert.Equal(t, &protocol.Lag{Value: 200}, stalled.End.Lag)
	assert.Equal(t, protocol.StatusOK, fine.Status)
	assert.Equal(t, &protocol.Lag{Value: 20}, fine.Start.Lag)
	assert.Equal(t, &protocol.Lag{Value: 0}, fine.End.Lag)

	assert.Equal(t, protocol.StatusNotFound, status(app.Context, "nobody").Status)
}

func TestAppReportsEveryFaultOfItsConfiguration(t *testing.T) {
	configure(t, map[string]any{"storage.mystorage.intervals": 0, "storage.mystorage.expire-group": "soon"})
	app := published.New(zap.NewNop())
	err := app.Start()
	require.Error(t, err)
	assert.ErrorContains(t, err, "storage.mystorage.intervals")
	assert.ErrorContains(t, err, "storage.mystorage.expire-group")
	assert.False(t, app.Context.ConfigurationValid)
}

// The evaluator's own test, as the published API lets an application write it: on the fixture.
func TestEvaluatorOnFixture(t *testing.T) {
	coordinator := storage.CoordinatorWithOffsets()
	t.Cleanup(viper.Reset)
	defer func() { assert.NoError(t, coordinator.Stop()) }()
	coordinator.App.EvaluatorChannel = make(chan *protocol.EvaluatorRequest)
	evaluator := &published.Evaluator{App: coordinator.App, Log: zap.NewNop()}
	evaluator.Configure()
	require.NoError(t, evaluator.Start())
	defer func() { assert.NoError(t, evaluator.Stop()) }()

	full := status(coordinator.App, "testgroup")
	assert.Equal(t, protocol.StatusOK, full.Status)
	assert.Equal(t, uint64(4321-1900), full.TotalLag)
	assert.Equal(t, float32(1), full.Complete)
	assert.Equal(t, int64(1000), full.Maxlag.Start.Offset)
	assert.Equal(t, int64(1900), full.Maxlag.End.Offset)

	half := status(coordinator.App, "testgroup2")
	assert.Equal(t, uint64(4321-1400), half.TotalLag)
	assert.Equal(t, float32(0.5), half.Complete)
}
