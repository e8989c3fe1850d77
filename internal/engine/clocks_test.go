package engine

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/feed"
	"github.com/lagkeeper/storage/protocol"
)

// jumpyClock has a wall clock that can be set and a monotonic clock that cannot. Its coarse time is behind by a set delay.
type jumpyClock struct{ wall, elapsed, late int64 }

func (c *jumpyClock) Coarse() int64                  { return c.wall - c.late }
func (c *jumpyClock) Now() int64                     { return c.wall }
func (c *jumpyClock) Read() (now, elapsed int64)     { return c.wall, c.elapsed }
func (c *jumpyClock) pass(d time.Duration)           { c.wall += d.Milliseconds(); c.elapsed += d.Milliseconds() }
func (c *jumpyClock) set(by time.Duration)           { c.wall += by.Milliseconds() }
func (c *jumpyClock) ago(d time.Duration) (ms int64) { return c.wall - d.Milliseconds() }

const week = 7 * 24 * time.Hour

// newJumpy makes an engine whose groups expire after a week, and their topics after half of that.
func newJumpy(t *testing.T, minDistance int64) (*Engine, *Cluster, *jumpyClock) {
	t.Helper()
	clock := &jumpyClock{wall: startTime}
	e := New(Config{
		Clusters: []string{"local"}, Shards: 2, Intervals: 10, ExpireGroup: week.Milliseconds(),
		ExpireTopic: week.Milliseconds() / 2, MinDistance: minDistance, CurveSegments: 8,
		Clock: clock, Hub: &feed.Hub[protocol.Event]{},
	})
	c := e.Cluster("local")
	poll(t, e, c, 1_000_000, "topic", "other")
	return e, c, clock
}

func commitAt(t *testing.T, e *Engine, c *Cluster, group, topic string, order, at int64) {
	t.Helper()
	require.Zero(t, e.Commit(c, group, &protocol.Commit{Topic: topic, Offset: 10 * order, Order: order, Timestamp: at}))
}

func names(t *testing.T, e *Engine, c *Cluster) []string {
	t.Helper()
	all, why := e.Groups(c)
	require.Zero(t, why)
	ofTopic, why := e.GroupsOfTopic(c, "topic")
	require.Zero(t, why)
	require.ElementsMatch(t, all.Strings(), ofTopic.Strings())
	return all.Strings()
}

// TestClockLeap lets the wall clock leap ahead, as when it is set or the machine wakes, at every point where something can
// expire by it.
func TestClockLeap(t *testing.T) {
	t.Parallel()
	for name, look := range map[string]func(t *testing.T, e *Engine, c *Cluster, clock *jumpyClock){
		"sweep": func(_ *testing.T, e *Engine, _ *Cluster, _ *jumpyClock) { e.Sweep() },
		"list":  func(t *testing.T, e *Engine, c *Cluster, _ *jumpyClock) { require.Len(t, names(t, e, c), 2) },
		"fetch": func(t *testing.T, e *Engine, c *Cluster, _ *jumpyClock) {
			k, why := e.Capture(c, "live")
			require.Zero(t, why)
			k.Release()
		},
		"commit": func(t *testing.T, e *Engine, c *Cluster, clock *jumpyClock) {
			// The brokers' clocks have not leapt.
			commitAt(t, e, c, "live", "other", 5, clock.ago(30*24*time.Hour))
		},
		"owner": func(t *testing.T, e *Engine, c *Cluster, _ *jumpyClock) {
			require.Zero(t, e.SetOwner(c, "live", &protocol.PartitionOwner{Topic: "topic", Owner: "host"}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, back := range []bool{true, false} {
				e, c, clock := newJumpy(t, 0)
				commitAt(t, e, c, "live", "topic", 1, clock.wall)
				commitAt(t, e, c, "live", "other", 1, clock.wall)
				commitAt(t, e, c, "quiet", "topic", 1, clock.wall)
				clock.pass(time.Minute)
				clock.set(30 * 24 * time.Hour)
				look(t, e, c, clock)
				e.Sweep()
				require.ElementsMatch(t, []string{"live", "quiet"}, names(t, e, c))
				require.Len(t, e.onlyGroup(t, "live").topics, 2)
				if back {
					// The topic had only one sweep left.
					clock.set(-30 * 24 * time.Hour)
					clock.pass(2 * expiryGrace * time.Millisecond)
					e.Sweep()
					require.ElementsMatch(t, []string{"live", "quiet"}, names(t, e, c))
					continue
				}
				// The leap was real: groups that live commit in time, the others expire.
				clock.pass(expiryGrace*time.Millisecond - 1)
				e.Sweep()
				require.ElementsMatch(t, []string{"live", "quiet"}, names(t, e, c))
				commitAt(t, e, c, "live", "topic", 7, clock.wall)
				clock.pass(time.Millisecond)
				require.ElementsMatch(t, []string{"live"}, names(t, e, c))
				e.Sweep()
				require.Equal(t, 1, len(e.shards[0].listed())+len(e.shards[1].listed()), "the quiet group has expired")
				require.Len(t, e.onlyGroup(t, "live").topics, 1)
			}
		})
	}
}

// TestNoLeap expires what is old if the clocks agree, however long nobody looked, and what becomes old in small steps.
func TestNoLeap(t *testing.T) {
	t.Parallel()
	e, c, clock := newJumpy(t, 0)
	commitAt(t, e, c, "group", "topic", 1, clock.wall)
	clock.pass(week)
	require.Len(t, names(t, e, c), 1)
	clock.pass(time.Millisecond)
	require.Empty(t, names(t, e, c))

	commitAt(t, e, c, "group", "topic", 2, clock.wall)
	for range 3 * 7 * 24 * 60 {
		clock.pass(time.Minute / 3)
		clock.set(time.Minute / 6)
		e.Sweep()
	}
	require.Empty(t, names(t, e, c))
}

// TestTooOldAfterLeap takes commits during the grace period that either clock would take, and refuses those that are too old
// by both.
func TestTooOldAfterLeap(t *testing.T) {
	t.Parallel()
	e, c, clock := newJumpy(t, 0)
	refused := func(at int64) Reason {
		return e.Commit(c, "refused", &protocol.Commit{Topic: "topic", Offset: 1, Timestamp: at})
	}
	clock.set(30 * 24 * time.Hour)
	commitAt(t, e, c, "by the wall clock", "topic", 1, clock.wall)
	commitAt(t, e, c, "by the brokers", "topic", 1, clock.ago(30*24*time.Hour))
	require.Equal(t, TooOld, refused(clock.ago(37*24*time.Hour)-1))
	clock.pass(expiryGrace * time.Millisecond)
	require.Equal(t, TooOld, refused(clock.ago(week)-1))

	// When the clock is set back, nothing is refused that was taken before; what is ahead of it is stored as now.
	clock.set(-30 * 24 * time.Hour)
	commitAt(t, e, c, "by the wall clock", "topic", 2, clock.ago(0))
	commitAt(t, e, c, "by the brokers", "topic", 2, clock.wall+week.Milliseconds())
	require.ElementsMatch(t, []string{"by the wall clock", "by the brokers"}, names(t, e, c))
}

// TestOwnersAfterClockWasAhead checks that the owners of a group without commits live no longer because the clock was ahead.
func TestOwnersAfterClockWasAhead(t *testing.T) {
	t.Parallel()
	e, c, clock := newJumpy(t, 0)
	own := func() {
		require.Zero(t, e.SetOwner(c, "group", &protocol.PartitionOwner{Topic: "topic", Owner: "host"}))
	}
	clock.set(365 * 24 * time.Hour)
	own()
	clock.set(-365 * 24 * time.Hour)
	own()
	clock.pass(week / 2)
	require.Len(t, names(t, e, c), 1)
	clock.pass(week/2 + time.Millisecond)
	require.Empty(t, names(t, e, c))
}

// stamps returns the timestamps in the window of the group's first partition of a topic.
func stamps(t *testing.T, e *Engine, group, topic string) (all []int64) {
	t.Helper()
	g := e.onlyGroup(t, group)
	for _, commit := range g.windowOf(g.topics[g.find(topic)].first).AppendTo(nil) {
		all = append(all, commit.Timestamp)
	}
	return all
}

// TestFutureFreezesNothing commits every ten seconds after a commit that is dated an hour ahead. Every commit adds an entry.
func TestFutureFreezesNothing(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]func(t *testing.T, e *Engine, c *Cluster, clock *jumpyClock){
		"commit": func(t *testing.T, e *Engine, c *Cluster, clock *jumpyClock) {
			commitAt(t, e, c, "group", "topic", 1, clock.wall+3_600_000)
		},
		"the end of time": func(t *testing.T, e *Engine, c *Cluster, _ *jumpyClock) {
			commitAt(t, e, c, "group", "topic", 1, math.MaxInt64)
		},
		"clock set back": func(t *testing.T, e *Engine, c *Cluster, clock *jumpyClock) {
			clock.set(time.Hour)
			commitAt(t, e, c, "group", "topic", 1, clock.wall)
			clock.set(-time.Hour)
		},
	} {
		for _, distance := range []int64{0, 10_000} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				e, c, clock := newJumpy(t, distance)
				first(t, e, c, clock)
				for i := range int64(359) {
					clock.pass(10 * time.Second)
					before := stamps(t, e, "group", "topic")
					commitAt(t, e, c, "group", "topic", i+2, clock.wall)
					after := stamps(t, e, "group", "topic")
					if i == 0 && name == "clock set back" && distance > 0 {
						// Commits that are taken for now have no distance from each other.
						require.Len(t, after, 1)
						continue
					}
					require.Equal(t, clock.wall, after[len(after)-1])
					if len(before) < 10 {
						require.Len(t, after, len(before)+1)
					} else {
						require.Equal(t, before[1:], after[:9])
					}
				}
			})
		}
	}
}

// TestFutureWithCoarseClock stores a commit of this moment unchanged, although the coarse time is behind it.
func TestFutureWithCoarseClock(t *testing.T) {
	t.Parallel()
	e, c, clock := newJumpy(t, 0)
	clock.late = 10
	commitAt(t, e, c, "group", "topic", 1, clock.wall-5)
	commitAt(t, e, c, "group", "topic", 2, clock.wall)
	commitAt(t, e, c, "group", "topic", 3, clock.wall+1)
	require.Equal(t, []int64{clock.wall - 5, clock.wall, clock.wall}, stamps(t, e, "group", "topic"))
	e.Commits(c, "batch", []protocol.Commit{
		{Topic: "topic", Offset: 1, Order: 1, Timestamp: clock.wall - 1}, {Topic: "topic", Offset: 2, Order: 2, Timestamp: clock.wall + 7},
	}, func(_ int, why Reason) { t.Errorf("refused: %v", why) })
	require.Equal(t, []int64{clock.wall - 1, clock.wall}, stamps(t, e, "batch", "topic"))
}

// TestLoadedFutureFreezesNothing restores what was dated by a clock that was ahead.
func TestLoadedFutureFreezesNothing(t *testing.T) {
	t.Parallel()
	old, c, ahead := newJumpy(t, 0)
	ahead.set(time.Hour)
	poll(t, old, c, 2_000_000, "topic")
	for i := range int64(3) {
		commitAt(t, old, c, "group", "topic", i+1, ahead.wall-20_000+10_000*i)
	}

	e, c, clock := newJumpy(t, 0)
	require.NoError(t, old.Save(loading{e.Loader()}))
	require.Equal(t, []int64{clock.wall, clock.wall, clock.wall}, stamps(t, e, "group", "topic"))
	reading := c.topics.Topic("topic").Read()
	require.Equal(t, clock.wall, reading.View(0).Seen)
	reading.Close()
	for i := range int64(7) {
		clock.pass(10 * time.Second)
		commitAt(t, e, c, "group", "topic", i+4, clock.wall)
		require.Len(t, stamps(t, e, "group", "topic"), int(i)+4)
	}
	clock.pass(week)
	require.Len(t, names(t, e, c), 1)
	clock.pass(time.Millisecond)
	require.Empty(t, names(t, e, c))
}

// TestClockLeapBetweenPolls lets the wall clock leap when one topic has been polled since and another has not had its turn.
func TestClockLeapBetweenPolls(t *testing.T) {
	t.Parallel()
	e, c, clock := newJumpy(t, 0)
	topics := func() []string {
		all, why := e.Topics(c)
		require.Zero(t, why)
		return all.Strings()
	}
	clock.pass(time.Minute)
	clock.set(30 * 24 * time.Hour)
	poll(t, e, c, 1_000_000, "topic")
	e.Sweep()
	require.ElementsMatch(t, []string{"topic", "other"}, topics())
	clock.pass(expiryGrace*time.Millisecond - time.Millisecond)
	poll(t, e, c, 1_000_000, "topic")
	e.Sweep()
	require.ElementsMatch(t, []string{"topic", "other"}, topics())
	clock.pass(time.Millisecond)
	e.Sweep()
	require.ElementsMatch(t, []string{"topic"}, topics(), "nobody polled the other topic in time")
}

// TestClockThatWasAhead sets the clock back after a group committed while it was ahead: the group and its topic live no
// longer than after a commit of now.
func TestClockThatWasAhead(t *testing.T) {
	t.Parallel()
	e, c, clock := newJumpy(t, 0)
	clock.set(30 * 24 * time.Hour)
	commitAt(t, e, c, "group", "topic", 1, clock.wall)
	commitAt(t, e, c, "group", "other", 1, clock.wall)
	poll(t, e, c, 1_000_000, "other")
	clock.set(-30 * 24 * time.Hour)
	e.Sweep()
	for range 7 * 24 * 2 {
		clock.pass(30 * time.Minute)
		poll(t, e, c, 1_000_000, "topic")
		e.Sweep()
	}
	clock.pass(time.Millisecond)
	e.Sweep()
	require.Empty(t, names(t, e, c))
	all, why := e.Topics(c)
	require.Zero(t, why)
	require.Equal(t, []string{"topic"}, all.Strings())
}

// TestOutageOfBrokers sweeps when the brokers are back after a long time and only one topic has been polled since.
func TestOutageOfBrokers(t *testing.T) {
	t.Parallel()
	e, c, clock := newJumpy(t, 0)
	topics := func() []string {
		all, why := e.Topics(c)
		require.Zero(t, why)
		return all.Strings()
	}
	for range 2 {
		for range 6 * 24 {
			clock.pass(time.Hour)
			e.Sweep()
		}
		poll(t, e, c, 1_000_000, "topic")
		clock.pass(pollRound*time.Millisecond - time.Millisecond)
		e.Sweep()
		require.ElementsMatch(t, []string{"topic", "other"}, topics())
		poll(t, e, c, 1_000_000, "other")
		clock.pass(time.Minute)
		e.Sweep()
		require.ElementsMatch(t, []string{"topic", "other"}, topics())
	}
	clock.pass(week)
	poll(t, e, c, 1_000_000, "topic")
	clock.pass(pollRound * time.Millisecond)
	e.Sweep()
	require.ElementsMatch(t, []string{"topic"}, topics(), "the other topic had its turn")
}
