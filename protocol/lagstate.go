package protocol

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
)

// PartitionState says how far the lag of a group on a partition can be trusted.
type PartitionState string

// The states. If several hold, the first in this order counts.
const (
	// PartitionUnknown, the zero value, means that no store has judged the partition.
	PartitionUnknown PartitionState = ""
	// PartitionNoCommit means that the group has not committed the partition.
	PartitionNoCommit PartitionState = "NOCOMMIT"
	// PartitionNoEndOffset means that the brokers' end offset is not known.
	PartitionNoEndOffset PartitionState = "NOENDOFFSET"
	// PartitionReset means that the partition was recreated or truncated after the group's newest commit (the end offset went
	// back, or was seen below the commit long after it): the lag means nothing until the group commits again.
	PartitionReset PartitionState = "RESET"
	// PartitionRestored means that the end offset or the group's newest commit comes from a snapshot and has not been
	// seen since.
	PartitionRestored PartitionState = "RESTORED"
	// PartitionBeyondEnd means that the commit was still above the end offset after two polls: the log has nothing there, as
	// can happen to a group that was mirrored from another cluster. The group reads nothing until the log has grown to its
	// commit, and then skips what was written meanwhile.
	PartitionBeyondEnd PartitionState = "BEYONDEND"
	// PartitionAhead means that the commit is above the end offset, as it is when the group commits between two polls.
	PartitionAhead PartitionState = "AHEAD"
	// PartitionCaughtUp means that the commit is at the end offset.
	PartitionCaughtUp PartitionState = "CAUGHTUP"
	// PartitionBehind means that the commit is below the end offset.
	PartitionBehind PartitionState = "BEHIND"
)

// UnmarshalText takes the text of a state. It returns an error for any other text.
func (s *PartitionState) UnmarshalText(text []byte) error {
	switch state := PartitionState(text); state {
	case PartitionUnknown, PartitionNoCommit, PartitionNoEndOffset, PartitionReset,
		PartitionRestored, PartitionBeyondEnd, PartitionAhead, PartitionCaughtUp,
		PartitionBehind:
		*s = state
		return nil
	}
	return fmt.Errorf("unknown partition state %.40q", text)
}

// TimeLag is how long ago the message that a group is at was the newest of its partition, estimated from the end offsets
// that were seen. In JSON it is an object of kind, lag_ms and margin_ms, which are numbers of milliseconds, and source, which is
// absent if it is empty.
type TimeLag struct {
	Kind TimeLagKind
	// Lag is how long ago or, if Kind is TimeLagAtLeast, at least how long ago; it means nothing if Kind is TimeLagUnknown.
	Lag time.Duration
	// Margin is by how much the truth may differ, either way; 0 for a lower bound.
	Margin time.Duration
	// Source is the source of the times that were given with SeedEndOffsets, if the lag rests on any; it is empty if the store
	// has measured all of them.
	Source TimeSource
}

// timeLagJSON is a TimeLag in JSON.
type timeLagJSON struct {
	Kind     TimeLagKind `json:"kind"`
	LagMs    int64       `json:"lag_ms"`
	MarginMs int64       `json:"margin_ms"`
	Source   TimeSource  `json:"source,omitempty"`
}

// MarshalJSON returns the lag as a JSON object.
func (l TimeLag) MarshalJSON() ([]byte, error) {
	return json.Marshal(timeLagJSON{l.Kind, l.Lag.Milliseconds(), l.Margin.Milliseconds(), l.Source})
}

// UnmarshalJSON takes what MarshalJSON returns. It returns an error for a kind that does not exist.
func (l *TimeLag) UnmarshalJSON(data []byte) error {
	in := timeLagJSON{l.Kind, l.Lag.Milliseconds(), l.Margin.Milliseconds(), l.Source}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*l = TimeLag{in.Kind, milliseconds(in.LagMs), milliseconds(in.MarginMs), in.Source}
	return nil
}

// Age is how old something is. A nil *Age means that the age is not known. In JSON it is a number of milliseconds.
type Age struct {
	time.Duration
}

// MarshalJSON returns the age as a JSON number. The error is always nil.
func (a Age) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, a.Milliseconds(), 10), nil
}

// UnmarshalJSON takes a JSON number. It returns an error for anything else but null, which changes nothing.
func (a *Age) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	ms, err := strconv.ParseInt(string(data), 10, 64)
	if err != nil {
		return fmt.Errorf("read age: %w", err)
	}
	a.Duration = milliseconds(ms)
	return nil
}

// milliseconds returns the duration of a number of milliseconds, the longest there is if it is longer.
func milliseconds(ms int64) time.Duration {
	const longest = int64(math.MaxInt64 / time.Millisecond)
	switch {
	case ms > longest:
		return math.MaxInt64
	case ms < -longest:
		return math.MinInt64
	}
	return time.Duration(ms) * time.Millisecond
}

// TimeLagKind says how a TimeLag is known.
type TimeLagKind string

// The kinds of time lag.
const (
	// TimeLagUnknown, the zero value, means that the end offsets seen say nothing about it.
	TimeLagUnknown TimeLagKind = ""
	// TimeLagExact means that the group is at the end offset: it lacks only what came since the last poll.
	TimeLagExact TimeLagKind = "exact"
	// TimeLagInterpolated means that the message came between two end offsets that were seen.
	TimeLagInterpolated TimeLagKind = "interpolated"
	// TimeLagAtLeast means that the message is older than what is remembered: the lag is a lower bound.
	TimeLagAtLeast TimeLagKind = "at-least"
)

// UnmarshalText takes the text of a kind. It returns an error for any other text.
func (k *TimeLagKind) UnmarshalText(text []byte) error {
	switch kind := TimeLagKind(text); kind {
	case TimeLagUnknown, TimeLagExact, TimeLagInterpolated, TimeLagAtLeast:
		*k = kind
		return nil
	}
	return fmt.Errorf("unknown time lag kind %.40q", text)
}
