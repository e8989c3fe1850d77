package engine

// Reason is why the store refused a request. It is an error; 0 stands for success and is never returned as an error.
type Reason uint8

// The reasons. The errors of package storage document them.
const (
	UnknownCluster Reason = iota + 1
	UnknownGroup
	UnknownTopic
	UnknownPartition
	Filtered
	TooOld
	Duplicate
	Backfill
	Invalid
	Stopped
	Stale
	Full
	// Reasons is the number of reasons, counting success.
	Reasons int = iota + 1
)

var reasonTexts = [Reasons]string{
	0:                "done",
	UnknownCluster:   "unknown cluster",
	UnknownGroup:     "unknown group",
	UnknownTopic:     "unknown topic",
	UnknownPartition: "unknown partition",
	Filtered:         "group refused by filter",
	TooOld:           "commit too old",
	Duplicate:        "duplicate commit",
	Backfill:         "commit older than its full window",
	Invalid:          "field out of range",
	Stopped:          "store stopped",
	Stale:            "end offset older than the newest",
	Full:             "store full",
}

// Error returns the reason in words.
func (r Reason) Error() string {
	if int(r) >= Reasons {
		return "unknown reason"
	}
	return reasonTexts[r]
}

// Err returns the reason as an error, nil for success.
func (r Reason) Err() error {
	if r == 0 {
		return nil
	}
	return r
}
