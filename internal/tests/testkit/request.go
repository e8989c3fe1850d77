package testkit

import "github.com/lagkeeper/storage/protocol"

// EndOf returns a request that stores an end offset in the cluster "local".
func EndOf(topic string, partition, count int32, offset int64) *protocol.StorageRequest {
	return &protocol.StorageRequest{
		RequestType: protocol.StorageSetBrokerOffset, Cluster: "local", Topic: topic,
		Partition: partition, TopicPartitionCount: count, Offset: offset,
	}
}

// CommitOf returns a request that stores a commit in the cluster "local".
func CommitOf(group, topic string, partition int32, offset, order, timestamp int64) *protocol.StorageRequest {
	return &protocol.StorageRequest{
		RequestType: protocol.StorageSetConsumerOffset, Cluster: "local", Group: group, Topic: topic,
		Partition: partition, Offset: offset, Order: order, Timestamp: timestamp,
	}
}

// FetchOf returns a request for a group of the cluster "local".
func FetchOf(group string) *protocol.StorageRequest {
	return &protocol.StorageRequest{RequestType: protocol.StorageFetchConsumer, Cluster: "local", Group: group}
}
