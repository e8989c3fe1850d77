// Package protocol is the application's own, as it was before it moved: its context has fields that no library knows, and
// its evaluator types are its own. Only the storage types became aliases.
package protocol

import (
	"sync"

	"go.uber.org/zap"
)

// ApplicationContext is what the subsystems of this application share.
type ApplicationContext struct {
	Logger             *zap.Logger
	LogLevel           *zap.AtomicLevel
	ConfigurationValid bool

	Zookeeper          ZookeeperClient
	ZookeeperRoot      string
	ZookeeperConnected bool
	ZookeeperExpired   *sync.Cond

	StorageChannel  chan *StorageRequest
	NotifierChannel chan *GroupReport

	AppReady bool
}

// ZookeeperClient is the part of a Zookeeper client that this application needs for its leader election.
type ZookeeperClient interface {
	Create(path string, data []byte) error
	Close()
}

// GroupReport is what the notifier of this application sends on.
type GroupReport struct {
	Cluster  string                  `json:"cluster"`
	Group    string                  `json:"group"`
	TotalLag uint64                  `json:"totallag"`
	Newest   map[string][]OffsetView `json:"newest"`
}

// OffsetView shows the newest commit of a partition.
type OffsetView struct {
	Partition int32           `json:"partition"`
	Commit    *ConsumerOffset `json:"commit"`
}

// Coordinator is the life of one subsystem.
type Coordinator interface {
	Configure()
	Start() error
	Stop() error
}
