package engine

import (
	"math"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/internal/window"
)

// never is the time of an event that has not happened.
const never = math.MinInt64

// group is one consumer group. Everything but the immutable part is guarded by its shard. What a commit touches is at the
// beginning, in the same cache lines.
type group struct {
	// Immutable, with hash.
	name    string
	cluster *Cluster

	// seen is when the group last committed or, if it never has, last got an owner, in Unix milliseconds. It is written under
	// the lock of the shard and read without it for lists.
	seen      atomic.Int64
	committed bool
	// gone is set when the group has been removed from the shard.
	gone bool
	// leaves is set in a group that has left the shard and that topics still list, arrives in one that topics list already.
	leaves, arrives bool
	// refused counts, up to refusedInRow, the fresh commits that were refused since the last one that was taken.
	refused uint8
	// replay is the replay in which restored windows wait to be confirmed; 0 in a group that was not restored.
	replay uint32
	// layouts counts how often the arrays with an entry for each slot were made anew or enlarged.
	layouts int32
	hash    uint64
	next    *group // with the same hash

	topics []groupTopic
	// firstTopic is the memory of topics until there is a second.
	firstTopic [1]groupTopic
	memory     memory

	position int32 // in the shard's list of the cluster
	// packs counts how often slots were moved to lower indexes.
	packs uint32
	// known has for each slot the order after the greatest that was restored, 0 if none was: commits below it are known. It is
	// nil in a group that was not restored.
	known []int64
	// byName finds a topic in topics; nil while there are few.
	byName  map[string]int
	members members
	// owners has for each slot the member that owns the partition; nil if no partition has an owner.
	owners []uint32
	// numbers has for each slot of a sparse topic the number of its partition; nil in a group that has no such topic.
	numbers []int32
	// holes is the number of entries of memory.slots that belong to no topic.
	holes int
	// counted is the sum of the counts of topics.
	counted int64
	// accounted is what the shard counts for the group.
	accounted int
}

// groupTopic is one topic of a group.
type groupTopic struct {
	topic *ends.Topic
	// seen is group.seen for this topic alone.
	seen      int64
	committed bool
	// position is the index of the group in the shard's list of the topic.
	position int32
	// count is the number of partitions that the topic had when the group last grew.
	count int32
	layout
}

// newGroup makes a group without topics, which is in no shard yet.
func newGroup(c *Cluster, hash uint64, name string) *group {
	g := &group{cluster: c, name: strings.Clone(name), hash: hash}
	g.seen.Store(never)
	return g
}

// fewTopics is the number of topics up to which they are searched one by one.
const fewTopics = 8

// find returns the index of a topic, -1 if the group does not hold it.
func (g *group) find(topic string) int {
	if g.byName != nil {
		if i, ok := g.byName[topic]; ok {
			return i
		}
		return -1
	}
	for i := range g.topics {
		if g.topics[i].topic.Name == topic {
			return i
		}
	}
	return -1
}

// has reports whether the group knows a partition of the topic at an index, which is below 0 if the group does not hold the
// topic. A nil group knows nothing.
func (g *group) has(topic int, partition int32) bool {
	if g == nil || topic < 0 {
		return false
	}
	slot, ok := g.topics[topic].at(g.numbers, partition)
	return ok && g.memory.slots[slot] != 0
}

// touch moves the last commit of a group and one of its topics to t, never back.
func (g *group) touch(gt *groupTopic, t int64) {
	if !g.committed || t > g.seen.Load() {
		g.committed = true
		g.seen.Store(t)
	}
	if !gt.committed || t > gt.seen {
		gt.committed = true
		gt.seen = t
	}
}

// touchOwner is touch for an owner, which counts only until there is a commit. It goes back if the clock was ahead.
func (g *group) touchOwner(gt *groupTopic, now int64) {
	if !g.committed {
		g.seen.Store(now)
	}
	if !gt.committed {
		gt.seen = now
	}
}

// attach adds a topic and returns its index.
func (g *group) attach(t *ends.Topic) int {
	i := len(g.topics)
	if g.topics == nil {
		g.topics = g.firstTopic[:0]
	}
	g.topics = append(g.topics, groupTopic{topic: t, seen: never, layout: layout{first: uint32(len(g.memory.slots))}})
	if i == 1 {
		g.firstTopic[0] = groupTopic{}
	}
	if g.byName == nil && len(g.topics) > fewTopics {
		g.nameTopics()
	} else if g.byName != nil {
		g.byName[t.Name] = i
	}
	return i
}

// nameTopics makes byName anew.
func (g *group) nameTopics() {
	g.byName = make(map[string]int, max(len(g.topics), 2*fewTopics))
	for i := range g.topics {
		g.byName[g.topics[i].topic.Name] = i
	}
}

// detach removes the topic at an index.
func (g *group) detach(i int) {
	gt := &g.topics[i]
	for slot := gt.first; slot < gt.end(); slot++ {
		g.memory.remove(slot)
		g.clearSlot(slot)
	}
	g.holes += int(gt.length)
	g.counted -= int64(gt.count)
	delete(g.byName, gt.topic.Name)
	last := len(g.topics) - 1
	g.topics[i] = g.topics[last]
	g.topics[last] = groupTopic{}
	g.topics = g.topics[:last]
	if i < last && g.byName != nil {
		g.byName[g.topics[i].topic.Name] = i
	}
	if cap(g.topics) > 64 && last < cap(g.topics)/4 {
		// A map keeps the memory of all that it ever held, and so does a list.
		g.topics = slices.Clone(g.topics)
		g.nameTopics()
	}
	if g.holes > len(g.memory.slots)/2 {
		g.packSlots()
	}
}

// windowAt returns the window of a partition and its slot, nil if there is none.
func (g *group) windowAt(gt *groupTopic, partition int32) (w window.Window, slot uint32) {
	slot, ok := gt.at(g.numbers, partition)
	if !ok {
		return nil, 0
	}
	return g.windowOf(slot), slot
}

// windowOf returns the window of a slot, nil if there is none.
func (g *group) windowOf(slot uint32) window.Window {
	if r := g.memory.slots[slot]; r != 0 {
		return g.memory.window(r)
	}
	return nil
}

// peek is windowAt for a dense topic of a group that may be broken.
func (g *group) peek(gt *groupTopic, partition int32) window.Window {
	slot := uint64(gt.first) + uint64(uint32(partition))
	if slot >= uint64(len(g.memory.slots)) {
		return nil
	}
	r := g.memory.slots[slot]
	if block := int(r >> unitBits); r != 0 && block < len(g.memory.bytes) {
		if bytes := g.memory.bytes[block]; int(r&unitMask)*unit < len(bytes) {
			return window.Window(bytes[(r&unitMask)*unit:])
		}
	}
	return nil
}
