package lagredis

import (
	"context"
	"errors"
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

// Sweep removes what has expired from the buckets that nobody has swept for an interval. The store calls it at each interval by
// itself; of several processes only the first to come sweeps a bucket.
func (db *DB) Sweep(ctx context.Context) error {
	if err := db.begin(ctx); err != nil {
		return err
	}
	defer db.end()
	// They may have been lost with the server that held them.
	if err := db.persist(ctx, db.checkSettings); err != nil {
		return err
	}
	db.counts.sweeps.Add(1)
	now := db.clock.Now()
	swept := make([]string, db.options.Buckets)
	err := db.persist(ctx, func(ctx context.Context) error {
		return db.eachBucket(ctx, func(bucket int) rueidis.Completed {
			return db.client.B().Hget().Key(db.sweptKey(bucket)).Field(fieldAt).Build()
		}, func(bucket int, result rueidis.RedisResult) (err error) {
			swept[bucket], err = textOf(result)
			return err
		})
	})
	if err != nil {
		return err
	}
	// A timer that is a little early must not make it every other interval.
	interval := db.options.Store.SweepInterval.Milliseconds() * 9 / 10
	var faults []error
	for bucket, last := range swept {
		if at, err := strconv.ParseInt(last, 10, 64); err == nil && now-at < interval && at <= now {
			continue
		}
		mine, err := db.claimSweep(ctx, bucket, last, now)
		if err == nil && mine {
			err = errors.Join(db.sweepBucket(ctx, bucket), db.sweepWriters(ctx, bucket))
		}
		faults = append(faults, err)
	}
	db.forgetUnknownTopics()
	return errors.Join(faults...)
}

const fieldAt = "at"

// mostWriters bounds the processes that a bucket counts the changes of: each that ends leaves its count behind.
const mostWriters = 100

// sweepWriters forgets all counts of a bucket if there are too many. Those who still count find that out, and their feeds go back
// to the positions, which costs some commits that are known already.
func (db *DB) sweepWriters(ctx context.Context, bucket int) error {
	return db.persist(ctx, func(ctx context.Context) error {
		n, err := db.do(ctx, db.client.B().Hlen().Key(db.writersKey(bucket)).Build()).AsInt64()
		if err != nil || n <= mostWriters {
			return err
		}
		var x change
		x.run("DEL", db.writersKey(bucket))
		_, err = db.outcome(ctx, &x, db.do(ctx, db.evalsha(&x)))
		return err
	})
}

// claimSweep reports whether nobody else has begun to sweep a bucket since it was last swept.
func (db *DB) claimSweep(ctx context.Context, bucket int, last string, now int64) (mine bool, err error) {
	err = db.persist(ctx, func(ctx context.Context) error {
		var x change
		x.expect(db.sweptKey(bucket), fieldAt, last)
		x.run("HSET", db.sweptKey(bucket), fieldAt, strconv.FormatInt(now, 10))
		failed, err := db.outcome(ctx, &x, db.do(ctx, db.evalsha(&x)))
		mine = failed == 0
		return err
	})
	return mine, err
}

func (db *DB) sweepBucket(ctx context.Context, bucket int) error {
	var faults []error
	for _, name := range db.engine.Clusters() {
		c := db.engine.Cluster(name)
		if c == nil {
			continue
		}
		faults = append(faults, db.sweepGroups(ctx, bucket, c), db.sweepTopics(ctx, bucket, c))
	}
	return errors.Join(faults...)
}

// sweepGroups removes the groups of a bucket that have expired, and what has expired of those that live.
func (db *DB) sweepGroups(ctx context.Context, bucket int, c *engine.Cluster) error {
	oldest := max(db.engine.OldestGroup(), db.engine.OldestTopic())
	var due []string
	err := db.persist(ctx, func(ctx context.Context) error {
		due = due[:0]
		commands := make(rueidis.Commands, 0, 2)
		for _, key := range []string{db.liveKey(bucket, c.Name), db.stalestKey(bucket, c.Name)} {
			commands = append(commands, db.client.B().Zrangebyscore().Key(key).Min("-inf").Max("("+score(oldest)).Build())
		}
		for _, result := range db.doMulti(ctx, commands...) {
			names, err := result.AsStrSlice()
			if err != nil {
				return err
			}
			due = append(due, names...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return db.eachGroup(ctx, c, due, func(g *group) *groupOp {
		return &groupOp{all: true, keeping: true, do: func(op *groupOp) {
			lost := db.engine.LoseDeleted(c, g.name)
			op.changed = db.engine.SweepGroup(c, g.name) || lost
		}}
	})
}

// sweepTopics removes the topics of a bucket that nobody polls any more.
func (db *DB) sweepTopics(ctx context.Context, bucket int, c *engine.Cluster) error {
	var names []string
	err := db.persist(ctx, func(ctx context.Context) error {
		names = nil
		newest := int64(0)
		err := db.eachBucket(ctx, func(bucket int) rueidis.Completed {
			return db.client.B().Zrange().Key(db.topicsKey(bucket, c.Name)).Min("0").Max("0").Rev().Withscores().Build()
		}, func(_ int, result rueidis.RedisResult) error {
			last, err := result.AsZScores()
			if err == nil && len(last) > 0 {
				newest = max(newest, int64(last[0].Score))
			}
			return err
		})
		if err != nil {
			return err
		}
		db.engine.NotePolled(c, newest)
		oldest := db.client.B().Zrangebyscore().Key(db.topicsKey(bucket, c.Name)).Min("-inf").Max("(" + score(db.engine.OldestTopic())).Build()
		names, err = db.do(ctx, oldest).AsStrSlice()
		if err != nil {
			return err
		}
		return db.sweepDeleted(ctx, bucket, c, "("+score(db.engine.OldestTopic()))
	})
	if err != nil {
		return err
	}
	return eachName(names, func(name string) error {
		return db.onTopic(ctx, db.topic(c, name), &topicOp{do: func(op *topicOp) {
			op.changed = db.engine.ExpireTopic(c, name)
		}})
	})
}

// sweepDeleted forgets the topics of a bucket that were deleted before a time, given as the end of a range of scores: so long ago
// that no group can still hold them.
func (db *DB) sweepDeleted(ctx context.Context, bucket int, c *engine.Cluster, before string) error {
	key := db.deletedKey(bucket, c.Name)
	names, err := db.do(ctx, db.client.B().Zrangebyscore().Key(key).Min("-inf").Max(before).Build()).AsStrSlice()
	if err != nil {
		return err
	}
	for _, name := range names {
		topic := db.topicKey(bucket, c.Name, name)
		version, err := textOf(db.do(ctx, db.client.B().Hget().Key(topic).Field(fieldVersion).Build()))
		if err != nil {
			return err
		}
		var x change
		x.expect(topic, fieldVersion, version)
		x.expect(topic, fieldMeta, "")
		x.run("DEL", topic)
		x.run("ZREM", key, name)
		if _, err := db.outcome(ctx, &x, db.do(ctx, db.evalsha(&x))); err != nil {
			return err
		}
	}
	return nil
}

// forgetUnknownTopics lets go of topics that callers have named and that there are not.
func (db *DB) forgetUnknownTopics() {
	db.topics.mu.Lock()
	defer db.topics.mu.Unlock()
	for id, t := range db.topics.topics {
		if !t.state.TryRLock() {
			continue // somebody uses it
		}
		if t.loaded && t.version == "" && !t.queue.busy() {
			delete(db.topics.topics, id)
		}
		t.state.RUnlock()
	}
}
