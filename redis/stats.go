package lagredis

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/internal/lines"
	"github.com/lagkeeper/storage/protocol"
)

// counts are the counters of a store since it was opened.
type counts struct {
	// requests are counted here and not by the engine, because the engine repeats a call if another process has changed the state
	// meanwhile.
	requests [protocol.StorageRequestTypes][engine.Reasons]atomic.Uint64

	roundTrips, connections, conflicts, retries, unavailable atomic.Uint64
	turns, sweeps, replicaReads, replicaMisses               atomic.Uint64
}

// reset sets all counters to zero.
func (c *counts) reset() { *c = counts{} }

// tally counts the outcome of n requests of one type that were one call.
func (db *DB) tally(request protocol.StorageRequestConstant, n int, err *error) {
	count := &db.counts.requests[request]
	var batch *storage.BatchError
	switch {
	case *err == nil:
	case errors.As(*err, &batch):
		for _, refused := range batch.Refused {
			count[reasonOf(refused.Err)].Add(1)
		}
		n -= len(batch.Refused)
	case errors.Is(*err, storage.ErrUnavailable):
		db.counts.unavailable.Add(1)
		return
	default:
		if why := reasonOf(*err); why != 0 {
			count[why].Add(uint64(n))
		}
		return
	}
	count[0].Add(uint64(n))
}

// tallyRead counts a read, unless it is marked as not counting.
func (db *DB) tallyRead(ctx context.Context, request protocol.StorageRequestConstant, err *error) {
	if !engine.IsUncounted(ctx) {
		db.tally(request, 1, err)
	}
}

// reasonOf returns the Reason of an error, 0 if the error is not a refusal by the store.
func reasonOf(err error) engine.Reason {
	for why, known := range errorsOf {
		if known != nil && errors.Is(err, known) {
			return engine.Reason(why)
		}
	}
	return 0
}

// Stats returns what this process has done since the store was opened, and the size of its copies: Groups, GroupTopics,
// GroupPartitions, Topics, Partitions and Bytes count the copies and not the state, which no process knows whole. Reads from replicas
// are counted apart from reads from masters. The expired and swept are those that this process has removed. Stats sends no request to
// a server. It returns ErrStopped if the store is closed.
func (db *DB) Stats() (storage.Stats, error) {
	db.life.RLock()
	defer db.life.RUnlock()
	if db.closed {
		return storage.Stats{}, fmt.Errorf("read statistics: %w", storage.ErrStopped)
	}
	var reader counts
	var copies engine.Stats
	if r := db.replicas; r != nil {
		reader.roundTrips.Store(r.reader.counts.roundTrips.Load())
		reader.conflicts.Store(r.reader.counts.conflicts.Load())
		copies = r.reader.engine.Stats()
	}
	in, hub, c := db.engine.Stats(), db.watching.hub.Stats(), &db.counts
	out := storage.Stats{
		Clusters: in.Clusters, Groups: in.Groups + copies.Groups, GroupTopics: in.GroupTopics + copies.GroupTopics,
		GroupPartitions: in.GroupPartitions + copies.GroupPartitions, Topics: in.Topics + copies.Topics,
		Partitions: in.Partitions + copies.Partitions, Bytes: in.Bytes + copies.Bytes,
		Sweeps: c.sweeps.Load(), ExpiredGroups: in.ExpiredGroups, ExpiredTopics: in.ExpiredTopics, SweptTopics: in.SweptTopics,
		StuckGroups: in.Stuck, LostLines: lines.Faults(db.log),
		Watchers: storage.WatcherStats{
			Now: hub.Watchers, UnreadEvents: hub.Events, UnreadBytes: hub.Bytes, Missed: hub.Missed, Refused: hub.Refused,
		},
		Remote: storage.RemoteStats{
			Calls: len(db.room), MostCalls: cap(db.room), HeldBuckets: db.heldBuckets(),
			RoundTrips: c.roundTrips.Load() + reader.roundTrips.Load(), Connections: c.connections.Load(),
			Conflicts: c.conflicts.Load() + reader.conflicts.Load(), Retries: c.retries.Load(), Unavailable: c.unavailable.Load(),
			EarlierStates: c.turns.Load(), ReplicaReads: c.replicaReads.Load(), ReplicaMisses: c.replicaMisses.Load(),
		},
	}
	for request, count := range requestCounts(&out.Requests) {
		for why := range c.requests[request] {
			n := c.requests[request][why].Load()
			switch {
			case why == 0:
				count.Done = n
			case n > 0:
				if count.Dropped == nil {
					count.Dropped = make(map[storage.Reason]uint64)
				}
				count.Dropped[storage.ReasonOf(errorsOf[why])] = n
			}
		}
	}
	return out, nil
}

// requestCounts are the counts per request type.
func requestCounts(r *storage.RequestStats) [protocol.StorageRequestTypes]*storage.RequestCount {
	return [...]*storage.RequestCount{
		protocol.StorageSetBrokerOffset: &r.SetEndOffset, protocol.StorageSetConsumerOffset: &r.Commit,
		protocol.StorageSetConsumerOwner: &r.SetOwner, protocol.StorageSetDeleteTopic: &r.DeleteTopic,
		protocol.StorageSetDeleteGroup: &r.DeleteGroup, protocol.StorageFetchClusters: &r.FetchClusters,
		protocol.StorageFetchConsumers: &r.FetchGroups, protocol.StorageFetchTopics: &r.FetchTopics,
		protocol.StorageFetchConsumer: &r.FetchGroup, protocol.StorageFetchTopic: &r.FetchTopic,
		protocol.StorageClearConsumerOwners: &r.ClearOwners, protocol.StorageFetchConsumersForTopic: &r.FetchGroupsOfTopic,
	}
}

// heldBuckets returns the number of buckets whose lease this process holds.
func (db *DB) heldBuckets() (held int) {
	for i := range db.buckets {
		if db.buckets[i].holds.Load() {
			held++
		}
	}
	return held
}
