package protocol

import (
	"encoding/json"
	"fmt"
)

// PartitionState says what the lag of a group on a partition is worth.
type PartitionState int

// The states. Where several hold, the first in this order is told.
const (
	// PartitionUnknown is the state of what no store has judged.
	PartitionUnknown PartitionState = iota
	// PartitionNoCommit means that the group has not committed the partition.
	PartitionNoCommit
	// PartitionNoEndOffset means that the brokers' end offset is not known.
	PartitionNoEndOffset
	// PartitionReset means that the partition was recreated or truncated after the group's newest commit (the end offset
	// went back, or was seen below the commit long after it): the lag means nothing until the group commits again.
	PartitionReset
	// PartitionRestored means that the end offset or the group's newest commit comes from a snapshot and has not been
	// seen since.
	PartitionRestored
	// PartitionBeyondEnd means that the commit was above the end offset at two polls in a row since it was made: the group
	// stands where the log has nothing, as one that was mirrored from another cluster may. It will read nothing until the
	// log grows up to its commit, and then not what was written meanwhile.
	PartitionBeyondEnd
	// PartitionAhead means that the commit is above the end offset, as it is when the group commits between two polls.
	PartitionAhead
	// PartitionCaughtUp means that the commit is at the end offset.
	PartitionCaughtUp
	// PartitionBehind means that the commit is below the end offset.
	PartitionBehind
)

var partitionStateNames = [...]string{
	PartitionUnknown:     "UNKNOWN",
	PartitionNoCommit:    "NOCOMMIT",
	PartitionNoEndOffset: "NOENDOFFSET",
	PartitionReset:       "RESET",
	PartitionRestored:    "RESTORED",
	PartitionBeyondEnd:   "BEYONDEND",
	PartitionAhead:       "AHEAD",
	PartitionCaughtUp:    "CAUGHTUP",
	PartitionBehind:      "BEHIND",
}

// String returns the name of the state, or "UNKNOWN" for a number that is none.
func (s PartitionState) String() string {
	if s < 0 || int(s) >= len(partitionStateNames) {
		s = PartitionUnknown
	}
	return partitionStateNames[s]
}

// MarshalJSON returns String as a JSON string. The error is always nil.
func (s PartitionState) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalText takes the name of a state. It returns an error for any other text.
func (s *PartitionState) UnmarshalText(text []byte) error {
	for state, name := range partitionStateNames {
		if name == string(text) {
			*s = PartitionState(state)
			return nil
		}
	}
	return fmt.Errorf("read partition state: %q is none", text)
}

// TimeLag is how long ago the message that a group is at was the newest of its partition, estimated from the end offsets
// that were seen.
type TimeLag struct {
	Kind TimeLagKind `json:"kind"`
	// Milliseconds is the lag, or its lower bound where Kind is TimeLagAtLeast; it means nothing where Kind is
	// TimeLagUnknown.
	Milliseconds int64 `json:"milliseconds"`
	// Error is by how many milliseconds the truth may differ, either way; 0 for a lower bound.
	Error int64 `json:"error"`
	// Source says where the times come from that were given with SeedEndOffsets, if the lag rests on such; it is empty if the
	// store has measured all of it.
	Source TimeSource `json:"source,omitempty"`
}

// TimeLagKind says how a TimeLag is known.
type TimeLagKind int

// The kinds of time lag.
const (
	// TimeLagUnknown means that the end offsets seen say nothing about it.
	TimeLagUnknown TimeLagKind = iota
	// TimeLagExact means that the group is at the end offset: there is no lag but for what came since the last poll.
	TimeLagExact
	// TimeLagInterpolated means that the message came between two end offsets that were seen.
	TimeLagInterpolated
	// TimeLagAtLeast means that the message is older than what is remembered: the lag is a lower bound.
	TimeLagAtLeast
)

var timeLagKindNames = [...]string{
	TimeLagUnknown:      "unknown",
	TimeLagExact:        "exact",
	TimeLagInterpolated: "interpolated",
	TimeLagAtLeast:      "at-least",
}

// String returns the name of the kind, or "unknown" for a number that is none.
func (k TimeLagKind) String() string {
	if k < 0 || int(k) >= len(timeLagKindNames) {
		return timeLagKindNames[TimeLagUnknown]
	}
	return timeLagKindNames[k]
}

// MarshalJSON returns String as a JSON string. The error is always nil.
func (k TimeLagKind) MarshalJSON() ([]byte, error) { return json.Marshal(k.String()) }

// UnmarshalText takes the name of a kind. It returns an error for any other text.
func (k *TimeLagKind) UnmarshalText(text []byte) error {
	for kind, name := range timeLagKindNames {
		if name == string(text) {
			*k = TimeLagKind(kind)
			return nil
		}
	}
	return fmt.Errorf("read time lag kind: %q is none", text)
}
