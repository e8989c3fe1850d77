package contract

import (
	"math/big"
	"slices"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// commit follows "A commit, step by step" of the contract; the numbers are its numbers.
func (m *Model) commit(c *modelCluster, r *protocol.StorageRequest) error {
	// 1. A dropped commit changes nothing.
	if r.Offset < 0 || max(len(r.Group), len(r.Topic)) > modelName {
		return storage.ErrInvalid
	}
	if r.Timestamp < m.now()-m.expireGroup {
		return storage.ErrTooOld
	}
	if m.refused(r.Group) {
		return storage.ErrFiltered
	}
	if err := checkPartition(c, r); err != nil {
		return err
	}

	// An existing window can still drop the commit; without a window it will be stored.
	p := partitionOf(c, r)
	ends := &c.topics[r.Topic][r.Partition]
	full := len(p.window) == m.intervals

	// 2. and 7.
	timestamp := min(r.Timestamp, m.now())
	stored := protocol.ConsumerOffset{
		Offset:            r.Offset,
		Order:             r.Order,
		Timestamp:         timestamp,
		ObservedTimestamp: m.now() / 1000 * 1000,
	}

	// 2. and 3. Find the place: before are the commits in front of this one.
	before := len(p.window)
	greatest := int64(0)
	if before > 0 {
		greatest = p.window[before-1].Order
	}
	if r.Order < 0 || r.Order == 0 && greatest == 0 {
		stored.Order = greatest
	} else {
		if full && r.Order <= p.window[0].Order {
			return storage.ErrBackfill
		}
		for before > 0 && p.window[before-1].Order >= r.Order {
			before--
		}
		if before < len(p.window) && p.window[before].Order == r.Order {
			return storage.ErrDuplicate
		}
	}

	// 4.
	if before == len(p.window) {
		stored.Lag = lag(ends.history, r.Offset)
		p.incarnation, p.cuts, p.observed = ends.incarnation, ends.cuts, m.now()
		g := c.groups[r.Group]
		g.last = g.last.committedAt(timestamp)
		g.touched[r.Topic] = g.touched[r.Topic].committedAt(timestamp)
	}

	// 5. The commit in front has a lower order: no stored commit has this one's order, and a commit without an order counts as
	// the newest.
	if before > 0 && closer(timestamp, p.window[before-1].Timestamp, m.minDistance) {
		stored.Timestamp = p.window[before-1].Timestamp
		p.window[before-1] = stored
		return nil
	}
	p.window = newest(slices.Insert(p.window, before, stored), m.intervals)
	return nil
}

// closer reports whether later - earlier < distance, without overflow.
func closer(later, earlier, distance int64) bool {
	difference := new(big.Int).Sub(big.NewInt(later), big.NewInt(earlier))
	return difference.Cmp(big.NewInt(distance)) < 0
}

// lag returns how far an offset is behind the newest of the end offsets, without overflow.
func lag(ends []int64, offset int64) *protocol.Lag {
	end := big.NewInt(ends[len(ends)-1])
	behind := end.Sub(end, big.NewInt(offset))
	if behind.Sign() < 0 {
		return &protocol.Lag{}
	}
	return &protocol.Lag{Value: behind.Uint64()}
}

func fetchTopic(c *modelCluster, r *protocol.StorageRequest) (any, error) {
	partitions, known := c.topics[r.Topic]
	if !known {
		return nil, storage.ErrUnknownTopic
	}
	answer := []int64{}
	for _, ends := range partitions {
		newest := int64(-1)
		if n := len(ends.history); n > 0 {
			newest = ends.history[n-1]
		}
		answer = append(answer, newest)
	}
	return answer, nil
}

func groupsOfTopic(c *modelCluster, topic string) []string {
	answer := []string{}
	for name, g := range c.groups {
		if _, held := g.topics[topic]; held {
			answer = append(answer, name)
		}
	}
	return answer
}

func (m *Model) fetchGroup(c *modelCluster, r *protocol.StorageRequest) (any, error) {
	g := c.groups[r.Group]
	if g == nil {
		return nil, storage.ErrUnknownGroup
	}
	answer := protocol.ConsumerTopics{}
	for topic, partitions := range g.topics {
		answer[topic] = protocol.ConsumerPartitions{}
		for number, p := range partitions {
			answer[topic] = append(answer[topic], m.fetchPartition(c, topic, number, p))
		}
	}
	return answer, nil
}

func (m *Model) fetchPartition(c *modelCluster, topic string, number int, p *modelPartition) *protocol.ConsumerPartition {
	answer := &protocol.ConsumerPartition{
		Offsets:       []*protocol.ConsumerOffset{},
		BrokerOffsets: []int64{},
		Owner:         p.owner,
		ClientID:      p.clientID,
	}
	var ends modelEnds
	if known := c.topics[topic]; number < len(known) {
		ends = known[number]
	}
	answer.BrokerOffsets = append(answer.BrokerOffsets, ends.history...)
	ends.judge(answer, p, m.now())
	if len(p.window) == 0 {
		return answer
	}
	answer.Offsets = make([]*protocol.ConsumerOffset, m.intervals-len(p.window))
	for _, stored := range p.window {
		if stored.Lag != nil {
			stored.Lag = &protocol.Lag{Value: stored.Lag.Value}
		}
		answer.Offsets = append(answer.Offsets, &stored)
	}
	return answer
}
