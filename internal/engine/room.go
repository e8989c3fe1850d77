package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/lagkeeper/storage/protocol"
)

// room keeps count of the memory that groups and topics take, as Stats counts it, and knows when that is too much.
type room struct {
	used  atomic.Int64
	limit int64 // 0 is none
	// announced is set from the first refusal until there is room again.
	announced atomic.Bool
	// filling is held from a look at the room until what was let in is counted, by those who fill the store from a file at
	// once. Nobody holds it if there is no limit.
	filling sync.Mutex
}

// reserve lets one goroutine at a time look at the room and fill it; the caller calls done.
func (r *room) reserve() (done func()) {
	if r.limit == 0 {
		return func() {}
	}
	r.filling.Lock()
	return r.filling.Unlock
}

// full reports whether nothing new is to be taken. What is known goes on, and may take the store beyond its limit by what
// that needs.
func (r *room) full() bool { return r.limit > 0 && r.used.Load() >= r.limit }

// fits reports whether there is room for so many bytes more.
func (r *room) fits(bytes int) bool { return r.limit == 0 || r.used.Load()+int64(bytes) <= r.limit }

// add counts bytes, or gives them back.
func (r *room) add(bytes int) {
	if used := r.used.Add(int64(bytes)); bytes < 0 && used < r.limit && r.announced.Load() {
		r.announced.Store(false)
	}
}

// refuse returns Full, and publishes it if it is the first time since there was room.
func (e *Engine) refuse(now int64) Reason {
	if !e.room.announced.Swap(true) && e.config.Hub.Watched() {
		e.config.Hub.Publish(protocol.Event{Kind: protocol.EventStoreFull, Time: time.UnixMilli(now)})
	}
	return Full
}

// account counts what a group takes now.
func (s *shard) account(g *group) {
	if g.gone {
		return
	}
	g.memory.counted.held, g.memory.counted.layouts, g.memory.counted.topics = g.memory.held, g.layouts, int32(len(g.topics))
	if bytes := g.bytes(); bytes != g.accounted {
		s.room.add(bytes - g.accounted)
		g.accounted = bytes
	}
}

// accountCommit is account for a group, or nil, that may have got a commit: that changes nothing in most cases, and to find that
// out costs no look at more than a commit needs anyway.
func (s *shard) accountCommit(g *group) {
	if g == nil {
		return
	}
	m := &g.memory
	if m.held != m.counted.held || g.layouts != m.counted.layouts || len(g.topics) != int(m.counted.topics) {
		s.account(g)
	}
}

// accountIndexes counts what the maps of the shard, and what it remembers of deletions, take now.
func (s *shard) accountIndexes() {
	if bytes := s.departures.bytes() + s.mapBytes(); bytes != s.accounted {
		s.room.add(bytes - s.accounted)
		s.accounted = bytes
	}
}

// Used returns how many bytes are counted.
func (e *Engine) Used() int64 { return e.room.used.Load() }
