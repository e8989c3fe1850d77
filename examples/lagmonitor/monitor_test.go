package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// rigInterval is how much the rig's clock moves with each poll.
const rigInterval = 2 * time.Second

// The whole of it, step by step: what the workload does to Kafka is what the store answers.
func TestMonitorFollowsTheWorkload(t *testing.T) {
	ctx := testContext(t)
	d := testDemo(t, ctx)
	r := newRig(t, ctx, d.brokers())
	// The store has a clock of its own, and by that the last poll of this test is now.
	r.clock = time.Now().Add(-scriptSettled * rigInterval).Truncate(time.Second)

	lag := func(table table, group, topic string) uint64 {
		t.Helper()
		found := table.row(group, topic)
		require.NotNil(t, found, "%s on %s at step %d", group, topic, d.workload.steps)
		require.False(t, found.LagAtLeast)
		return found.Lag
	}
	var last table
	for step := uint64(1); step <= scriptSettled; step++ {
		require.NoError(t, d.workload.step(ctx))
		last = r.poll()

		assert.Zero(t, lag(last, "billing", "orders"))
		assert.Zero(t, lag(last, "dashboard", "clicks"))
		assert.Equal(t, 4*6*step, lag(last, "warehouse", "orders"))
		switch {
		case step < 6:
			assert.Zero(t, lag(last, "mailer", "payments"))
		default: // stopped
			assert.Equal(t, 3*10*(step-5), lag(last, "mailer", "payments"))
		}
		switch {
		case step < 11:
			assert.Zero(t, lag(last, "search", "payments"))
		default: // went back by 60, and reads 15 while 10 are written
			assert.Equal(t, 3*(60-5*(step-10)), lag(last, "search", "payments"))
		}
		// Gone at the second listing without it.
		assert.Equal(t, step < 9, last.row("adhoc", "payments") != nil)
		assert.Equal(t, step < 10, last.row("archiver", "legacy") != nil)
		clicks := 2
		if step >= 7 {
			clicks = 4
		}
		assert.Equal(t, clicks, last.row("dashboard", "clicks").Partitions)
	}

	assert.Equal(t, 5, last.Groups)
	assert.Equal(t, 3, last.Topics)
	for _, want := range []struct {
		group, topic string
		members      int
		moved        time.Duration
		state        state
	}{
		{"billing", "orders", 2, 0, stateCaughtUp},
		{"dashboard", "clicks", 1, 0, stateCaughtUp},
		{"mailer", "payments", 0, 9 * rigInterval, stateStopped},
		{"search", "payments", 1, 0, stateRewind},
		{"warehouse", "orders", 1, 0, stateBehind},
	} {
		got := last.row(want.group, want.topic)
		require.NotNil(t, got, want.group)
		assert.Equal(t, want.members, got.Members, want.group)
		assert.Equal(t, want.moved, got.Moved, want.group)
		assert.False(t, got.MovedAtLeast, want.group)
		assert.Equal(t, want.state, got.State, want.group)
	}
	for group, want := range map[string]struct {
		behind  time.Duration // how long ago the message was the newest that the group is at; the writers write 5 messages a second
		in, out float64
		never   bool
	}{
		"billing":   {0, 20, 20, false},
		"mailer":    {9 * rigInterval, 15, 0, true},
		"search":    {4 * rigInterval, 15, 0, false}, // by 40 messages
		"warehouse": {8 * rigInterval, 20, 8, true},  // by 84 messages; rounded down to a poll
	} {
		got := last.row(group, map[string]string{"billing": "orders", "warehouse": "orders"}[group])
		if got == nil {
			got = last.row(group, "payments")
		}
		require.True(t, got.TimeLag.Known, group)
		assert.False(t, got.TimeLag.AtLeast, group)
		// The test takes a few seconds by the clock of the store.
		assert.InDelta(t, want.behind.Seconds(), got.TimeLag.Value.Seconds(), 2*rigInterval.Seconds()+5, group)
		assert.Equal(t, want.behind == 0, got.TimeLag.Value == 0, group)
		assert.InEpsilon(t, want.in, got.Rates.In.PerSecond, 0.4, group)
		assert.True(t, got.Rates.Out.Known, group)
		if want.out > 0 {
			assert.InEpsilon(t, want.out, got.Rates.Out.PerSecond, 0.1, group)
		}
		assert.Equal(t, want.never, neverCatchesUp(*got), group)
	}
	// The window reaches back ten commits: the lag grew by 24 with each.
	assert.Equal(t, []float64{120, 144, 168, 192, 216, 240, 264, 288, 312, 336}, last.row("warehouse", "orders").Trend)
	assert.Equal(t, ""+
		"topic clicks grew from 2 to 4 partitions\n"+
		"group adhoc was deleted\n"+
		"topic legacy was deleted\n"+
		"group archiver was deleted", r.eventTexts())
}

// Whatever Kafka fails to answer, nothing is deleted because of it.
func TestErrorsDeleteNothing(t *testing.T) {
	ctx := testContext(t)
	cluster, client := newCluster(t)
	write(t, ctx, client, 5)
	commit(t, ctx, client, "g", 2)
	r := newRig(t, ctx, cluster.ListenAddrs())
	before := r.poll()
	require.EqualValues(t, 3, before.row("g", "t").Lag)

	for _, key := range []kmsg.Key{
		kmsg.ListGroups, kmsg.DescribeGroups, kmsg.OffsetFetch, kmsg.FindCoordinator, kmsg.ListOffsets, kmsg.Metadata,
	} {
		for _, topLevel := range []bool{true, false} {
			if topLevel && key == kmsg.OffsetFetch {
				continue // its newer versions have no top-level error, so that kfake's would read as a success
			}
			fault := cluster.Fault(kfake.Fault{
				Keys: []kmsg.Key{key}, TopLevel: topLevel, Count: -1, Err: kerr.InvalidRequest,
			})
			for range 2 * gone {
				r.clock = r.clock.Add(rigInterval)
				_ = r.poller.poll(ctx) // may fail as a whole
				after, err := r.view.table(ctx)
				require.NoError(t, err)
				require.NotNil(t, after.row("g", "t"), "with %v failing, %v: %s", key.Name(), topLevel, r.eventTexts())
				require.EqualValues(t, 3, after.row("g", "t").Lag)
				require.Equal(t, 1, after.Topics)
			}
			fault.Remove()
			r.poll()
		}
	}
	assert.NotContains(t, r.eventTexts(), "deleted")
}

// A single listing without a group or topic is not yet believed.
func TestGoneNeedsTwoListings(t *testing.T) {
	ctx := testContext(t)
	cluster, client := newCluster(t)
	write(t, ctx, client, 5)
	commit(t, ctx, client, "g", 2)
	r := newRig(t, ctx, cluster.ListenAddrs())
	require.NotNil(t, r.poll().row("g", "t"))

	require.NoError(t, cluster.DeleteTopic("t"))
	assert.Equal(t, 1, r.poll().Topics)
	now := r.poll()
	assert.Zero(t, now.Topics)
	assert.Zero(t, now.Groups, "its only topic is gone")
	assert.Equal(t, "topic t was deleted", r.eventTexts())
}

// A topic that is deleted and created again between two polls is told by its id; the lags of the old one are gone.
func TestRecreatedTopic(t *testing.T) {
	ctx := testContext(t)
	cluster, client := newCluster(t)
	write(t, ctx, client, 5)
	commit(t, ctx, client, "g", 5)
	r := newRig(t, ctx, cluster.ListenAddrs())
	require.NotNil(t, r.poll().row("g", "t"))

	require.NoError(t, cluster.DeleteTopic("t"))
	require.NoError(t, cluster.CreateTopic("t", 1, nil))
	r.poll()
	assert.Equal(t, "topic t was deleted and created again", r.eventTexts())
	ends, err := r.view.store.topic(ctx, "t")
	require.NoError(t, err)
	assert.Equal(t, []int64{0}, ends)
}

// A commit that stands still is not sent again before half of the expiry is over, and then keeps its age.
func TestStandingCommitIsConfirmed(t *testing.T) {
	ctx := testContext(t)
	cluster, client := newCluster(t)
	write(t, ctx, client, 5)
	commit(t, ctx, client, "g", 1)
	r := newRig(t, ctx, cluster.ListenAddrs())
	r.poller.confirm = 3 * rigInterval
	r.poll()
	commit(t, ctx, client, "g", 2)
	commits := func() (n int) {
		group, err := r.view.store.group(ctx, "g")
		require.NoError(t, err)
		for _, commit := range group["t"][0].Offsets {
			if commit != nil {
				n++
			}
		}
		return n
	}
	for i, want := range []int{2, 2, 2, 3, 3, 3, 4} {
		row := r.poll().row("g", "t")
		assert.Equal(t, want, commits(), "poll %d", i)
		assert.Equal(t, time.Duration(i)*rigInterval, row.Moved)
		assert.False(t, row.MovedAtLeast)
	}
}

// Members of both protocols are seen, and seen to leave.
func TestOwners(t *testing.T) {
	ctx := testContext(t)
	cluster, writer := newCluster(t)
	write(t, ctx, writer, 5)
	r := newRig(t, ctx, cluster.ListenAddrs())
	for group, options := range map[string][]kgo.Opt{
		"classic": nil,
		"kip-848": {kgo.ServerSideBalancer()},
	} {
		consumer, err := kgo.NewClient(append(options,
			kgo.SeedBrokers(cluster.ListenAddrs()...),
			kgo.ConsumerGroup(group),
			kgo.ConsumeTopics("t"),
			kgo.ClientID("client-"+group),
		)...)
		require.NoError(t, err)
		defer consumer.Close()
		received := consumer.PollFetches(ctx)
		require.NoError(t, received.Err())
		require.NoError(t, consumer.CommitUncommittedOffsets(ctx))
		require.NoError(t, until(ctx, func() bool {
			row := r.poll().row(group, "t")
			return row != nil && row.Members == 1 && row.Lag == 0
		}), group)
		stored, err := r.view.store.group(ctx, group)
		require.NoError(t, err)
		for _, partition := range stored["t"] {
			assert.Equal(t, "127.0.0.1", partition.Owner)
			assert.Equal(t, "client-"+group, partition.ClientID)
		}
		consumer.Close()
		require.NoError(t, until(ctx, func() bool { return r.poll().row(group, "t").Members == 0 }), group)
	}
	assert.Empty(t, r.eventTexts())
}

// A group that no longer has offsets for a topic leaves it.
func TestGroupLeavesTopic(t *testing.T) {
	ctx := testContext(t)
	cluster, client := newCluster(t, kfake.SeedTopics(1, "other"))
	write(t, ctx, client, 5)
	commit(t, ctx, client, "g", 1)
	offsets := make(kadm.Offsets)
	offsets.AddOffset("other", 0, 0, -1)
	require.NoError(t, kadm.NewClient(client).CommitAllOffsets(ctx, "g", offsets))
	r := newRig(t, ctx, cluster.ListenAddrs())
	require.NotNil(t, r.poll().row("g", "other"))

	deleted, err := kadm.NewClient(client).DeleteOffsets(ctx, "g", offsets.TopicsSet())
	require.NoError(t, err)
	require.NoError(t, deleted.Error())
	require.NotNil(t, r.poll().row("g", "other"), "not believed yet")
	after := r.poll()
	assert.Nil(t, after.row("g", "other"))
	assert.NotNil(t, after.row("g", "t"))
	assert.Equal(t, "group g left topic other", r.eventTexts())
}

// Messages that are deleted before a group reads them are lost to it, and are no lag any more.
func TestLostMessages(t *testing.T) {
	ctx := testContext(t)
	cluster, client := newCluster(t)
	write(t, ctx, client, 10)
	commit(t, ctx, client, "g", 2)
	r := newRig(t, ctx, cluster.ListenAddrs())
	assert.Zero(t, r.poll().row("g", "t").Lost)

	start := make(kadm.Offsets)
	start.AddOffset("t", 0, 6, -1)
	deleted, err := kadm.NewClient(client).DeleteRecords(ctx, start)
	require.NoError(t, err)
	require.NoError(t, deleted.Error())
	after := r.poll().row("g", "t")
	assert.EqualValues(t, 4, after.Lost)
	assert.EqualValues(t, 4, after.Lag)

	start.AddOffset("t", 0, 10, -1)
	deleted, err = kadm.NewClient(client).DeleteRecords(ctx, start)
	require.NoError(t, err)
	require.NoError(t, deleted.Error())
	after = r.poll().row("g", "t")
	assert.EqualValues(t, 8, after.Lost)
	assert.Zero(t, after.Lag)
	assert.Equal(t, stateCaughtUp, after.State)
	assert.Empty(t, r.eventTexts())
}
