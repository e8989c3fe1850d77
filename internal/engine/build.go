package engine

import (
	"fmt"
	"slices"

	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/window"
	"github.com/lagkeeper/storage/protocol"
)

// buildTopic makes a topic from a record, which nobody sees yet.
func (e *Engine) buildTopic(c *Cluster, r *snapshot.Topic, now int64) (*ends.Topic, error) {
	clampEndOffsets(r, now)
	return c.topics.Build(r)
}

// builder makes groups from records. It is used by one goroutine.
type builder struct {
	engine *Engine
	names  map[string]bool
	// run collects windows one behind the other for the memory of their group, so that each is sized once and each block made
	// once.
	run     []byte
	used    int
	scratch window.Scratch
	// numbers and decoded are of one topic and one window.
	numbers []int32
	decoded []protocol.StoredCommit
}

// group makes a group from a record, which nobody sees yet. Its topics are placeholders until place finds those of the
// cluster.
func (b *builder) group(c *Cluster, r *snapshot.Group, now int64) (*group, error) {
	g := newGroup(c, c.hash(r.Name), r.Name)
	g.committed = r.LastCommit != snapshot.Never
	g.seen.Store(min(max(r.LastCommit, r.LastOwner), now)) // the clock may have been set back
	b.used = 0
	if len(r.Topics) > 1 {
		if b.names == nil {
			b.names = make(map[string]bool, len(r.Topics))
		}
		clear(b.names)
	}
	for i := range r.Topics {
		t := &r.Topics[i]
		if len(r.Topics) > 1 {
			if b.names[t.Name] {
				return nil, invalidf("group %q: topic %q stands there twice", r.Name, t.Name)
			}
			b.names[t.Name] = true
		}
		if err := b.topic(g, g.attach(&ends.Topic{Name: t.Name}), r, t, now); err != nil {
			return nil, fmt.Errorf("group %q: topic %q: %w", r.Name, t.Name, err)
		}
	}
	if b.used > 0 && !g.memory.adopt(b.run[:b.used]) {
		return nil, invalidf("group %q: no room for its windows", r.Name)
	}
	return g, nil
}

func (b *builder) topic(g *group, index int, of *snapshot.Group, r *snapshot.GroupTopic, now int64) error {
	gt := &g.topics[index]
	gt.seen = min(r.LastCommit, now)
	counted := g.withCount(gt, r.PartitionCount)
	if counted > maxSlots {
		return invalidf("%d partitions: a group has room for %d", counted, maxSlots)
	}
	gt.count, g.counted = r.PartitionCount, counted
	b.numbers = numbersOf(b.numbers[:0], r)
	if len(b.numbers) == 0 {
		return nil
	}
	if !g.layAll(gt, b.numbers) {
		return invalidf("%d partitions: the group has no room for them", len(b.numbers))
	}
	for i := range r.Partitions {
		p := &r.Partitions[i]
		at := arriving{gt: gt, number: p.Number, incarnation: uint8(p.Incarnation), who: member{p.Owner, p.ClientID}}
		if err := b.commits(g, &at, p.Commits, now); err != nil {
			return err
		}
	}
	for i, w := range r.Windows.All() {
		number, incarnation := snapshot.Untag(w.Tag())
		who := of.Owner(&r.Windows, i)
		at := arriving{gt: gt, number: number, incarnation: incarnation, who: member{who.Owner, who.ClientID}}
		if err := b.window(g, &at, w, now); err != nil {
			return err
		}
	}
	return nil
}

// numbersOf appends the numbers of the partitions of a record.
func numbersOf(dst []int32, r *snapshot.GroupTopic) []int32 {
	for i := range r.Partitions {
		dst = append(dst, r.Partitions[i].Number)
	}
	for _, w := range r.Windows.All() {
		number, _ := snapshot.Untag(w.Tag())
		dst = append(dst, number)
	}
	return dst
}

// arriving is a partition that is about to be added to a group.
type arriving struct {
	gt          *groupTopic
	number      int32
	incarnation uint8
	who         member
}

// window adds a window as it is, if it is one that the engine would hold now.
func (b *builder) window(g *group, at *arriving, w window.Window, now int64) error {
	b.decoded = w.AppendTo(b.decoded[:0])
	commits := b.decoded
	if len(commits) > b.engine.config.Intervals || disordered(commits) || futureIn(commits, now) {
		return b.commits(g, at, commits, now)
	}
	to, err := b.take(g, w.Size())
	if err != nil {
		return err
	}
	copy(to, w[:w.Size()])
	b.settle(g, at, to, commits)
	return nil
}

// commits adds a window of some commits.
func (b *builder) commits(g *group, at *arriving, commits []protocol.StoredCommit, now int64) error {
	if disordered(commits) {
		commits = leaveOut(commits)
	}
	commits = commits[max(0, len(commits)-b.engine.config.Intervals):]
	clampTimes(commits, now)
	size := b.scratch.Plan(commits)
	w, err := b.take(g, size)
	if err != nil {
		return err
	}
	window.Init(w, size)
	w.Fill(&b.scratch)
	b.settle(g, at, w, commits)
	return nil
}

// settle gives a window that was added its slot.
func (b *builder) settle(g *group, at *arriving, w window.Window, commits []protocol.StoredCommit) {
	slot, _ := at.gt.at(g.numbers, at.number)
	w.SetTag(slot | restoredBit | uint32(at.incarnation)<<incarnationShift)
	if max(len(at.who.owner), len(at.who.clientID)) <= MaxName {
		g.setOwner(slot, at.who.owner, at.who.clientID)
	}
	if n := len(commits); n > 0 {
		at.gt.committed = true
		g.setKnown(slot, commits[n-1].Order)
	}
}

// take takes size bytes behind the windows of the run, which goes to the memory of the group when it is as large as a block.
func (b *builder) take(g *group, size int) (window.Window, error) {
	if b.used > 0 && blockStart+b.used+size > blockTarget {
		if !g.memory.adopt(b.run[:b.used]) {
			return nil, invalidf("no room for its windows")
		}
		b.used = 0
	}
	if needed := b.used + size + window.Padding; needed > len(b.run) {
		b.run = append(make([]byte, 0, max(needed, 2*len(b.run))), b.run[:b.used]...)
		b.run = b.run[:cap(b.run)]
	}
	w := window.Window(b.run[b.used:])
	b.used += size
	return w, nil
}

// disordered reports whether there are commits that a window cannot hold: negative offsets, which an earlier release stored, and
// orders below the one before.
func disordered(commits []protocol.StoredCommit) bool {
	newest := int64(0)
	for i := range commits {
		if c := &commits[i]; c.Offset < 0 || c.Order < newest {
			return true
		}
		newest = commits[i].Order
	}
	return false
}

// leaveOut removes them.
func leaveOut(commits []protocol.StoredCommit) []protocol.StoredCommit {
	newest := int64(0)
	return slices.DeleteFunc(slices.Clone(commits), func(c protocol.StoredCommit) bool {
		if c.Offset < 0 || c.Order < newest {
			return true
		}
		newest = c.Order
		return false
	})
}
