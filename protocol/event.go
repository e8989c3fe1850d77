package protocol

import (
	"encoding/json"
	"fmt"
)

// Event is something that changed in a store, as a watcher is told. Which fields are set is said at the kinds.
type Event struct {
	Kind EventKind `json:"kind"`
	// Time is when it happened, in Unix milliseconds by the store's clock.
	Time int64 `json:"time"`

	Cluster   string `json:"cluster,omitempty"`
	Group     string `json:"group,omitempty"`
	Topic     string `json:"topic,omitempty"`
	Partition int32  `json:"partition"`

	// Owner and ClientID are the new owner of a partition.
	Owner    string `json:"owner,omitempty"`
	ClientID string `json:"client_id,omitempty"`

	// Missed is how many events the watcher was too slow for.
	Missed uint64 `json:"missed,omitempty"`
}

// EventKind is the kind of an Event.
type EventKind int

// The kinds of events. The events of one group come in the order in which they happened, and so do those of one topic.
const (
	// EventMissed tells that Missed events were dropped here, because the watcher did not read. What it knew may be out
	// of date: it lists again.
	EventMissed EventKind = iota
	// EventGroupCreated tells of the first sign of a Group.
	EventGroupCreated
	// EventGroupExpired tells that a Group is gone because it gave no sign of life.
	EventGroupExpired
	// EventGroupDeleted tells that a Group is gone because it, or its last topic, was deleted.
	EventGroupDeleted
	// EventGroupTopicCreated tells that a Group holds another Topic.
	EventGroupTopicCreated
	// EventGroupTopicExpired tells that a living Group holds a Topic no longer, since it did not commit it.
	EventGroupTopicExpired
	// EventGroupTopicDeleted tells that a living Group holds a Topic no longer, since that was deleted.
	EventGroupTopicDeleted
	// EventTopicCreated tells that a Topic has its first end offset.
	EventTopicCreated
	// EventTopicDeleted tells that a Topic was deleted from the brokers.
	EventTopicDeleted
	// EventIncarnationChanged tells that the end offset of a Partition of a Topic went back: it was recreated or
	// truncated.
	EventIncarnationChanged
	// EventOwnerChanged tells that a Partition of a Topic has another Owner in a Group.
	EventOwnerChanged
	// EventOwnersCleared tells that no partition of a Group has an owner any more.
	EventOwnersCleared
	// EventTopicExpired tells that a Topic is gone because its end offsets were not polled for too long.
	EventTopicExpired
	// EventStoreFull tells that the store takes as much memory as it may, and that something new was refused for the first
	// time since there was room. It is about no cluster, group or topic, and comes whatever of those a watcher asked for.
	EventStoreFull
)

var eventNames = [...]string{
	EventMissed:             "missed",
	EventGroupCreated:       "group-created",
	EventGroupExpired:       "group-expired",
	EventGroupDeleted:       "group-deleted",
	EventGroupTopicCreated:  "group-topic-created",
	EventGroupTopicExpired:  "group-topic-expired",
	EventGroupTopicDeleted:  "group-topic-deleted",
	EventTopicCreated:       "topic-created",
	EventTopicDeleted:       "topic-deleted",
	EventIncarnationChanged: "incarnation-changed",
	EventOwnerChanged:       "owner-changed",
	EventOwnersCleared:      "owners-cleared",
	EventTopicExpired:       "topic-expired",
	EventStoreFull:          "store-full",
}

// String returns the name of the kind, or "unknown" for a number that is none.
func (k EventKind) String() string {
	if k < 0 || int(k) >= len(eventNames) {
		return "unknown"
	}
	return eventNames[k]
}

// MarshalJSON returns String as a JSON string. The error is always nil.
func (k EventKind) MarshalJSON() ([]byte, error) { return json.Marshal(k.String()) }

// UnmarshalText takes the name of a kind. It returns an error for any other text.
func (k *EventKind) UnmarshalText(text []byte) error {
	for kind, name := range eventNames {
		if name == string(text) {
			*k = EventKind(kind)
			return nil
		}
	}
	return fmt.Errorf("read event kind: %q is none", text)
}
