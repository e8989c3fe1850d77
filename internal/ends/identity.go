package ends

import (
	"slices"

	"github.com/lagkeeper/storage/protocol"
)

// identity distinguishes topics of one name by their ids.
type identity struct {
	// id is the topic's id, zero until it is known; seen is when an end offset last came with it, in Unix milliseconds.
	id   protocol.TopicID
	seen int64
	// former are the ids of topics that this one, or one before it, has replaced; the newest last.
	former []protocol.TopicID

	// The stale end offsets with an unknown id: the id, the partition of the first, and how many came in a row for that
	// partition.
	strange     protocol.TopicID
	strangeFrom int32
	stranger    uint8
}

const (
	// maxFormer is the number of ids of replaced topics that are remembered.
	maxFormer = 4
	// formerFor is how many milliseconds after the present id was seen the id of a replaced topic counts as a poller that has
	// not noticed yet. After that it becomes the present one: the change was the mistake.
	formerFor = 60_000
)

// check classifies an end offset by its id.
func (i *identity) check(end *EndOffset) Outcome {
	if end.ID.IsZero() || i.id.IsZero() || end.ID == i.id {
		return Stored
	}
	if slices.Contains(i.former, end.ID) {
		if end.Seen < i.seen || distance(i.seen, end.Seen) < formerFor {
			return Stale
		}
		return Replaced
	}
	if !end.Dated || end.Seen >= i.seen {
		return Replaced
	}
	switch {
	case i.strange != end.ID:
		i.strange, i.strangeFrom, i.stranger = end.ID, end.Number, 1
	case i.strangeFrom == end.Number:
		if i.stranger++; i.stranger >= staleInARow {
			return Replaced
		}
	}
	return Stale
}

// accept notes an end offset that is being stored.
func (i *identity) accept(end *EndOffset) {
	if end.ID.IsZero() {
		return
	}
	if i.id.IsZero() {
		i.seen = end.Seen
	}
	i.id = end.ID
	i.seen = max(i.seen, end.Seen)
	i.strange, i.stranger = protocol.TopicID{}, 0
}

// follow returns the identity of the topic that replaces this one because of an end offset.
func (i *identity) follow(end *EndOffset) identity {
	former := slices.DeleteFunc(slices.Clone(i.former), func(id protocol.TopicID) bool { return id == end.ID })
	former = append(former, i.id)
	return identity{id: end.ID, seen: end.Seen, former: former[max(0, len(former)-maxFormer):]}
}
