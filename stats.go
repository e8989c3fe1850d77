package storage

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/lagkeeper/storage/internal/channel"
	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/internal/lines"
	"github.com/lagkeeper/storage/protocol"
)

// Stats is what a store holds and what it has done since it was opened. Reading it delays nobody for longer than a few
// commits take.
type Stats struct {
	// Requests counts the outcomes of requests, over the channel or as typed calls.
	Requests RequestStats

	// Clusters is the number of clusters.
	Clusters int
	// Groups, GroupTopics and GroupPartitions count what the groups hold; Topics and Partitions what is known of the brokers.
	Groups, GroupTopics, GroupPartitions int
	Topics, Partitions                   int
	// Bytes is the memory that all this takes; that of maps is an estimate.
	Bytes int

	// Sweeps counts the sweeps, ExpiredGroups the groups and ExpiredTopics the topics of living groups that they removed
	// because there were no more commits.
	Sweeps, ExpiredGroups, ExpiredTopics uint64
	// SweptTopics counts the topics that were removed because nobody polled their end offsets any more.
	SweptTopics uint64
	// RememberedDeletions is the number of deleted groups that are remembered for a replay after a restart; at most 100,000,
	// after which the oldest are forgotten. It is 0 if no snapshot is configured.
	RememberedDeletions int
	// StuckGroups counts how often ten fresh commits of a group were refused in a row because of their orders: the orders have
	// begun anew, and ForgetOrders should be called.
	StuckGroups uint64

	// Snapshots counts the snapshots; all zero if there are none.
	Snapshots SnapshotStats
	// Watchers counts the watchers.
	Watchers WatcherStats
	// Panics counts the panics of the store's own goroutines that were recovered from.
	Panics uint64
	// Damaged is true once a panic has interrupted a change of the state: no more snapshots are made, see ErrDamaged.
	Damaged bool
	// LostLines counts the log lines that were not written because the logger panicked or did not return.
	LostLines uint64
	// Relay is what the channel half has done; the zero value for a DB that was opened without one.
	Relay RelayStats
	// Remote counts the work with servers of a module that keeps its state there. The counts above, from Groups to Bytes, are then
	// those of the copies in the process. It is the zero value for a module that keeps its state in the process.
	Remote RemoteStats
}

// RemoteStats counts the work of a module with the servers that keep its state.
type RemoteStats struct {
	// Calls is the number of calls under way now, MostCalls the greatest number that there may be: further calls wait.
	Calls, MostCalls int
	// HeldBuckets is the number of parts of the state that this process alone feeds now.
	HeldBuckets int
	// RoundTrips counts the requests to servers whose answers were waited for, Connections the connections that were made.
	RoundTrips, Connections uint64
	// Conflicts counts the attempts that were repeated because another process had changed the same part of the state, Retries those
	// that were repeated because a server could not be reached or was being replaced. Unavailable counts the calls that returned
	// ErrUnavailable in the end.
	Conflicts, Retries, Unavailable uint64
	// EarlierStates counts how often a part of the state turned out to be an earlier one, as after a failover.
	EarlierStates uint64
	// ReplicaReads counts the reads that replicas answered, ReplicaMisses those that masters answered because the replicas were too
	// far behind or did not answer. Both are 0 if the configuration does not allow reads from replicas.
	ReplicaReads, ReplicaMisses uint64
}

// WatcherStats counts the watchers of a store.
type WatcherStats struct {
	// Now is the number of watchers.
	Now int
	// UnreadEvents is the number of events that they have not read, each counted for each watcher. UnreadBytes is the memory
	// that these take; there an event counts once.
	UnreadEvents, UnreadBytes int
	// Missed counts the events that watchers missed because they read too slowly, Refused the calls of Watch that returned
	// ErrTooManyWatchers. Both count since the store was made.
	Missed, Refused uint64
}

// RequestStats counts requests by type. An element of a batch counts as a request.
type RequestStats struct {
	SetEndOffset, Commit, SetOwner, ClearOwners, DeleteTopic, DeleteGroup RequestCount
	FetchClusters, FetchGroups, FetchTopics, FetchGroup, FetchTopic       RequestCount
	FetchGroupsOfTopic                                                    RequestCount
}

// RequestCount counts the outcomes of requests of one type.
type RequestCount struct {
	// Done counts those that took effect or were answered.
	Done uint64
	// Dropped counts the others by reason; nil if there were none.
	Dropped map[Reason]uint64
}

// ByType returns the count of each type of request of the channel protocol.
func (r *RequestStats) ByType() map[protocol.StorageRequestConstant]RequestCount {
	all := make(map[protocol.StorageRequestConstant]RequestCount, protocol.StorageRequestTypes)
	for request, count := range r.fields() {
		all[protocol.StorageRequestConstant(request)] = *count
	}
	return all
}

// fields are the counts by request type.
func (r *RequestStats) fields() [protocol.StorageRequestTypes]*RequestCount {
	return [...]*RequestCount{
		protocol.StorageSetBrokerOffset:        &r.SetEndOffset,
		protocol.StorageSetConsumerOffset:      &r.Commit,
		protocol.StorageSetConsumerOwner:       &r.SetOwner,
		protocol.StorageSetDeleteTopic:         &r.DeleteTopic,
		protocol.StorageSetDeleteGroup:         &r.DeleteGroup,
		protocol.StorageFetchClusters:          &r.FetchClusters,
		protocol.StorageFetchConsumers:         &r.FetchGroups,
		protocol.StorageFetchTopics:            &r.FetchTopics,
		protocol.StorageFetchConsumer:          &r.FetchGroup,
		protocol.StorageFetchTopic:             &r.FetchTopic,
		protocol.StorageClearConsumerOwners:    &r.ClearOwners,
		protocol.StorageFetchConsumersForTopic: &r.FetchGroupsOfTopic,
	}
}

// Stats returns what the store holds and what it has done since it was opened. It returns ErrStopped if it is closed.
func (db *DB) Stats() (Stats, error) {
	s := db.session.Load()
	if s == nil {
		return Stats{}, fmt.Errorf("read statistics: %w", ErrStopped)
	}
	in := s.engine.Stats()
	out := Stats{
		Clusters: in.Clusters,
		Groups:   in.Groups, GroupTopics: in.GroupTopics, GroupPartitions: in.GroupPartitions,
		Topics: in.Topics, Partitions: in.Partitions, Bytes: in.Bytes,
		Sweeps: in.Sweeps, ExpiredGroups: in.ExpiredGroups, ExpiredTopics: in.ExpiredTopics,
		SweptTopics: in.SweptTopics, RememberedDeletions: in.Remembered, StuckGroups: in.Stuck,
		Panics: db.panics.Load(), Damaged: s.engine.Damaged(), LostLines: lines.Faults(s.options.Logger),
	}
	hub := db.hub.Stats()
	out.Watchers = WatcherStats{
		Now: hub.Watchers, UnreadEvents: hub.Events, UnreadBytes: hub.Bytes, Missed: hub.Missed, Refused: hub.Refused,
	}
	if s.persistence != nil {
		out.Snapshots = s.persistence.stats()
	}
	for request, count := range out.Requests.fields() {
		count.Done = in.Requests[request][0]
		for why := 1; why < engine.Reasons; why++ {
			if n := in.Requests[request][why]; n > 0 {
				if count.Dropped == nil {
					count.Dropped = make(map[Reason]uint64)
				}
				count.Dropped[outcomes[why].reason] = n
			}
		}
	}
	return out, nil
}

// RelayStats is what a Relay has done since it was made.
type RelayStats struct {
	// QueuedRequests is the number of requests that wait in the Relay's channel now, QueuedAnswers that of answers that wait to be
	// built.
	QueuedRequests, QueuedAnswers int
	// WaitingReplies is the number of answers that wait for their requester to read them now, WaitingBytes an estimate of the
	// memory that they take. AbandonedReplies counts the answers that nobody read: TimedOutReplies because the reply timeout
	// had passed, EvictedReplies because newer ones needed their place, the others because the Relay stopped.
	WaitingReplies, WaitingBytes                      int
	AbandonedReplies, TimedOutReplies, EvictedReplies uint64
	// RefusedAnswers counts fetches whose Reply was closed because 1,024 more answers than there are workers were being built
	// and made no progress. StuckCalls counts the requests and answers that Stop gave up waiting for.
	RefusedAnswers, StuckCalls uint64
	// Panics counts the panics that were recovered from.
	Panics uint64
	// NilRequests, NilReplies, ClosedReplies and UnknownTypes count faults of senders: requests that were nil, fetches
	// without a Reply or with one that they had closed or used before, and requests of an unknown type.
	NilRequests, NilReplies, ClosedReplies, UnknownTypes uint64
}

type relayCounts struct {
	panics, nilRequests, nilReplies, unknownTypes, refused, stuck atomic.Uint64
	delivery                                                      channel.DeliveryCounts
}

// Stats returns what the Relay has done.
func (r *Relay) Stats() RelayStats {
	c, d := &r.counts, &r.counts.delivery
	stats := RelayStats{
		QueuedRequests:  len(r.requests),
		TimedOutReplies: d.TimedOut.Load(), EvictedReplies: d.Evicted.Load(),
		RefusedAnswers: c.refused.Load(), StuckCalls: c.stuck.Load(),
		Panics: c.panics.Load(), NilRequests: c.nilRequests.Load(), NilReplies: c.nilReplies.Load(),
		ClosedReplies: d.Closed.Load(), UnknownTypes: c.unknownTypes.Load(),
	}
	stats.AbandonedReplies = stats.TimedOutReplies + stats.EvictedReplies + d.LeftAtStop.Load()
	if run := r.run.Load(); run != nil {
		stats.QueuedAnswers = run.builders.Queued()
		stats.WaitingReplies, stats.WaitingBytes = run.delivery.Unread.Size()
	}
	return stats
}

// Uncounted returns a context with which the reads of a Store do not count as requests in Stats. It is meant for observers,
// such as an exporter of its metrics, whose reads would hide those of the application. Writes always count.
func Uncounted(ctx context.Context) context.Context {
	return engine.Uncounted(ctx)
}

// count counts the outcome of a request, unless it is a read that does not count, and returns it as an error.
func count(ctx context.Context, e *engine.Engine, request protocol.StorageRequestConstant, why engine.Reason) error {
	if isRead(request) && engine.IsUncounted(ctx) {
		return errorOf(why)
	}
	return errorOf(e.Count(request, why))
}

func isRead(request protocol.StorageRequestConstant) bool {
	switch request {
	case protocol.StorageFetchClusters, protocol.StorageFetchConsumers, protocol.StorageFetchTopics,
		protocol.StorageFetchConsumer, protocol.StorageFetchTopic, protocol.StorageFetchConsumersForTopic:
		return true
	default:
		return false
	}
}
