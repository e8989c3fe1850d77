package main

import (
	"context"

	"github.com/lagkeeper/storage/protocol"
)

// carryCommits sends the commits that moved since the store last heard of them, and takes out of the group the topics for
// which Kafka has neither commit nor member any more.
func (p *poller) carryCommits(ctx context.Context, seen *snapshot, name string, group groupSeen, before protocol.ConsumerTopics) error {
	for topic, partitions := range group.commits {
		for partition, offset := range partitions {
			stored := partitionOf(before, topic, partition)
			newest := newestCommit(stored)
			if newest != nil && newest.Offset == offset && stored.State != protocol.PartitionRestored &&
				seen.at.UnixMilli()-newest.Timestamp < p.confirm.Milliseconds() {
				continue
			}
			if err := p.store.send(ctx, &protocol.StorageRequest{
				RequestType: protocol.StorageSetConsumerOffset,
				Group:       name,
				Topic:       topic,
				Partition:   partition,
				Offset:      offset,
				Order:       p.order,
				Timestamp:   seen.at.UnixMilli(),
			}); err != nil {
				return err
			}
		}
	}
	for topic := range before {
		held := len(group.commits[topic]) > 0 || len(group.owners[topic]) > 0
		if !p.isGone("topic "+topic+" of group "+name, held, group.commitsKnown && group.ownersKnown) {
			continue
		}
		if err := p.store.send(ctx, &protocol.StorageRequest{
			RequestType: protocol.StorageSetDeleteGroup,
			Group:       name,
			Topic:       topic,
		}); err != nil {
			return err
		}
		p.events.add(seen.at, "group %s left topic %s", name, topic)
	}
	return nil
}

// carryOwners sets who consumes what where that changed. Members that left leave partitions without an owner.
func (p *poller) carryOwners(ctx context.Context, name string, group groupSeen, before protocol.ConsumerTopics) error {
	if !group.ownersKnown || sameOwners(group.owners, before) {
		return nil
	}
	if err := p.store.send(ctx, &protocol.StorageRequest{
		RequestType: protocol.StorageClearConsumerOwners,
		Group:       name,
	}); err != nil {
		return err
	}
	for topic, partitions := range group.owners {
		for partition, owner := range partitions {
			if err := p.store.send(ctx, &protocol.StorageRequest{
				RequestType: protocol.StorageSetConsumerOwner,
				Group:       name,
				Topic:       topic,
				Partition:   partition,
				Owner:       owner.host,
				ClientID:    owner.clientID,
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// sameOwners tells whether the store already has exactly these owners.
func sameOwners(owners map[string]map[int32]owner, stored protocol.ConsumerTopics) bool {
	var assigned, held int
	for topic, partitions := range owners {
		for partition, owner := range partitions {
			at := partitionOf(stored, topic, partition)
			if at == nil || at.Owner != owner.host || at.ClientID != owner.clientID {
				return false
			}
			assigned++
		}
	}
	for _, partitions := range stored {
		for _, partition := range partitions {
			if partition != nil && (partition.Owner != "" || partition.ClientID != "") {
				held++
			}
		}
	}
	return assigned == held
}

// partitionOf finds a partition in the store's answer, nil where it is not there.
func partitionOf(topics protocol.ConsumerTopics, topic string, partition int32) *protocol.ConsumerPartition {
	partitions := topics[topic]
	if partition < 0 || int(partition) >= len(partitions) {
		return nil
	}
	return partitions[partition]
}

// newestCommit is the last commit of the window, nil where the group never committed.
func newestCommit(partition *protocol.ConsumerPartition) *protocol.ConsumerOffset {
	if partition == nil || len(partition.Offsets) == 0 {
		return nil
	}
	return partition.Offsets[len(partition.Offsets)-1]
}
