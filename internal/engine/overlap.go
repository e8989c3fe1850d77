package engine

import (
	"math/bits"

	"github.com/lagkeeper/storage/internal/window"
	"github.com/lagkeeper/storage/protocol"
)

// A commit of a group that was not touched for long waits for memory about ten times: for the entry of the group in a map, the group,
// its name, the topic, its end offset, the slot, the window, the place of its next record. Each of these reads needs the one before,
// so the processor cannot begin them early. A run of commits does all first reads one after the other, then all second ones, and so
// on: these do not need one another, and the processor waits for many at once. Then the commits are stored in their order, by
// the same code as single ones, which finds everything in the cache.

// overlapping is the number of commits in a run. The processor has ten to twenty reads under way at once, and the shards are held
// for some microseconds.
const overlapping = 16

// MaxShards is the greatest number of shards: no machine benefits from more.
const MaxShards = 1024

// run is a run of commits.
type run struct {
	engine  *Engine
	entries [overlapping]runEntry
	// stored is the number of commits whose outcome is known.
	stored int
	// shards has one bit for each shard, set if the run needs it.
	shards [MaxShards / 64]uint64
	// held has one for each that is locked.
	held [MaxShards / 64]uint64
	// read keeps the compiler from leaving reads out.
	read int64
}

// runEntry is one commit of a run.
type runEntry struct {
	cluster *Cluster // nil if it is unknown
	hash    uint64
	shard   *shard

	// What fetch has found; nil if it is not there.
	group  *group
	at     *groupTopic
	window window.Window

	why   Reason
	stuck bool
}

// locate finds the shards of a run.
func (r *run) locate(requests []protocol.StorageRequest) {
	for i := range requests {
		entry := &r.entries[i]
		if entry.cluster = r.engine.Cluster(requests[i].Cluster); entry.cluster == nil {
			continue
		}
		entry.hash = entry.cluster.hash(requests[i].Group)
		index := r.engine.shardIndex(entry.hash)
		entry.shard = &r.engine.shards[index]
		r.shards[index/64%uint64(len(r.shards))] |= 1 << (index % 64)
	}
}

// lock locks the shards of a run, or none if one of them is not free: others would wait for those that it held meanwhile.
func (r *run) lock() bool {
	for i, set := range r.shards[:(len(r.engine.shards)+63)/64] {
		for ; set != 0; set &= set - 1 {
			if !r.engine.shards[64*i+bits.TrailingZeros64(set)].mu.TryLock() {
				r.free()
				return false
			}
			r.held[i] |= set & -set
		}
	}
	return true
}

// free unlocks the shards that a run holds.
func (r *run) free() {
	for i, set := range r.held[:(len(r.engine.shards)+63)/64] {
		for ; set != 0; set &= set - 1 {
			r.engine.shards[64*i+bits.TrailingZeros64(set)].mu.Unlock()
		}
		r.held[i] = 0
	}
}

// unlock is release for all shards that a run holds.
func (r *run) unlock() {
	cause := recover()
	if cause != nil {
		r.engine.damage()
	}
	r.free()
	if cause != nil {
		panic(cause)
	}
}

// tell calls done for each commit whose outcome is known, and reports the groups whose fresh commits are refused.
func (r *run) tell(requests []protocol.StorageRequest, from int, done func(i int, why Reason)) {
	for i := range r.entries[:r.stored] {
		entry := &r.entries[i]
		if entry.stuck {
			r.engine.reportStuck(entry.cluster, requests[i].Group)
		}
		done(from+i, entry.why)
	}
}

// fetch reads what the commits of a run will read, one kind after the other. What is missing or broken is left to them.
func (r *run) fetch(requests []protocol.StorageRequest) {
	entries, read := r.entries[:len(requests)], int64(0)
	for i := range entries {
		if s := entries[i].shard; s != nil {
			entries[i].group = s.groups[entries[i].hash]
		}
	}
	for i := range entries {
		if g := entries[i].group; g != nil {
			read += g.seen.Load() + int64(len(g.topics)) + int64(g.memory.held) + int64(g.memory.tail)
			if g.name != "" {
				read += int64(g.name[0])
			}
		}
	}
	for i := range entries {
		if g := entries[i].group; g != nil {
			if at := g.find(requests[i].Topic); at >= 0 {
				entries[i].at = &g.topics[at]
			}
		}
	}
	for i := range entries {
		if at := entries[i].at; at != nil {
			end, _, _ := at.topic.Newest(requests[i].Partition)
			read += end
			entries[i].window = entries[i].group.peek(at, requests[i].Partition)
		}
	}
	for i := range entries {
		if w := entries[i].window; len(w) > 0 {
			read += int64(w[0])
			if len(w) > 64 {
				read += int64(w[64])
			}
		}
	}
	for i := range entries {
		if w := entries[i].window; len(w) > 0 {
			read += int64(w.Oldest())
		}
	}
	r.read = read
}
