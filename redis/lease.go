package lagredis

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/lagkeeper/storage"
)

// The fields of a lease. Each holder has its own epoch, and every change by a feed checks it. So a holder that was paused and resumes
// changes nothing, whatever the clocks say.
const (
	fieldHolder = "h"
	fieldUntil  = "u" // Unix milliseconds
)

// DefaultLease is the default of Options.Lease.
const DefaultLease = 10 * time.Second

// lease is a lease as it is in Redis.
type lease struct {
	holder, epoch, until string
}

// free reports whether the lease has no holder at a time in Unix milliseconds.
func (l lease) free(now int64) bool {
	until, err := strconv.ParseInt(l.until, 10, 64)
	return l.holder == "" || err != nil || until <= now
}

func (db *DB) leaseKey(bucket int) string   { return db.groupTag(bucket) + "lease" }
func (db *DB) writersKey(bucket int) string { return db.groupTag(bucket) + "writers" }
func (db *DB) membersKey() string           { return db.options.KeyPrefix + "{m}:members" }

// TakeOver makes this process the one that feeds some buckets, which are partitions of the commit log: from now on nothing that
// another process feeds into them has an effect, until that process takes over in turn. It is for feeds that divide the log by other
// means, such as a consumer group of Kafka; Share is for feeds without such means. Afterwards the feed must ask for Positions. GiveUp
// is the opposite of TakeOver.
func (db *DB) TakeOver(ctx context.Context, buckets ...int32) error {
	if err := db.begin(ctx); err != nil {
		return err
	}
	defer db.end()
	return db.eachOf(buckets, func(bucket int) error {
		return db.persist(ctx, func(ctx context.Context) error {
			old, err := db.leases(ctx, bucket)
			if err != nil {
				return err
			}
			taken, err := db.take(ctx, bucket, old[0])
			if err == nil && !taken {
				return errConflict
			}
			return err
		})
	})
}

// GiveUp ends what TakeOver began. From now on nothing that this process feeds into the buckets has an effect.
func (db *DB) GiveUp(ctx context.Context, buckets ...int32) error {
	if err := db.begin(ctx); err != nil {
		return err
	}
	defer db.end()
	return db.eachOf(buckets, func(bucket int) error { return db.giveUp(ctx, bucket) })
}

func (db *DB) eachOf(buckets []int32, do func(bucket int) error) error {
	var faults []error
	for _, bucket := range buckets {
		if bucket < 0 || int(bucket) >= db.options.Buckets {
			faults = append(faults, storage.ErrInvalid)
			continue
		}
		faults = append(faults, do(int(bucket)))
	}
	return errors.Join(faults...)
}

// leases reads the leases of buckets.
func (db *DB) leases(ctx context.Context, buckets ...int) ([]lease, error) {
	commands := make(rueidis.Commands, len(buckets))
	for i, bucket := range buckets {
		commands[i] = db.client.B().Hmget().Key(db.leaseKey(bucket)).Field(fieldHolder, fieldEpoch, fieldUntil).Build()
	}
	all := make([]lease, len(buckets))
	for i, result := range db.doMulti(ctx, commands...) {
		fields, err := result.ToArray()
		if err != nil {
			return nil, err
		}
		for j, to := range []*string{&all[i].holder, &all[i].epoch, &all[i].until} {
			*to, _ = fields[j].ToString() // nil is ""
		}
	}
	return all, nil
}

// take makes this process the holder of a lease that is as it was read; taken is false if the lease has changed since.
func (db *DB) take(ctx context.Context, bucket int, old lease) (taken bool, err error) {
	b := &db.buckets[bucket]
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fenced = true
	b.setEpoch("")
	b.turn()
	var x change
	epoch := newVersion()
	x.expect(db.leaseKey(bucket), fieldEpoch, old.epoch)
	x.run("HSET", db.leaseKey(bucket), fieldHolder, db.holder, fieldEpoch, epoch, fieldUntil, db.leaseEnd())
	// No feed relies on the earlier count.
	x.run("DEL", db.writersKey(bucket))
	failed, err := db.outcome(ctx, &x, db.do(ctx, db.evalsha(&x)))
	if err != nil || failed > 0 {
		return false, err
	}
	b.setEpoch(epoch)
	b.notedLocked()
	return true, nil
}

// notedLocked records that the feeds know that they must ask for the positions of the bucket before they feed it.
func (b *bucketState) notedLocked() {
	for _, feed := range b.feeds {
		feed.told = feed.astray
	}
}

func (db *DB) leaseEnd() string {
	return strconv.FormatInt(db.clock.Now()+db.options.Lease.Milliseconds(), 10)
}

// renew extends a lease. held is false if another process holds it now; turned is true if the bucket is in an earlier state, which
// renew notices even while nothing is fed.
func (db *DB) renew(ctx context.Context, bucket int) (held, turned bool, err error) {
	b := &db.buckets[bucket]
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.epoch == "" {
		return false, false, nil
	}
	var x change
	x.expect(db.leaseKey(bucket), fieldEpoch, b.epoch)
	x.run("HSET", db.leaseKey(bucket), fieldUntil, db.leaseEnd())
	db.count(bucket, b, &x)
	failed, err := db.outcome(ctx, &x, db.do(ctx, db.evalsha(&x)))
	switch {
	case err != nil:
		turned = mayHaveHappened(err)
		if turned {
			b.turn()
		}
		return true, turned, err
	case failed == 1:
		b.setEpoch("")
		return false, false, nil
	case failed == 2:
		db.counts.turns.Add(1)
		b.turn()
		return true, true, nil
	}
	b.applied++
	return true, false, nil
}

// giveUp frees a lease if this process holds it.
func (db *DB) giveUp(ctx context.Context, bucket int) error {
	b := &db.buckets[bucket]
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.epoch == "" {
		return nil
	}
	var x change
	x.expect(db.leaseKey(bucket), fieldEpoch, b.epoch)
	x.run("HSET", db.leaseKey(bucket), fieldHolder, "", fieldUntil, "")
	b.setEpoch("")
	_, err := db.outcome(ctx, &x, db.do(ctx, db.evalsha(&x)))
	return err
}
