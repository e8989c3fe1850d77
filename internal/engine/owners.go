package engine

import (
	"slices"
	"strings"
	"time"

	"github.com/lagkeeper/storage/internal/window"
	"github.com/lagkeeper/storage/protocol"
)

// SetOwner stores who consumes a partition.
func (e *Engine) SetOwner(c *Cluster, groupName string, in *protocol.PartitionOwner) Reason {
	hash := c.hash(groupName)
	s := e.shard(hash)
	s.mu.Lock()
	defer s.release()
	if s.stopped {
		s.counts.owners[Stopped]++
		return Stopped
	}
	at := place{cluster: c, name: groupName, hash: hash, topic: -1}
	now := e.config.Clock.Coarse()
	why := e.setOwner(s, &at, in, now)
	if at.group != nil {
		s.account(at.group)
	}
	s.counts.owners[why]++
	return why
}

func (e *Engine) setOwner(s *shard, at *place, in *protocol.PartitionOwner, now int64) Reason {
	slot, why := e.ownerSlot(s, at, in, now)
	if why != 0 {
		return why
	}
	g := at.group
	if g.setOwner(slot, in.Owner, in.ClientID) && s.hub.Watched() {
		s.hub.Publish(protocol.Event{
			Kind: protocol.EventOwnerChanged, Time: time.UnixMilli(now), Cluster: g.cluster.Name, Group: g.name,
			Topic: g.topics[at.topic].topic.Name, Partition: in.Partition,
			Owner: strings.Clone(in.Owner), ClientID: strings.Clone(in.ClientID),
		})
	}
	return 0
}

// ownerSlot returns the slot of a partition that is to get an owner, and creates what is missing: group, topic and a window
// without commits.
func (e *Engine) ownerSlot(s *shard, at *place, in *protocol.PartitionOwner, now int64) (slot uint32, why Reason) {
	if max(len(at.name), len(in.Topic), len(in.Owner), len(in.ClientID)) > MaxName {
		return 0, Invalid
	}
	if why = e.locateGroup(s, at, now); why != 0 {
		return 0, why
	}
	if _, _, why = e.locate(s, at, in.Topic, in.Partition, now); why != 0 {
		return 0, why
	}
	g := at.group
	if slot, why = s.slot(g, at.topic, in.Partition, now); why != 0 {
		// The group or its topic may have been removed again.
		at.group, at.topic = nil, -1
		return 0, why
	}
	if g.windowOf(slot) == nil {
		g.memory.add(slot, window.HeaderSize)
	}
	g.touchOwner(&g.topics[at.topic], now)
	return slot, 0
}

// SetOwners replaces all owners of a group: a partition that is not named, or only with refused owners, has none afterwards.
// If a partition is named twice, the later owner counts. It calls refused for each owner that is not stored. It holds the
// shard throughout, so that nobody sees the moment between old and new owners.
func (e *Engine) SetOwners(c *Cluster, groupName string, all []protocol.PartitionOwner, refused func(i int, why Reason)) Reason {
	whys := make([]Reason, len(all))
	why := e.setOwners(c, groupName, all, whys)
	for i, why := range whys {
		if why != 0 {
			refused(i, why)
		}
	}
	return why
}

func (e *Engine) setOwners(c *Cluster, groupName string, all []protocol.PartitionOwner, whys []Reason) Reason {
	m, numbers := membersOf(all)
	return e.setMembers(c, groupName, all, m, numbers, whys)
}

// setMembers is setOwners with the members and the number of each owner among them.
func (e *Engine) setMembers(
	c *Cluster, groupName string, all []protocol.PartitionOwner, m members, numbers []uint32, whys []Reason,
) Reason {
	at := place{cluster: c, name: groupName, hash: c.hash(groupName), topic: -1}
	s := e.shard(at.hash)
	s.mu.Lock()
	defer s.release()
	if s.stopped {
		s.counts.owners[Stopped] += uint64(len(all))
		return Stopped
	}
	now := e.config.Clock.Coarse()
	for i := range all {
		_, whys[i] = e.ownerSlot(s, &at, &all[i], now)
	}
	if g := s.findLive(e, c, at.hash, groupName, now); g != nil {
		if s.replaceOwners(g, all, m, numbers, whys, now) {
			e.changes.Add(1)
		}
		s.account(g)
	}
	for _, why := range whys {
		s.counts.owners[why]++
	}
	return 0
}

// membersOf returns the members that own something, and the number of each owner among them. It is what takes most time of a
// replacement, so nobody waits for it.
func membersOf(all []protocol.PartitionOwner) (m members, numbers []uint32) {
	numbers = make([]uint32, len(all))
	for i := range all {
		if max(len(all[i].Owner), len(all[i].ClientID)) <= MaxName { // others are refused
			numbers[i] = m.number(all[i].Owner, all[i].ClientID)
		}
	}
	return m, numbers
}

// replaceOwners makes the accepted elements of all the owners of a group, and reports whether that is a change. m and numbers are
// their members. All of them have slots; it refuses those whose topic has gone since.
func (s *shard) replaceOwners(
	g *group, all []protocol.PartitionOwner, m members, numbers []uint32, whys []Reason, now int64,
) (changed bool) {
	owners := make([]uint32, len(g.memory.slots), cap(g.memory.slots))
	topic, left, refused := -1, false, false
	for i := range all {
		if whys[i] != 0 {
			refused = true
			continue
		}
		if topic < 0 || g.topics[topic].topic.Name != all[i].Topic {
			topic = g.find(all[i].Topic)
		}
		if !g.has(topic, all[i].Partition) {
			whys[i], refused = UnknownTopic, true
			continue
		}
		slot, _ := g.topics[topic].at(g.numbers, all[i].Partition)
		owners[slot] = numbers[i]
	}
	for slot := range owners {
		left = left || owners[slot] != 0
		changed = changed || ownerIn(owners, m.list, uint32(slot)) != g.owner(uint32(slot))
	}
	if !changed {
		return false
	}
	if s.hub.Watched() {
		if left {
			s.publishOwners(g, owners, m.list, now)
		} else {
			s.publish(protocol.EventOwnersCleared, g, nil, now)
		}
	}
	switch g.members, g.owners = m, owners; {
	case !left:
		g.members, g.owners = members{}, nil
	case refused:
		g.packMembers()
	}
	return true
}

// publishOwners publishes the differences between new owners and those of a group.
func (s *shard) publishOwners(g *group, owners []uint32, list []member, now int64) {
	for i := range g.topics {
		gt := &g.topics[i]
		for slot := gt.first; slot < gt.end(); slot++ {
			next := ownerIn(owners, list, slot)
			if next == g.owner(slot) {
				continue
			}
			s.hub.Publish(protocol.Event{
				Kind: protocol.EventOwnerChanged, Time: time.UnixMilli(now), Cluster: g.cluster.Name, Group: g.name,
				Topic: gt.topic.Name, Partition: gt.partition(g.numbers, slot), Owner: next.owner, ClientID: next.clientID,
			})
		}
	}
}

// ClearOwners removes the owner of every partition of a group.
func (e *Engine) ClearOwners(c *Cluster, groupName string) Reason {
	return e.withGroup(c, groupName, func(s *shard, g *group, now int64) Reason {
		if g.clearOwners() {
			s.publish(protocol.EventOwnersCleared, g, nil, now)
		}
		s.account(g)
		return 0
	})
}

// members are the owners of a group's partitions, each once. A member's number is its index + 1; 0 means no owner. Members
// are never changed in place, so that a reader may keep the slice.
type members struct {
	list []member
	// numbers finds a member; nil while there are few.
	numbers map[member]uint32
	// packAt is the number of members at which those that own nothing are removed; 0 stands for firstPack.
	packAt int
	// text is the number of bytes of the strings in list.
	text int
}

const firstPack = 64

type member struct {
	owner, clientID string
}

// number returns the number of a member, and adds it if it is new.
func (m *members) number(owner, clientID string) uint32 {
	if owner == "" && clientID == "" {
		return 0
	}
	key := member{owner, clientID}
	if m.numbers != nil {
		if n, ok := m.numbers[key]; ok {
			return n
		}
	} else {
		for i := range m.list {
			if m.list[i] == key {
				return uint32(i + 1)
			}
		}
	}
	key = member{strings.Clone(owner), strings.Clone(clientID)}
	m.list = append(m.list, key)
	m.text += len(owner) + len(clientID)
	n := uint32(len(m.list))
	if m.numbers == nil && n > fewTopics {
		m.numbers = make(map[member]uint32, 2*fewTopics)
		for i := range m.list {
			m.numbers[m.list[i]] = uint32(i + 1)
		}
	} else if m.numbers != nil {
		m.numbers[key] = n
	}
	return n
}

// owner returns who owns the partition of a slot.
func (g *group) owner(slot uint32) member { return ownerIn(g.owners, g.members.list, slot) }

func ownerIn(owners []uint32, members []member, slot uint32) member {
	if owners == nil || owners[slot] == 0 {
		return member{}
	}
	return members[owners[slot]-1]
}

// setOwner sets the owner of the partition of a slot, and reports whether that is a change.
func (g *group) setOwner(slot uint32, owner, clientID string) (changed bool) {
	if g.owner(slot) == (member{owner, clientID}) {
		return false
	}
	if len(g.members.list) >= max(g.members.packAt, firstPack) {
		g.packMembers()
	}
	if g.owners == nil {
		g.owners = make([]uint32, len(g.memory.slots), cap(g.memory.slots))
	}
	g.owners[slot] = g.members.number(owner, clientID)
	return true
}

// packMembers forgets the members that own nothing.
func (g *group) packMembers() {
	old := g.members.list
	g.members = members{}
	for slot, n := range g.owners {
		if n == 0 {
			continue
		}
		g.owners[slot] = g.members.number(old[n-1].owner, old[n-1].clientID)
	}
	g.members.packAt = 2 * len(g.members.list)
}

// clearOwners removes the owner of every partition, and reports whether there was any.
func (g *group) clearOwners() (changed bool) {
	changed = slices.ContainsFunc(g.owners, func(n uint32) bool { return n != 0 })
	g.members, g.owners = members{}, nil
	return changed
}
