package lagredis

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/rueidis"

	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/protocol"
)

// groupOp is one call that concerns a group.
type groupOp struct {
	// topics are the topics that the call reads; all adds those that the group holds.
	topics []string
	all    bool
	// do applies the call to the engine. It may be called again if another process has changed the group meanwhile. It sets changed,
	// and the fields that say what it may have changed.
	do func(*groupOp)
	// keeping is set for changes that no feed sends: those of the sweep, and those that follow from the deletion of a topic. fed is
	// set for changes by a feed that has the positions of the log; turns is that of the bucket when the call began.
	keeping, fed bool
	turns        int64

	changed bool
	// parts are the partitions that may have changed; whole stands for all partitions, owners for the owners of all topics.
	parts         []part
	whole, owners bool
	// stored are the accepted commits.
	stored []protocol.Commit

	// What was read is at least as new as asOf, in Unix milliseconds; asOf is 0 if it comes from a master.
	asOf int64

	done chan error
}

type part struct {
	topic     string
	partition int32
}

// onGroup applies an op, or a read, and waits for the outcome. An op that has begun goes on if the context is done earlier.
func (db *DB) onGroup(ctx context.Context, g *group, op *groupOp) error {
	op.done, op.turns = make(chan error, 1), db.buckets[g.bucket].turns.Load()
	if g.queue.add(op) {
		db.retain(g)
		db.leaders.Go(func() { db.lead(g) })
	}
	select {
	case err := <-op.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lead carries out the ops of a group until none is left.
func (db *DB) lead(g *group) {
	defer db.release(g)
	for {
		ops := g.queue.take()
		if len(ops) == 0 {
			return
		}
		err := db.persist(db.ctx, func(ctx context.Context) error { return db.tryGroup(ctx, g, ops) })
		if err != nil {
			// The outcome of these ops is unknown; the next ones have tried nothing.
			g.loaded, g.tried, g.triedDelete = false, "", false
		}
		db.resize(g)
		for _, op := range ops {
			op.done <- err
		}
	}
}

// tryGroup is one attempt to carry out ops.
func (db *DB) tryGroup(ctx context.Context, g *group, ops []*groupOp) error {
	topics := db.topicsOf(g, ops)
	if !g.loaded {
		done, err := db.loadGroup(ctx, g, topics)
		if done || err != nil {
			return err
		}
		topics = db.topicsOf(g, ops)
	} else if err := db.loadTopics(ctx, topics); err != nil {
		return err
	}
	lock(topics)
	seen := lookAt(topics)
	events := db.collect(g.cluster.Name, g.name, "")
	db.knowOrders(g) // which may find that the group has expired
	for _, op := range ops {
		op.changed, op.parts, op.stored = false, op.parts[:0], op.stored[:0]
		op.do(op)
	}
	next := db.groupChange(g, ops, events())
	unlock(topics)
	for {
		stale, err := db.writeGroup(ctx, g, ops, next, topics, seen)
		if err != nil || len(stale) == 0 {
			return err
		}
		if err := db.reloadTopics(ctx, stale); err != nil {
			return err
		}
		if next == nil {
			return errConflict // nothing was written: read again
		}
		lock(topics)
		before := seen
		seen = lookAt(topics)
		gone := make(map[string]bool) // together with the commits of the group
		for i, t := range topics {
			gone[t.name] = seen[i].known != before[i].known
		}
		events := db.collect(g.cluster.Name, g.name, "")
		db.repair(g, ops, gone)
		next = db.groupChange(g, ops, events())
		unlock(topics)
	}
}

// knowOrders makes the commits that a feed reads again duplicates of the stored ones. Otherwise they would be stored beside them if
// the window has room: a commit that a tombstone has removed since, or one that another replaced by min-distance.
func (db *DB) knowOrders(g *group) {
	if asked := db.buckets[g.bucket].asked.Load(); g.asked != asked {
		db.engine.KnowOrders(g.cluster, g.name)
		g.asked = asked
	}
}

// repair corrects ops that took effect as if some topics had changed after them, although those had changed before.
func (db *DB) repair(g *group, ops []*groupOp, gone map[string]bool) {
	if db.engine.LoseDeleted(g.cluster, g.name) {
		ops[0].changed = true
	}
	for _, op := range ops {
		kept := slices.ContainsFunc(op.topics, func(name string) bool { return !gone[name] })
		if op.changed && kept {
			db.engine.Relag(g.cluster, g.name, op.stored)
			continue
		}
		// Nothing of the op is left, it changed nothing and can be repeated, or it only reads.
		changed := op.changed
		op.do(op)
		op.changed = op.changed || changed
	}
}

// topicsOf returns the topics that ops read, each once.
func (db *DB) topicsOf(g *group, ops []*groupOp) []*topic {
	var topics []*topic
	seen := make(map[string]bool)
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			topics = append(topics, db.topic(g.cluster, name))
		}
	}
	for _, op := range ops {
		last := ""
		for i, name := range op.topics {
			if i == 0 || name != last {
				add(name)
			}
			last = name
		}
		if op.all {
			for name := range g.topics {
				add(name)
			}
		}
	}
	return inOrder(topics)
}

// sight is a topic as it was when ops were applied.
type sight struct {
	version string
	known   *ends.Topic
}

// lookAt requires the topics to be locked.
func lookAt(topics []*topic) []sight {
	seen := make([]sight, len(topics))
	for i, t := range topics {
		seen[i] = sight{t.version, t.known}
	}
	return seen
}

func lock(topics []*topic) {
	for _, t := range topics {
		t.state.RLock()
	}
}

func unlock(topics []*topic) {
	for _, t := range topics {
		t.state.RUnlock()
	}
}

// originOf returns the origin of ops; guarded is false if none of them comes from a feed.
func originOf(g *group, ops []*groupOp) (from origin, guarded bool) {
	from = origin{cluster: g.cluster.Name}
	for _, op := range ops {
		if op.keeping {
			continue
		}
		if !guarded || op.turns < from.turns {
			from.turns = op.turns
		}
		guarded, from.fed = true, from.fed || op.fed
	}
	return from, guarded
}

// writeGroup carries out a change, nil if there is none, and in the same round trip compares the versions of the group and of topics
// with those in Redis. It returns the topics whose versions differ.
func (db *DB) writeGroup(
	ctx context.Context, g *group, ops []*groupOp, next *groupState, topics []*topic, seen []sight,
) ([]*topic, error) {
	commands := make(rueidis.Commands, 1, 1+len(topics))
	for _, t := range topics {
		commands = append(commands, db.client.B().Hget().Key(t.key).Field(fieldVersion).Build())
	}
	var results []rueidis.RedisResult
	if next == nil {
		var asOf int64
		var err error
		commands[0] = db.client.B().Hget().Key(g.key).Field(fieldVersion).Build()
		if results, asOf, err = db.look(ctx, db.tagsOf(g, topics), commands); err != nil {
			return nil, err
		}
		for _, op := range ops {
			op.asOf = asOf
		}
		version, err := textOf(results[0])
		if err != nil {
			return nil, err
		}
		if version != g.version {
			g.loaded = false
			return nil, errConflict
		}
	} else {
		// The copy is invalid until the outcome is known.
		g.loaded = false
		send := func() (failed int, err error) {
			g.tried, g.triedDelete = next.version, next.version == ""
			commands[0] = db.evalsha(&next.change)
			results = db.doMulti(ctx, commands...)
			return db.outcome(ctx, &next.change, results[0])
		}
		var failed int
		var err error
		if from, guarded := originOf(g, ops); guarded {
			failed, err = db.guarded(g.bucket, from, &next.change, send)
		} else {
			failed, err = send()
		}
		if err != nil {
			return nil, err
		}
		g.tried, g.triedDelete = "", false
		if failed > 0 {
			return nil, errConflict
		}
		g.settle(next)
	}
	var stale []*topic
	for i, t := range topics {
		version, err := textOf(results[1+i])
		if err != nil {
			if next != nil {
				// Ops that were written must not be repeated.
				g.loaded, g.tried, g.triedDelete = false, next.version, next.version == ""
			}
			return nil, err
		}
		if version != seen[i].version {
			stale = append(stale, t)
		}
	}
	return stale, nil
}

// tagsOf returns the hash tags of the buckets of a group and of topics.
func (db *DB) tagsOf(g *group, topics []*topic) []string {
	if db.marks == nil {
		return nil
	}
	tags := []string{db.groupTag(g.bucket)}
	for _, t := range topics {
		tags = append(tags, db.topicTag(t.bucket))
	}
	return tags
}

// settle records that a change has happened.
func (g *group) settle(next *groupState) {
	g.loaded, g.version, g.identity, g.topics = true, next.version, next.identity, next.topics
	g.several, g.size = next.several, next.size
}

// textOf returns a string, "" for nil.
func textOf(result rueidis.RedisResult) (string, error) {
	text, err := result.ToString()
	if rueidis.IsRedisNil(err) {
		return "", nil
	}
	return text, err
}

// errMalformed is returned if Redis holds something that this module has not written.
var errMalformed = errors.New("malformed state")

func malformed(what, name string, err error) error {
	return fmt.Errorf("%w: %s %q: %w", errMalformed, what, name, err)
}
