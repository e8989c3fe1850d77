package protocol

import (
	"encoding/json"
	"fmt"
)

// StatusConstant is the judgement of an evaluator on a partition or a group.
type StatusConstant int

// The judgements, each on a group, a partition or either.
const (
	// StatusNotFound means that the group is not known.
	StatusNotFound StatusConstant = 0
	// StatusOK means that the group or partition keeps up with what is written.
	StatusOK StatusConstant = 1
	// StatusWarning means that the group works but falls behind.
	StatusWarning StatusConstant = 2
	// StatusError means that at least one partition of the group is in trouble.
	StatusError StatusConstant = 3
	// StatusStop means that the partition is no longer committed although it lags.
	StatusStop StatusConstant = 4
	// StatusStall means that the partition is committed but its offset does not move although it lags.
	StatusStall StatusConstant = 5
	// StatusRewind means that the committed offset of the partition went back.
	StatusRewind StatusConstant = 6
)

var statusNames = [...]string{
	StatusNotFound: "NOTFOUND",
	StatusOK:       "OK",
	StatusWarning:  "WARN",
	StatusError:    "ERR",
	StatusStop:     "STOP",
	StatusStall:    "STALL",
	StatusRewind:   "REWIND",
}

// String returns the short name of the status, or "UNKNOWN" for a number that is none.
func (c StatusConstant) String() string {
	if c < 0 || int(c) >= len(statusNames) {
		return "UNKNOWN"
	}
	return statusNames[c]
}

// MarshalText returns String as text. The error is always nil.
func (c StatusConstant) MarshalText() ([]byte, error) {
	return []byte(c.String()), nil
}

// MarshalJSON returns String as a JSON string. The error is always nil.
func (c StatusConstant) MarshalJSON() ([]byte, error) {
	return json.Marshal(c.String())
}

// UnmarshalText takes the short name of a status. It returns an error for any other text.
func (c *StatusConstant) UnmarshalText(text []byte) error {
	for status, name := range statusNames {
		if name == string(text) {
			*c = StatusConstant(status)
			return nil
		}
	}
	return fmt.Errorf("unknown status %.40q", text)
}

// EvaluatorRequest requests the status of a group from an evaluator.
type EvaluatorRequest struct {
	// Reply receives the answer.
	Reply chan *ConsumerGroupStatus
	// Cluster is the cluster of Group.
	Cluster string
	// Group is the group to judge.
	Group string
	// ShowAll requests every partition, not just those that are in trouble.
	ShowAll bool
}

// ConsumerGroupStatus is the judgement on a group.
type ConsumerGroupStatus struct {
	Cluster string         `json:"cluster"`
	Group   string         `json:"group"`
	Status  StatusConstant `json:"status"`
	// Complete is the share of the windows that is filled, from 0 to 1.
	Complete float32 `json:"complete"`
	// Partitions are the requested partitions.
	Partitions []*PartitionStatus `json:"partitions"`
	// TotalPartitions is the number of partitions of the group, whether or not they are in Partitions.
	TotalPartitions int `json:"partition_count"`
	// Maxlag is the partition with the greatest lag, nil if there is none.
	Maxlag *PartitionStatus `json:"maxlag"`
	// TotalLag is the sum of the lags of all partitions, in messages.
	TotalLag uint64 `json:"totallag"`
}

// PartitionStatus is the judgement on one partition of a group.
type PartitionStatus struct {
	Topic     string         `json:"topic"`
	Partition int32          `json:"partition"`
	Owner     string         `json:"owner"`
	ClientID  string         `json:"client_id"`
	Status    StatusConstant `json:"status"`
	// Start and End are the oldest and the newest commit of the window, nil if there is none.
	Start *ConsumerOffset `json:"start"`
	End   *ConsumerOffset `json:"end"`
	// CurrentLag is how far the group is behind now, in messages.
	CurrentLag uint64 `json:"current_lag"`
	// Complete is the share of the window that is filled, from 0 to 1.
	Complete float32 `json:"complete"`
}
