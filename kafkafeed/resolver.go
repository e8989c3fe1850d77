package kafkafeed

import (
	"cmp"
	"slices"
)

// DefaultMaxPending bounds the open transactions that a Resolver knows, and the commits that it keeps for them.
const DefaultMaxPending = 1 << 20

// Resolver replays one partition of __consumer_offsets as Kafka's group coordinator does when it loads one. It withholds the commits
// of a transaction until the marker that ends it. A transaction that never ends withholds only its own commits.
//
// It is not safe for concurrent use.
type Resolver struct {
	next    int64 // the offset after the last record
	max     int
	pending int // commits of all open transactions
	// overflowed is set if there were too many open transactions to record each.
	overflowed bool

	open map[int64]*transaction // by producer
	// The open transactions by their first offset, a doubly linked list: they begin in the order of the log.
	oldest, newest *transaction
	// holders are the producers whose open transactions hold a commit of a partition of a group.
	holders map[commitKey]map[int64]struct{}
}

type commitKey struct {
	group, topic string
	partition    int32
}

type transaction struct {
	producer     int64
	first        int64               // the offset of its first record
	commits      map[commitKey]Entry // the newest of each partition
	incomplete   bool                // commits are missing, because there were too many
	older, newer *transaction
}

// Effect is the effect of a record on the committed offsets.
type Effect struct {
	// Entry is a commit, the tombstone of a commit, or the tombstone of a classic group.
	Entry Entry
	// Missed is set if commits took effect that were not kept: open transactions had too many, or their version is unknown. Entry is
	// empty then: the committed offsets must be fetched.
	Missed bool
}

// NewResolver returns a Resolver for a partition that is read from an offset. It keeps at most maxPending open
// transactions, and as many commits of them; 0 or less stands for DefaultMaxPending.
func NewResolver(from int64, maxPending int) *Resolver {
	if maxPending <= 0 {
		maxPending = DefaultMaxPending
	}
	return &Resolver{next: from, max: maxPending, open: make(map[int64]*transaction),
		holders: make(map[commitKey]map[int64]struct{})}
}

// Next returns the offset after the last record.
func (r *Resolver) Next() int64 { return r.next }

// SkipTo records that nothing is to be read before an offset, for example because of compaction.
func (r *Resolver) SkipTo(offset int64) { r.next = max(r.next, offset) }

// Position returns the offset to read from after a restart: that of the first record of the oldest open transaction, or Next if there
// is none.
func (r *Resolver) Position() int64 {
	if r.oldest != nil {
		return r.oldest.first
	}
	return r.next
}

// Pending returns the number of open transactions, and the number of commits kept for them.
func (r *Resolver) Pending() (transactions, commits int) { return len(r.open), r.pending }

// Apply applies the next record of the log and appends its effects to effects, in order. A record before Next changes nothing.
func (r *Resolver) Apply(entry Entry, effects []Effect) []Effect {
	if !r.pass(entry.Order) {
		return effects
	}
	switch entry.Kind {
	case KindCommit:
		if entry.Producer < 0 {
			return append(effects, Effect{Entry: entry})
		}
		r.hold(entry)
	case KindUnknown:
		switch {
		case entry.Topic == "": // not a commit
		case entry.Producer < 0:
			return append(effects, Effect{Missed: true})
		default:
			if t := r.transaction(entry); t != nil {
				t.incomplete = true
			}
		}
	case KindCommitTombstone:
		// As in the coordinator, a deletion also deletes the commits in open transactions.
		r.drop(commitKey{entry.Group, entry.Topic, entry.Partition})
		return append(effects, Effect{Entry: entry})
	case KindGroupTombstone:
		return append(effects, Effect{Entry: entry})
	case KindCommitMarker, KindAbortMarker:
		return r.end(entry, effects)
	}
	return effects
}

// pass passes an offset in the log. It reports whether it was not passed before. A commit outside of a transaction takes effect at
// once, and has no other effect on a resolver.
func (r *Resolver) pass(order int64) bool {
	if order < r.next {
		return false
	}
	r.next = order + 1
	return true
}

// transaction returns the open transaction of an entry, and begins it if necessary. It returns nil if there are too many.
func (r *Resolver) transaction(entry Entry) *transaction {
	t := r.open[entry.Producer]
	if t != nil {
		return t
	}
	if len(r.open) >= r.max {
		r.overflowed = true
		return nil
	}
	t = &transaction{producer: entry.Producer, first: entry.Order, commits: make(map[commitKey]Entry), older: r.newest}
	if r.newest != nil {
		r.newest.newer = t
	} else {
		r.oldest = t
	}
	r.newest = t
	r.open[entry.Producer] = t
	return t
}

func (r *Resolver) hold(entry Entry) {
	t := r.transaction(entry)
	if t == nil {
		return
	}
	key := commitKey{entry.Group, entry.Topic, entry.Partition}
	if _, ok := t.commits[key]; ok {
		t.commits[key] = entry
		return
	}
	if r.pending >= r.max {
		t.incomplete = true
		return
	}
	r.pending++
	t.commits[key] = entry
	if r.holders[key] == nil {
		r.holders[key] = make(map[int64]struct{}, 1)
	}
	r.holders[key][entry.Producer] = struct{}{}
}

func (r *Resolver) drop(key commitKey) {
	for producer := range r.holders[key] {
		delete(r.open[producer].commits, key)
		r.pending--
	}
	delete(r.holders, key)
}

func (r *Resolver) end(marker Entry, effects []Effect) []Effect {
	t := r.open[marker.Producer]
	if t == nil {
		if r.overflowed && marker.Kind == KindCommitMarker {
			effects = append(effects, Effect{Missed: true})
		}
		return effects
	}
	delete(r.open, marker.Producer)
	if t.older != nil {
		t.older.newer = t.newer
	} else {
		r.oldest = t.newer
	}
	if t.newer != nil {
		t.newer.older = t.older
	} else {
		r.newest = t.older
	}
	r.pending -= len(t.commits)
	for key := range t.commits {
		if holders := r.holders[key]; len(holders) > 1 {
			delete(holders, marker.Producer)
		} else {
			delete(r.holders, key)
		}
	}
	if marker.Kind == KindAbortMarker {
		return effects
	}
	begin := len(effects)
	for _, entry := range t.commits {
		effects = append(effects, Effect{Entry: entry})
	}
	slices.SortFunc(effects[begin:], func(a, b Effect) int { return cmp.Compare(a.Entry.Order, b.Entry.Order) })
	if t.incomplete {
		effects = append(effects, Effect{Missed: true})
	}
	return effects
}
