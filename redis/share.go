package lagredis

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
)

// LogPartitions returns the number of partitions that the log must have for Share: Options.Buckets. It is 0 while the store does not
// run.
func (db *DB) LogPartitions() int {
	db.life.RLock()
	defer db.life.RUnlock()
	if db.closed {
		return 0
	}
	return db.options.Buckets
}

// Share makes this process one of those that share the buckets, and returns when the context is done. Whenever the buckets of this
// process change, Share calls changed with all of them, ascending. The feed then reads exactly these partitions of the commit log,
// from their Positions. A partition that is in two calls in a row continues; one that was missing in between starts at its position
// again. When a process has crashed, others take over its leases after they have expired.
//
// Each of the feeds of several clusters calls Share once, and all get the same buckets.
func (db *DB) Share(ctx context.Context, changed func(buckets []int32)) error {
	if err := db.begin(ctx); err != nil {
		return err
	}
	defer db.end()
	s, f := &db.sharing, &follower{changed: changed}
	s.join(f)
	defer s.leave(db, f)
	ticker := time.NewTicker(db.options.Lease / 4)
	defer ticker.Stop()
	for {
		if err := s.lead(ctx, db, f); err != nil && ctx.Err() == nil {
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

// sharing is the state common to all calls of Share.
type sharing struct {
	busy      chan struct{} // has room for the one call that uses the fields below
	held      []int32       // the buckets that the followers have been given
	followers []*follower   // the first renews the leases
}

// follower is a call of Share.
type follower struct {
	changed func([]int32)
	held    []int32 // the buckets last passed to changed
}

// tell calls changed if the buckets differ from those of the last call.
func (f *follower) tell(held []int32) {
	if !slices.Equal(held, f.held) {
		f.held = slices.Clone(held)
		f.changed(slices.Clone(held))
	}
}

func (s *sharing) tell(held []int32) {
	slices.Sort(held)
	s.held = slices.Clone(held)
	for _, f := range s.followers {
		f.tell(held)
	}
}

func (s *sharing) join(f *follower) {
	s.busy <- struct{}{}
	defer func() { <-s.busy }()
	s.followers = append(s.followers, f)
	f.tell(s.held)
}

// leaveTime bounds how long the last call of Share waits, once its context is done, for the server to confirm that its leases are free.
const leaveTime = 500 * time.Millisecond

// leave removes a follower. When the last one leaves it gives up all leases, if the server can be reached.
func (s *sharing) leave(db *DB, f *follower) {
	s.busy <- struct{}{}
	f.tell(nil)
	s.followers = slices.DeleteFunc(s.followers, func(other *follower) bool { return other == f })
	if len(s.followers) > 0 {
		<-s.busy
		return
	}
	held := s.held
	s.held = nil
	given := make(chan struct{}) // closed when the leases are free, or left to expire
	// Later calls of Share wait until then, because the leases that they get must not be given up.
	db.leaders.Go(func() {
		defer func() { <-s.busy }()
		defer close(given)
		s.giveUp(db, held)
	})
	timer := time.NewTimer(leaveTime)
	defer timer.Stop()
	select {
	case <-given:
	case <-timer.C: // the server hangs
	}
}

// giveUp frees leases, and withdraws this process from the members.
func (s *sharing) giveUp(db *DB, held []int32) {
	ctx, cancel := context.WithTimeout(context.Background(), db.options.Timeout)
	defer cancel()
	for _, bucket := range held {
		if err := db.giveUp(ctx, int(bucket)); err != nil {
			return // it expires
		}
	}
	_ = db.do(ctx, db.client.B().Zrem().Key(db.membersKey()).Member(db.holder).Build()).Error()
}

// lead takes care of the leases if it is the follower's turn.
func (s *sharing) lead(ctx context.Context, db *DB, f *follower) error {
	s.busy <- struct{}{}
	defer func() { <-s.busy }()
	if s.followers[0] != f {
		return nil
	}
	return s.look(ctx, db)
}

// look renews the leases that are held, gives up those above the share, and takes free ones.
func (s *sharing) look(ctx context.Context, db *DB) error {
	members, err := db.register(ctx)
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
	before := s.held
	var faults []error
	var held, again []int32
	for _, bucket := range before {
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
	for _, bucket := range again {
		db.noted(int(bucket))
	}
	for _, bucket := range surplus {
		faults = append(faults, db.giveUp(ctx, int(bucket)))
	}
	held = append(slices.Clone(held), again...)
	now := db.clock.Now()
	for bucket, lease := range all {
		if len(held) < share && lease.free(now) && !slices.Contains(before, int32(bucket)) {
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

// register records this process as a member, and returns the number of members.
func (db *DB) register(ctx context.Context) (members int, err error) {
	b, key := db.client.B(), db.membersKey()
	now := strconv.FormatInt(db.clock.Now(), 10)
	results := db.doMulti(ctx,
		b.Zremrangebyscore().Key(key).Min("-inf").Max(now).Build(),
		db.client.B().Arbitrary("ZADD").Keys(key).Args(db.leaseEnd(), db.holder).Build(),
		db.client.B().Zcard().Key(key).Build())
	for _, result := range results {
		if err := result.Error(); err != nil {
			return 0, err
		}
	}
	n, err := results[2].AsInt64()
	return max(1, int(n)), err
}

// noted records that no feed continues with a bucket without asking for its positions.
func (db *DB) noted(bucket int) {
	b := &db.buckets[bucket]
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notedLocked()
}
