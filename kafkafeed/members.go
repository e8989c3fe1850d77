package kafkafeed

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// owner is the consumer of a partition.
type owner struct{ host, client string }

// owners are the owners of the partitions of a group; Group of the keys is empty.
type owners map[commitKey]owner

// members remembers the owners, so that only changes are stored.
type members struct {
	// busy is held while the owners of a group are stored: a deletion meanwhile would go unnoticed.
	busy   sync.Mutex
	mu     sync.Mutex
	groups map[string]owners // guarded by mu
}

// forget records that the store has lost owners of a group.
func (m *members) forget(group string) {
	m.busy.Lock()
	defer m.busy.Unlock()
	m.drop(group)
}

func (m *members) drop(group string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.groups, group)
}

// release drops the groups of some log partitions: another feed may store other owners.
func (m *members) release(numbers []int32, count int32) {
	m.busy.Lock()
	defer m.busy.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.groups, func(group string, _ owners) bool {
		return slices.Contains(numbers, protocol.LogPartitionOf(group, count))
	})
}

func (m *members) get(group string) (owners, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.groups[group]
	return o, ok
}

func (m *members) set(group string, o owners) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.groups[group] = o
}

// keep drops every group that is not listed.
func (m *members) keep(groups map[string]groupType) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.groups, func(group string, _ owners) bool { return groups[group] == "" })
}

// pollMembers fetches the owners and stores them.
func (f *Feed) pollMembers(ctx context.Context, groups map[string]groupType) error {
	var classic, consumer []string
	for group, kind := range groups {
		switch kind {
		case classicGroup:
			classic = append(classic, group)
		case consumerGroup:
			consumer = append(consumer, group)
		}
	}
	var faults faultList
	found := make(map[string]owners, len(groups))
	for some := range slices.Chunk(classic, groupsPerRequest) {
		described, err := f.admin.DescribeGroups(ctx, some...)
		if err != nil {
			faults.add(err)
		}
		for group, d := range described {
			if d.Err != nil {
				faults.addUnlessGone(d.Err)
				continue
			}
			found[group] = classicOwners(&d)
		}
	}
	for some := range slices.Chunk(consumer, groupsPerRequest) {
		described, err := f.admin.DescribeConsumerGroups(ctx, some...)
		if err != nil {
			faults.add(err)
		}
		for group, d := range described {
			if d.Err != nil {
				faults.addUnlessGone(d.Err)
				continue
			}
			found[group] = consumerOwners(&d)
		}
	}
	for group, o := range found {
		if err := f.storeOwners(ctx, group, o); err != nil {
			return err
		}
	}
	f.members.keep(groups)
	return faults.err()
}

func classicOwners(d *kadm.DescribedGroup) owners {
	found := make(owners)
	for i := range d.Members {
		m := &d.Members[i]
		assigned, ok := m.Assigned.AsConsumer()
		if !ok {
			continue
		}
		for _, t := range assigned.Topics {
			for _, partition := range t.Partitions {
				found[commitKey{topic: t.Topic, partition: partition}] = owner{hostOf(m.ClientHost), m.ClientID}
			}
		}
	}
	return found
}

func consumerOwners(d *kadm.DescribedConsumerGroup) owners {
	found := make(owners)
	for i := range d.Members {
		m := &d.Members[i]
		m.Assignment.Each(func(topic string, partition int32) {
			found[commitKey{topic: topic, partition: partition}] = owner{hostOf(m.ClientHost), m.ClientID}
		})
	}
	return found
}

// hostOf removes the slash with which Java prints an address.
func hostOf(host string) string { return strings.TrimPrefix(host, "/") }

func (f *Feed) storeOwners(ctx context.Context, group string, o owners) error {
	f.members.busy.Lock()
	defer f.members.busy.Unlock()
	if before, known := f.members.get(group); known && maps.Equal(before, o) {
		return nil
	}
	all := make([]protocol.PartitionOwner, 0, len(o))
	for key, who := range o {
		all = append(all, protocol.PartitionOwner{Topic: key.topic, Partition: key.partition, Owner: who.host, ClientID: who.client})
	}
	err := f.target.store.SetOwners(ctx, f.cluster, group, all)
	if fatal(err) {
		return err
	}
	refused, err := refusals(err)
	if known(err) != nil {
		f.failed(askStoreWrites, err)
	}
	// A wanted partition that the store refuses has no end offset yet.
	early := slices.ContainsFunc(refused, func(r storage.Refusal) bool { return f.wantsTopic(all[r.Index].Topic, false) })
	if err == nil && !early {
		f.members.set(group, o)
	} else {
		f.members.drop(group)
	}
	return ctx.Err()
}
