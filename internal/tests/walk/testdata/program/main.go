// Program sends commits and a fetch over the channel, and prints through which files they went.
package main

import (
	"encoding/json"
	"log"
	"os"
	"time"

	"github.com/spf13/viper"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/walk/testdata/passed"
	"github.com/lagkeeper/storage/protocol"
)

func main() {
	viper.Set("cluster.local.class-name", "kafka")
	viper.Set("storage.mystorage.class-name", "inmemory")
	app := &protocol.ApplicationContext{Logger: zap.NewNop(), StorageChannel: make(chan *protocol.StorageRequest)}
	coordinator := &storage.Coordinator{App: app, Log: app.Logger}
	coordinator.Configure()
	if err := coordinator.Start(); err != nil {
		log.Fatal(err)
	}
	now := time.Now().UnixMilli()
	app.StorageChannel <- &protocol.StorageRequest{
		RequestType: protocol.StorageSetBrokerOffset, Cluster: "local", Topic: "orders", TopicPartitionCount: 1, Offset: 120, Timestamp: now,
	}
	// Many in a row, so that some are queued behind others if there is more than one processor.
	for i := range int64(5000) {
		app.StorageChannel <- &protocol.StorageRequest{
			RequestType: protocol.StorageSetConsumerOffset, Cluster: "local", Group: "billing", Topic: "orders",
			Offset: 100 + i, Order: 1 + i, Timestamp: now + i*10_000,
		}
	}
	fetch := &protocol.StorageRequest{
		RequestType: protocol.StorageFetchConsumer, Cluster: "local", Group: "billing", Reply: make(chan interface{}, 1),
	}
	app.StorageChannel <- fetch
	<-fetch.Reply
	if err := coordinator.Stop(); err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(passed.Walks()); err != nil {
		log.Fatal(err)
	}
}
