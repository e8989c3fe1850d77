package engine

import (
	"math"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/internal/window"
)

// never is the time of what has not happened.
const never = math.MinInt64

// group is one consumer group. All but the immutable part is guarded by its shard. What a commit touches stands together
// at the beginning.
type group struct {
	// Immutable, with hash.
	name    string
	cluster *Cluster

	// seen is when the group last gave a sign of life, in Unix milliseconds: its last commit or, while it has none, its
	// last owner. Written under the lock of the shard, read without for lists.
	seen      atomic.Int64
	committed bool
	// refused counts, up to refusedInRow, the fresh commits that were refused since the last that was taken.
	refused uint8
	// replay is the replay in which windows that were restored wait for being confirmed, 0 in a group that was not restored.
	replay uint32
	// known has for each slot the order after the greatest that was restored, 0 if none was: commits below it are known. nil in
	// a group that was not restored.
	known []int64

	topics []groupTopic
	// firstTopic is where topics lies until there is a second.
	firstTopic [1]groupTopic
	memory     memory

	hash     uint64
	next     *group // with the same hash
	position int32  // in the shard's list of the cluster
	// byName finds a topic in topics; nil while there are few.
	byName  map[string]int
	members members
	// owners has for each slot the member that owns the partition; nil where nobody owns any.
	owners []uint32
	// holes is how many entries of memory.slots belong to no topic.
	holes int
	// counted is the sum of the counts of topics.
	counted int64
	// packs counts how often slots were moved to lower places.
	packs uint32
	// accounted is what the shard counts for the group; gone is set when the shard has let go of it.
	accounted int
	gone      bool
}

// groupTopic is one topic of a group.
type groupTopic struct {
	topic *ends.Topic
	// seen is group.seen for this topic alone.
	seen      int64
	committed bool
	// position is where the group is in the shard's list of the topic.
	position int32
	// count is how many partitions the topic had when the group last grew it.
	count int32
	// The slots of the partitions are memory.slots[first : first+length]; a partition beyond has no window.
	first, length uint32
}

// newGroup makes a group without topics, which is in no shard yet.
func newGroup(c *Cluster, hash uint64, name string) *group {
	g := &group{cluster: c, name: strings.Clone(name), hash: hash}
	g.seen.Store(never)
	return g
}

// fewTopics is up to how many topics are searched one by one.
const fewTopics = 8

// find returns the index of a topic, -1 where the group does not hold it.
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

// has reports whether the group knows a partition of the topic at an index, which is below 0 for one that it does not hold. A
// nil group knows nothing.
func (g *group) has(topic int, partition int32) bool {
	if g == nil || topic < 0 {
		return false
	}
	gt := &g.topics[topic]
	return uint32(partition) < gt.length && g.memory.slots[gt.first+uint32(partition)] != 0
}

// touch moves the sign of life of a group and one of its topics to a commit at t, never back.
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

// touchOwner is touch for an owner, which counts only until there is a commit. It goes back with a clock that was ahead.
func (g *group) touchOwner(gt *groupTopic, now int64) {
	if !g.committed {
		g.seen.Store(now)
	}
	if !gt.committed {
		gt.seen = now
	}
}

// slot returns the index of the slot of a partition, and makes it where there is none. The topic must have the partition.
// ok is false where the group has no room for it, or for a window that grows.
func (g *group) slot(gt *groupTopic, partition int32) (slot uint32, ok bool) {
	if g.memory.full() {
		return 0, false
	}
	grown := gt.count
	if partition >= grown {
		grown = max(gt.topic.Count(), partition+1)
		if g.withCount(gt, grown) > maxSlots {
			return 0, false
		}
	}
	if uint32(partition) >= gt.length {
		// Most groups commit all partitions of a topic, but one with a million partitions gets its slots as it goes.
		count := uint32(max(gt.count, gt.topic.Count()))
		length := max(uint32(partition)+1, min(count, max(2*gt.length, 128)), gt.length+gt.length/4)
		if len(g.memory.slots)+int(length) > maxSlots {
			g.packSlots()
			length = uint32(partition) + 1
			if len(g.memory.slots)+int(length) > maxSlots {
				return 0, false
			}
		}
		g.extend(gt, length)
	}
	g.counted, gt.count = g.withCount(gt, grown), grown
	return gt.first + uint32(partition), true
}

// withCount returns what counted would be if a topic had another count.
func (g *group) withCount(gt *groupTopic, count int32) int64 {
	return g.counted - int64(gt.count) + int64(count)
}

// extend gives a topic length slots.
func (g *group) extend(gt *groupTopic, length uint32) {
	m := &g.memory
	if gt.first+gt.length == uint32(len(m.slots)) {
		g.addSlots(length - gt.length)
	} else {
		first := uint32(len(m.slots))
		g.addSlots(length)
		g.moveSlots(gt, m.slots, g.owners, g.known, first)
		// A hole holds no window and has no owner.
		clear(m.slots[gt.first : gt.first+gt.length])
		if g.owners != nil {
			clear(g.owners[gt.first : gt.first+gt.length])
		}
		if g.known != nil {
			clear(g.known[gt.first : gt.first+gt.length])
		}
		g.holes += int(gt.length)
		gt.first = first
	}
	gt.length = length
	if g.holes > len(m.slots)/2 {
		g.packSlots()
	}
}

func (g *group) addSlots(n uint32) {
	g.memory.slots = append(g.memory.slots, make([]reference, n)...)
	if g.owners != nil {
		g.owners = append(g.owners, make([]uint32, n)...)
	}
	if g.known != nil {
		g.known = append(g.known, make([]int64, n)...)
	}
}

// moveSlots moves the slots of a topic to another place, in slots, owners and known, and tells the windows.
func (g *group) moveSlots(gt *groupTopic, slots []reference, owners []uint32, known []int64, first uint32) {
	for i := range gt.length {
		r := g.memory.slots[gt.first+i]
		slots[first+i] = r
		if r != 0 {
			setSlot(g.memory.window(r), first+i)
		}
		if g.owners != nil {
			owners[first+i] = g.owners[gt.first+i]
		}
		if g.known != nil {
			known[first+i] = g.known[gt.first+i]
		}
	}
}

// packSlots closes the holes.
func (g *group) packSlots() {
	slots := make([]reference, len(g.memory.slots)-g.holes)
	var owners []uint32
	if g.owners != nil {
		owners = make([]uint32, len(slots))
	}
	var known []int64
	if g.known != nil {
		known = make([]int64, len(slots))
	}
	first := uint32(0)
	for i := range g.topics {
		gt := &g.topics[i]
		g.moveSlots(gt, slots, owners, known, first)
		gt.first = first
		first += gt.length
	}
	g.memory.slots, g.owners, g.known = slots, owners, known
	g.packs++
	g.holes = 0
}

// attach adds a topic and returns its index.
func (g *group) attach(t *ends.Topic) int {
	i := len(g.topics)
	if g.topics == nil {
		g.topics = g.firstTopic[:0]
	}
	g.topics = append(g.topics, groupTopic{topic: t, seen: never, first: uint32(len(g.memory.slots))})
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
	for i := range gt.length {
		g.memory.remove(gt.first + i)
		if g.owners != nil {
			g.owners[gt.first+i] = 0
		}
		if g.known != nil {
			g.known[gt.first+i] = 0
		}
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
		// A map keeps the memory of what it held, as a list does.
		g.topics = slices.Clone(g.topics)
		g.nameTopics()
	}
	if g.holes > len(g.memory.slots)/2 {
		g.packSlots()
	}
}

// windowOf returns the window of a slot, nil where there is none.
func (g *group) windowOf(slot uint32) window.Window {
	if r := g.memory.slots[slot]; r != 0 {
		return g.memory.window(r)
	}
	return nil
}
