package main

import (
	"context"
	"sync"
	"time"

	"github.com/lagkeeper/storage/protocol"
	"github.com/twmb/franz-go/pkg/kadm"
)

// gone is in how many complete listings in a row a topic or group must be missing before it is deleted from the store. A
// broker that has just started, or a coordinator that just moved, may answer one listing without a part of the truth.
const gone = 2

// poller carries what Kafka says into the store. The store is its memory: what it sends is the difference between what
// Kafka says and what the store answers, so a request that was dropped is simply sent again by the next poll.
//
// A commit that did not move is not sent again, since the time of the newest commit is how the monitor knows since when a
// group stands still. But the store forgets a group without commits after expire-group, though Kafka may keep it for as
// long as it has members; so a commit that Kafka still has is confirmed after half of that time. One that came from a
// snapshot is confirmed at once.
type poller struct {
	kafka  *gatherer
	store  storeClient
	events *eventLog
	// confirm is the age at which a commit that did not move is sent again.
	confirm time.Duration
	// restart is what the store knows from before; nil where it began empty.
	restart *restart

	// mu is held while a snapshot is carried over, so that no table is made of half a poll.
	mu sync.Mutex
	// What follows is owned by the goroutine that polls.
	order   int64                   // of the last poll's commits
	ids     map[string]kadm.TopicID // of the topics in the store
	missing map[string]int          // complete listings in a row without it, by entity; up to the last poll
	counted map[string]int          // the same, up to this poll
	known   map[string]int32        // partition counts, to tell of a topic that grew
}

func newPoller(kafka *gatherer, store storeClient, events *eventLog, expiry time.Duration) *poller {
	return &poller{
		kafka:   kafka,
		store:   store,
		events:  events,
		confirm: expiry / 2,
		ids:     make(map[string]kadm.TopicID),
		missing: make(map[string]int),
		known:   make(map[string]int32),
	}
}

// poll reads Kafka once and updates the store. It returns an error where that failed as a whole and nothing was changed;
// what failed in part is told by the event log.
func (p *poller) poll(ctx context.Context) error {
	topics, err := p.store.topics(ctx)
	if err != nil {
		return err
	}
	groups, err := p.store.groups(ctx)
	if err != nil {
		return err
	}
	seen, err := p.kafka.gather(ctx, topics, groups)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	p.events.problems(seen.at, seen.problems)

	p.mu.Lock()
	defer p.mu.Unlock()
	// The order is a time rather than a count, so that it goes on growing when the program is started again.
	if p.order == 0 {
		if err := p.restart.begins(ctx); err != nil {
			return err
		}
	}
	p.order = max(p.order+1, seen.at.UnixMicro())
	p.counted = make(map[string]int)
	if err := p.carryTopics(ctx, seen, topics); err != nil {
		return err
	}
	if err := p.carryGroups(ctx, seen, groups); err != nil {
		return err
	}
	p.missing = p.counted
	if seen.complete() {
		return p.restart.replayed(ctx, p.store)
	}
	return nil
}

// carryTopics brings the topics and end offsets of the store up to date.
func (p *poller) carryTopics(ctx context.Context, seen *snapshot, stored []string) error {
	for _, name := range stored {
		topic, listed := seen.topics[name]
		recreated := listed && p.ids[name] != topic.id && p.ids[name] != kadm.TopicID{} && topic.id != kadm.TopicID{}
		if listed && p.known[name] == 0 && topic.partitions > 0 {
			// It came from a snapshot, without its id. But the topics of Kafka never shrink.
			ends, err := p.store.topic(ctx, name)
			if err != nil {
				return err
			}
			recreated = len(ends) > int(topic.partitions)
		}
		if !recreated && !p.isGone("topic "+name, listed, seen.topicsListed) {
			continue
		}
		if err := p.store.send(ctx, &protocol.StorageRequest{
			RequestType: protocol.StorageSetDeleteTopic,
			Topic:       name,
		}); err != nil {
			return err
		}
		what := "deleted"
		if recreated {
			what = "deleted and created again"
		}
		p.events.add(seen.at, "topic %s was %s", name, what)
		delete(p.ids, name)
		delete(p.known, name)
	}
	for name, topic := range seen.topics {
		if before := p.known[name]; before > 0 && topic.partitions > before {
			p.events.add(seen.at, "topic %s grew from %d to %d partitions", name, before, topic.partitions)
		}
		p.known[name] = max(p.known[name], topic.partitions)
		if topic.partitions > 0 {
			p.ids[name] = topic.id
		}
		for partition, end := range topic.ends {
			if err := p.store.send(ctx, &protocol.StorageRequest{
				RequestType:         protocol.StorageSetBrokerOffset,
				Topic:               name,
				Partition:           partition,
				TopicPartitionCount: topic.partitions,
				Offset:              end,
				LogStartOffset:      topic.starts[partition],
				Timestamp:           seen.at.UnixMilli(),
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// carryGroups brings the groups of the store up to date.
func (p *poller) carryGroups(ctx context.Context, seen *snapshot, stored []string) error {
	for _, name := range stored {
		_, listed := seen.groups[name]
		if !p.isGone("group "+name, listed, seen.groupsListed) {
			continue
		}
		if err := p.store.send(ctx, &protocol.StorageRequest{
			RequestType: protocol.StorageSetDeleteGroup,
			Group:       name,
		}); err != nil {
			return err
		}
		p.events.add(seen.at, "group %s was deleted", name)
	}
	for name, group := range seen.groups {
		before, err := p.store.group(ctx, name)
		if err != nil {
			return err
		}
		if err := p.carryCommits(ctx, seen, name, group, before); err != nil {
			return err
		}
		if err := p.carryOwners(ctx, name, group, before); err != nil {
			return err
		}
	}
	return nil
}

// isGone counts the complete listings in a row that lack an entity and says when that is enough. A listing that failed
// says nothing.
func (p *poller) isGone(entity string, listed, complete bool) bool {
	if listed {
		return false
	}
	times := p.missing[entity]
	if complete {
		times++
	}
	p.counted[entity] = times
	return times >= gone
}
