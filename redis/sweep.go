package lagredis

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/engine"
)

func (db *DB) sweepByTheClock() {
	ticker := time.NewTicker(db.options.Store.SweepInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-db.quit:
			return
		}
		if err := db.Sweep(db.ctx); err != nil && !errors.Is(err, storage.ErrStopped) {
			db.log.Warn("sweep not finished", zap.Error(err))
		}
	}
}

// Sweep removes expired groups and topics from the buckets that no process has swept for an interval. The store calls it at each
// interval; of several processes only the first sweeps a bucket.
func (db *DB) Sweep(ctx context.Context) error {
	if err := db.begin(ctx); err != nil {
		return err
	}
	defer db.end()
	// The settings may have been lost with a server.
	if err := db.persist(ctx, db.checkSettings); err != nil {
		return err
	}
	db.counts.sweeps.Add(1)
	mine, err := db.claimSweeps(ctx, db.clock.Now())
	if err != nil {
		return err
	}
	if len(mine) > 0 {
		err = errors.Join(db.sweepWriters(ctx, mine), db.sweepClusters(ctx, mine))
	}
	return errors.Join(err, db.forgetTopics(ctx))
}

const fieldAt = "at"

// claimSweeps returns the buckets that have not been swept for an interval, and that no other process has begun to sweep meanwhile.
func (db *DB) claimSweeps(ctx context.Context, now int64) (mine []int, err error) {
	// A timer that fires a little early must not skip every other interval.
	interval := db.options.Store.SweepInterval.Milliseconds() * 9 / 10
	err = db.persist(ctx, func(ctx context.Context) error {
		var due []int
		var claims []change
		var commands rueidis.Commands
		err := db.eachBucket(ctx, db.groupTag, func(bucket int) rueidis.Completed {
			return db.client.B().Hget().Key(db.sweptKey(bucket)).Field(fieldAt).Build()
		}, func(bucket int, result rueidis.RedisResult) error {
			last, err := textOf(result)
			if err != nil {
				return err
			}
			if at, err := strconv.ParseInt(last, 10, 64); err == nil && now-at < interval && at <= now {
				return nil
			}
			var x change
			x.expect(db.sweptKey(bucket), fieldAt, last)
			x.run("HSET", db.sweptKey(bucket), fieldAt, strconv.FormatInt(now, 10))
			due, claims, commands = append(due, bucket), append(claims, x), append(commands, db.evalsha(&x))
			return nil
		})
		if err != nil || len(due) == 0 {
			return err
		}
		for i, result := range db.doMulti(ctx, commands...) {
			failed, err := db.outcome(ctx, &claims[i], result)
			if err != nil {
				return err
			}
			if failed == 0 {
				mine = append(mine, due[i])
			}
		}
		return nil
	})
	return mine, err
}

// mostWriters bounds the processes whose changes a bucket counts: each process that ends leaves its count behind.
const mostWriters = 100

// sweepWriters deletes all counts of a bucket if there are too many. Processes that still count notice that, and their feeds return to
// the positions: they read some commits again.
func (db *DB) sweepWriters(ctx context.Context, buckets []int) error {
	return db.persist(ctx, func(ctx context.Context) error {
		commands := make(rueidis.Commands, len(buckets))
		for i, bucket := range buckets {
			commands[i] = db.client.B().Hlen().Key(db.writersKey(bucket)).Build()
		}
		for i, result := range db.doMulti(ctx, commands...) {
			n, err := result.AsInt64()
			if err != nil {
				return err
			}
			if n <= mostWriters {
				continue
			}
			var x change
			x.run("DEL", db.writersKey(buckets[i]))
			if _, err = db.outcome(ctx, &x, db.do(ctx, db.evalsha(&x))); err != nil {
				return err
			}
		}
		return nil
	})
}

// sweptTogether is the number of buckets that are swept at once: they share a round trip, and their expired names are held in memory.
const sweptTogether = 10

func (db *DB) sweepClusters(ctx context.Context, buckets []int) error {
	var faults []error
	for _, name := range db.engine.Clusters() {
		c := db.engine.Cluster(name)
		if c == nil {
			continue
		}
		if err := db.persist(ctx, func(ctx context.Context) error { return db.notePolled(ctx, c) }); err != nil {
			faults = append(faults, err)
			continue
		}
		for some := range slices.Chunk(buckets, sweptTogether) {
			faults = append(faults, db.sweepBuckets(ctx, c, some))
		}
	}
	return errors.Join(faults...)
}

// notePolled gives the engine the newest poll time of any topic of a cluster.
func (db *DB) notePolled(ctx context.Context, c *engine.Cluster) error {
	newest := int64(0)
	err := db.eachBucket(ctx, db.topicTag, func(bucket int) rueidis.Completed {
		return db.client.B().Zrange().Key(db.topicsKey(bucket, c.Name)).Min("0").Max("0").Rev().Withscores().Build()
	}, func(_ int, result rueidis.RedisResult) error {
		last, err := result.AsZScores()
		if err == nil && len(last) > 0 {
			newest = max(newest, int64(last[0].Score))
		}
		return err
	})
	if err == nil {
		db.engine.NotePolled(c, newest)
	}
	return err
}

// expired is what has expired in some buckets.
type expired struct {
	// groups have expired, or hold a topic that has expired.
	groups []string
	// topics are no longer polled.
	topics []string
	// deleted are topics that were deleted so long ago that no group can still hold them.
	deleted []string
}

// sweepBuckets removes what has expired in some buckets.
func (db *DB) sweepBuckets(ctx context.Context, c *engine.Cluster, buckets []int) error {
	var due expired
	err := db.persist(ctx, func(ctx context.Context) (err error) {
		due, err = db.expiredIn(ctx, c, buckets)
		return err
	})
	if err != nil {
		return err
	}
	return errors.Join(
		db.eachGroup(ctx, c, due.groups, func(g *group) *groupOp {
			return &groupOp{all: true, keeping: true, do: func(op *groupOp) {
				lost := db.engine.LoseDeleted(c, g.name)
				op.changed = db.engine.SweepGroup(c, g.name) || lost
			}}
		}),
		db.forgetDeleted(ctx, c, due.deleted),
		eachName(due.topics, func(name string) error {
			return db.onTopic(ctx, db.topic(c, name), &topicOp{do: func(op *topicOp) {
				op.changed = db.engine.ExpireTopic(c, name)
			}})
		}))
}

// expiredIn returns what has expired in some buckets.
func (db *DB) expiredIn(ctx context.Context, c *engine.Cluster, buckets []int) (due expired, err error) {
	topics := db.engine.OldestTopic()
	groups := max(db.engine.OldestGroup(), topics)
	var commands rueidis.Commands
	var to []*[]string
	ask := func(key string, before int64, names *[]string) {
		commands = append(commands, db.client.B().Zrangebyscore().Key(key).Min("-inf").Max("("+score(before)).Build())
		to = append(to, names)
	}
	for _, bucket := range buckets {
		ask(db.liveKey(bucket, c.Name), groups, &due.groups)
		ask(db.stalestKey(bucket, c.Name), groups, &due.groups)
		ask(db.topicsKey(bucket, c.Name), topics, &due.topics)
		ask(db.deletedKey(bucket, c.Name), topics, &due.deleted)
	}
	for i, result := range db.doMulti(ctx, commands...) {
		names, err := result.AsStrSlice()
		if err != nil {
			return expired{}, err
		}
		*to[i] = append(*to[i], names...)
	}
	return due, nil
}

// forgetDeleted drops the records of deleted topics, except of topics that exist again.
func (db *DB) forgetDeleted(ctx context.Context, c *engine.Cluster, names []string) error {
	return eachName(names, func(name string) error {
		return db.persist(ctx, func(ctx context.Context) error {
			bucket := db.topicBucket(name)
			topic := db.topicKey(bucket, c.Name, name)
			version, err := textOf(db.do(ctx, db.client.B().Hget().Key(topic).Field(fieldVersion).Build()))
			if err != nil {
				return err
			}
			var x change
			x.expect(topic, fieldVersion, version)
			x.expect(topic, fieldMeta, "")
			x.run("DEL", topic)
			x.run("ZREM", db.deletedKey(bucket, c.Name), name)
			_, err = db.outcome(ctx, &x, db.do(ctx, db.evalsha(&x)))
			return err
		})
	})
}

// forgetTopics drops the copies of topics that do not exist any more, or never did.
func (db *DB) forgetTopics(ctx context.Context) error {
	there := make(map[groupID]bool)
	for _, name := range db.engine.Clusters() {
		c := db.engine.Cluster(name)
		if c == nil {
			continue
		}
		names, err := db.listTopics(ctx, c)
		if err != nil {
			return err
		}
		for _, topic := range names {
			there[groupID{c, topic}] = true
		}
	}
	err := db.forgetTopicsBut(ctx, there)
	if db.replicas != nil {
		reader := db.replicas.reader
		own := make(map[groupID]bool, len(there))
		for id := range there {
			own[groupID{reader.engine.Cluster(id.cluster.Name), id.name}] = true
		}
		// A replica that does not answer, or does not know yet, is asked again after the next sweep.
		_ = reader.forgetTopicsBut(ctx, own)
	}
	return err
}

func (db *DB) forgetTopicsBut(ctx context.Context, there map[groupID]bool) error {
	if err := db.reloadTopics(ctx, db.topics.without(there)); err != nil {
		return err
	}
	db.topics.mu.Lock()
	defer db.topics.mu.Unlock()
	for id, t := range db.topics.topics {
		if !t.state.TryRLock() {
			continue // it is in use
		}
		if t.loaded && t.known == nil && !t.queue.busy() || db.engine.Cluster(t.cluster.Name) != t.cluster {
			delete(db.topics.topics, id)
		}
		t.state.RUnlock()
	}
	return nil
}

// without returns the topics of which there is a copy, and that another process may have deleted.
func (c *topicCache) without(there map[groupID]bool) (doubtful []*topic) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, t := range c.topics {
		if there[id] || !t.state.TryRLock() {
			continue
		}
		if t.loaded && t.known != nil {
			doubtful = append(doubtful, t)
		}
		t.state.RUnlock()
	}
	return doubtful
}
