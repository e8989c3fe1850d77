package storage

import (
	"errors"

	"github.com/lagkeeper/storage/internal/engine"
)

// What the caller asked about is not there. Over the channel these are a Reply closed without a value, or a dropped Set.
var (
	// ErrUnknownCluster is returned when a cluster is not configured under the cluster key.
	ErrUnknownCluster error = engine.UnknownCluster
	// ErrUnknownGroup is returned when a group has no commit and no owner, or has expired.
	ErrUnknownGroup error = engine.UnknownGroup
	// ErrUnknownTopic is returned when a topic has no end offset in the cluster.
	ErrUnknownTopic error = engine.UnknownTopic
	// ErrUnknownPartition is returned when a partition lies beyond the topic's partition count or has no end offset yet.
	ErrUnknownPartition error = engine.UnknownPartition
)

// The store refuses what the caller sent. Nothing changed, and sending it again will not help.
var (
	// ErrFiltered is returned when the configured allowlist or denylist refuses a group.
	ErrFiltered error = engine.Filtered
	// ErrTooOld is returned when a commit is older than expire-group.
	ErrTooOld error = engine.TooOld
	// ErrDuplicate is returned when a commit of the same order is stored already, and for a group that came from a snapshot
	// or an import when the order is not beyond what was known there.
	ErrDuplicate error = engine.Duplicate
	// ErrBackfill is returned when a commit is not newer than the oldest of a full window.
	ErrBackfill error = engine.Backfill
	// ErrStale is returned when an end offset says nothing about now: it was seen before the newest and is lower, or was
	// seen before the newest and names another topic id. The third such end offset of a partition in a row is taken, as the
	// clock was set back then.
	ErrStale error = engine.Stale
	// ErrInvalid is returned when a field is out of range: a negative offset, a negative partition, one at or above 1,048,576, a partition
	// count above that, or a partition beyond the 8,388,607 that a group has room for.
	ErrInvalid error = engine.Invalid
)

// The module cannot do it.
var (
	// ErrUnsupported is returned when the module has no such ability. It is errors.ErrUnsupported.
	ErrUnsupported = errors.ErrUnsupported
)

// The store is not running.
var (
	// ErrStopped is returned when the store has been stopped, or has not been started.
	ErrStopped error = engine.Stopped
)
