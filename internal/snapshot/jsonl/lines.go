package jsonl

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/lagkeeper/storage/protocol"
)

// The lines are described in docs/format/jsonl.md.

const (
	kindHeader = "header"
	kindTopic  = "topic"
	kindGroup  = "group"
	kindEnd    = "end"
)

// version is the only version that is read and written. It is independent of that of the binary format.
const version = 1

// DefaultMaxLine is the greatest length of a JSON line, in bytes without its line feed: 64 MiB.
const DefaultMaxLine = 64 << 20

// text is a name. JSON strings hold only Unicode; a name that is not valid UTF-8 is {"base64":"…"}, so that every name
// survives a round trip.
type text string

type textBytes struct {
	Base64 []byte `json:"base64"`
}

func (t text) MarshalJSON() ([]byte, error) {
	var value any = string(t)
	if !utf8.ValidString(string(t)) {
		value = textBytes{[]byte(t)}
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return b.Bytes(), err
}

func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var raw textBytes
		if err := json.Unmarshal(b, &raw); err != nil {
			return err
		}
		*t = text(raw.Base64)
		return nil
	}
	return json.Unmarshal(b, (*string)(t))
}

// In the types of the lines a pointer is a required key, or one whose absence has a meaning: a time that never was, an
// unknown lag.

type jsonKind struct {
	Kind string `json:"kind"`
}

type jsonHeader struct {
	Kind      string         `json:"kind"`
	Version   int            `json:"version"`
	TakenAt   *int64         `json:"taken_at"`
	Intervals int            `json:"intervals"`
	Sequence  uint64         `json:"sequence"`
	Positions []jsonPosition `json:"positions,omitempty"`
}

type jsonPosition struct {
	Cluster   *text  `json:"cluster"`
	Partition *int32 `json:"partition"`
	Offset    *int64 `json:"offset"`
}

type jsonTopic struct {
	Kind           string            `json:"kind"`
	Cluster        *text             `json:"cluster"`
	Name           *text             `json:"name"`
	PartitionCount int32             `json:"partition_count"`
	ID             *protocol.TopicID `json:"topic_id,omitempty"`
	Partitions     []jsonPartition   `json:"partitions"`
}

type jsonPartition struct {
	Partition   *int32          `json:"partition"`
	Incarnation uint32          `json:"incarnation"`
	LogStart    int64           `json:"log_start"`
	EndOffsets  []jsonEndOffset `json:"end_offsets"`
	Curve       []byte          `json:"curve,omitempty"`
}

type jsonEndOffset struct {
	Offset    *int64 `json:"offset"`
	Timestamp *int64 `json:"timestamp"`
}

type jsonGroup struct {
	Kind       string           `json:"kind"`
	Cluster    *text            `json:"cluster"`
	Name       *text            `json:"name"`
	LastCommit *int64           `json:"last_commit"`
	LastOwner  *int64           `json:"last_owner"`
	Topics     []jsonGroupTopic `json:"topics"`
}

type jsonGroupTopic struct {
	Name           *text                `json:"name"`
	PartitionCount int32                `json:"partition_count"`
	LastCommit     *int64               `json:"last_commit"`
	Partitions     []jsonGroupPartition `json:"partitions"`
}

type jsonGroupPartition struct {
	Partition *int32 `json:"partition"`
	Owner     text   `json:"owner"`
	ClientID  text   `json:"client_id"`
	// DeletedOrder is present only if something was deleted.
	DeletedOrder int64        `json:"deleted_order,omitempty"`
	Incarnation  uint32       `json:"incarnation"`
	Commits      []jsonCommit `json:"commits"`
}

type jsonCommit struct {
	Offset     *int64  `json:"offset"`
	Order      int64   `json:"order"`
	Timestamp  *int64  `json:"timestamp"`
	ObservedAt int64   `json:"observed_at"`
	Lag        *uint64 `json:"lag"`
}

type jsonEnd struct {
	Kind       string `json:"kind"`
	Topics     uint64 `json:"topics"`
	Groups     uint64 `json:"groups"`
	Partitions uint64 `json:"group_partitions"`
	Commits    uint64 `json:"commits"`
}
