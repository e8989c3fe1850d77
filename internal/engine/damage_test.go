package engine

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/protocol"
)

// requireUnlocked checks that every lock is released.
func (e *Engine) requireUnlocked(t *testing.T) {
	t.Helper()
	for i := range e.shards {
		require.True(t, e.shards[i].mu.TryLock(), "shard %d is locked", i)
		e.shards[i].mu.Unlock()
	}
}

// loading is a Loader that an engine saves to.
type loading struct{ *Loader }

func (loading) Flush() error { return nil }

// nothing is an Output that accepts everything.
type nothing struct{}

func (nothing) WriteTopic(*snapshot.Topic) error { return nil }
func (nothing) WriteGroup(*snapshot.Group) error { return nil }
func (nothing) Flush() error                     { return nil }

// newDamageable makes an engine with a group on two topics, and a function that breaks the group's memory.
func newDamageable(t *testing.T) (e *Engine, c *Cluster, breakIt func()) {
	e, c, clock := newTestEngine(2, 10)
	for _, topic := range []string{"orders", "payments"} {
		require.Zero(t, e.SetEndOffset(c, topic, &protocol.EndOffset{Offset: 100}))
		require.Zero(t, e.Commit(c, "billing", &protocol.Commit{Topic: topic, Offset: 10, Order: 1, Timestamp: clock.now}))
	}
	return e, c, func() {
		g := e.onlyGroup(t, "billing")
		g.memory.slots = nil
		for i := range g.topics {
			g.topics[i].position = 1 << 20
		}
	}
}

func TestInterruptedChangeEndsSnapshots(t *testing.T) {
	for name, change := range map[string]func(e *Engine, c *Cluster){
		"commit": func(e *Engine, c *Cluster) {
			e.Commit(c, "billing", &protocol.Commit{Topic: "orders", Offset: 20, Order: 2, Timestamp: startTime})
		},
		"commits": func(e *Engine, c *Cluster) {
			all := []protocol.Commit{{Topic: "orders", Offset: 20, Order: 2, Timestamp: startTime}}
			e.Commits(c, "billing", all, func(int, Reason) {})
		},
		"owner": func(e *Engine, c *Cluster) {
			e.SetOwner(c, "billing", &protocol.PartitionOwner{Topic: "orders", Owner: "host"})
		},
		"delete group": func(e *Engine, c *Cluster) { e.DeleteGroup(c, "billing") },
		"delete topic": func(e *Engine, c *Cluster) { e.DeleteTopic(c, "orders") },
		"sweep": func(e *Engine, c *Cluster) {
			e.shard(c.hash("billing")).lists[c][0].seen.Store(startTime - 2_000_000_000)
			e.Sweep()
		},
		"load": func(e *Engine, _ *Cluster) {
			_ = e.Loader().WriteGroup(&snapshot.Group{
				Cluster: "local", Name: "billing", LastCommit: startTime, LastOwner: snapshot.Never,
				Topics: []snapshot.GroupTopic{{Name: "orders", PartitionCount: 1, LastCommit: startTime}},
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			e, c, breakIt := newDamageable(t)
			require.NoError(t, e.Save(nothing{}))
			breakIt()
			require.Panics(t, func() { change(e, c) })
			e.requireUnlocked(t)
			require.True(t, e.Damaged())
			require.ErrorIs(t, e.Save(nothing{}), ErrDamaged)
		})
	}
}

// A fetch changes nothing: a panic in it does not stop snapshots.
func TestInterruptedFetchDamagesNothing(t *testing.T) {
	e, c, breakIt := newDamageable(t)
	breakIt()
	require.Panics(t, func() { _, _ = e.Capture(c, "billing") })
	e.requireUnlocked(t)
	require.False(t, e.Damaged())
	require.Panics(t, func() { _ = e.Save(nothing{}) })
	e.requireUnlocked(t)
	require.False(t, e.Damaged())
	// A later panic of a change is still noticed.
	require.Panics(t, func() { e.DeleteGroup(c, "billing") })
	require.True(t, e.Damaged())
}

// badSink panics, or fails, at the n-th record.
type badSink struct {
	n    int
	fail func() error
}

func (s *badSink) record() error {
	if s.n--; s.n == 0 {
		return s.fail()
	}
	return nil
}

func (s *badSink) WriteTopic(*snapshot.Topic) error { return s.record() }
func (s *badSink) WriteGroup(*snapshot.Group) error { return s.record() }
func (s *badSink) Flush() error                     { return nil }

func TestForeignPanicDamagesNothing(t *testing.T) {
	e, c, _ := newDamageable(t)
	require.Zero(t, e.Commit(c, "shipping", &protocol.Commit{Topic: "orders", Offset: 10, Order: 2, Timestamp: startTime}))
	for n := 1; n <= 4; n++ {
		require.PanicsWithValue(t, "sink", func() { _ = e.Save(&badSink{n, func() error { panic("sink") }}) })
		e.requireUnlocked(t)
		failed := errors.New("sink")
		require.ErrorIs(t, e.Save(&badSink{n, func() error { return failed }}), failed)
	}
	require.False(t, e.Damaged())
	require.NoError(t, e.Save(nothing{}))
	e.checkInvariants(t)
}

// A change that is interrupted during a snapshot ends that snapshot too.
func TestInterruptedChangeEndsTheSnapshotBeingMade(t *testing.T) {
	e, c, breakIt := newDamageable(t)
	err := e.Save(&badSink{3, func() error {
		breakIt()
		require.Panics(t, func() { e.DeleteGroup(c, "billing") })
		return nil
	}})
	require.ErrorIs(t, err, ErrDamaged)
}
