package lagredis

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/rueidis"

	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/protocol"
)

// topicOp is one call that concerns the end offsets of a topic.
type topicOp struct {
	// do applies the call to the engine, and sets changed and parts, the partitions that may have changed. It may be called again if
	// another process has changed the topic meanwhile.
	do      func(*topicOp)
	changed bool
	parts   []int32
	// gone is set if this op, or one applied together with it, has deleted the topic or the earlier one of its name.
	gone bool

	done chan error
}

// onTopic is onGroup for a topic. If the topic was deleted, it is removed from every group before the call returns.
func (db *DB) onTopic(ctx context.Context, t *topic, op *topicOp) error {
	op.done = make(chan error, 1)
	if t.queue.add(op) {
		db.leaders.Go(func() { db.leadTopic(t) })
	}
	select {
	case err := <-op.done:
		if err == nil && op.gone {
			return db.forgetTopic(ctx, t)
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (db *DB) leadTopic(t *topic) {
	for {
		ops := t.queue.take()
		if len(ops) == 0 {
			return
		}
		err := db.persist(db.ctx, func(ctx context.Context) error { return db.tryTopic(ctx, t, ops) })
		if err != nil {
			t.giveUp()
		}
		for _, op := range ops {
			op.done <- err
		}
	}
}

// giveUp records that the outcome of a change is unknown; the callers get an error.
func (t *topic) giveUp() {
	t.state.Lock()
	defer t.state.Unlock()
	t.loaded, t.tried, t.triedDelete = false, "", false
}

// tryTopic is one attempt to carry out ops.
func (db *DB) tryTopic(ctx context.Context, t *topic, ops []*topicOp) error {
	t.state.Lock()
	defer t.state.Unlock()
	if !t.loaded {
		if done, err := db.loadTopic(ctx, t); done || err != nil {
			return err
		}
	}
	before := t.known
	events := db.collect(t.cluster.Name, "", t.name)
	for _, op := range ops {
		op.changed, op.parts = false, op.parts[:0]
		op.do(op)
	}
	known := t.cluster.Table().Topic(t.name)
	gone := before != nil && known != before
	x, version := db.topicChange(t, known, ops, events())
	if x == nil {
		look := db.client.B().Hget().Key(t.key).Field(fieldVersion).Build()
		results, _, err := db.look(ctx, []string{db.topicTag(t.bucket)}, rueidis.Commands{look})
		if err != nil {
			return err
		}
		now, err := textOf(results[0])
		if err == nil && now != t.version {
			t.loaded = false
			return errConflict
		}
		return err
	}
	t.loaded, t.tried, t.triedDelete = false, version, version == ""
	failed, err := db.outcome(ctx, x, db.do(ctx, db.evalsha(x)))
	if err != nil {
		return err
	}
	t.tried, t.triedDelete = "", false
	if failed > 0 {
		return errConflict
	}
	t.loaded, t.version, t.known = true, version, known
	for _, op := range ops {
		op.gone = gone
	}
	return nil
}

// loadTopic reads a topic whose state is locked. done is true if the read shows that the change that was tried before has happened.
func (db *DB) loadTopic(ctx context.Context, t *topic) (done bool, err error) {
	fields, err := db.do(ctx, db.client.B().Hgetall().Key(t.key).Build()).AsStrMap()
	if err != nil {
		return false, err
	}
	version := fields[fieldVersion]
	done = t.tried != "" && t.tried == version || t.triedDelete && version == ""
	t.tried, t.triedDelete = "", false
	return done, db.putTopic(t, fields)
}

// putTopic puts a topic as it was read into the engine. The topic's state must be locked.
func (db *DB) putTopic(t *topic, fields map[string]string) error {
	t.loaded = false
	table := t.cluster.Table()
	if fields[fieldVersion] == "" {
		// It never existed, or the server has lost it: then the engine keeps what it has, and the next poll writes it again.
		t.loaded, t.version, t.known = true, "", table.Topic(t.name)
		if t.known == nil {
			table.SetDeletions(t.name, 0)
		}
		return nil
	}
	if text, ok := fields[fieldDeletions]; ok {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return malformed("topic", t.name, err)
		}
		table.Forget(t.name)
		table.SetDeletions(t.name, n)
		t.loaded, t.version, t.known = true, fields[fieldVersion], nil
		return nil
	}
	type stored struct {
		partition int32
		data      string
	}
	var partitions []stored
	for field, value := range fields {
		if field == fieldVersion || field == fieldMeta {
			continue
		}
		var partition uint64
		if field == "" || field[:1] != fieldPartition || !numbersOf(field, &partition) {
			return malformed("topic", t.name, fmt.Errorf("%w %q", errField, field))
		}
		partitions = append(partitions, stored{int32(min(partition, 1<<30)), value})
	}
	slices.SortFunc(partitions, func(a, b stored) int { return cmp.Compare(a.partition, b.partition) })
	err := table.Recall(t.name, []byte(fields[fieldMeta]), func(yield func(int32, []byte) bool) {
		for _, p := range partitions {
			if !yield(p.partition, []byte(p.data)) {
				return
			}
		}
	})
	if err != nil {
		return malformed("topic", t.name, err)
	}
	t.loaded, t.version, t.known = true, fields[fieldVersion], table.Topic(t.name)
	return nil
}

// topicChange returns the change that makes Redis hold a topic as the engine holds it, and the version after it; nil if there is
// nothing to write.
func (db *DB) topicChange(t *topic, known *ends.Topic, ops []*topicOp, events []protocol.Event) (*change, string) {
	changed, anew := known != t.known || len(events) > 0, known != t.known || t.version == ""
	var parts []int32
	for _, op := range ops {
		changed = changed || op.changed
		parts = append(parts, op.parts...)
	}
	if !changed || known == nil && t.known == nil || db.marks != nil {
		return nil, ""
	}
	x, version := new(change), newVersion()
	x.expect(t.key, fieldVersion, t.version)
	if anew && t.version != "" {
		x.run("DEL", t.key)
	}
	list := db.topicsKey(t.bucket, t.cluster.Name)
	if known == nil {
		x.run("ZREM", list, t.name)
		x.run("HSET", t.key, fieldVersion, version, fieldDeletions, strconv.FormatUint(t.cluster.Table().Deletions(t.name), 10))
		x.run("ZADD", db.deletedKey(t.bucket, t.cluster.Name), score(db.clock.Now()), t.name)
	} else {
		if t.known == nil && t.version != "" {
			x.run("ZREM", db.deletedKey(t.bucket, t.cluster.Name), t.name)
		}
		if anew {
			parts = slices.Collect(known.Known())
		}
		slices.Sort(parts)
		fields := []string{fieldVersion, version, fieldMeta, string(known.AppendMeta(nil))}
		for _, partition := range slices.Compact(parts) {
			if data, ok := known.AppendPartition(nil, partition); ok {
				fields = append(fields, numbered(fieldPartition, uint64(partition)), string(data))
			}
		}
		x.run("HSET", t.key, fields...)
		polled, _ := known.LastPolled()
		x.run("ZADD", list, score(polled), t.name)
	}
	db.addEvents(x, db.topicEventsKey(t.bucket), events)
	return x, version
}

// forgetTopic removes a deleted topic from every group that holds it.
func (db *DB) forgetTopic(ctx context.Context, t *topic) error {
	var holders []string
	err := db.persist(ctx, func(ctx context.Context) error {
		holders = holders[:0]
		return db.eachBucket(ctx, db.groupTag, func(bucket int) rueidis.Completed {
			return db.client.B().Smembers().Key(db.holdersKey(bucket, t.cluster.Name, t.name)).Build()
		}, func(_ int, result rueidis.RedisResult) error {
			names, err := result.AsStrSlice()
			holders = append(holders, names...)
			return err
		})
	})
	if err != nil {
		return err
	}
	return db.eachGroup(ctx, t.cluster, holders, func(g *group) *groupOp {
		return &groupOp{topics: []string{t.name}, all: true, keeping: true, do: func(op *groupOp) {
			op.changed = db.engine.LoseDeleted(g.cluster, g.name)
		}}
	})
}
