package lagredis

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strconv"
	"sync"

	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/protocol"
)

// groupState is a group as it is in Redis, or will be after a change.
type groupState struct {
	change   change
	version  string
	identity any
	topics   map[string]storedTopic
	several  bool
	size     int
}

// groupChange returns the change that makes Redis hold a group as the engine holds it, nil if there is nothing to write.
func (db *DB) groupChange(g *group, ops []*groupOp, events []protocol.Event) *groupState {
	if db.marks != nil {
		return nil // a replica is not written to
	}
	next := &groupState{topics: make(map[string]storedTopic, len(g.topics))}
	there := false
	changed := len(events) > 0
	for _, op := range ops {
		changed = changed || op.changed
	}
	db.engine.ViewGroup(g.cluster, g.name, func(v engine.GroupView) {
		there = true
		if v.Identity() != g.identity || changed {
			db.describe(g, next, v, ops)
			changed = true
		}
	})
	switch {
	case !there && g.version == "":
		return nil
	case !there:
		next.expectGroup(g)
		next.change.run("DEL", g.key)
		next.change.run("ZREM", db.liveKey(g.bucket, g.cluster.Name), g.name)
		next.change.run("ZREM", db.stalestKey(g.bucket, g.cluster.Name), g.name)
		db.changeHolders(g, next)
	case !changed:
		return nil
	}
	db.addEvents(&next.change, db.groupEventsKey(g.bucket), events)
	return next
}

func (s *groupState) expectGroup(g *group) { s.change.expect(g.key, fieldVersion, g.version) }

// describe fills a state from the engine.
func (db *DB) describe(g *group, next *groupState, v engine.GroupView, ops []*groupOp) {
	next.version, next.identity, next.size = newVersion(), v.Identity(), v.Bytes()
	next.expectGroup(g)
	// The engine no longer knows the fields of a topic that has left the group.
	anew := v.Identity() != g.identity
	free := uint64(0)
	for name, stored := range g.topics {
		at := v.Find(name)
		anew = anew || at < 0
		free = max(free, stored.number+1)
	}
	for _, t := range v.Topics() {
		if stored, ok := g.topics[t.Name]; ok && stored.topic != t {
			anew = true
		}
	}
	scratch := texts.Get().(*[]byte)
	f := fields{view: v, text: (*scratch)[:0]}
	defer func() {
		if *scratch = f.text; cap(f.text) <= mostKeptText {
			texts.Put(scratch)
		}
	}()
	f.named(fieldVersion, func(dst []byte) []byte { return append(dst, next.version...) })
	f.named(fieldMeta, v.AppendMeta)
	if anew {
		f.all(next)
		if g.version != "" {
			next.change.run("DEL", g.key)
		}
	} else {
		f.some(g, next, ops, free)
	}
	next.change.run("HSET", g.key, f.set()...)
	if len(f.gone) > 0 {
		next.change.run("HDEL", g.key, f.gone...)
	}
	db.changeHolders(g, next)
	next.several = len(next.topics) > 1
	next.change.run("ZADD", db.liveKey(g.bucket, g.cluster.Name), score(v.Seen()), g.name)
	switch stalest := db.stalestKey(g.bucket, g.cluster.Name); {
	case next.several:
		next.change.run("ZADD", stalest, score(v.Stalest()), g.name)
	case g.several:
		next.change.run("ZREM", stalest, g.name)
	}
}

// changeHolders updates the index of topics.
func (db *DB) changeHolders(g *group, next *groupState) {
	for name := range next.topics {
		if _, ok := g.topics[name]; !ok {
			next.change.run("SADD", db.holdersKey(g.bucket, g.cluster.Name, name), g.name)
		}
	}
	for name := range g.topics {
		if _, ok := next.topics[name]; !ok {
			next.change.run("SREM", db.holdersKey(g.bucket, g.cluster.Name, name), g.name)
		}
	}
}

// score returns a time as a score. Scores are doubles, which are exact for milliseconds over 285,000 years.
func score(milliseconds int64) string {
	const most = 1 << 53
	return strconv.FormatInt(max(-most, min(milliseconds, most)), 10)
}

// fields are the fields of a group to set, with their values, and those to delete.
type fields struct {
	view engine.GroupView
	// text holds the fields to set and their values, one after the other; ends holds the end of each. A batch may have a hundred:
	// separate strings would cost more than all else.
	text []byte
	ends []int
	gone []string
}

// texts are unused buffers, each of at most mostKeptText bytes.
var texts = sync.Pool{New: func() any { return new([]byte) }}

const mostKeptText = 1 << 20

// add adds a field and its value, which have been appended to text; the field ends at the given index.
func (f *fields) add(text []byte, field int) {
	f.text, f.ends = text, append(f.ends, field, len(text))
}

// set returns the fields to set, in pairs with their values.
func (f *fields) set() []string {
	all, set, from := string(f.text), make([]string, len(f.ends)), 0
	for i, end := range f.ends {
		set[i], from = all[from:end], end
	}
	return set
}

func (f *fields) named(field string, appendValue func([]byte) []byte) {
	text := append(f.text, field...)
	f.add(appendValue(text), len(text))
}

func (f *fields) topic(index int, name string, number uint64) {
	text := append(append(f.text, fieldTopic...), name...)
	f.add(f.view.AppendTopic(binary.AppendUvarint(text, number), index), len(text))
}

func (f *fields) partition(index int, number uint64, partition int32) {
	text := appendNumbered(f.text, fieldPartition, number, uint64(partition))
	if all, ok := f.view.AppendPartition(text, index, partition); ok {
		f.add(all, len(text))
	} else {
		f.gone = append(f.gone, string(text[len(f.text):]))
	}
}

// owners reports whether a topic has owners. had reports whether it had any before.
func (f *fields) owners(index int, number uint64, had bool) bool {
	text := appendNumbered(f.text, fieldOwners, number)
	all := f.view.AppendOwners(text, index)
	if len(all) > len(text) {
		f.add(all, len(text))
	} else if had {
		f.gone = append(f.gone, string(text[len(f.text):]))
	}
	return len(all) > len(text)
}

// all sets all fields.
func (f *fields) all(next *groupState) {
	for i, t := range f.view.Topics() {
		number := uint64(i)
		f.topic(i, t.Name, number)
		for partition := range f.view.Partitions(i) {
			f.partition(i, number, partition)
		}
		next.topics[t.Name] = storedTopic{number: number, topic: t, owners: f.owners(i, number, false)}
	}
}

// some sets the fields that ops may have changed. The group still holds all its earlier topics; free is a number that no topic has.
func (f *fields) some(g *group, next *groupState, ops []*groupOp, free uint64) {
	changed := 0
	for _, op := range ops {
		changed += len(op.parts)
	}
	parts := make([]part, 0, changed)
	f.ends = slices.Grow(f.ends, 2*changed+8)
	whole, owners := false, false
	for _, op := range ops {
		if op.changed {
			parts, whole, owners = append(parts, op.parts...), whole || op.whole, owners || op.owners
		}
	}
	slices.SortFunc(parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	})
	parts = slices.Compact(parts)
	for i, t := range f.view.Topics() {
		stored, known := g.topics[t.Name]
		if !known {
			stored = storedTopic{number: free, topic: t}
			free++
		}
		from, _ := slices.BinarySearchFunc(parts, t.Name, func(p part, name string) int { return cmp.Compare(p.topic, name) })
		touched := !known || whole
		for _, p := range parts[from:] {
			if p.topic != t.Name {
				break
			}
			touched = true
			if !whole {
				f.partition(i, stored.number, p.partition)
			}
		}
		if whole {
			for partition := range f.view.Partitions(i) {
				f.partition(i, stored.number, partition)
			}
		}
		if touched {
			f.topic(i, t.Name, stored.number)
		}
		if owners {
			stored.owners = f.owners(i, stored.number, stored.owners)
		}
		next.topics[t.Name] = stored
	}
}
