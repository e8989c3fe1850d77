package protocol

import shared "github.com/lagkeeper/storage/protocol"

// The storage types are the library's. An alias is the same type, so every composite literal, type assertion and method
// call of this application compiles as it did.
type (
	StorageRequestConstant = shared.StorageRequestConstant
	StorageRequest         = shared.StorageRequest
	ConsumerTopics         = shared.ConsumerTopics
	ConsumerPartitions     = shared.ConsumerPartitions
	ConsumerPartition      = shared.ConsumerPartition
	ConsumerOffset         = shared.ConsumerOffset
	Lag                    = shared.Lag
)

// The request types.
const (
	StorageSetBrokerOffset        = shared.StorageSetBrokerOffset
	StorageSetConsumerOffset      = shared.StorageSetConsumerOffset
	StorageSetConsumerOwner       = shared.StorageSetConsumerOwner
	StorageSetDeleteTopic         = shared.StorageSetDeleteTopic
	StorageSetDeleteGroup         = shared.StorageSetDeleteGroup
	StorageFetchClusters          = shared.StorageFetchClusters
	StorageFetchConsumers         = shared.StorageFetchConsumers
	StorageFetchTopics            = shared.StorageFetchTopics
	StorageFetchConsumer          = shared.StorageFetchConsumer
	StorageFetchTopic             = shared.StorageFetchTopic
	StorageClearConsumerOwners    = shared.StorageClearConsumerOwners
	StorageFetchConsumersForTopic = shared.StorageFetchConsumersForTopic
)
