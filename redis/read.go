package lagredis

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/redis/rueidis"

	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/protocol"
)

func (db *DB) Clusters(ctx context.Context) (names []string, err error) {
	defer db.tallyRead(ctx, protocol.StorageFetchClusters, &err)
	if err := db.begin(ctx); err != nil {
		return nil, err
	}
	defer db.end()
	return append([]string{}, db.engine.Clusters()...), nil
}

// listGroups returns the groups that have not expired.
func (db *DB) listGroups(ctx context.Context, c *engine.Cluster) ([]string, error) {
	oldest := score(db.engine.OldestGroup())
	return db.names(ctx, db.groupTag, func(bucket int) rueidis.Completed {
		return db.client.B().Zrangebyscore().Key(db.liveKey(bucket, c.Name)).Min(oldest).Max("+inf").Build()
	})
}

func (db *DB) listTopics(ctx context.Context, c *engine.Cluster) ([]string, error) {
	return db.names(ctx, db.topicTag, func(bucket int) rueidis.Completed {
		return db.client.B().Zrange().Key(db.topicsKey(bucket, c.Name)).Min("0").Max("-1").Build()
	})
}

// listHolders returns the groups that hold a topic and have not expired.
func (db *DB) listHolders(ctx context.Context, c *engine.Cluster, topic string) ([]string, error) {
	oldest := float64(db.engine.OldestGroup())
	all := []string{}
	err := db.persist(ctx, func(ctx context.Context) error {
		all = all[:0]
		return db.eachBucket(ctx, db.groupTag, func(bucket int) rueidis.Completed {
			// Only the scores of the groups count.
			return db.client.B().Zinter().Numkeys(2).Key(db.liveKey(bucket, c.Name), db.holdersKey(bucket, c.Name, topic)).
				Weights(1, 0).Withscores().Build()
		}, func(_ int, result rueidis.RedisResult) error {
			groups, err := result.AsZScores()
			for _, g := range groups {
				if g.Score >= oldest {
					all = append(all, g.Member)
				}
			}
			return err
		})
	})
	return all, err
}

// list carries out a call that lists names. first is the first of the buckets that it reads, numbered as in fromReplicas.
func (db *DB) list(
	ctx context.Context, cluster string, first int, list func(*DB, context.Context, *engine.Cluster) ([]string, error),
) (names []string, err error) {
	c, err := db.enter(ctx, cluster)
	if err != nil {
		return nil, err
	}
	defer db.leave(c)
	done, err := db.fromReplicas(ctx, first, db.options.Buckets, func(r *DB) (err error) {
		names, err = list(r, ctx, r.engine.Cluster(c.Name))
		return err
	})
	if done {
		return names, err
	}
	return list(db, ctx, c)
}

func (db *DB) Groups(ctx context.Context, cluster string) (iter.Seq[string], error) {
	names, err := db.groupNames(ctx, cluster)
	return slices.Values(names), err
}

func (db *DB) groupNames(ctx context.Context, cluster string) (names []string, err error) {
	defer db.tallyRead(ctx, protocol.StorageFetchConsumers, &err)
	return db.list(ctx, cluster, 0, (*DB).listGroups)
}

func (db *DB) Topics(ctx context.Context, cluster string) (iter.Seq[string], error) {
	names, err := db.topicNames(ctx, cluster)
	return slices.Values(names), err
}

func (db *DB) topicNames(ctx context.Context, cluster string) (names []string, err error) {
	defer db.tallyRead(ctx, protocol.StorageFetchTopics, &err)
	return db.list(ctx, cluster, db.options.Buckets, (*DB).listTopics)
}

func (db *DB) GroupsOfTopic(ctx context.Context, cluster, topic string) (iter.Seq[string], error) {
	names, err := db.holders(ctx, cluster, topic)
	return slices.Values(names), err
}

func (db *DB) holders(ctx context.Context, cluster, topic string) (names []string, err error) {
	defer db.tallyRead(ctx, protocol.StorageFetchConsumersForTopic, &err)
	return db.list(ctx, cluster, 0, func(db *DB, ctx context.Context, c *engine.Cluster) ([]string, error) {
		return db.listHolders(ctx, c, topic)
	})
}

func (db *DB) EndOffsets(ctx context.Context, cluster, topic string, dst []int64) (_ []int64, err error) {
	defer db.tallyRead(ctx, protocol.StorageFetchTopic, &err)
	c, err := db.enter(ctx, cluster)
	if err != nil {
		return dst, err
	}
	defer db.leave(c)
	if len(topic) > engine.MaxName {
		return dst, errorsOf[engine.UnknownTopic]
	}
	var offsets []int64
	var why engine.Reason
	done, err := db.fromReplicas(ctx, db.options.Buckets+db.topicBucket(topic), 1, func(r *DB) (err error) {
		offsets, why, err = r.endOffsetsOf(ctx, r.engine.Cluster(c.Name), topic)
		return err
	})
	if !done {
		offsets, why, err = db.endOffsetsOf(ctx, c, topic)
	}
	if err != nil {
		return dst, err
	}
	return append(dst, offsets...), errorsOf[why]
}

func (db *DB) endOffsetsOf(ctx context.Context, c *engine.Cluster, topic string) (offsets []int64, why engine.Reason, err error) {
	op := &topicOp{do: func(*topicOp) {
		offsets, why = db.engine.EndOffsets(c, topic, nil)
		if why == 0 && len(offsets) == 0 {
			why = engine.UnknownTopic // all that is known of it is that groups hold it
		}
	}}
	if err := db.onTopic(ctx, db.topic(c, topic), op); err != nil {
		return nil, 0, err
	}
	return offsets, why, nil
}

// taking is the way in which a group is read from an engine.
type taking = func(*engine.Engine, *engine.Cluster, string) (*engine.Capture, engine.Reason)

// capture captures a group as it is now. The capture must be released.
func (db *DB) capture(ctx context.Context, cluster, name string, take taking) (taken *engine.Capture, err error) {
	defer db.tallyRead(ctx, protocol.StorageFetchConsumer, &err)
	c, err := db.enter(ctx, cluster)
	if err != nil {
		return nil, err
	}
	defer db.leave(c)
	if len(name) > engine.MaxName {
		return nil, errorsOf[engine.UnknownGroup]
	}
	var why engine.Reason
	done, err := db.fromReplicas(ctx, db.groupBucket(name), 1, func(r *DB) (err error) {
		taken, why, err = r.captureOf(ctx, r.engine.Cluster(c.Name), name, take)
		return err
	})
	if !done {
		taken, why, err = db.captureOf(ctx, c, name, take)
	}
	if err != nil {
		return nil, err
	}
	return taken, errorsOf[why]
}

func (db *DB) captureOf(
	ctx context.Context, c *engine.Cluster, name string, take taking,
) (*engine.Capture, engine.Reason, error) {
	// If the context is done earlier, the garbage collector frees the capture.
	var taken *engine.Capture
	var why engine.Reason
	g := db.acquire(c, name)
	defer db.release(g)
	op := &groupOp{all: true, do: func(*groupOp) {
		if taken != nil {
			taken.Release()
		}
		taken, why = take(db.engine, c, name)
	}}
	if err := db.onGroup(ctx, g, op); err != nil {
		return nil, 0, err
	}
	if taken != nil && op.asOf > 0 {
		taken.AsOf(op.asOf)
	}
	return taken, why, nil
}

func (db *DB) Group(ctx context.Context, cluster, group string, into *protocol.Group) error {
	into.Topics = into.Topics[:0]
	taken, err := db.capture(ctx, cluster, group, (*engine.Engine).CaptureTimed)
	if err != nil {
		return err
	}
	defer taken.Release()
	taken.Group(into)
	return nil
}

// Fetch implements storage.Backend.
func (db *DB) Fetch(ctx context.Context, request *protocol.StorageRequest) (func() any, error) {
	var names []string
	var err error
	switch request.RequestType {
	case protocol.StorageFetchClusters:
		names, err = db.Clusters(ctx)
	case protocol.StorageFetchConsumers:
		names, err = db.groupNames(ctx, request.Cluster)
	case protocol.StorageFetchTopics:
		names, err = db.topicNames(ctx, request.Cluster)
	case protocol.StorageFetchConsumersForTopic:
		names, err = db.holders(ctx, request.Cluster, request.Topic)
	case protocol.StorageFetchTopic:
		offsets, err := db.EndOffsets(ctx, request.Cluster, request.Topic, []int64{})
		return func() any { return offsets }, err
	case protocol.StorageFetchConsumer:
		taken, err := db.capture(ctx, request.Cluster, request.Group, (*engine.Engine).Capture)
		if err != nil {
			return nil, err
		}
		return func() any {
			defer taken.Release()
			return taken.ConsumerTopics()
		}, nil
	default:
		return nil, fmt.Errorf("fetch %s: %w", request.RequestType, errors.ErrUnsupported)
	}
	return func() any { return names }, err
}
