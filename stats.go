package storage

import (
	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/protocol"
)

// Stats is what a store holds and what it has done since it was started. Reading it holds up nobody for longer than a few
// commits take.
type Stats struct {
	// Running is false where the store does not run; all else is zero then.
	Running bool

	// Requests says for each type of request what became of those that came, over the channel or as typed calls; the
	// index is the request type. A commit of a batch counts as a request.
	Requests [protocol.StorageRequestTypes]RequestStats

	// Groups, GroupTopics and GroupPartitions are what the groups hold; Topics and Partitions what is known of the
	// brokers.
	Groups, GroupTopics, GroupPartitions int
	Topics, Partitions                   int
	// Bytes is the memory that all this takes, but for the inner parts of Go's maps.
	Bytes int

	// Sweeps counts the sweeps, ExpiredGroups the groups and ExpiredTopics the topics of living groups that were removed
	// because they gave no sign of life.
	Sweeps, ExpiredGroups, ExpiredTopics uint64

	// QueuedRequests and QueuedAnswers are how many requests wait in the module's channel now, and how many answers wait
	// to be built.
	QueuedRequests, QueuedAnswers int
	// WaitingReplies is how many answers wait for their requester to read them now; AbandonedReplies counts those that
	// nobody read.
	WaitingReplies   int
	AbandonedReplies uint64
	// Snapshots counts the snapshots; all zero where none are configured.
	Snapshots SnapshotStats
	// Panics counts the panics that were contained.
	Panics uint64
	// NilRequests, NilReplies, ClosedReplies and UnknownTypes count faults of senders: requests that were nil, fetches
	// without a Reply or with one that they had closed or used before, and requests of a type that there is not.
	NilRequests, NilReplies, ClosedReplies, UnknownTypes uint64
}

// RequestStats is what became of the requests of one type.
type RequestStats struct {
	// Done counts those that did what they asked.
	Done uint64
	// Dropped counts the others by reason; the keys are the errors of this package. nil where there were none.
	Dropped map[error]uint64
}

func (r *Relay) queuedAnswers() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.answers)
}

// statsOf makes Stats of what the engine and the relay count.
func statsOf(e *engine.Engine, r *Relay) Stats {
	in := e.Stats()
	out := Stats{
		Groups: in.Groups, GroupTopics: in.GroupTopics, GroupPartitions: in.GroupPartitions,
		Topics: in.Topics, Partitions: in.Partitions, Bytes: in.Bytes,
		Sweeps: in.Sweeps, ExpiredGroups: in.ExpiredGroups, ExpiredTopics: in.ExpiredTopics,
		QueuedRequests: len(r.requests), QueuedAnswers: r.queuedAnswers(),
		WaitingReplies: int(r.counts.waiting.Load()), AbandonedReplies: r.counts.abandoned.Load(),
		Panics: r.counts.panics.Load(), NilRequests: r.counts.nilRequests.Load(), NilReplies: r.counts.nilReplies.Load(),
		ClosedReplies: r.counts.closedReplies.Load(), UnknownTypes: r.counts.unknownTypes.Load(),
	}
	for request := range in.Requests {
		to := &out.Requests[request]
		for why, n := range in.Requests[request] {
			switch {
			case why == 0:
				to.Done = n
			case n > 0:
				if to.Dropped == nil {
					to.Dropped = make(map[error]uint64)
				}
				to.Dropped[engine.Reason(why)] = n
			}
		}
	}
	return out
}
