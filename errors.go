package storage

import (
	"errors"
	"fmt"
	"slices"

	"github.com/lagkeeper/storage/internal/engine"
)

// What the request names is not there. Over the channel a Fetch gets its Reply closed without a value, and a Set is dropped.
var (
	// ErrUnknownCluster is returned when the store does not have the cluster.
	ErrUnknownCluster = errors.New("storage: unknown cluster")
	// ErrUnknownGroup is returned when a group has no commit and no owner, or has expired.
	ErrUnknownGroup = errors.New("storage: unknown group")
	// ErrUnknownTopic is returned when a topic has no end offset in the cluster.
	ErrUnknownTopic = errors.New("storage: unknown topic")
	// ErrUnknownPartition is returned when a partition lies beyond the topic's partition count or has no end offset yet.
	ErrUnknownPartition = errors.New("storage: unknown partition")
)

// The store refuses the request. Nothing changed, and sending it again will not help.
var (
	// ErrFiltered is returned when the allowlist or denylist refuses a group.
	ErrFiltered = errors.New("storage: group refused by filter")
	// ErrTooOld is returned when a commit is older than the group expiry.
	ErrTooOld = errors.New("storage: commit too old")
	// ErrDuplicate is returned when a commit of the same order is stored already. For a partition that came from a snapshot or
	// an import it is also returned when the order is not greater than the greatest known there.
	ErrDuplicate = errors.New("storage: duplicate commit")
	// ErrBackfill is returned when a commit is not newer than the oldest of a full window.
	ErrBackfill = errors.New("storage: commit older than its full window")
	// ErrStale is returned when an end offset is out of date: it was seen before the newest, and is lower or has another topic
	// id. The third such end offset of a partition in a row is taken, because then the clock was set back.
	ErrStale = errors.New("storage: end offset older than the newest")
	// ErrInvalid is returned when a field is out of range: a negative offset, a negative partition or one at or above 1,048,576, a
	// partition count above that, a partition beyond the 8,388,607 that a group has room for, or a name, owner or client id longer
	// than 32,767 bytes. The methods of Store say what else they refuse with it.
	ErrInvalid = errors.New("storage: field out of range")
)

// The store cannot do it, now or at all.
var (
	// ErrUnsupported is returned when a module lacks an ability. errors.Is reports it as errors.ErrUnsupported.
	ErrUnsupported error = &reasonError{text: "storage: not supported", reason: errors.ErrUnsupported}
	// ErrTooManyWatchers is returned when the store has 256 watchers.
	ErrTooManyWatchers = errors.New("storage: too many watchers")
	// ErrDamaged is returned by Snapshot, Export and Close after a panic of the store itself has interrupted a change: a
	// half-done change must not become permanent. Earlier snapshots are sound; opening the store again loads the newest.
	ErrDamaged = errors.New("storage: state damaged by a panic")
	// ErrFull is returned for a new group, topic or partition if the store takes Options.MaxMemory bytes; known ones are still
	// updated. An import that does not fit is refused as a whole.
	ErrFull = errors.New("storage: store full")
	// ErrUnavailable is returned by a store whose state is kept elsewhere if that could not be reached in time. It is
	// temporary: the call may be repeated. A write that returned it may have taken effect.
	ErrUnavailable = errors.New("storage: unavailable")
	// ErrStopped is returned when the store has been stopped or closed, or has not been started.
	ErrStopped = errors.New("storage: store stopped")
)

// Reason says why the store refused a request. It is the key of the drops in Stats.
type Reason string

// The reasons, each for the error of its name.
const (
	ReasonUnknownCluster   Reason = "unknown-cluster"
	ReasonUnknownGroup     Reason = "unknown-group"
	ReasonUnknownTopic     Reason = "unknown-topic"
	ReasonUnknownPartition Reason = "unknown-partition"
	ReasonFiltered         Reason = "filtered"
	ReasonTooOld           Reason = "too-old"
	ReasonDuplicate        Reason = "duplicate"
	ReasonBackfill         Reason = "backfill"
	ReasonInvalid          Reason = "invalid"
	ReasonStopped          Reason = "stopped"
	ReasonStale            Reason = "stale"
	ReasonFull             Reason = "full"
)

// outcomes are the errors and reasons for the reasons of the engine.
var outcomes = [engine.Reasons]struct {
	err    error
	reason Reason
}{
	engine.UnknownCluster:   {ErrUnknownCluster, ReasonUnknownCluster},
	engine.UnknownGroup:     {ErrUnknownGroup, ReasonUnknownGroup},
	engine.UnknownTopic:     {ErrUnknownTopic, ReasonUnknownTopic},
	engine.UnknownPartition: {ErrUnknownPartition, ReasonUnknownPartition},
	engine.Filtered:         {ErrFiltered, ReasonFiltered},
	engine.TooOld:           {ErrTooOld, ReasonTooOld},
	engine.Duplicate:        {ErrDuplicate, ReasonDuplicate},
	engine.Backfill:         {ErrBackfill, ReasonBackfill},
	engine.Invalid:          {ErrInvalid, ReasonInvalid},
	engine.Stopped:          {ErrStopped, ReasonStopped},
	engine.Stale:            {ErrStale, ReasonStale},
	engine.Full:             {ErrFull, ReasonFull},
}

// errorOf returns the error for a reason of the engine, nil for success.
func errorOf(why engine.Reason) error { return outcomes[why].err }

// reasonError is an error with a text of its own that errors.Is also reports as the error of a reason.
type reasonError struct {
	text   string
	reason error
}

func (e *reasonError) Error() string { return e.text }

func (e *reasonError) Unwrap() error { return e.reason }

// fromEngine returns the error of this package for an error of the engine.
func fromEngine(err error) error {
	if errors.Is(err, engine.ErrDamaged) {
		return &reasonError{text: err.Error(), reason: ErrDamaged}
	}
	var why engine.Reason
	if errors.As(err, &why) {
		return &reasonError{text: err.Error(), reason: errorOf(why)}
	}
	return err
}

// ReasonOf returns the reason for an error, "" if it has none.
func ReasonOf(err error) Reason {
	for _, o := range outcomes {
		if o.err != nil && errors.Is(err, o.err) {
			return o.reason
		}
	}
	return ""
}

// BatchError is returned by the batch methods of a Store if some elements were not stored. It unwraps to the reasons, each
// once.
type BatchError struct {
	// Refused are the elements that were not stored, in the order of the batch.
	Refused []Refusal
}

// Refusal is one element of a batch that was not stored.
type Refusal struct {
	// Index is its place in the batch.
	Index int
	// Err says why.
	Err error
}

// Error names the first refusal and the number of refusals.
func (b *BatchError) Error() string {
	if len(b.Refused) == 0 {
		return "store batch: nothing refused"
	}
	return fmt.Sprintf("store batch: %d refused, the first at index %d: %v", len(b.Refused), b.Refused[0].Index, b.Refused[0].Err)
}

// Unwrap returns the reasons, each once.
func (b *BatchError) Unwrap() []error {
	var reasons []error
	for _, refusal := range b.Refused {
		if !slices.Contains(reasons, refusal.Err) {
			reasons = append(reasons, refusal.Err)
		}
	}
	return reasons
}

// batchErrors gathers refusals.
type batchErrors []Refusal

func (b *batchErrors) add(index int, why engine.Reason) {
	*b = append(*b, Refusal{Index: index, Err: errorOf(why)})
}

func (b batchErrors) err() error {
	if len(b) == 0 {
		return nil
	}
	return &BatchError{Refused: b}
}
