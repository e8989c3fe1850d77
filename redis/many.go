package lagredis

import (
	"context"
	"sync"

	"github.com/redis/rueidis"

	"github.com/lagkeeper/storage/internal/engine"
)

// eachBucket sends one command per bucket, all at once, and passes the answers on. tag returns the hash tag of a bucket.
func (db *DB) eachBucket(
	ctx context.Context, tag func(bucket int) string, command func(bucket int) rueidis.Completed,
	take func(bucket int, result rueidis.RedisResult) error,
) error {
	commands, tags := make(rueidis.Commands, db.options.Buckets), make([]string, db.options.Buckets)
	for bucket := range commands {
		commands[bucket], tags[bucket] = command(bucket), tag(bucket)
	}
	results, _, err := db.look(ctx, tags, commands)
	if err != nil {
		return err
	}
	for bucket, result := range results {
		if err := take(bucket, result); err != nil {
			return err
		}
	}
	return nil
}

// names collects lists of names, one per bucket.
func (db *DB) names(
	ctx context.Context, tag func(bucket int) string, command func(bucket int) rueidis.Completed,
) ([]string, error) {
	all := []string{}
	err := db.persist(ctx, func(ctx context.Context) error {
		all = all[:0]
		return db.eachBucket(ctx, tag, command, func(_ int, result rueidis.RedisResult) error {
			names, err := result.AsStrSlice()
			all = append(all, names...)
			return err
		})
	})
	return all, err
}

// atOnce is how many groups or topics a call that concerns many changes at once.
const atOnce = 64

// eachName calls do with each name, several at once, and returns the first error; after an error it begins no more.
func eachName(names []string, do func(name string) error) error {
	var workers sync.WaitGroup
	var mu sync.Mutex
	var first error
	next := 0
	take := func() (string, bool) {
		mu.Lock()
		defer mu.Unlock()
		if first != nil || next == len(names) {
			return "", false
		}
		next++
		return names[next-1], true
	}
	for range min(atOnce, len(names)) {
		workers.Go(func() {
			for name, ok := take(); ok; name, ok = take() {
				if err := do(name); err != nil {
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
				}
			}
		})
	}
	workers.Wait()
	return first
}

// eachGroup applies an op to each of some groups.
func (db *DB) eachGroup(ctx context.Context, c *engine.Cluster, names []string, op func(g *group) *groupOp) error {
	return eachName(names, func(name string) error {
		g := db.acquire(c, name)
		defer db.release(g)
		return db.onGroup(ctx, g, op(g))
	})
}
