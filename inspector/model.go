package inspector

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/status"
)

// The types of this file are the JSON below api/v1/. Times are Unix milliseconds, durations milliseconds, lags and offsets
// messages. What is not known is null.

// Lag is how far something is behind.
type Lag struct {
	// Messages is null if nothing can be said; see AtLeast.
	Messages *uint64 `json:"messages"`
	// AtLeast is true if there is more that is not known.
	AtLeast bool `json:"at_least"`
	// TimeMs is the lag in time, null if nothing can be said.
	TimeMs *int64 `json:"time_ms"`
	// MarginMs is by how much TimeMs may be wrong, either way; null if TimeMs is a lower bound.
	MarginMs *int64 `json:"margin_ms"`
	// TimeAtLeast is true if TimeMs is a lower bound.
	TimeAtLeast bool `json:"time_at_least"`
	// Lost is the number of messages that were deleted before they were read.
	Lost uint64 `json:"lost_messages"`
}

func lagOf(l status.Lag) Lag {
	out := Lag{AtLeast: l.AtLeast, Lost: l.Lost}
	if l.Known {
		messages := l.Messages
		out.Messages = &messages
	}
	out.setTime(l.Time)
	return out
}

func (l *Lag) setTime(t protocol.TimeLag) {
	switch t.Kind {
	case protocol.TimeLagUnknown:
		return
	case protocol.TimeLagAtLeast:
		l.TimeAtLeast = true
	default:
		margin := t.Margin.Milliseconds()
		l.MarginMs = &margin
	}
	ms := t.Lag.Milliseconds()
	l.TimeMs = &ms
}

// Flow is how fast something moves.
type Flow struct {
	// InPerSecond and OutPerSecond are the messages that are written and that are read.
	InPerSecond  *float64 `json:"in_per_second"`
	OutPerSecond *float64 `json:"out_per_second"`
	// CatchUpMs is when everything will have been read at these rates; null if the lag does not shrink, or if too few commits
	// are known to tell.
	CatchUpMs *int64 `json:"catch_up_ms"`
}

// GroupRow is one group in a list.
type GroupRow struct {
	Cluster string        `json:"cluster"`
	Group   string        `json:"group"`
	Status  status.Status `json:"status"`
	Why     string        `json:"why"`
	// WhyTopic and WhyPartition are where Why holds: the first of WhyPartitions that have the status.
	WhyTopic      string `json:"why_topic"`
	WhyPartition  int32  `json:"why_partition"`
	WhyPartitions int    `json:"why_partitions"`

	Topics     int  `json:"topics"`
	Partitions int  `json:"partitions"`
	Members    int  `json:"members"`
	Lag        Lag  `json:"lag"`
	Flow       Flow `json:"flow"`
	// LastCommit is when the group last committed, null if it never did.
	LastCommit *int64 `json:"last_commit_ms"`
	// Spark are the last lags, oldest first; null is a gap.
	Spark []*float64 `json:"spark"`

	topics []string
	folded string // the name in lower case
}

// TopicRow is one topic in a list.
type TopicRow struct {
	Cluster     string   `json:"cluster"`
	Topic       string   `json:"topic"`
	Partitions  int      `json:"partitions"`
	Groups      int      `json:"groups"`
	InPerSecond *float64 `json:"in_per_second"`
}

// Totals counts what a list holds before it was cut into pages.
type Totals struct {
	Groups     int                   `json:"groups"`
	Matching   int                   `json:"matching"`
	ByStatus   map[status.Status]int `json:"by_status"`
	Messages   uint64                `json:"lag_messages"`
	AtLeast    bool                  `json:"lag_at_least"`
	Unreadable string                `json:"error,omitempty"`
}

// GroupList is the answer of api/v1/groups.
type GroupList struct {
	At     int64      `json:"at_ms"`
	Totals Totals     `json:"totals"`
	Page   int        `json:"page"`
	Pages  int        `json:"pages"`
	Groups []GroupRow `json:"groups"`
}

// GroupDetail is the answer of api/v1/group.
type GroupDetail struct {
	At int64 `json:"at_ms"`
	GroupRow
	TopicDetails []GroupTopic `json:"topic_details"`
}

// GroupTopic is one topic of a group.
type GroupTopic struct {
	Topic  string        `json:"topic"`
	Status status.Status `json:"status"`
	Why    string        `json:"why"`
	// WhyPartition is where Why holds: the first of WhyPartitions that have the status.
	WhyPartition  int32 `json:"why_partition"`
	WhyPartitions int   `json:"why_partitions"`

	Lag        Lag              `json:"lag"`
	Partitions []GroupPartition `json:"partitions"`
}

// GroupPartition is one partition of a group.
type GroupPartition struct {
	Partition int                     `json:"partition"`
	State     protocol.PartitionState `json:"state"`
	Status    status.Status           `json:"status"`
	Why       string                  `json:"why"`
	Owner     string                  `json:"owner"`
	ClientID  string                  `json:"client_id"`
	// Committed and EndOffset are null if not known.
	Committed      *int64   `json:"committed_offset"`
	EndOffset      *int64   `json:"end_offset"`
	EndOffsetAgeMs *int64   `json:"end_offset_age_ms"`
	Lag            Lag      `json:"lag"`
	Commits        []Commit `json:"commits"`
}

// Commit is one commit of a window.
type Commit struct {
	Offset    int64   `json:"offset"`
	Timestamp int64   `json:"timestamp_ms"`
	Lag       *uint64 `json:"lag_messages"`
}

// TopicDetail is the answer of api/v1/topic.
type TopicDetail struct {
	At int64 `json:"at_ms"`
	TopicRow
	// EndOffsets are the newest by partition, null if not known.
	EndOffsets []*int64     `json:"end_offsets"`
	Readers    []TopicGroup `json:"readers"`
}

// TopicGroup is a group that reads a topic.
type TopicGroup struct {
	Group  string        `json:"group"`
	Status status.Status `json:"status"`
	Why    string        `json:"why"`
	// WhyPartition is where Why holds: the first of WhyPartitions that have the status.
	WhyPartition  int32 `json:"why_partition"`
	WhyPartitions int   `json:"why_partitions"`

	Lag Lag `json:"lag"`
}

// History is the answer of api/v1/history: one value for each reading of the store, oldest first; null is a gap.
type History struct {
	// At is when the readings were, in Unix milliseconds.
	At       []int64    `json:"at_ms"`
	Messages []*float64 `json:"lag_messages"`
	TimeMs   []*float64 `json:"time_ms"`
	// MarginMs is null if the lag in time is a lower bound, or not known.
	MarginMs []*float64 `json:"margin_ms"`
	// AtLeast reports for each reading whether the lag in messages is a lower bound.
	AtLeast []bool `json:"lag_at_least"`
	// Kept is false if no history is kept of it; Why says why not.
	Kept bool   `json:"kept"`
	Why  string `json:"why,omitempty"`
}

// Change is one event of the change feed.
type Change struct {
	Sequence uint64
	protocol.Event
}

// MarshalJSON returns the event as a JSON object that holds the sequence too.
func (c Change) MarshalJSON() ([]byte, error) {
	event, err := json.Marshal(c.Event)
	if err != nil {
		return nil, err
	}
	out := strconv.AppendUint([]byte(`{"sequence":`), c.Sequence, 10)
	return append(append(out, ','), event[1:]...), nil
}

// UnmarshalJSON takes what MarshalJSON returns.
func (c *Change) UnmarshalJSON(data []byte) error {
	sequence := struct {
		Sequence uint64 `json:"sequence"`
	}{c.Sequence}
	if err := json.Unmarshal(data, &sequence); err != nil {
		return err
	}
	c.Sequence = sequence.Sequence
	return json.Unmarshal(data, &c.Event)
}

// Self is what the inspector says of itself, on the store page.
type Self struct {
	Readings       uint64 `json:"readings"`
	ReadingTookMs  int64  `json:"reading_took_ms"`
	Listeners      int    `json:"listeners"`
	HistoryBytes   int64  `json:"history_bytes"`
	HistoryLimit   int64  `json:"history_limit_bytes"`
	HistorySeries  int    `json:"history_series"`
	HistoryLeftOut int    `json:"history_left_out"`
}

func millis(t time.Time) int64 { return t.UnixMilli() }
