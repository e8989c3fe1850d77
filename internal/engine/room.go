package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/lagkeeper/storage/protocol"
)

// room counts the memory that groups and topics take, as Stats does, and knows when that is too much.
type room struct {
	used  atomic.Int64
	limit int64 // 0 is none
	// announced is set from the first refusal until there is room again.
	announced atomic.Bool
	// filling is held, by those who load many records from a file at once, from the check for room until what was added is
	// counted. Nobody holds it if there is no limit.
	filling sync.Mutex
}

// reserve lets one goroutine at a time check for room and fill it; the caller calls the function that it returns when done.
func (r *room) reserve() (done func()) {
	if r.limit == 0 {
		return func() {}
	}
	r.filling.Lock()
	return r.filling.Unlock
}

// full reports whether anything new must be refused. Known groups and topics still grow, and may take the store beyond its
// limit.
func (r *room) full() bool { return r.limit > 0 && r.used.Load() >= r.limit }

// fits reports whether there is room for that many more bytes.
func (r *room) fits(bytes int) bool { return r.limit == 0 || r.used.Load()+int64(bytes) <= r.limit }

// add adds bytes to the count, or subtracts them.
func (r *room) add(bytes int) {
	if used := r.used.Add(int64(bytes)); bytes < 0 && used < r.limit && r.announced.Load() {
		r.announced.Store(false)
	}
}

// refuse returns Full, and publishes an event if there was room at the last check.
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

// accountCommit is account for a group, or nil, that may have got a commit. Mostly nothing changes, and that is found out from
// fields that a commit reads anyway.
func (s *shard) accountCommit(g *group) {
	if g == nil {
		return
	}
	m := &g.memory
	if m.held != m.counted.held || g.layouts != m.counted.layouts || len(g.topics) != int(m.counted.topics) {
		s.account(g)
	}
}

// accountIndexes counts what the maps of the shard and its remembered deletions take now.
func (s *shard) accountIndexes() {
	if bytes := s.departures.bytes() + s.mapBytes(); bytes != s.accounted {
		s.room.add(bytes - s.accounted)
		s.accounted = bytes
	}
}

// Used returns the number of bytes counted.
func (e *Engine) Used() int64 { return e.room.used.Load() }
