package lagredis

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/redis/rueidis"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/protocol"
)

// positionBucket returns the bucket whose groups have their commits in a partition of the log, provided that the log has as many
// partitions as there are buckets.
func (db *DB) positionBucket(partition int32) int { return int(partition) % db.options.Buckets }

func (db *DB) SetPosition(ctx context.Context, cluster string, log protocol.Position) error {
	c, err := db.enter(ctx, cluster)
	if err != nil {
		return err
	}
	defer db.leave(c)
	if log.Partition < 0 || log.Offset < 0 {
		return fmt.Errorf("%w: position %d of partition %d", storage.ErrInvalid, log.Offset, log.Partition)
	}
	bucket := db.positionBucket(log.Partition)
	from := db.buckets[bucket].fedBy(c.Name)
	key := db.positionsKey(bucket, c.Name)
	partition := strconv.Itoa(int(log.Partition))
	if int(log.Partition) >= engine.MaxPositions {
		// Partitions below this number can never exceed the bound.
		if err := db.roomForPosition(ctx, c, partition, bucket); err != nil {
			return err
		}
	}
	return db.persist(ctx, func(ctx context.Context) error {
		var x change
		x.run("HSET", key, partition, strconv.FormatInt(log.Offset, 10))
		_, err := db.guarded(bucket, from, &x, func() (int, error) {
			return db.outcome(ctx, &x, db.do(ctx, db.evalsha(&x)))
		})
		return err
	})
}

// roomForPosition returns an error if a partition has no position and the cluster has the maximum number of them.
func (db *DB) roomForPosition(ctx context.Context, c *engine.Cluster, partition string, bucket int) error {
	all, known := int64(0), false
	err := db.persist(ctx, func(ctx context.Context) error {
		all = 0
		err := db.eachBucket(ctx, db.groupTag, func(bucket int) rueidis.Completed {
			return db.client.B().Hlen().Key(db.positionsKey(bucket, c.Name)).Build()
		}, func(_ int, result rueidis.RedisResult) error {
			n, err := result.AsInt64()
			all += n
			return err
		})
		if err == nil {
			known, err = db.do(ctx, db.client.B().Hexists().Key(db.positionsKey(bucket, c.Name)).Field(partition).Build()).AsBool()
		}
		return err
	})
	if err == nil && !known && all >= engine.MaxPositions {
		return fmt.Errorf("%w: %d positions: must be at most %d", storage.ErrInvalid, all+1, engine.MaxPositions)
	}
	return err
}

func (db *DB) Positions(ctx context.Context, cluster string) ([]protocol.Position, error) {
	c, err := db.enter(ctx, cluster)
	if err != nil {
		return nil, err
	}
	defer db.leave(c)
	positions := []protocol.Position{}
	for bucket := range db.buckets {
		db.buckets[bucket].asks(c.Name)
	}
	err = db.persist(ctx, func(ctx context.Context) error {
		positions = positions[:0]
		return db.eachBucket(ctx, db.groupTag, func(bucket int) rueidis.Completed {
			return db.client.B().Hgetall().Key(db.positionsKey(bucket, c.Name)).Build()
		}, func(_ int, result rueidis.RedisResult) error {
			fields, err := result.AsStrMap()
			for field, value := range fields {
				partition, fault := strconv.ParseInt(field, 10, 32)
				offset, other := strconv.ParseInt(value, 10, 64)
				if err = cmp.Or(err, fault, other); err != nil {
					return malformed("position", field, err)
				}
				positions = append(positions, protocol.Position{Partition: int32(partition), Offset: offset})
			}
			return err
		})
	})
	slices.SortFunc(positions, func(a, b protocol.Position) int { return cmp.Compare(a.Partition, b.Partition) })
	return positions, err
}

// forgetPositions deletes the positions of some partitions of the log, of all partitions if none are given.
func (db *DB) forgetPositions(ctx context.Context, c *engine.Cluster, of []protocol.LogPartition) error {
	return db.persist(ctx, func(ctx context.Context) error {
		for bucket := range db.options.Buckets {
			key := db.positionsKey(bucket, c.Name)
			var gone []string
			for _, log := range of {
				if db.positionBucket(log.Partition) == bucket {
					gone = append(gone, strconv.Itoa(int(log.Partition)))
				}
			}
			var x change
			switch {
			case len(of) == 0:
				x.run("DEL", key)
			case len(gone) > 0:
				x.run("HDEL", key, gone...)
			default:
				continue
			}
			if _, err := db.outcome(ctx, &x, db.do(ctx, db.evalsha(&x))); err != nil {
				return err
			}
		}
		return nil
	})
}
