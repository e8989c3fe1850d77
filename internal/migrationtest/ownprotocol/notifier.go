// Package ownprotocol is a small lag monitor that keeps its own protocol package and its own application context.
// docs/migrating.md shows what it took to move it: protocol/storage.go and storage/coordinator.go.
package ownprotocol

import (
	"go.uber.org/zap"

	"github.com/lagkeeper/storage/internal/migrationtest/ownprotocol/protocol"
)

// Notifier reports every group that lags. It has not changed: it knows the application's own protocol package and nothing
// of the library.
type Notifier struct {
	App *protocol.ApplicationContext
	Log *zap.Logger
}

// Report sends a report on every lagging group of every cluster to NotifierChannel.
func (n *Notifier) Report() {
	if !n.App.ZookeeperConnected {
		n.Log.Info("not the leader")
		return
	}
	clusters, _ := n.fetch(&protocol.StorageRequest{RequestType: protocol.StorageFetchClusters}).([]string)
	for _, cluster := range clusters {
		groups, _ := n.fetch(&protocol.StorageRequest{
			RequestType: protocol.StorageFetchConsumers,
			Cluster:     cluster,
		}).([]string)
		for _, group := range groups {
			topics, known := n.fetch(&protocol.StorageRequest{
				RequestType: protocol.StorageFetchConsumer,
				Cluster:     cluster,
				Group:       group,
			}).(protocol.ConsumerTopics)
			if !known {
				continue // deleted or expired since it was listed
			}
			if report := newReport(cluster, group, topics); report.TotalLag > 0 {
				n.App.NotifierChannel <- report
			}
		}
	}
}

func (n *Notifier) fetch(request *protocol.StorageRequest) interface{} {
	request.Reply = make(chan interface{})
	n.App.StorageChannel <- request
	return <-request.Reply
}

func newReport(cluster, group string, topics protocol.ConsumerTopics) *protocol.GroupReport {
	report := &protocol.GroupReport{Cluster: cluster, Group: group, Newest: map[string][]protocol.OffsetView{}}
	for topic, partitions := range topics {
		for number, partition := range partitions {
			report.TotalLag += partition.CurrentLag
			view := protocol.OffsetView{Partition: int32(number)}
			if count := len(partition.Offsets); count > 0 {
				view.Commit = partition.Offsets[count-1]
			}
			report.Newest[topic] = append(report.Newest[topic], view)
		}
	}
	return report
}
