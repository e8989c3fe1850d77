package lagredis

import (
	"context"
	"fmt"
	"slices"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/protocol"
)

var (
	_ storage.Backend     = (*DB)(nil)
	_ storage.Watcher     = (*DB)(nil)
	_ storage.StatsSource = (*DB)(nil)
	_ storage.StatsSource = (*Module)(nil)
	_ storage.ClusterSet  = (*DB)(nil)
	_ storage.LogSharer   = (*DB)(nil)
)

// enter begins a call that concerns a cluster. If it returns no error, leave must be called.
func (db *DB) enter(ctx context.Context, cluster string) (*engine.Cluster, error) {
	if err := db.begin(ctx); err != nil {
		return nil, err
	}
	c := db.engine.Cluster(cluster)
	if c == nil || !db.clusters.enter(c) {
		db.end()
		return nil, storage.ErrUnknownCluster
	}
	if db.engine.Cluster(cluster) != c { // it was removed meanwhile
		db.leave(c)
		return nil, storage.ErrUnknownCluster
	}
	return c, nil
}

func (db *DB) leave(c *engine.Cluster) {
	db.clusters.leave(c)
	db.end()
}

// changeTopic changes the end offsets of a topic.
func (db *DB) changeTopic(ctx context.Context, cluster, name string, do func(*engine.Cluster, *topicOp)) error {
	c, err := db.enter(ctx, cluster)
	if err != nil {
		return err
	}
	defer db.leave(c)
	if len(name) > engine.MaxName {
		do(c, new(topicOp)) // the engine refuses it
		return nil
	}
	return db.onTopic(ctx, db.topic(c, name), &topicOp{do: func(op *topicOp) { do(c, op) }})
}

// changeGroup changes a group. prepare names what the op reads, do applies the op.
func (db *DB) changeGroup(
	ctx context.Context, cluster, name string, prepare func(*groupOp), do func(*engine.Cluster, *groupOp) engine.Reason,
) error {
	c, err := db.enter(ctx, cluster)
	if err != nil {
		return err
	}
	defer db.leave(c)
	return db.changeGroupOf(ctx, c, name, prepare, do)
}

func (db *DB) changeGroupOf(
	ctx context.Context, c *engine.Cluster, name string, prepare func(*groupOp), do func(*engine.Cluster, *groupOp) engine.Reason,
) error {
	var why engine.Reason
	op := &groupOp{do: func(op *groupOp) {
		op.changed = true
		why = do(c, op)
		op.changed = op.changed && why == 0
	}}
	prepare(op)
	if len(name) > engine.MaxName {
		op.do(op) // the engine refuses it
		return errorsOf[why]
	}
	g := db.acquire(c, name)
	defer db.release(g)
	if err := db.onGroup(ctx, g, op); err != nil {
		return err
	}
	return errorsOf[why]
}

// SetEndOffset is SetEndOffset of storage.Store. Like all methods of that interface, it may also return storage.ErrUnavailable.
func (db *DB) SetEndOffset(ctx context.Context, cluster, topic string, end protocol.EndOffset) (err error) {
	defer db.tally(protocol.StorageSetBrokerOffset, 1, &err)
	var why engine.Reason
	err = db.changeTopic(ctx, cluster, topic, func(c *engine.Cluster, op *topicOp) {
		why = db.engine.SetEndOffset(c, topic, &end)
		op.changed, op.parts = why == 0 || why == engine.Stale, []int32{end.Partition}
	})
	if err != nil {
		return err
	}
	return errorsOf[why]
}

func (db *DB) SetEndOffsetBatch(ctx context.Context, cluster, topic string, ends []protocol.EndOffset) (err error) {
	defer db.tally(protocol.StorageSetBrokerOffset, len(ends), &err)
	var refused refusals
	err = db.changeTopic(ctx, cluster, topic, func(c *engine.Cluster, op *topicOp) {
		refused = nil
		db.engine.SetEndOffsets(c, topic, ends, refused.add)
		op.changed = len(ends) > 0
		for i := range ends {
			op.parts = append(op.parts, ends[i].Partition)
		}
	})
	if err != nil {
		return err
	}
	return refused.err()
}

func (db *DB) SeedEndOffsets(ctx context.Context, cluster, topic string, partition int32, points []protocol.EndOffsetAt) error {
	var fault error
	err := db.changeTopic(ctx, cluster, topic, func(c *engine.Cluster, op *topicOp) {
		fault = db.engine.SeedEndOffsets(c, topic, partition, points)
		op.changed, op.parts = fault == nil, []int32{partition}
	})
	if err != nil {
		return err
	}
	return fromEngine(fault)
}

func (db *DB) Commit(ctx context.Context, cluster, group string, commit protocol.Commit) (err error) {
	defer db.tally(protocol.StorageSetConsumerOffset, 1, &err)
	return db.changeGroup(ctx, cluster, group, func(op *groupOp) {
		op.fed, op.topics = true, []string{commit.Topic}
	}, func(c *engine.Cluster, op *groupOp) engine.Reason {
		why := db.engine.Commit(c, group, &commit)
		if why == 0 {
			op.parts, op.stored = append(op.parts, part{commit.Topic, commit.Partition}), append(op.stored, commit)
		}
		return why
	})
}

func (db *DB) CommitBatch(ctx context.Context, cluster, group string, commits []protocol.Commit) (err error) {
	defer db.tally(protocol.StorageSetConsumerOffset, len(commits), &err)
	return db.commits(ctx, cluster, group, commits, func(c *engine.Cluster, op *groupOp, refuse func(int, engine.Reason)) {
		taken := len(commits)
		db.engine.Commits(c, group, commits, func(i int, why engine.Reason) {
			taken--
			refuse(i, why)
		})
		op.changed = taken > 0
	})
}

func (db *DB) ReplaceCommits(ctx context.Context, cluster, group string, commits []protocol.Commit) (err error) {
	defer db.tally(protocol.StorageSetConsumerOffset, len(commits), &err)
	return db.commits(ctx, cluster, group, commits, func(c *engine.Cluster, op *groupOp, refuse func(int, engine.Reason)) {
		db.engine.ReplaceCommits(c, group, commits, refuse)
		// What the group had is gone, even if no commit was accepted.
		op.owners = true
		for i := range commits {
			op.parts = append(op.parts, part{commits[i].Topic, commits[i].Partition})
		}
	})
}

// commits stores many commits of a group, and collects the refused ones.
func (db *DB) commits(
	ctx context.Context, cluster, group string, commits []protocol.Commit,
	store func(c *engine.Cluster, op *groupOp, refuse func(int, engine.Reason)),
) error {
	if len(commits) == 0 {
		c, err := db.enter(ctx, cluster)
		if err == nil {
			db.leave(c)
		}
		return err
	}
	var refused refusals
	err := db.changeGroup(ctx, cluster, group, func(op *groupOp) {
		op.fed = true
		for i := range commits {
			if i == 0 || commits[i].Topic != commits[i-1].Topic {
				op.topics = append(op.topics, commits[i].Topic)
			}
		}
	}, func(c *engine.Cluster, op *groupOp) engine.Reason {
		refused = nil
		store(c, op, refused.add)
		next := 0
		op.parts, op.stored = slices.Grow(op.parts, len(commits)), slices.Grow(op.stored, len(commits))
		for i := range commits {
			if next < len(refused) && refused[next].Index == i {
				next++
				continue
			}
			op.parts, op.stored = append(op.parts, part{commits[i].Topic, commits[i].Partition}), append(op.stored, commits[i])
		}
		return 0
	})
	if err != nil {
		return err
	}
	return refused.err()
}

func (db *DB) SetOwner(ctx context.Context, cluster, group string, owner protocol.PartitionOwner) (err error) {
	defer db.tally(protocol.StorageSetConsumerOwner, 1, &err)
	return db.changeGroup(ctx, cluster, group, func(op *groupOp) {
		op.topics, op.owners = []string{owner.Topic}, true
	}, func(c *engine.Cluster, op *groupOp) engine.Reason {
		op.parts = append(op.parts, part{owner.Topic, owner.Partition})
		return db.engine.SetOwner(c, group, &owner)
	})
}

func (db *DB) SetOwners(ctx context.Context, cluster, group string, owners []protocol.PartitionOwner) (err error) {
	defer db.tally(protocol.StorageSetConsumerOwner, len(owners), &err)
	var refused refusals
	err = db.changeGroup(ctx, cluster, group, func(op *groupOp) {
		op.owners = true
		for i := range owners {
			op.topics = append(op.topics, owners[i].Topic)
		}
	}, func(c *engine.Cluster, op *groupOp) engine.Reason {
		refused = nil
		for i := range owners {
			op.parts = append(op.parts, part{owners[i].Topic, owners[i].Partition})
		}
		return db.engine.SetOwners(c, group, owners, refused.add)
	})
	if err != nil {
		return err
	}
	return refused.err()
}

func (db *DB) ClearOwners(ctx context.Context, cluster, group string) (err error) {
	defer db.tally(protocol.StorageClearConsumerOwners, 1, &err)
	return db.changeGroup(ctx, cluster, group, func(op *groupOp) {
		op.owners = true
	}, func(c *engine.Cluster, _ *groupOp) engine.Reason {
		return db.engine.ClearOwners(c, group)
	})
}

func (db *DB) DeleteTopic(ctx context.Context, cluster, topic string) (err error) {
	defer db.tally(protocol.StorageSetDeleteTopic, 1, &err)
	c, err := db.enter(ctx, cluster)
	if err != nil {
		return err
	}
	defer db.leave(c)
	return db.deleteTopic(ctx, c, topic)
}

func (db *DB) deleteTopic(ctx context.Context, c *engine.Cluster, name string) error {
	if len(name) > engine.MaxName {
		return storage.ErrUnknownTopic
	}
	var why engine.Reason
	err := db.onTopic(ctx, db.topic(c, name), &topicOp{do: func(*topicOp) { why = db.engine.DeleteTopic(c, name) }})
	if err != nil {
		return err
	}
	return errorsOf[why]
}

func (db *DB) DeleteGroup(ctx context.Context, cluster, group string) (err error) {
	defer db.tally(protocol.StorageSetDeleteGroup, 1, &err)
	c, err := db.enter(ctx, cluster)
	if err != nil {
		return err
	}
	defer db.leave(c)
	return db.deleteGroup(ctx, c, group)
}

func (db *DB) deleteGroup(ctx context.Context, c *engine.Cluster, name string) error {
	return db.changeGroupOf(ctx, c, name, nothing, func(c *engine.Cluster, _ *groupOp) engine.Reason {
		return db.engine.DeleteGroup(c, name)
	})
}

func nothing(*groupOp) {}

func (db *DB) DeleteGroupTopic(ctx context.Context, cluster, group, topic string) (err error) {
	defer db.tally(protocol.StorageSetDeleteGroup, 1, &err)
	return db.changeGroup(ctx, cluster, group, nothing, func(c *engine.Cluster, _ *groupOp) engine.Reason {
		return db.engine.DeleteGroupTopic(c, group, topic)
	})
}

func (db *DB) DeletePartition(ctx context.Context, cluster, group, topic string, partition int32, order int64) error {
	return db.changeGroup(ctx, cluster, group, func(op *groupOp) {
		op.fed, op.owners = true, true
	}, func(c *engine.Cluster, op *groupOp) engine.Reason {
		op.parts = append(op.parts, part{topic, partition})
		return db.engine.DeletePartition(c, group, topic, partition, order)
	})
}

func (db *DB) ForgetOrders(ctx context.Context, cluster string, logPartitions ...protocol.LogPartition) error {
	for _, log := range logPartitions {
		if log.Count < 1 || log.Partition < 0 || log.Partition >= log.Count {
			return fmt.Errorf("%w: log partition %d of %d", storage.ErrInvalid, log.Partition, log.Count)
		}
	}
	c, err := db.enter(ctx, cluster)
	if err != nil {
		return err
	}
	defer db.leave(c)
	if err := db.forgetPositions(ctx, c, logPartitions); err != nil {
		return err
	}
	names, err := db.listGroups(ctx, c)
	if err != nil {
		return err
	}
	concerned := names[:0]
	for _, name := range names {
		for _, log := range logPartitions {
			if log.Holds(name) {
				concerned = append(concerned, name)
				break
			}
		}
	}
	if len(logPartitions) == 0 {
		concerned = names
	}
	return db.eachGroup(ctx, c, concerned, func(g *group) *groupOp {
		return &groupOp{whole: true, do: func(op *groupOp) { op.changed = db.engine.ForgetGroupOrders(c, g.name) }}
	})
}
