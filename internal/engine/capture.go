package engine

import (
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/lagkeeper/storage/internal/curve"
	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/internal/window"
	"github.com/lagkeeper/storage/protocol"
)

// Capture is a group as it was at one moment, in the form in which it is kept. Taking one holds the shard no longer than it
// takes to copy some memory; the caller builds an answer from it later. A Capture must be released, and not be used
// afterwards.
type Capture struct {
	intervals int
	// now is when it was taken, in Unix milliseconds.
	now int64
	// timed is true if the answer has the times of end offsets.
	timed bool
	// waits is true if restored windows wait to be confirmed.
	waits bool

	topics  []capturedTopic
	held    []groupTopic // what topics is made from
	slots   []reference
	blocks  []byte
	starts  []int // of each block in blocks
	owners  []uint32
	numbers []int32
	members []member

	// all is what an answer will hold.
	all totals
	// image holds the end offsets, and a lag for each window that is not empty.
	image ends.Image

	scratch []protocol.StoredCommit

	// needed is the room that was missing.
	needed captureSize
}

// captureSize is the room that a group needs in a Capture.
type captureSize struct{ topics, slots, blocks, bytes, owners, numbers int }

type capturedTopic struct {
	topic *ends.Topic
	layout
	count int
	image ends.ImageTopic
}

var captures = sync.Pool{New: func() any { return new(Capture) }}

// Capture takes a group as it is now, for ConsumerTopics.
func (e *Engine) Capture(c *Cluster, groupName string) (*Capture, Reason) {
	return e.capture(c, groupName, false)
}

// AsOf makes a time, in Unix milliseconds, the moment as of which a group is judged, unless it was taken before that: for a group that
// is known to be no older.
func (k *Capture) AsOf(moment int64) { k.now = min(k.now, moment) }

// CaptureTimed takes a group as it is now, for Group.
func (e *Engine) CaptureTimed(c *Cluster, groupName string) (*Capture, Reason) {
	return e.capture(c, groupName, true)
}

func (e *Engine) capture(c *Cluster, groupName string, timed bool) (*Capture, Reason) {
	k := captures.Get().(*Capture)
	k.timed = timed
	k.intervals = e.config.Intervals
	for tries, taken := 0, false; !taken; tries++ {
		k.grow()
		var why Reason
		if taken, why = e.takeGroup(c, groupName, k, tries); why != 0 {
			k.Release()
			return nil, why
		}
	}
	k.unfold()
	for i := range k.topics {
		k.read(&k.topics[i])
	}
	return k, 0
}

// takeGroup takes a group while it holds its shard. See take.
func (e *Engine) takeGroup(c *Cluster, groupName string, k *Capture, tries int) (taken bool, why Reason) {
	hash := c.hash(groupName)
	s := e.shard(hash)
	s.mu.Lock()
	defer s.release()
	if s.stopped {
		return false, Stopped
	}
	g := s.findLive(e, c, hash, groupName, e.config.Clock.Coarse())
	if g == nil {
		return false, UnknownGroup
	}
	// The lag in time is exact to the millisecond.
	k.now = e.config.Clock.Now()
	s.reading = true
	taken = k.take(g, tries)
	s.reading = false
	k.waits = g.replay == e.replay.Load()
	return taken, 0
}

// read copies what is known of the end offsets of a topic. It judges nothing, so that whoever settles a fetch is not held up.
func (k *Capture) read(t *capturedTopic) {
	reading := t.topic.Read()
	defer reading.Close()
	t.image = k.image.Add(reading, int32(t.count))
	lags := k.image.Lags(reading, k.timed)
	k.all.partitions += t.count
	for slot := t.first; slot < t.end(); slot++ {
		w := k.windowOf(slot)
		if w == nil {
			continue
		}
		if n := w.Len(); n > 0 {
			k.all.windows++
			k.all.commits += n
			lags.Add(t.partition(k.numbers, slot), w.NewestOffset())
		}
	}
	known, endOffsets := k.image.Sizes(t.image)
	k.all.known += known
	k.all.endOffsets += endOffsets
}

const (
	// largeCapture is the number of bytes from which room for a group is made before the shard is locked: memory that is new
	// to the process takes longer to get than to fill.
	largeCapture = 256 << 10
	// captureTries is how often that is tried if the group grows meanwhile.
	captureTries = 4
)

// take copies what the shard guards. If there is no room for a large group it returns false, and grow makes the room; tries
// is how often that has been done.
func (k *Capture) take(g *group, tries int) bool {
	size := captureSize{
		topics: len(g.topics), slots: len(g.memory.slots), blocks: len(g.memory.blocks), bytes: window.Padding, owners: len(g.owners),
		numbers: len(g.numbers),
	}
	for i := range g.memory.blocks {
		size.bytes += int(g.memory.blocks[i].used)
	}
	if tries < captureTries && size.large() && !k.holds(size) {
		k.needed = size
		return false
	}
	k.held = append(k.held[:0], g.topics...)
	k.slots = append(k.slots[:0], g.memory.slots...)
	k.blocks, k.starts = slices.Grow(k.blocks[:0], size.bytes), k.starts[:0]
	for i := range g.memory.blocks {
		k.starts = append(k.starts, len(k.blocks))
		k.blocks = append(k.blocks, g.memory.bytes[i][:g.memory.blocks[i].used]...)
	}
	k.blocks = k.blocks[:size.bytes]
	k.owners, k.members = append(k.owners[:0], g.owners...), g.members.list
	k.numbers = append(k.numbers[:0], g.numbers...)
	return true
}

func (s captureSize) large() bool {
	return s.topics*int(unsafe.Sizeof(groupTopic{}))+(s.slots+s.owners+s.numbers)*4+s.bytes >= largeCapture
}

func (k *Capture) holds(s captureSize) bool {
	return cap(k.held) >= s.topics && cap(k.slots) >= s.slots && cap(k.starts) >= s.blocks && cap(k.blocks) >= s.bytes &&
		cap(k.owners) >= s.owners && cap(k.numbers) >= s.numbers
}

// grow makes the room that take needs, with some to spare.
func (k *Capture) grow() {
	s := k.needed
	k.held, k.slots, k.starts = enlarged(k.held, s.topics), enlarged(k.slots, s.slots), enlarged(k.starts, s.blocks)
	k.blocks, k.owners = enlarged(k.blocks, s.bytes), enlarged(k.owners, s.owners)
	k.numbers = enlarged(k.numbers, s.numbers)
	k.needed = captureSize{}
}

// enlarged returns a slice with room for more than n elements, in memory that has been touched.
func enlarged[T any](s []T, n int) []T {
	if cap(s) >= n {
		return s
	}
	s = make([]T, n+n/8)
	clear(s)
	return s[:0]
}

// unfold makes topics from what was taken.
func (k *Capture) unfold() {
	k.topics = k.topics[:0]
	for i := range k.held {
		gt := &k.held[i]
		k.topics = append(k.topics, capturedTopic{topic: gt.topic, layout: gt.layout, count: int(gt.count)})
	}
}

// Size is the number of partitions and commits of the answer.
func (k *Capture) Size() int { return k.all.partitions + k.all.windows*k.intervals }

// owner returns who owns the partition of a slot.
func (k *Capture) owner(slot uint32) member {
	if len(k.owners) == 0 {
		return member{}
	}
	return ownerIn(k.owners, k.members, slot)
}

// Release returns the memory of the capture to the pool.
func (k *Capture) Release() {
	clear(k.topics)
	clear(k.held)
	k.image.Reset()
	*k = Capture{
		topics: k.topics[:0], held: k.held[:0], slots: k.slots[:0], blocks: k.blocks[:0], starts: k.starts[:0], owners: k.owners[:0],
		numbers: k.numbers[:0], image: k.image, scratch: k.scratch[:0],
	}
	captures.Put(k)
}

// window returns the window of a partition of a topic and its slot, nil if there is none.
func (k *Capture) window(t *capturedTopic, partition int) (w window.Window, slot uint32) {
	slot, ok := t.at(k.numbers, int32(partition))
	if !ok {
		return nil, 0
	}
	return k.windowOf(slot), slot
}

// windowOf returns the window of a slot, nil if there is none.
func (k *Capture) windowOf(slot uint32) window.Window {
	if r := k.slots[slot]; r != 0 {
		return window.Window(k.blocks[k.starts[r>>unitBits]+int(r&unitMask)*unit:])
	}
	return nil
}

// totals counts what an answer will hold.
type totals struct {
	partitions, windows, commits int
	// known is the number of partitions that have an end offset, endOffsets the number of all their end offsets.
	known, endOffsets int
}

// currentLag returns how far the newest commit of a window, or the log start if that is greater, is behind the end offset; 0
// if either is missing or the commit is ahead.
func currentLag(end *ends.View, w window.Window) uint64 {
	if !end.Known || w == nil || w.Len() == 0 {
		return 0
	}
	return distance(end.Position(w.NewestOffset()), end.Newest)
}

// ConsumerTopics builds the answer of the channel protocol, in a few large allocations. The caller may keep and change it.
func (k *Capture) ConsumerTopics() protocol.ConsumerTopics {
	all := &k.all
	answer := make(protocol.ConsumerTopics, len(k.topics))
	partitionSlab := make([]protocol.ConsumerPartition, all.partitions)
	pointerSlab := make([]*protocol.ConsumerPartition, all.partitions)
	offsetSlab := make([]*protocol.ConsumerOffset, all.windows*k.intervals)
	commitSlab := make([]window.Answered, all.commits)
	endFactsSlab, lagFactsSlab := make([]endFacts, all.known), make([]lagFacts, all.windows)
	endSlab := make([]int64, 0, all.endOffsets)
	none := offsetSlab[:0:0]
	lag := 0
	var end ends.View
	var j judgement
	for i := range k.topics {
		t := &k.topics[i]
		cursor := k.image.Cursor(t.image)
		for p := range t.count {
			out := &partitionSlab[p]
			pointerSlab[p] = out
			from := len(endSlab)
			endSlab = cursor.Next(int32(p), &end, endSlab)
			out.BrokerOffsets = endSlab[from:len(endSlab):len(endSlab)]
			out.Offsets = none
			w, slot := k.window(t, p)
			k.judge(&j, &end, w, lag)
			j.write(out, &endFactsSlab, &lagFactsSlab)
			if w == nil {
				continue
			}
			who := k.owner(slot)
			out.Owner, out.ClientID = who.owner, who.clientID
			if w.Len() == 0 {
				continue
			}
			lag++
			out.CurrentLag = currentLag(&end, w)
			out.Offsets = offsetSlab[:k.intervals:k.intervals]
			offsetSlab = offsetSlab[k.intervals:]
			n := w.Len()
			w.Answer(commitSlab[:n], out.Offsets[k.intervals-n:])
			commitSlab = commitSlab[n:]
		}
		answer[t.topic.Name] = pointerSlab[:t.count:t.count]
		partitionSlab, pointerSlab = partitionSlab[t.count:], pointerSlab[t.count:]
	}
	return answer
}

// Group builds the typed answer, in the memory of into.
func (k *Capture) Group(into *protocol.Group) {
	all := &k.all
	into.Topics = slices.Grow(into.Topics[:0], len(k.topics))
	slabs := into.Slabs()
	slabs.Partitions = slices.Grow(slabs.Partitions[:0], all.partitions)[:all.partitions]
	slabs.Commits = slices.Grow(slabs.Commits[:0], all.commits)
	slabs.EndOffsets = slices.Grow(slabs.EndOffsets[:0], all.endOffsets)
	slabs.Timed = slices.Grow(slabs.Timed[:0], all.known*2+all.windows*2*curve.Recent)
	into.TakenAt = time.UnixMilli(k.now)
	next, lag := 0, 0
	var end ends.View
	var j judgement
	for i := range k.topics {
		t := &k.topics[i]
		list := slabs.Partitions[next : next+t.count : next+t.count]
		next += t.count
		cursor := k.image.Cursor(t.image)
		for p := range list {
			from := len(slabs.EndOffsets)
			slabs.EndOffsets = cursor.Next(int32(p), &end, slabs.EndOffsets)
			w, slot := k.window(t, p)
			k.judge(&j, &end, w, lag)
			out := &list[p]
			*out = protocol.GroupPartition{
				EndOffsets: slabs.EndOffsets[from:len(slabs.EndOffsets):len(slabs.EndOffsets)], State: j.state,
				Difference: j.difference, DifferenceKnown: j.differenceKnown, EndOffsetAge: j.endAge,
				LogStartOffset: j.logStart, TimeLag: j.timeLag, Lost: j.lost,
			}
			if end.Known {
				committed := w != nil && w.Len() > 0
				first := len(slabs.Timed)
				slabs.Timed = k.appendTimed(slabs.Timed, &end, lag, committed)
				out.TimedEndOffsets = slabs.Timed[first:len(slabs.Timed):len(slabs.Timed)]
			}
			if w == nil {
				continue
			}
			who := k.owner(slot)
			out.Owner, out.ClientID = who.owner, who.clientID
			first := len(slabs.Commits)
			slabs.Commits = w.AppendTo(slabs.Commits)
			out.Commits = slabs.Commits[first:len(slabs.Commits):len(slabs.Commits)]
			out.CurrentLag = currentLag(&end, w)
			if w.Len() > 0 {
				lag++
			}
		}
		into.Topics = append(into.Topics, protocol.GroupTopic{Name: t.topic.Name, Partitions: list})
	}
}
