// Channel uses the store as applications of the published API do: viper configures it, requests go over a channel.
package main

import (
	"fmt"
	"log"
	"time"

	"github.com/spf13/viper"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

func main() {
	viper.Set("cluster.local.class-name", "kafka")
	viper.Set("storage.mystorage.class-name", "inmemory")
	app := &protocol.ApplicationContext{
		Logger: zap.NewNop(), StorageChannel: make(chan *protocol.StorageRequest),
	}
	coordinator := &storage.Coordinator{App: app, Log: app.Logger}
	coordinator.Configure()
	if err := coordinator.Start(); err != nil {
		log.Fatal(err)
	}

	now := time.Now().UnixMilli()
	app.StorageChannel <- &protocol.StorageRequest{
		RequestType: protocol.StorageSetBrokerOffset, Cluster: "local", Topic: "orders",
		TopicPartitionCount: 1, Offset: 120, Timestamp: now,
	}
	app.StorageChannel <- &protocol.StorageRequest{
		RequestType: protocol.StorageSetConsumerOffset, Cluster: "local", Group: "billing", Topic: "orders",
		Offset: 100, Order: 1, Timestamp: now,
	}
	fetch := &protocol.StorageRequest{
		RequestType: protocol.StorageFetchConsumer, Cluster: "local", Group: "billing", Reply: make(chan interface{}),
	}
	app.StorageChannel <- fetch
	topics := (<-fetch.Reply).(protocol.ConsumerTopics)
	fmt.Println("billing is behind by", topics["orders"][0].CurrentLag)

	if err := coordinator.Stop(); err != nil {
		log.Fatal(err)
	}
}
