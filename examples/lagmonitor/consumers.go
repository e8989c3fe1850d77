package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// everything is the rate of a group that reads all messages.
const everything = -1

// role is a consumer group of the script.
type role struct {
	name    string
	topic   string
	members int
	// rate is the number of messages of each partition that the group reads per step of the script.
	rate func(at int) int
}

// consumerGroup plays a role with real consumers. It is owned by the goroutine that steps.
type consumerGroup struct {
	role
	brokers []string

	members   []*member       // empty while the group is stopped
	have      map[int32]int64 // the offset up to which the messages of a partition have been received
	committed map[int32]int64
}

// member is one consumer.
type member struct {
	client *kgo.Client

	mu       sync.Mutex
	assigned map[int32]bool // guarded by mu
}

func newConsumerGroup(brokers []string, role role) *consumerGroup {
	return &consumerGroup{
		role:      role,
		brokers:   brokers,
		have:      make(map[int32]int64),
		committed: make(map[int32]int64),
	}
}

// start makes the members join.
func (g *consumerGroup) start() error {
	for number := range g.role.members {
		m := &member{assigned: make(map[int32]bool)}
		unassign := func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { m.assign(lost[g.topic], false) }
		client, err := kgo.NewClient(
			kgo.SeedBrokers(g.brokers...),
			kgo.ClientID(fmt.Sprintf("%s-%d", g.name, number+1)),
			kgo.ConsumerGroup(g.name),
			kgo.ConsumeTopics(g.topic),
			kgo.Balancers(kgo.RangeBalancer()),
			kgo.DisableAutoCommit(),
			kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, got map[string][]int32) { m.assign(got[g.topic], true) }),
			kgo.OnPartitionsRevoked(unassign),
			kgo.OnPartitionsLost(unassign),
			// The demo cannot wait: a rebalance is noticed at a heartbeat, and added partitions at a refresh.
			kgo.HeartbeatInterval(100*time.Millisecond),
			kgo.MetadataMinAge(metadataMinAge),
			kgo.FetchMaxWait(500*time.Millisecond),
			kgo.DisableClientMetrics(),
		)
		if err != nil {
			return err
		}
		m.client = client
		g.members = append(g.members, m)
	}
	return nil
}

// wait returns when the members together have a number of partitions assigned.
func (g *consumerGroup) wait(ctx context.Context, partitions int) error {
	err := until(ctx, func() bool {
		assigned := 0
		for _, m := range g.members {
			assigned += len(m.partitions())
		}
		return assigned == partitions
	})
	if err != nil {
		return fmt.Errorf("group %s: wait for %d assigned partitions: %w", g.name, partitions, err)
	}
	return nil
}

// stop makes the members leave.
func (g *consumerGroup) stop() {
	for _, m := range g.members {
		m.client.Close()
	}
	g.members = nil
}

// forget clears the offsets of a group that is deleted.
func (g *consumerGroup) forget() {
	clear(g.have)
	clear(g.committed)
}

// refresh makes the members notice partitions that were added, and waits until they are assigned.
func (g *consumerGroup) refresh(ctx context.Context, partitions int) error {
	for _, m := range g.members {
		m.client.ForceMetadataRefresh()
	}
	return g.wait(ctx, partitions)
}

// read receives what the group reads in a step of the script and commits it.
func (g *consumerGroup) read(ctx context.Context, at int, ends []int64) error {
	if len(g.members) == 0 {
		return nil
	}
	targets := make(map[int32]int64)
	for number, end := range ends {
		partition := int32(number)
		target := end
		if rate := g.rate(at); rate != everything {
			target = min(end, g.committed[partition]+int64(rate))
		}
		if target > g.committed[partition] {
			targets[partition] = target
		}
	}
	for len(targets) > 0 {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read %v: %w", targets, err)
		}
		for _, m := range g.members {
			if err := g.receive(ctx, m, targets); err != nil {
				return err
			}
		}
	}
	return nil
}

// receive polls once for a member that has not yet received all its targets, commits the targets that it reached, and deletes them.
func (g *consumerGroup) receive(ctx context.Context, m *member, targets map[int32]int64) error {
	mine := m.partitions()
	wants := func(partition int32) bool { return g.have[partition] < targets[partition] }
	// A poll is short, because a rebalance may revoke the partitions that it waits for.
	pollCtx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if slices.ContainsFunc(mine, wants) {
		m.client.PollFetches(pollCtx).EachRecord(func(r *kgo.Record) {
			g.have[r.Partition] = max(g.have[r.Partition], r.Offset+1)
		})
	} else if len(mine) == 0 {
		<-pollCtx.Done()
	}
	reached := make(map[int32]int64)
	for _, partition := range mine {
		if target, ok := targets[partition]; ok && !wants(partition) {
			reached[partition] = target
		}
	}
	return g.commit(ctx, m, reached, targets)
}

// commit commits offsets as one member and deletes them from targets. What a rebalance prevents is left for the next attempt.
func (g *consumerGroup) commit(ctx context.Context, m *member, offsets, targets map[int32]int64) error {
	if len(offsets) == 0 {
		return nil
	}
	request := make(map[int32]kgo.EpochOffset)
	for partition, offset := range offsets {
		request[partition] = kgo.EpochOffset{Epoch: -1, Offset: offset}
	}
	var failed error
	done := func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			failed = err
			return
		}
		for _, topic := range response.Topics {
			for _, partition := range topic.Partitions {
				if err := kerr.ErrorForCode(partition.ErrorCode); err != nil {
					failed = err
					continue
				}
				g.committed[partition.Partition] = offsets[partition.Partition]
				delete(targets, partition.Partition)
			}
		}
	}
	m.client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{g.topic: request}, done)
	if failed != nil && !rebalancing(failed) {
		return fmt.Errorf("commit: %w", failed)
	}
	return nil
}

// rebalancing reports whether an error only means that the group is rebalancing.
func rebalancing(err error) bool {
	return errors.Is(err, kerr.RebalanceInProgress) || errors.Is(err, kerr.IllegalGeneration) ||
		errors.Is(err, kerr.UnknownMemberID)
}

// rewind goes back by a number of messages on every partition, as a user does to read them again.
func (g *consumerGroup) rewind(ctx context.Context, by int64) error {
	targets := make(map[int32]int64)
	for partition, offset := range g.committed {
		targets[partition] = max(0, offset-by)
	}
	return until(ctx, func() bool {
		for _, m := range g.members {
			offsets := make(map[int32]int64)
			seek := make(map[int32]kgo.EpochOffset)
			for _, partition := range m.partitions() {
				if target, ok := targets[partition]; ok {
					offsets[partition] = target
					seek[partition] = kgo.EpochOffset{Epoch: -1, Offset: target}
				}
			}
			m.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{g.topic: seek})
			if g.commit(ctx, m, offsets, targets) != nil {
				return false
			}
			for partition, offset := range offsets {
				g.have[partition] = offset
			}
		}
		return len(targets) == 0
	})
}

// assign records partitions that the group assigned to or revoked from the member.
func (m *member) assign(partitions []int32, mine bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, partition := range partitions {
		if mine {
			m.assigned[partition] = true
		} else {
			delete(m.assigned, partition)
		}
	}
}

// partitions are the partitions of the member, sorted.
func (m *member) partitions() []int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.assigned))
}
