package lagredis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/rueidis"

	"github.com/lagkeeper/storage/internal/engine"
)

// loadGroup reads a group with its unknown topics, and puts it into the engine. done is true if the read shows that the change that
// was tried before has happened.
func (db *DB) loadGroup(ctx context.Context, g *group, topics []*topic) (done bool, err error) {
	fields, err := db.do(ctx, db.client.B().Hgetall().Key(g.key).Build()).AsStrMap()
	if err != nil {
		return false, err
	}
	version := fields[fieldVersion]
	done = g.tried != "" && g.tried == version || g.triedDelete && version == ""
	g.tried, g.triedDelete = "", false
	record, state, err := readGroup(fields)
	if err != nil {
		return false, malformed("group", g.name, err)
	}
	held := topics
	for name := range state.topics {
		held = append(held, db.topic(g.cluster, name))
	}
	held = unique(held)
	if err := db.loadTopics(ctx, held); err != nil {
		return false, err
	}
	db.remember(g, record)
	lock(held)
	defer unlock(held)
	if version == "" {
		db.engine.DropGroup(g.cluster, g.name)
	} else if err := db.engine.PutGroup(g.cluster, g.name, record); err != nil {
		return false, malformed("group", g.name, err)
	}
	db.engine.ViewGroup(g.cluster, g.name, func(v engine.GroupView) {
		state.identity, state.size = v.Identity(), v.Bytes()
		for _, t := range v.Topics() {
			stored := state.topics[t.Name]
			stored.topic = t
			state.topics[t.Name] = stored
		}
	})
	g.asked = 0
	state.version, state.several = version, len(state.topics) > 1
	g.settle(state)
	return done, nil
}

// remember lets a group keep topics that were not deleted although nothing is known of them: the server has lost them, and the next
// poll creates them again.
func (db *DB) remember(g *group, record *engine.GroupRecord) {
	for i := range record.Topics {
		held := &record.Topics[i]
		t := db.topic(g.cluster, held.Name)
		t.state.Lock()
		if t.loaded && t.version == "" && t.known == nil {
			t.cluster.Table().Remember(t.name, held.UID())
			t.known = t.cluster.Table().Topic(t.name)
		}
		t.state.Unlock()
	}
}

// unique returns each topic once.
func unique(topics []*topic) []*topic {
	seen := make(map[*topic]bool, len(topics))
	return inOrder(slices.DeleteFunc(slices.Clone(topics), func(t *topic) bool {
		again := seen[t]
		seen[t] = true
		return again
	}))
}

// inOrder sorts topics, so that all goroutines lock them in the same order.
func inOrder(topics []*topic) []*topic {
	slices.SortFunc(topics, func(a, b *topic) int { return cmp.Compare(a.key, b.key) })
	return topics
}

var errField = errors.New("invalid field")

// readGroup parses the fields of a group.
func readGroup(fields map[string]string) (*engine.GroupRecord, *groupState, error) {
	record := &engine.GroupRecord{Meta: []byte(fields[fieldMeta])}
	state := &groupState{topics: make(map[string]storedTopic)}
	places := make(map[uint64]int) // in record.Topics, by number
	for field, value := range fields {
		if field == "" || field[:1] != fieldTopic {
			continue
		}
		number, n := uvarint(value)
		if _, twice := places[number]; n == 0 || twice {
			return nil, nil, fmt.Errorf("%w %q", errField, field)
		}
		places[number] = len(record.Topics)
		record.Topics = append(record.Topics, engine.TopicRecord{Name: field[1:], Meta: []byte(value[n:])})
		state.topics[field[1:]] = storedTopic{number: number}
	}
	for field, value := range fields {
		var number, partition uint64
		switch kind := field[:min(1, len(field))]; {
		case field == fieldVersion, field == fieldMeta, kind == fieldTopic:
			continue
		case kind == fieldOwners && numbersOf(field, &number):
		case kind == fieldPartition && numbersOf(field, &number, &partition):
		default:
			return nil, nil, fmt.Errorf("%w %q", errField, field)
		}
		at, ok := places[number]
		if !ok {
			return nil, nil, fmt.Errorf("%w %q", errField, field)
		}
		t := &record.Topics[at]
		if field[:1] == fieldOwners {
			t.Owners = []byte(value)
			stored := state.topics[t.Name]
			stored.owners = true
			state.topics[t.Name] = stored
		} else {
			t.Partitions = append(t.Partitions, engine.PartitionRecord{Number: int32(min(partition, 1<<30)), Data: []byte(value)})
		}
	}
	for i := range record.Topics {
		slices.SortFunc(record.Topics[i].Partitions, func(a, b engine.PartitionRecord) int { return cmp.Compare(a.Number, b.Number) })
	}
	return record, state, nil
}

// loadTopics reads the unknown ones of some topics.
func (db *DB) loadTopics(ctx context.Context, topics []*topic) error {
	var unknown []*topic
	for _, t := range topics {
		t.state.RLock()
		loaded := t.loaded
		t.state.RUnlock()
		if !loaded {
			unknown = append(unknown, t)
		}
	}
	return db.reloadTopics(ctx, unknown)
}

// reloadTopics reads topics and puts them into the engine.
func (db *DB) reloadTopics(ctx context.Context, topics []*topic) error {
	if len(topics) == 0 {
		return nil
	}
	commands := make(rueidis.Commands, len(topics))
	for i, t := range inOrder(topics) {
		commands[i] = db.client.B().Hgetall().Key(t.key).Build()
		t.state.Lock()
		defer t.state.Unlock()
	}
	for i, result := range db.doMulti(ctx, commands...) {
		fields, err := result.AsStrMap()
		if err != nil {
			return err
		}
		if err := db.putTopic(topics[i], fields); err != nil {
			return err
		}
	}
	return nil
}
