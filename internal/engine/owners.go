package engine

import (
	"slices"
	"strings"

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
	if max(len(at.name), len(in.Topic), len(in.Owner), len(in.ClientID)) > MaxName {
		return Invalid
	}
	if why := e.locateGroup(s, at, now); why != 0 {
		return why
	}
	if _, _, why := e.locate(s, at, in.Topic, in.Partition, now); why != 0 {
		return why
	}
	g := at.group
	slot, why := s.slot(g, at.topic, in.Partition, now)
	if why != 0 {
		return why
	}
	gt := &g.topics[at.topic]
	if g.windowOf(slot) == nil {
		g.memory.add(slot, window.HeaderSize)
	}
	g.touchOwner(gt, now)
	if g.setOwner(slot, in.Owner, in.ClientID) && s.hub.Watched() {
		s.hub.Publish(protocol.Event{
			Kind: protocol.EventOwnerChanged, Time: now, Cluster: g.cluster.Name, Group: g.name,
			Topic: gt.topic.Name, Partition: in.Partition, Owner: strings.Clone(in.Owner), ClientID: strings.Clone(in.ClientID),
		})
	}
	return 0
}

// ClearOwners makes nobody the owner of every partition of a group.
func (e *Engine) ClearOwners(c *Cluster, groupName string) Reason {
	return e.withGroup(c, groupName, func(s *shard, g *group, now int64) Reason {
		if g.clearOwners() {
			s.tell(protocol.EventOwnersCleared, g, nil, now)
		}
		s.account(g)
		return 0
	})
}

// members are the owners of a group's partitions, each once. A member's number is its index + 1; 0 is nobody. Members are
// never changed in place, so that a reader may keep the slice.
type members struct {
	list []member
	// numbers finds a member; nil while there are few.
	numbers map[member]uint32
	// packAt is at how many members those that own nothing are looked for; 0 stands for firstPack.
	packAt int
	// text is how many bytes the strings of list have.
	text int
}

const firstPack = 64

type member struct {
	owner, clientID string
}

// number returns the number of a member, and adds it where it is new.
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

// setOwner makes somebody the owner of the partition of a slot, and says whether that is a change.
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

// clearOwners makes nobody the owner of every partition, and says whether there was anybody.
func (g *group) clearOwners() (changed bool) {
	changed = slices.ContainsFunc(g.owners, func(n uint32) bool { return n != 0 })
	g.members, g.owners = members{}, nil
	return changed
}
