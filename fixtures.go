package storage

import (
	"fmt"
	"time"

	"github.com/spf13/viper"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage/protocol"
)

// CoordinatorWithOffsets returns a running Coordinator with known data, for the tests of subsystems that need a store. It
// resets the global viper and configures there an inmemory module named "test" and a cluster "testcluster", so tests that
// use it cannot run in parallel with one another. The caller stops it.
//
// The cluster holds the topic "testtopic" with one partition whose end offset is 4321. The group "testgroup" has committed
// ten times: offsets 1000, 1100 to 1900, orders 10 to 19, ten seconds apart, the first 100 seconds ago. The group
// "testgroup2" has the first five of these commits. All is stored when the function returns. It panics if the store
// does not start.
func CoordinatorWithOffsets() *Coordinator {
	viper.Reset()
	viper.Set("storage.test.class-name", "inmemory")
	viper.Set("storage.test.intervals", 10)
	viper.Set("storage.test.min-distance", 0)
	viper.Set("storage.test.group-allowlist", "")
	viper.Set("storage.test.expire-group", 604800)
	viper.Set("cluster.testcluster.class-name", "kafka")

	coordinator := &Coordinator{
		App: &protocol.ApplicationContext{
			Logger:         zap.NewNop(),
			StorageChannel: make(chan *protocol.StorageRequest),
		},
		Log: zap.NewNop(),
	}
	coordinator.Configure()
	if err := coordinator.Start(); err != nil {
		panic(fmt.Sprintf("start storage with test data: %v", err))
	}

	// Requests of one sender take effect in order, so the answer to the last one means that all are stored.
	first := time.Now().UnixMilli() - 100_000
	send := func(request protocol.StorageRequest) {
		request.Cluster, request.Topic = "testcluster", "testtopic"
		coordinator.App.StorageChannel <- &request
	}
	send(protocol.StorageRequest{
		RequestType: protocol.StorageSetBrokerOffset, TopicPartitionCount: 1, Offset: 4321, Timestamp: first - 1,
	})
	for _, group := range []struct {
		name    string
		commits int64
	}{{"testgroup", 10}, {"testgroup2", 5}} {
		for i := range group.commits {
			send(protocol.StorageRequest{
				RequestType: protocol.StorageSetConsumerOffset, Group: group.name,
				Offset: 1000 + 100*i, Order: 10 + i, Timestamp: first + 10_000*i,
			})
		}
	}
	stored := make(chan interface{})
	send(protocol.StorageRequest{RequestType: protocol.StorageFetchTopic, Reply: stored})
	<-stored
	return coordinator
}
