package engine

import (
	"cmp"
	"slices"
	"sync"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/protocol"
)

// MaxPositions limits the partitions of a commit log whose positions are kept for a cluster.
const MaxPositions = 10_000

// positions are the positions up to which each partition of a cluster's commit log has been applied.
type positions struct {
	mu sync.Mutex
	// next is the next offset to read of each partition; guarded by mu.
	next map[int32]int64
}

// SetPosition notes that everything before a position has been applied.
func (e *Engine) SetPosition(c *Cluster, p protocol.Position) Reason {
	if e.stopped.Load() {
		return Stopped
	}
	if p.Partition < 0 || p.Offset < 0 || !c.positions.set(p) {
		return Invalid
	}
	e.changes.Add(1)
	return 0
}

func (p *positions) set(position protocol.Position) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.next[position.Partition]; !known && len(p.next) >= MaxPositions {
		return false
	}
	if p.next == nil {
		p.next = make(map[int32]int64)
	}
	p.next[position.Partition] = position.Offset
	return true
}

// Positions returns the positions of a cluster, ascending by partition.
func (e *Engine) Positions(c *Cluster) ([]protocol.Position, Reason) {
	if e.stopped.Load() {
		return nil, Stopped
	}
	return c.positions.list(), 0
}

func (p *positions) list() []protocol.Position {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]protocol.Position, 0, len(p.next))
	for partition, offset := range p.next {
		list = append(list, protocol.Position{Partition: partition, Offset: offset})
	}
	slices.SortFunc(list, func(a, b protocol.Position) int { return cmp.Compare(a.Partition, b.Partition) })
	return list
}

// forget forgets the positions of some partitions, of all if none are given.
func (p *positions) forget(of []protocol.LogPartition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(of) == 0 {
		p.next = nil
	}
	for _, log := range of {
		delete(p.next, log.Partition)
	}
}

// SavedPositions returns the positions of all clusters for the header of a snapshot. They are read before the first group, so
// that a snapshot never claims more than it contains.
func (e *Engine) SavedPositions() []snapshot.Position {
	var all []snapshot.Position
	for _, c := range e.clusters.Load().all {
		for _, p := range c.positions.list() {
			all = append(all, snapshot.Position{Cluster: c.Name, Position: p})
		}
	}
	return all
}

// RestorePositions sets the positions of the snapshot that the engine begins with.
func (e *Engine) RestorePositions(saved []snapshot.Position) {
	for _, p := range saved {
		if c := e.Cluster(p.Cluster); c != nil {
			c.positions.set(p.Position)
		}
	}
}

// ImportPositions sets the positions of an import whose groups come next. A cluster without groups takes them as they are. In
// others the state has been applied up to the present positions and the import up to the imported ones, so the lower counts,
// and a partition that lacks either has none. Only clusters in touched change.
func (e *Engine) ImportPositions(saved []snapshot.Position, touched map[string]bool) {
	imported := make(map[*Cluster]map[int32]int64)
	for name := range touched {
		if c := e.Cluster(name); c != nil {
			imported[c] = make(map[int32]int64)
		}
	}
	for _, p := range saved {
		if c := e.Cluster(p.Cluster); c != nil && imported[c] != nil && len(imported[c]) < MaxPositions {
			imported[c][p.Partition] = p.Offset
		}
	}
	for c, offsets := range imported {
		c.positions.merge(offsets, e.empty(c))
		e.changes.Add(1)
	}
}

// empty reports whether a cluster has no group.
func (e *Engine) empty(c *Cluster) bool {
	for i := range e.shards {
		if !e.shards[i].empty(c) {
			return false
		}
	}
	return true
}

func (s *shard) empty(c *Cluster) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.lists[c]) == 0
}

func (p *positions) merge(offsets map[int32]int64, replace bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if replace && len(p.next) == 0 {
		p.next = offsets
		return
	}
	for partition, offset := range p.next {
		if other, known := offsets[partition]; known {
			p.next[partition] = min(offset, other)
		} else {
			delete(p.next, partition)
		}
	}
}
