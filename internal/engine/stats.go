package engine

import (
	"context"
	"unsafe"

	"github.com/lagkeeper/storage/internal/shrink"
	"github.com/lagkeeper/storage/protocol"
)

type uncountedKey struct{}

// Uncounted returns a context whose reads do not count as requests.
func Uncounted(ctx context.Context) context.Context {
	return context.WithValue(ctx, uncountedKey{}, true)
}

// IsUncounted reports whether a context is one of those.
func IsUncounted(ctx context.Context) bool { return ctx.Value(uncountedKey{}) != nil }

// Count counts the outcome of a request that no shard counts, and returns it.
func (e *Engine) Count(request protocol.StorageRequestConstant, why Reason) Reason {
	if request >= 0 && int(request) < protocol.StorageRequestTypes {
		e.requests[request][why].Add(1)
	}
	return why
}

// Stats is what an engine holds and what it has done.
type Stats struct {
	// Requests counts requests by type and outcome.
	Requests [protocol.StorageRequestTypes][Reasons]uint64

	Clusters                             int
	Groups, GroupTopics, GroupPartitions int
	Topics, Partitions                   int
	// Bytes is the memory of all this.
	Bytes int

	Sweeps, ExpiredGroups, ExpiredTopics uint64
	// SweptTopics counts the topics that were removed because nobody polled them.
	SweptTopics uint64
	// Remembered is the number of groups with remembered deletions, Stuck how often a group's fresh commits were refused in a
	// row.
	Remembered int
	Stuck      uint64
}

// Stats counts everything. It holds a shard only for a few groups at a time.
func (e *Engine) Stats() Stats {
	var st Stats
	for request := range e.requests {
		for why := range e.requests[request] {
			st.Requests[request][why] = e.requests[request][why].Load()
		}
	}
	st.Sweeps, st.SweptTopics = e.sweeps.Load(), e.sweptTopics.Load()
	clusters := e.clusters.Load().all
	st.Clusters = len(clusters)
	for _, c := range clusters {
		st.Bytes += c.topics.Bytes()
		for _, t := range c.topics.Topics(nil) {
			st.Topics++
			partitions, bytes := t.Size()
			st.Partitions += partitions
			st.Bytes += bytes
		}
	}
	for i := range e.shards {
		s := &e.shards[i]
		s.addCounts(&st)
		for _, c := range clusters {
			for at := 0; at >= 0; {
				at = s.addGroups(&st, c, at)
			}
		}
	}
	return st
}

func (s *shard) addCounts(st *Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for why := range Reasons {
		st.Requests[protocol.StorageSetConsumerOffset][why] += s.counts.commits[why]
		st.Requests[protocol.StorageSetConsumerOwner][why] += s.counts.owners[why]
	}
	st.ExpiredGroups += s.counts.expired
	st.ExpiredTopics += s.counts.swept
	st.Stuck += s.counts.stuck
	st.Remembered += s.departures.len()
	st.Bytes += s.departures.bytes() + s.mapBytes()
}

// mapBytes estimates what the maps of a shard take.
func (s *shard) mapBytes() int { return mapBytesOf(s.mostGroups, s.mostTopics) }

// mapGrowth returns how much more they take with a group that has a number of topics which no other has.
func (s *shard) mapGrowth(unlisted int) int {
	return mapBytesOf(max(s.mostGroups, len(s.groups)+1), max(s.mostTopics, len(s.byTopic)+unlisted)) - s.mapBytes()
}

func mapBytesOf(groups, topics int) int {
	const pointer = int(unsafe.Sizeof((*group)(nil)))
	return shrink.Bytes(groups, 8+pointer) + shrink.Bytes(topics, pointer+int(unsafe.Sizeof([]*group(nil))))
}

// addGroups adds some groups of a cluster, from an index on, and returns the next index, -1 if there is none.
func (s *shard) addGroups(st *Stats, c *Cluster, from int) (next int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.lists[c]
	until := min(from+sweepBatch, len(list))
	for at := from; at < until; at++ {
		list[at].addTo(st)
	}
	if until == len(list) {
		return -1
	}
	return until
}

func (g *group) addTo(st *Stats) {
	st.Groups++
	st.GroupTopics += len(g.topics)
	st.GroupPartitions += g.memory.windows
	st.Bytes += g.bytes()
}

// bytes returns what the group takes. It is called at each commit, so its cost does not grow with the group.
func (g *group) bytes() int {
	return int(unsafe.Sizeof(*g)) + len(g.name) + int(unsafe.Sizeof(g)) +
		cap(g.topics)*int(unsafe.Sizeof(groupTopic{})) + len(g.topics)*int(unsafe.Sizeof(g)) +
		cap(g.memory.slots)*int(unsafe.Sizeof(reference(0))) + (cap(g.owners)+cap(g.numbers))*4 + cap(g.known)*8 + g.memory.held +
		cap(g.members.list)*int(unsafe.Sizeof(member{})) + g.members.text +
		indexBytes(len(g.members.numbers), int(unsafe.Sizeof(member{})+unsafe.Sizeof(uint64(0)))) +
		indexBytes(len(g.byName), int(unsafe.Sizeof("")+unsafe.Sizeof(int(0))))
}

// indexBytes estimates the memory of one of a group's maps, which are made for twice fewTopics, by the number and the size of its
// entries.
func indexBytes(entries, size int) int {
	if entries == 0 {
		return 0
	}
	return shrink.Bytes(max(entries, 2*fewTopics), size)
}
