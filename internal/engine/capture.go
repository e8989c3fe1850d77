package engine

import (
	"slices"
	"sync"

	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/internal/window"
	"github.com/lagkeeper/storage/protocol"
)

// Capture is a group as it was at one moment, still in the form in which it is kept. Taking one holds the shard for no
// longer than it takes to copy some memory; what it costs to make an answer of it is paid by whoever wants the answer.
// A Capture must be released, and not be used afterwards.
type Capture struct {
	intervals int

	topics  []capturedTopic
	slots   []reference
	blocks  []byte
	starts  []int // of each block in blocks
	owners  []uint32
	members []member

	// One entry for each partition of each topic: where its end offsets end in histories, and what its lag is worth.
	histories  []int64
	bounds     []int
	judgements []judgement

	scratch []protocol.StoredCommit
}

type capturedTopic struct {
	topic         *ends.Topic
	first, length uint32
	count         int
	// from is where the topic begins in bounds and judgements.
	from int
}

var captures = sync.Pool{New: func() any { return new(Capture) }}

// Capture takes a group as it is now.
func (e *Engine) Capture(c *Cluster, groupName string) (*Capture, Reason) {
	k := captures.Get().(*Capture)
	k.intervals = e.config.Intervals
	now := int64(0)
	why := e.withGroup(c, groupName, func(_ *shard, g *group, _ int64) Reason {
		// The lag in time is told to the millisecond.
		now = e.config.Clock.Now()
		k.take(g)
		return 0
	})
	if why != 0 {
		k.Release()
		return nil, why
	}
	for i := range k.topics {
		k.read(&k.topics[i], now)
	}
	return k, 0
}

// read copies what is known of the end offsets of a topic.
func (k *Capture) read(t *capturedTopic, now int64) {
	reading := t.topic.Read()
	defer reading.Close()
	t.from = len(k.bounds)
	for p := range t.count {
		k.histories = reading.AppendHistory(k.histories, p)
		k.bounds = append(k.bounds, len(k.histories))
		k.judgements = append(k.judgements, judge(reading, p, k.window(t, p), now))
	}
}

// take copies what the shard guards.
func (k *Capture) take(g *group) {
	for i := range g.topics {
		gt := &g.topics[i]
		k.topics = append(k.topics, capturedTopic{topic: gt.topic, first: gt.first, length: gt.length, count: int(gt.count)})
	}
	k.slots = append(k.slots, g.memory.slots...)
	size := window.Padding
	for i := range g.memory.blocks {
		size += int(g.memory.blocks[i].used)
	}
	k.blocks = slices.Grow(k.blocks, size)
	for i := range g.memory.blocks {
		b := &g.memory.blocks[i]
		k.starts = append(k.starts, len(k.blocks))
		k.blocks = append(k.blocks, b.bytes[:b.used]...)
	}
	k.blocks = k.blocks[:size]
	k.owners, k.members = append(k.owners, g.owners...), g.members.list
}

// owner returns who owns a partition of a topic that has a window.
func (k *Capture) owner(t *capturedTopic, partition int) member {
	if len(k.owners) == 0 {
		return member{}
	}
	return ownerIn(k.owners, k.members, t.first+uint32(partition))
}

// Release gives the memory of the capture back.
func (k *Capture) Release() {
	clear(k.topics)
	*k = Capture{
		topics: k.topics[:0], slots: k.slots[:0], blocks: k.blocks[:0], starts: k.starts[:0], owners: k.owners[:0],
		histories: k.histories[:0], bounds: k.bounds[:0], judgements: k.judgements[:0], scratch: k.scratch[:0],
	}
	captures.Put(k)
}

// window returns the window of a partition of a topic, nil where there is none.
func (k *Capture) window(t *capturedTopic, partition int) window.Window {
	if partition >= int(t.length) {
		return nil
	}
	r := k.slots[t.first+uint32(partition)]
	if r == 0 {
		return nil
	}
	return window.Window(k.blocks[k.starts[r>>unitBits]+int(r&unitMask)*unit:])
}

// endOffsets tells where in histories the end offsets of a partition of a topic are.
func (k *Capture) endOffsets(t *capturedTopic, partition int) (from, until int) {
	i := t.from + partition
	if i > 0 {
		from = k.bounds[i-1]
	}
	return from, k.bounds[i]
}

// totals counts what an answer will hold.
func (k *Capture) totals() (partitions, windows, commits int) {
	for i := range k.topics {
		t := &k.topics[i]
		partitions += t.count
		for p := range t.length {
			if w := k.window(t, int(p)); w != nil && w.Len() > 0 {
				windows++
				commits += w.Len()
			}
		}
	}
	return partitions, windows, commits
}

// currentLag is the newest end offset less the newest commit, 0 where either is missing or the commit is ahead.
func currentLag(endOffsets []int64, w window.Window) uint64 {
	if len(endOffsets) == 0 || w == nil || w.Len() == 0 {
		return 0
	}
	end, commit := endOffsets[len(endOffsets)-1], w.NewestOffset()
	if commit >= end {
		return 0
	}
	return uint64(end) - uint64(commit)
}

// offsetAndLag lets a commit of an answer and its lag lie side by side.
type offsetAndLag struct {
	offset protocol.ConsumerOffset
	lag    protocol.Lag
}

// judged holds what the judgement of a partition in an answer points to.
type judged struct {
	difference, age, logStart int64
	timeLag                   protocol.TimeLag
	lost                      uint64
}

// tell writes a judgement into an answer.
func (j *judgement) tell(out *protocol.ConsumerPartition, to *judged) {
	out.State = j.state
	if j.differenceKnown {
		to.difference = j.difference
		out.Difference = &to.difference
	}
	if j.endAge >= 0 {
		to.age = j.endAge
		out.EndOffsetAge = &to.age
	}
	if j.logStart >= 0 {
		to.logStart = j.logStart
		out.LogStartOffset = &to.logStart
	}
	if j.timeLag.Kind != protocol.TimeLagUnknown {
		to.timeLag = j.timeLag
		out.TimeLag = &to.timeLag
	}
	if j.lost > 0 {
		to.lost = j.lost
		out.Lost = &to.lost
	}
}

// ConsumerTopics makes the answer of the channel protocol. Everything in it is the caller's to keep and to change; it lies
// in a few large allocations.
func (k *Capture) ConsumerTopics() protocol.ConsumerTopics {
	partitions, windows, commits := k.totals()
	answer := make(protocol.ConsumerTopics, len(k.topics))
	partitionSlab := make([]protocol.ConsumerPartition, partitions)
	pointerSlab := make([]*protocol.ConsumerPartition, partitions)
	offsetSlab := make([]*protocol.ConsumerOffset, windows*k.intervals)
	commitSlab := make([]offsetAndLag, commits)
	judgedSlab := make([]judged, partitions)
	endSlab := slices.Clone(k.histories)
	none := offsetSlab[:0:0]
	for i := range k.topics {
		t := &k.topics[i]
		for p := range t.count {
			out := &partitionSlab[p]
			pointerSlab[p] = out
			from, until := k.endOffsets(t, p)
			out.BrokerOffsets = endSlab[from:until:until]
			out.Offsets = none
			k.judgements[t.from+p].tell(out, &judgedSlab[t.from+p])
			w := k.window(t, p)
			if w == nil {
				continue
			}
			who := k.owner(t, p)
			out.Owner, out.ClientID = who.owner, who.clientID
			if w.Len() == 0 {
				continue
			}
			out.CurrentLag = currentLag(out.BrokerOffsets, w)
			k.scratch = w.AppendTo(k.scratch[:0])
			out.Offsets = offsetSlab[:k.intervals:k.intervals]
			offsetSlab = offsetSlab[k.intervals:]
			at := k.intervals - len(k.scratch)
			for i := range k.scratch {
				in, to := &k.scratch[i], &commitSlab[i]
				to.offset = protocol.ConsumerOffset{
					Offset: in.Offset, Order: in.Order, Timestamp: in.Timestamp, ObservedTimestamp: in.ObservedTimestamp,
				}
				if in.LagKnown {
					to.lag.Value = in.Lag
					to.offset.Lag = &to.lag
				}
				out.Offsets[at+i] = &to.offset
			}
			commitSlab = commitSlab[len(k.scratch):]
		}
		answer[t.topic.Name] = pointerSlab[:t.count:t.count]
		partitionSlab, pointerSlab = partitionSlab[t.count:], pointerSlab[t.count:]
	}
	return answer
}

// Group makes the typed answer, in the memory of into.
func (k *Capture) Group(into *protocol.Group) {
	partitions, _, commits := k.totals()
	into.Topics = slices.Grow(into.Topics[:0], len(k.topics))
	slabs := into.Slabs()
	slabs.Partitions = slices.Grow(slabs.Partitions[:0], partitions)[:partitions]
	slabs.Commits = slices.Grow(slabs.Commits[:0], commits)
	slabs.EndOffsets = append(slabs.EndOffsets[:0], k.histories...)
	next := 0
	for i := range k.topics {
		t := &k.topics[i]
		list := slabs.Partitions[next : next+t.count : next+t.count]
		next += t.count
		for p := range list {
			out := &list[p]
			from, until := k.endOffsets(t, p)
			j := &k.judgements[t.from+p]
			*out = protocol.GroupPartition{
				EndOffsets: slabs.EndOffsets[from:until:until], State: j.state, Difference: j.difference,
				DifferenceKnown: j.differenceKnown, EndOffsetAge: j.endAge, LogStartOffset: j.logStart,
				TimeLag: j.timeLag, Lost: j.lost,
			}
			w := k.window(t, p)
			if w == nil {
				continue
			}
			who := k.owner(t, p)
			out.Owner, out.ClientID = who.owner, who.clientID
			first := len(slabs.Commits)
			slabs.Commits = w.AppendTo(slabs.Commits)
			out.Commits = slabs.Commits[first:len(slabs.Commits):len(slabs.Commits)]
			out.CurrentLag = currentLag(out.EndOffsets, w)
		}
		into.Topics = append(into.Topics, protocol.GroupTopic{Name: t.topic.Name, Partitions: list})
	}
}
