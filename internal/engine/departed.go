package engine

import (
	"slices"
	"strings"
	"unsafe"
)

// Deleted commits may be in the part of the log that a replay reads again. So that they do not come back after a restart, a
// snapshot holds what was deleted and up to which order each partition was known. In the store that deletes, this refuses
// nothing: the caller that deletes means to begin with the next commit. After a restart it refuses commits until the replay
// is done. It also does so for a topic that a replay replaces by another one, since what it brings may belong to the former.

const (
	// maxDeparted limits the groups whose deletions a store remembers: 100,000 with names of usual length take some 20 MB.
	maxDeparted = 100_000
	// maxDepartedPartitions limits the partitions remembered for all those groups together, at 16 bytes each.
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
	// number is the position of the departure in the queue.
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
	// order is the greatest order of the commits that the partition had.
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

// dropTopic removes the topic at an index and puts the last one in its place.
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

// departures are the deletions that a shard remembers, oldest first. Guarded by the shard.
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

// unqueue removes a departure, which leaves a hole in the queue. Holes are removed when they are half of it.
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
		// A map keeps the memory of all that it ever held.
		d.byGroup, d.queue = nil, nil
	}
}

// of returns the departure of a group, the newest of the queue if it has to be made.
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

// bound forgets the oldest if a shard remembers more than its share.
func (d *departures) bound(shards int) {
	groups, partitions := max(maxDeparted/shards, 1), max(maxDepartedPartitions/shards, 1)
	for len(d.byGroup) > groups || d.partitions > partitions {
		d.drop(d.queue[0].departure)
	}
}

// forget forgets one partition: a commit was taken for it after it had been deleted.
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
	// Names have average lengths here, and each of several topics has an entry in a map.
	return len(d.byGroup)*int(unsafe.Sizeof(departure{})+unsafe.Sizeof(departedGroup{})+48) +
		d.topics*int(unsafe.Sizeof(departedTopic{})+unsafe.Sizeof("")+48) +
		cap(d.queue)*int(unsafe.Sizeof(queuedDeparture{})) + d.partitions*int(unsafe.Sizeof(departedPartition{}))
}
