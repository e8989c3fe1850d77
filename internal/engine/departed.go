package engine

import (
	"math"
	"slices"
	"strings"
	"unsafe"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/window"
)

// What was deleted may be in the part of the log that a replay reads again. So that its commits do not bring it back after
// a restart, a snapshot tells what was deleted and up to which order each partition was known. In the store that deletes,
// the memory refuses nothing: whoever deletes wants to begin with whatever comes next. After a restart it refuses until the
// replay is done; so it does for a topic that a replay finds to be another, as what it brings may be of the former.

const (
	// maxDeparted bounds the groups of which a store remembers that something was deleted: 100,000 with names of usual
	// length take some 20 MB.
	maxDeparted = 100_000
	// maxDepartedPartitions bounds what is remembered of all those groups together, at 16 bytes each.
	maxDepartedPartitions = 1_000_000
)

// departedGroup names a group of which something was deleted.
type departedGroup struct {
	cluster *Cluster
	name    string
}

// departure is what was deleted from one group.
type departure struct {
	group  departedGroup
	topics []departedTopic
	// byName finds a topic in topics; nil while there are few.
	byName map[string]int
	// at is when the newest part was deleted, in Unix milliseconds.
	at int64
	// number is where the departure stands in the queue.
	number uint64
}

// departedTopic holds what was deleted of one topic, ascending by partition.
type departedTopic struct {
	name       string
	partitions []departedPartition
}

type departedPartition struct {
	partition int32
	// replay is the replay in which commits up to order are refused, 0 for none.
	replay uint32
	// order is the greatest of the commits that the partition had.
	order int64
}

func (t *departedTopic) find(partition int32) (int, bool) {
	return slices.BinarySearchFunc(t.partitions, partition, func(p departedPartition, n int32) int { return int(p.partition) - int(n) })
}

func (d *departure) topic(name string) int {
	if d.byName != nil {
		if i, ok := d.byName[name]; ok {
			return i
		}
		return -1
	}
	return slices.IndexFunc(d.topics, func(t departedTopic) bool { return t.name == name })
}

// addTopic adds a topic and returns its index.
func (d *departure) addTopic(name string) int {
	i := len(d.topics)
	d.topics = append(d.topics, departedTopic{name: strings.Clone(name)})
	if d.byName != nil {
		d.byName[d.topics[i].name] = i
	} else if len(d.topics) > fewTopics {
		d.byName = make(map[string]int, 2*fewTopics)
		for i := range d.topics {
			d.byName[d.topics[i].name] = i
		}
	}
	return i
}

// dropTopic puts the last topic in the place of the one at an index.
func (d *departure) dropTopic(i int) {
	last := len(d.topics) - 1
	delete(d.byName, d.topics[i].name)
	d.topics[i] = d.topics[last]
	d.topics[last] = departedTopic{}
	d.topics = d.topics[:last]
	if i < last && d.byName != nil {
		d.byName[d.topics[i].name] = i
	}
}

func (d *departure) size() (partitions int) {
	for i := range d.topics {
		partitions += len(d.topics[i].partitions)
	}
	return partitions
}

// departures are what a shard remembers of deletions, the oldest first. Guarded by the shard.
type departures struct {
	byGroup map[departedGroup]*departure
	// queue ascends by number. An entry without a departure is one that was forgotten.
	queue []queuedDeparture
	// next is the number of the next departure.
	next               uint64
	topics, partitions int
}

type queuedDeparture struct {
	number uint64
	*departure
}

func (d *departures) len() int { return len(d.byGroup) }

// from returns the index in the queue of the first departure with a number or a greater one.
func (d *departures) from(number uint64) int {
	i, _ := slices.BinarySearchFunc(d.queue, number, func(q queuedDeparture, n uint64) int {
		switch {
		case q.number < n:
			return -1
		case q.number > n:
			return 1
		}
		return 0
	})
	return i
}

// push puts a departure at the end of the queue.
func (d *departures) push(x *departure) {
	d.next++
	x.number = d.next
	d.queue = append(d.queue, queuedDeparture{x.number, x})
}

// unqueue leaves a hole in the queue where a departure stood. Holes go when they are half of it.
func (d *departures) unqueue(x *departure) {
	d.queue[d.from(x.number)].departure = nil
	holes := 0
	for holes < len(d.queue) && d.queue[holes].departure == nil {
		holes++
	}
	d.queue = d.queue[holes:]
	if len(d.queue) > 64 && len(d.queue) > 2*len(d.byGroup) {
		d.queue = slices.Clone(slices.DeleteFunc(d.queue, func(q queuedDeparture) bool { return q.departure == nil }))
	}
}

func (d *departures) drop(x *departure) {
	delete(d.byGroup, x.group)
	d.topics -= len(x.topics)
	d.partitions -= x.size()
	d.unqueue(x)
	if len(d.byGroup) == 0 {
		// A map keeps the memory of what it held.
		d.byGroup, d.queue = nil, nil
	}
}

// of returns the departure of a group, which it makes where there is none, as the newest of the queue.
func (d *departures) of(c *Cluster, name string, at int64) *departure {
	if d.byGroup == nil {
		d.byGroup = make(map[departedGroup]*departure)
	}
	key := departedGroup{c, name}
	x := d.byGroup[key]
	if x == nil {
		key.name = strings.Clone(name)
		x = &departure{group: key}
		d.byGroup[key] = x
	} else {
		d.unqueue(x)
	}
	x.at = at
	d.push(x)
	return x
}

// add remembers one partition.
func (d *departures) add(x *departure, topic string, p departedPartition) {
	at := x.topic(topic)
	if at < 0 {
		at = x.addTopic(topic)
		d.topics++
	}
	t := &x.topics[at]
	i, found := t.find(p.partition)
	if found {
		t.partitions[i] = p
		return
	}
	t.partitions = slices.Insert(t.partitions, i, p)
	d.partitions++
}

// bound forgets the oldest where a shard remembers more than its part of what the store may.
func (d *departures) bound(shards int) {
	groups, partitions := max(maxDeparted/shards, 1), max(maxDepartedPartitions/shards, 1)
	for len(d.byGroup) > groups || d.partitions > partitions {
		d.drop(d.queue[0].departure)
	}
}

// forget ends the memory of one partition: a commit was taken for it after it had been deleted.
func (d *departures) forget(c *Cluster, group, topic string, partition int32) {
	x := d.byGroup[departedGroup{c, group}]
	if x == nil {
		return
	}
	at := x.topic(topic)
	if at < 0 {
		return
	}
	t := &x.topics[at]
	i, found := t.find(partition)
	if !found {
		return
	}
	if len(t.partitions) > 1 {
		t.partitions = slices.Delete(t.partitions, i, i+1)
		d.partitions--
		return
	}
	if len(x.topics) > 1 {
		x.dropTopic(at)
		d.topics--
		d.partitions--
		return
	}
	d.drop(x)
}

// refuses reports whether a commit of a replay was made before its partition was deleted.
func (d *departures) refuses(at *place, topic string, partition int32, order int64, replay uint32) bool {
	x := d.byGroup[departedGroup{at.cluster, at.name}]
	if x == nil {
		return false
	}
	i := x.topic(topic)
	if i < 0 {
		return false
	}
	j, found := x.topics[i].find(partition)
	if !found {
		return false
	}
	p := &x.topics[i].partitions[j]
	return p.replay == replay && order >= 0 && order <= p.order
}

func (d *departures) bytes() int {
	// Names are of some length or other, and each of several topics has an entry in a map.
	return len(d.byGroup)*int(unsafe.Sizeof(departure{})+unsafe.Sizeof(departedGroup{})+48) +
		d.topics*int(unsafe.Sizeof(departedTopic{})+unsafe.Sizeof("")+48) +
		cap(d.queue)*int(unsafe.Sizeof(queuedDeparture{})) + d.partitions*int(unsafe.Sizeof(departedPartition{}))
}

// depart remembers the windows of one topic of a group that is about to lose it.
func (s *shard) depart(g *group, gt *groupTopic, now int64) {
	if !s.remembers {
		return
	}
	for i := range gt.length {
		s.departPartition(g, gt, int32(i), now)
	}
}

// departPartition remembers one window of a group that is about to lose it. A window without orders needs no memory: no
// replay can bring it back as what it was.
func (s *shard) departPartition(g *group, gt *groupTopic, partition int32, now int64) {
	w := g.windowOf(gt.first + uint32(partition))
	if !s.remembers || w == nil || newestOrder(w) <= 0 {
		return
	}
	d := &s.departures
	x := d.byGroup[departedGroup{g.cluster, g.name}]
	if x == nil || x.at != now {
		x = d.of(g.cluster, g.name, now)
	}
	p := departedPartition{partition: partition, order: newestOrder(w)}
	if g.known != nil && gt.topic.Replaced() {
		p.replay = g.replay
	}
	d.add(x, gt.topic.Name, p)
	d.bound(s.shards)
	s.accountIndexes()
}

// newestOrder returns the greatest order of a window, 0 for an empty one.
func newestOrder(w window.Window) int64 {
	if w.Len() == 0 {
		return 0
	}
	return w.NewestOrder()
}

// forgetDeparted forgets some of what was deleted before a time, oldest first: by then the commits are too old to be taken.
// It reports whether there may be more.
func (s *shard) forgetDeparted(limit int64) (more bool) {
	s.mu.Lock()
	defer s.release()
	defer s.accountIndexes()
	d := &s.departures
	for range sweepBatch {
		if len(d.byGroup) == 0 || d.queue[0].at >= limit {
			return false
		}
		d.drop(d.queue[0].departure)
	}
	return true
}

// forgetDepartedOf forgets what was deleted from the groups that match, from a number on, some at a time. It returns the
// number to go on from, 0 at the end.
func (s *shard) forgetDepartedOf(from uint64, matches func(departedGroup) bool) (next uint64) {
	s.mu.Lock()
	defer s.release()
	defer s.accountIndexes()
	d := &s.departures
	var drop []*departure
	at := d.from(from)
	until := min(at+sweepBatch, len(d.queue))
	if until < len(d.queue) {
		next = d.queue[until].number
	}
	for ; at < until; at++ {
		if x := d.queue[at].departure; x != nil && matches(x.group) {
			drop = append(drop, x)
		}
	}
	for _, x := range drop {
		d.drop(x)
	}
	return next
}

// record is the departure as a snapshot keeps it.
func (d *departure) record() snapshot.Group {
	r := snapshot.Group{
		Cluster: d.group.cluster.Name, Name: d.group.name, LastCommit: d.at, LastOwner: snapshot.Never,
		Topics: make([]snapshot.GroupTopic, len(d.topics)),
	}
	for i := range d.topics {
		t := &d.topics[i]
		to := snapshot.GroupTopic{
			Name: t.name, PartitionCount: t.partitions[len(t.partitions)-1].partition + 1, LastCommit: snapshot.Never,
			Partitions: make([]snapshot.GroupPartition, len(t.partitions)),
		}
		for j, p := range t.partitions {
			to.Partitions[j] = snapshot.GroupPartition{Number: p.partition, DeletedOrder: p.order}
		}
		r.Topics[i] = to
	}
	return r
}

// loadDeparture remembers what a record tells, but for the partitions with orders of their own: those came back, or were deleted
// while the snapshot was taken.
func (s *shard) loadDeparture(c *Cluster, g *group, r *snapshot.Group, replay uint32, now int64) {
	if !s.remembers {
		return
	}
	x := s.departures.of(c, r.Name, min(r.LastCommit, now))
	for i := range r.Topics {
		t := &r.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if p.DeletedOrder > 0 && (g == nil || !g.committedOn(t.Name, p.Number)) {
				s.departures.add(x, t.Name, departedPartition{partition: p.Number, replay: replay, order: p.DeletedOrder})
			}
		}
	}
	if len(x.topics) == 0 {
		s.departures.drop(x)
	}
	s.departures.bound(s.shards)
	s.accountIndexes()
}

// committedOn reports whether a partition has a commit with an order.
func (g *group) committedOn(topic string, partition int32) bool {
	i := g.find(topic)
	if i < 0 || uint32(partition) >= g.topics[i].length {
		return false
	}
	w := g.windowOf(g.topics[i].first + uint32(partition))
	return w != nil && newestOrder(w) > 0
}

// setKnown notes that the commits of a slot are known up to an order.
func (g *group) setKnown(slot uint32, order int64) {
	if g.known == nil {
		g.known = make([]int64, len(g.memory.slots))
	}
	g.known[slot] = min(order, math.MaxInt64-1) + 1
}

// knows reports whether the commits of a slot are known up to an order or a greater one.
func (g *group) knows(slot uint32, order int64) bool { return g.known != nil && order < g.known[slot] }

// ReplayDone says that everything that had been committed before the start was read: what was restored and not received again
// stands where it stood, and what was deleted may come back with any order.
func (e *Engine) ReplayDone() { e.replay.Add(1) }
