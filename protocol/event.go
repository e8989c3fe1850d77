package protocol

import (
	"encoding/json"
	"fmt"
	"time"
)

// Event is a change in a store, as a watcher gets it. Its kind says which fields are set. In JSON the time is time_ms, a
// number of Unix milliseconds, which is absent if the time is not known.
type Event struct {
	Kind EventKind `json:"kind"`
	// Time is when it happened, by the store's clock and to the millisecond; zero if that is not known, as for EventMissed.
	Time time.Time `json:"-"`

	Cluster   string `json:"cluster,omitempty"`
	Group     string `json:"group,omitempty"`
	Topic     string `json:"topic,omitempty"`
	Partition int32  `json:"partition"`

	// Owner and ClientID are the new owner of a partition.
	Owner    string `json:"owner,omitempty"`
	ClientID string `json:"client_id,omitempty"`

	// Missed is the number of events that were dropped because the watcher was too slow.
	Missed uint64 `json:"missed,omitempty"`
}

// eventFields is an Event without its methods.
type eventFields Event

// eventJSON is an Event in JSON.
type eventJSON struct {
	TimeMs *int64 `json:"time_ms,omitempty"`
	eventFields
}

// MarshalJSON returns the event as a JSON object.
func (e Event) MarshalJSON() ([]byte, error) {
	out := eventJSON{eventFields: eventFields(e)}
	if !e.Time.IsZero() {
		ms := e.Time.UnixMilli()
		out.TimeMs = &ms
	}
	return json.Marshal(out)
}

// UnmarshalJSON takes what MarshalJSON returns. It returns an error for a kind that does not exist.
func (e *Event) UnmarshalJSON(data []byte) error {
	in := eventJSON{eventFields: eventFields(*e)}
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	*e = Event(in.eventFields)
	if in.TimeMs != nil {
		e.Time = time.UnixMilli(*in.TimeMs)
	}
	return nil
}

// EventKind is the kind of an Event. The zero value, "", is no kind.
type EventKind string

// The kinds of events. The events of one group come in the order in which they happened, and so do those of one topic.
const (
	// EventMissed means that Missed events were dropped here because the watcher did not read. What it knows may be out of
	// date, so it must list again.
	EventMissed EventKind = "missed"
	// EventGroupCreated means that a Group has its first commit or owner.
	EventGroupCreated EventKind = "group-created"
	// EventGroupExpired means that a Group is gone because it had no commit, and no owner update, for too long.
	EventGroupExpired EventKind = "group-expired"
	// EventGroupDeleted means that a Group is gone because it, or its last topic, was deleted.
	EventGroupDeleted EventKind = "group-deleted"
	// EventGroupTopicCreated means that a Group holds another Topic.
	EventGroupTopicCreated EventKind = "group-topic-created"
	// EventGroupTopicExpired means that a living Group no longer holds a Topic because it has not committed it.
	EventGroupTopicExpired EventKind = "group-topic-expired"
	// EventGroupTopicDeleted means that a living Group no longer holds a Topic because that was deleted.
	EventGroupTopicDeleted EventKind = "group-topic-deleted"
	// EventTopicCreated means that a Topic has its first end offset.
	EventTopicCreated EventKind = "topic-created"
	// EventTopicDeleted means that a Topic was deleted from the brokers.
	EventTopicDeleted EventKind = "topic-deleted"
	// EventIncarnationChanged means that the end offset of a Partition of a Topic went back: it was recreated or
	// truncated.
	EventIncarnationChanged EventKind = "incarnation-changed"
	// EventOwnerChanged means that a Partition of a Topic has another Owner in a Group.
	EventOwnerChanged EventKind = "owner-changed"
	// EventOwnersCleared means that no partition of a Group has an owner any more.
	EventOwnersCleared EventKind = "owners-cleared"
	// EventTopicExpired means that a Topic is gone because its end offsets were not polled for too long.
	EventTopicExpired EventKind = "topic-expired"
	// EventStoreFull means that the store takes as much memory as it may, and that something new was refused for the first
	// time since there was room. It concerns no cluster, group or topic, and no filter by those excludes it.
	EventStoreFull EventKind = "store-full"
)

// UnmarshalText takes the name of a kind. It returns an error for any other text.
func (k *EventKind) UnmarshalText(text []byte) error {
	switch kind := EventKind(text); kind {
	case EventMissed, EventGroupCreated, EventGroupExpired, EventGroupDeleted,
		EventGroupTopicCreated, EventGroupTopicExpired, EventGroupTopicDeleted, EventTopicCreated,
		EventTopicDeleted, EventIncarnationChanged, EventOwnerChanged, EventOwnersCleared,
		EventTopicExpired, EventStoreFull:
		*k = kind
		return nil
	}
	return fmt.Errorf("unknown event kind %.40q", text)
}
