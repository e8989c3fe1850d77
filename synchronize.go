package storage

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/protocol"
)

// with calls do with the engine and a cluster of it. What it does is no request of the channel protocol and not counted as
// one.
func (db *DB) with(ctx context.Context, cluster string, do func(*engine.Engine, *engine.Cluster) engine.Reason) error {
	s, err := db.running(ctx)
	if err != nil {
		return err
	}
	c := s.engine.Cluster(cluster)
	if c == nil {
		return ErrUnknownCluster
	}
	return errorOf(do(s.engine, c))
}

func (db *DB) DeletePartition(ctx context.Context, cluster, group, topic string, partition int32, order int64) error {
	return db.with(ctx, cluster, func(e *engine.Engine, c *engine.Cluster) engine.Reason {
		return e.DeletePartition(c, group, topic, partition, order)
	})
}

func (db *DB) SyncTopics(ctx context.Context, cluster string, topics []string) error {
	return db.with(ctx, cluster, func(e *engine.Engine, c *engine.Cluster) engine.Reason { return e.SyncTopics(c, topics) })
}

func (db *DB) SyncGroups(ctx context.Context, cluster string, groups []string) error {
	return db.with(ctx, cluster, func(e *engine.Engine, c *engine.Cluster) engine.Reason { return e.SyncGroups(c, groups) })
}

func (db *DB) ForgetOrders(ctx context.Context, cluster string, logPartitions ...protocol.LogPartition) error {
	for _, log := range logPartitions {
		if log.Count < 1 || log.Partition < 0 || log.Partition >= log.Count {
			return fmt.Errorf("%w: log partition %d of %d", ErrInvalid, log.Partition, log.Count)
		}
	}
	return db.with(ctx, cluster, func(e *engine.Engine, c *engine.Cluster) engine.Reason {
		return e.ForgetOrders(c, logPartitions)
	})
}

func (db *DB) SetPosition(ctx context.Context, cluster string, log protocol.Position) error {
	return db.with(ctx, cluster, func(e *engine.Engine, c *engine.Cluster) engine.Reason { return e.SetPosition(c, log) })
}

func (db *DB) Positions(ctx context.Context, cluster string) (positions []protocol.Position, err error) {
	err = db.with(ctx, cluster, func(e *engine.Engine, c *engine.Cluster) (why engine.Reason) {
		positions, why = e.Positions(c)
		return why
	})
	return positions, err
}

// stuckGroups warns of groups whose fresh commits are refused because of their orders.
type stuckGroups struct {
	log *zap.Logger
	n   atomic.Uint64
}

func (s *stuckGroups) warn(cluster, group string) {
	if n := s.n.Add(1); worthALine(n) {
		s.log.Warn("fresh commits are refused because of their orders; if the cluster was rebuilt or failed over, call ForgetOrders",
			zap.String("cluster", cluster), zap.String("consumer", group), zap.Uint64("count", n))
	}
}

// ReplayDone tells that the application has read __consumer_offsets from Restored().Watermark, or from its Positions, to the
// end, or does not mean to. A commit that came from the snapshot and was not received again is confirmed by it: the group
// stands where it stood. Until then every snapshot keeps the watermark, since what was committed in between may be in neither
// the snapshot nor, after another restart, in what the application would read. An application calls it after every start,
// also if the store began empty, and after an Import; Options.ReplayTimeout stands in for one that does not.
func (db *DB) ReplayDone() {
	if s := db.session.Load(); s != nil {
		s.replayDone()
	}
}

func (s *session) replayDone() {
	s.engine.ReplayDone()
	if s.persistence != nil {
		s.persistence.replayDone()
	}
}

// awaitImport begins to wait anew, unless the session is over.
func (db *DB) awaitImport(s *session) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.session.Load() == s {
		db.awaitReplay(s)
	}
}

// awaitReplay takes the replay for done when ReplayTimeout is over, unless it is begun anew before.
func (db *DB) awaitReplay(s *session) {
	if s.options.ReplayTimeout < 0 {
		return
	}
	number := s.replays.Add(1)
	s.timers.Go(func() {
		timer := time.NewTimer(s.options.ReplayTimeout)
		defer timer.Stop()
		select {
		case <-timer.C:
			if s.replays.Load() == number {
				db.contained(s.options.Logger, s.replayDone)
			}
		case <-s.quit:
		}
	})
}
