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
		if err := b.topic(g, g.attach(&ends.Topic{Name: t.Name}), t, now); err != nil {
			return nil, fmt.Errorf("group %q: topic %q: %w", r.Name, t.Name, err)
		}
	}
	if b.used > 0 && !g.memory.adopt(b.run[:b.used]) {
		return nil, invalidf("group %q: no room for its windows", r.Name)
	}
	return g, nil
}

func (b *builder) topic(g *group, index int, r *snapshot.GroupTopic, now int64) error {
	gt := &g.topics[index]
	gt.seen = min(r.LastCommit, now)
	counted := g.withCount(gt, r.PartitionCount)
	if counted > maxSlots {
		return invalidf("%d partitions: a group has room for %d", counted, maxSlots)
	}
	gt.count, g.counted = r.PartitionCount, counted
	if len(r.Partitions) == 0 {
		return nil
	}
	if !g.layAll(gt, r.Partitions) {
		return invalidf("%d partitions: the group has no room for them", len(r.Partitions))
	}
	for i := range r.Partitions {
		p := &r.Partitions[i]
		slot, _ := gt.at(g.numbers, p.Number)
		commits := inOrder(p.Commits)
		commits = commits[max(0, len(commits)-b.engine.config.Intervals):]
		clampTimes(commits, now)
		w, err := b.window(g, commits)
		if err != nil {
			return err
		}
		setSlot(w, slot)
		setIncarnation(w, uint8(p.Incarnation))
		setRestored(w, true)
		if max(len(p.Owner), len(p.ClientID)) <= MaxName {
			g.setOwner(slot, p.Owner, p.ClientID)
		}
		if n := len(commits); n > 0 {
			gt.committed = true
			g.setKnown(slot, commits[n-1].Order)
		}
	}
	return nil
}

// window adds a window to the run, which goes to the memory of the group when it is as large as a block.
func (b *builder) window(g *group, commits []protocol.StoredCommit) (window.Window, error) {
	size := b.scratch.Plan(commits)
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
	window.Init(w, size)
	w.Fill(&b.scratch)
	b.used += size
	return w, nil
}

// inOrder removes commits that a window cannot hold: negative offsets, which an earlier release stored, and orders below the
// one before.
func inOrder(commits []protocol.StoredCommit) []protocol.StoredCommit {
	newest := int64(0)
	for i := range commits {
		if c := &commits[i]; c.Offset < 0 || c.Order < newest {
			return leaveOut(commits)
		}
		newest = commits[i].Order
	}
	return commits
}

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
