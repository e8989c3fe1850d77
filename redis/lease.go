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
)

// The fields of a lease. Its epoch is another with each holder and is checked by every change that a feed makes, so a holder
// that was paused and wakes changes nothing, whatever the clocks say.
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

// free reports whether nobody holds the lease at a time in Unix milliseconds.
func (l lease) free(now int64) bool {
	until, err := strconv.ParseInt(l.until, 10, 64)
	return l.holder == "" || err != nil || until <= now
}

func (db *DB) leaseKey(bucket int) string   { return db.groupTag(bucket) + "lease" }
func (db *DB) writersKey(bucket int) string { return db.groupTag(bucket) + "writers" }
func (db *DB) membersKey() string           { return db.options.KeyPrefix + "{m}:members" }

// TakeOver makes this process the one that feeds some buckets, which are partitions of the commit log: from now on nothing that
// another process feeds into them has an effect, until that takes over in turn. It is for feeds that share the log by other means,
// as by a consumer group of Kafka; Share is for those that have none. The feed has to ask for Positions afterwards. GiveUp is its
// opposite.
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

// take makes this process the holder of a lease that is as it was read; taken is false if it is not any more.
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
	// Nobody counts on what was counted before.
	x.run("DEL", db.writersKey(bucket))
	failed, err := db.outcome(ctx, &x, db.do(ctx, db.evalsha(&x)))
	if err != nil || failed > 0 {
		return false, err
	}
	b.setEpoch(epoch)
	return true, nil
}

func (db *DB) leaseEnd() string {
	return strconv.FormatInt(db.clock.Now()+db.options.Lease.Milliseconds(), 10)
}

// renew extends a lease. held is false if it is another's by now; turned is true if the bucket is in an earlier state, which is
// noticed so although nothing is fed.
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

// giveUp frees a lease, if it is this process's.
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

// Share makes this process one of those that share the buckets, and returns when the context is done. It calls changed with all
// buckets that are this process's, ascending, whenever they are others: the feed then reads these partitions of the commit log
// from their Positions and no others. A partition that is in two calls in a row goes on; one that was missing in between begins at its
// position again. The leases of a process that ends without a word are taken over when they have run out.
func (db *DB) Share(ctx context.Context, changed func(buckets []int32)) error {
	if err := db.begin(ctx); err != nil {
		return err
	}
	defer db.end()
	s := sharing{db: db, changed: changed}
	defer s.leave()
	ticker := time.NewTicker(db.options.Lease / 4)
	defer ticker.Stop()
	for {
		if err := s.look(ctx); err != nil && ctx.Err() == nil {
			db.log.Warn("share buckets", zap.Error(err))
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-db.quit:
			return storage.ErrStopped
		}
	}
}

// sharing is a call of Share.
type sharing struct {
	db      *DB
	changed func([]int32)
	held    []int32 // as changed was told
}

// look renews what is held, gives up what is too much, and takes what is free.
func (s *sharing) look(ctx context.Context) error {
	db := s.db
	members, err := s.register(ctx)
	if err != nil {
		return err
	}
	buckets := make([]int, db.options.Buckets)
	for i := range buckets {
		buckets[i] = i
	}
	all, err := db.leases(ctx, buckets...)
	if err != nil {
		return err
	}
	var faults []error
	var held, again []int32
	for _, bucket := range s.held {
		mine, turned, err := db.renew(ctx, int(bucket))
		faults = append(faults, err)
		switch {
		case turned:
			again = append(again, bucket)
		case mine:
			held = append(held, bucket)
		}
	}
	share := (db.options.Buckets + members - 1) / members
	surplus := held[min(len(held), max(0, share-len(again))):]
	held = held[:len(held)-len(surplus)]
	s.tell(held)
	for _, bucket := range surplus {
		faults = append(faults, db.giveUp(ctx, int(bucket)))
	}
	held = append(slices.Clone(held), again...)
	now := db.clock.Now()
	for bucket, lease := range all {
		if len(held) < share && lease.free(now) && !slices.Contains(s.held, int32(bucket)) {
			taken, err := db.take(ctx, bucket, lease)
			faults = append(faults, err)
			if taken {
				held = append(held, int32(bucket))
			}
		}
	}
	s.tell(held)
	return errors.Join(faults...)
}

// register says that this process is there, and returns how many are.
func (s *sharing) register(ctx context.Context) (members int, err error) {
	b, key := s.db.client.B(), s.db.membersKey()
	now := strconv.FormatInt(s.db.clock.Now(), 10)
	results := s.db.doMulti(ctx,
		b.Zremrangebyscore().Key(key).Min("-inf").Max(now).Build(),
		s.db.client.B().Arbitrary("ZADD").Keys(key).Args(s.db.leaseEnd(), s.db.holder).Build(),
		s.db.client.B().Zcard().Key(key).Build())
	for _, result := range results {
		if err := result.Error(); err != nil {
			return 0, err
		}
	}
	n, err := results[2].AsInt64()
	return max(1, int(n)), err
}

// tell calls changed if the buckets are others than those it was told last.
func (s *sharing) tell(held []int32) {
	slices.Sort(held)
	if !slices.Equal(held, s.held) {
		s.held = slices.Clone(held)
		s.changed(slices.Clone(held))
	}
}

// leave gives everything up, as far as that can be done.
func (s *sharing) leave() {
	held := s.held
	s.tell(nil)
	ctx, cancel := context.WithTimeout(context.Background(), s.db.options.Timeout)
	defer cancel()
	for _, bucket := range held {
		if err := s.db.giveUp(ctx, int(bucket)); err != nil {
			return // it runs out by itself
		}
	}
	_ = s.db.do(ctx, s.db.client.B().Zrem().Key(s.db.membersKey()).Member(s.db.holder).Build()).Error()
}
