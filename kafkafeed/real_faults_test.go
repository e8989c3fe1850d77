package kafkafeed

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lagkeeper/storage/kafkafeed/internal/kafkatest"
	"github.com/lagkeeper/storage/protocol"
)

// pauseVariable holds the least duration of a broker's pause. Without it the pause ends when the feed continues without the broker,
// and the feed's timeouts are shorter than the defaults.
const pauseVariable = "KAFKAFEED_PAUSE"

// rights are the rights that may be granted to the user "half".
func rights() *kadm.ACLBuilder {
	return kadm.NewACLs().Allow("User:half").AllowHosts("*").ResourcePatternType(kadm.ACLPatternLiteral)
}

// A feed with the right to see half of the cluster stores that half, and the rest once it has the right. What it may no longer see
// stays, and ages.
func (c *three) halfTheRights() {
	c.user("half", "secret")
	c.topic("open", 1, 10)
	c.topic("closed", 1, 10)
	c.commit("open-group", "open", 0, 3)
	c.commit("open-group", "closed", 0, 4)
	c.commit("closed-group", "open", 0, 5)
	c.grant(rights().Topics("open").Operations(kadm.OpDescribe), rights().Groups("open-group").Operations(kadm.OpDescribe))
	store := openStore(c.t, "")
	feed := c.feed(store, c.as("half", "secret"))
	<-feed.Ready()
	agree(c.t, store, lags{"open-group open 0": "3 10 7"})
	require.Equal(c.t, ModePoll, feed.Status().Mode)
	require.Contains(c.t, feed.Status().Reason, "may not be described")

	c.grant(rights().Topics(logTopic).Operations(kadm.OpDescribe))
	eventually(c.t, "the status says what is refused", func() bool {
		status := feed.Status()
		return strings.Contains(status.Reason, "TOPIC_AUTHORIZATION_FAILED") && len(status.Refused) > 0 && status.Mode == ModePoll
	})
	require.Contains(c.t, feed.Status().Refused, askLog)
	require.Equal(c.t, lags{"open-group open 0": "3 10 7"}, storedLags(c.t, store))

	rest := []*kadm.ACLBuilder{rights().Topics("*").Operations(kadm.OpDescribe), rights().Groups("*").Operations(kadm.OpDescribe),
		rights().Clusters().Operations(kadm.OpDescribe), rights().Topics(logTopic).Operations(kadm.OpRead)}
	c.grant(rest...)
	c.same(store)
	eventually(c.t, "the log is read", func() bool {
		return feed.Status().Mode == ModeLog && !strings.Contains(fmt.Sprint(feed.Status().Refused), askLog)
	})

	c.withdraw(rest...)
	eventually(c.t, "the log may not be read", func() bool {
		status := feed.Status()
		return status.Mode == ModePoll && strings.Contains(fmt.Sprint(status.Refused), askLog)
	})
	c.produce("open", 1, 5)
	c.produce("closed", 1, 5)
	c.commit("open-group", "open", 0, 6)
	c.commit("open-group", "closed", 0, 7)
	eventually(c.t, "what may be seen goes on", func() bool { return storedLags(c.t, store)["open-group open 0"] == "6 15 9" })
	eventually(c.t, "the status says that groups are hidden", func() bool { return strings.Contains(fmt.Sprint(feed.Status().Refused), askMissing) })
	have := storedLags(c.t, store)
	require.Equal(c.t, "4 10 6", have["open-group closed 0"])
	require.Equal(c.t, "5 15 10", have["closed-group open 0"])
	eventually(c.t, "what is hidden grows old", func() bool { return older(storedPartitions(c.t, store), "open-group closed 0", "open-group open 0") })
	c.grant(rest...)
	c.same(store)
	c.withdraw(rights().Topics().Groups().Clusters().Operations(kadm.OpAny).ResourcePatternType(kadm.ACLPatternAny))
}

// With a wrong password nothing is stored. If the password of a running feed is changed, what it has stored ages.
func (c *three) wrongPassword() {
	c.grant(kadm.NewACLs().Allow("User:monitor").AllowHosts("*").Topics("*").Groups("*").Clusters().
		Operations(kadm.OpDescribe, kadm.OpRead, kadm.OpDescribeConfigs).ResourcePatternType(kadm.ACLPatternLiteral))
	c.user("monitor", "right")
	c.topic("locked", 1, 10)
	c.commit("locked", "locked", 0, 3)
	store := openStore(c.t, "")
	feed := c.feed(store, c.as("monitor", "other"))
	refused := func(feed *running) {
		c.t.Helper()
		eventually(c.t, "the status says what is wrong", func() bool {
			status := feed.Status()
			return status.Errors[askMetadata] > 0 && strings.Contains(fmt.Sprint(status.LastError), "SASL_AUTHENTICATION_FAILED")
		})
	}
	refused(feed)
	require.Empty(c.t, storedLags(c.t, store))
	require.False(c.t, feed.Status().Ready)
	c.ends(feed)
	feed = c.feed(store, c.as("monitor", "other"))
	refused(feed)
	c.user("monitor", "other")
	<-feed.Ready()
	before := c.same(store)

	c.user("monitor", "changed")
	// The session of each broker ends in its own time. Then no poll is complete any more.
	last := feed.Status().LastPoll
	eventually(c.t, "the sessions end", func() bool {
		failed := feed.Status().Errors[askMetadata]
		eventually(c.t, "it fails again and again", func() bool { return feed.Status().Errors[askMetadata] > failed+10 })
		before := last
		last = feed.Status().LastPoll
		return last.Equal(before)
	})
	c.produce("locked", 1, 5)
	l := c.ledger(store, feed)
	eventually(c.t, "the commit is acknowledged", func() bool { return l.commit("locked", "locked", 0, 6) })
	failed := feed.Status().Errors[askMetadata]
	l.until("it has failed again", func() bool { return feed.Status().Errors[askMetadata] > failed })
	require.Equal(c.t, last, feed.Status().LastPoll)
	require.Equal(c.t, before, storedLags(c.t, store))
	c.user("monitor", "other")
	require.Equal(c.t, "6 15 9", c.same(store)["locked locked 0"])
}

// Without a certificate from a trusted authority brokers get no requests and give no answers, until they have another one.
func (c *three) wrongAuthority() {
	authority := kafkatest.NewAuthority(c.t)
	store := openStore(c.t, "")
	feed := c.feed(store, c.trusting(authority))
	unknown := func() bool {
		return feed.Status().Errors[askMetadata] > 1 && strings.Contains(fmt.Sprint(feed.Status().LastError), "certificate signed by unknown authority")
	}
	eventually(c.t, "the status says what is wrong", unknown)
	require.Empty(c.t, storedLags(c.t, store))
	c.ends(feed)

	feed = c.feed(store, c.trusting(authority))
	eventually(c.t, "the status says what is wrong", unknown)
	authority.WriteKeystore(c.keystore)
	for broker := range int32(3) {
		succeeds(c.t, "read the new certificate", func(ctx context.Context) error {
			altered, err := c.admin.AlterBrokerConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "listener.name.ssl.ssl.keystore.location", Value: &c.keystore}}, broker+1)
			if err == nil {
				err = altered[0].Err
			}
			return err
		})
	}
	<-feed.Ready()
	c.same(store)
}

// older reports whether the end offset of one partition has not been seen for longer than that of another, which is polled on.
func older(partitions map[string]protocol.GroupPartition, one, other string) bool {
	return partitions[one].EndOffsetAge > partitions[other].EndOffsetAge+time.Second
}

// coordinatedBy returns the name of a group that a broker, counted from 0, coordinates.
func (c *three) coordinatedBy(broker int32) (group string) {
	eventually(c.t, "a group is coordinated by the broker", func() bool {
		c.prefer()
		for i := range 100 {
			group = fmt.Sprint("lag-monitors-", i)
			if found := c.admin.FindGroupCoordinators(c.t.Context(), group)[group]; found.Err == nil && found.NodeID == broker+1 {
				return true
			}
		}
		return false
	})
	return group
}

// takenOver reports whether the other brokers have noticed that one, counted from 0, is gone.
func (c *three) takenOver(broker int32) bool {
	ctx, cancel := context.WithTimeout(c.t.Context(), try)
	defer cancel()
	brokers, err := c.admin.ListBrokers(ctx)
	return err == nil && !slices.Contains(brokers.NodeIDs(), broker+1)
}

// A broker hangs: its connections stay open, and it answers nothing. The other brokers take over, and the feed continues, before it is
// back.
func (c *three) pausedBroker() {
	pause, requests := time.Duration(0), ClientOpts(kgo.RequestTimeoutOverhead(time.Second))
	if text := os.Getenv(pauseVariable); text != "" {
		var err error
		pause, err = time.ParseDuration(text)
		require.NoError(c.t, err)
		requests = ClientOpts()
	}
	c.topic("hanging", 6, 10)
	c.commit("hanging-0", "hanging", 0, 0)
	store := openStore(c.t, "")
	patience := ClientOpts(kgo.RequestTimeoutOverhead(waits))
	feed, patient := c.feed(store, requests), c.feed(openStore(c.t, ""), patience)
	sharing := c.feed(openStore(c.t, ""), patience, Shard(c.coordinatedBy(2)))
	<-feed.Ready()
	<-patient.Ready()
	<-sharing.Ready()
	c.same(store)
	l := c.ledger(store, feed)
	c.kafka.Pause(2)
	begun := time.Now()
	offset := int64(0)
	write := func() {
		offset++
		for i := range 6 {
			l.produce("hanging", int32(i))
			l.commit(fmt.Sprint("hanging-", i), "hanging", int32(i), offset)
		}
	}
	// Before anything is written, since a write may last until the other brokers have taken over, and then nothing waits any more.
	// If no request was under way when it stopped, and none is made until the others have noticed, no poll waits.
	eventually(c.t, "a poll waits for the broker", func() bool { return time.Since(patient.Status().LastPoll) > time.Second || c.takenOver(2) })
	c.ends(patient)
	c.ends(sharing)
	write()
	for round := 0; round < 5 || time.Since(begun) < pause; round++ {
		write()
		l.honest()
	}
	l.until("all is acknowledged without the broker", func() bool { write(); return len(l.last) == 6 && len(l.ends) == 6 })
	equal := func() bool {
		l.honest()
		want, err := c.truth()
		return err == nil && fmt.Sprint(want) == fmt.Sprint(storedLags(c.t, store))
	}
	eventually(c.t, "the feed goes on without the broker", equal)
	c.t.Logf("went on without the broker, which was paused for %v", time.Since(begun).Round(time.Second))
	c.kafka.Resume(2)
	write()
	eventually(c.t, "the store has what Kafka has", equal)
}

// All brokers are killed at once. Nothing becomes wrong, and the feed continues when they are back.
func (c *three) allDown() {
	c.topic("dark", 3, 10)
	store := openStore(c.t, "")
	feed := c.feed(store, ClientOpts(kgo.RetryTimeout(time.Second)))
	other := c.feed(openStore(c.t, ""), ClientOpts(kgo.RequestTimeoutOverhead(waits), kgo.RetryTimeout(waits)))
	<-feed.Ready()
	<-other.Ready()
	l := c.ledger(store, feed)
	l.until("a commit is acknowledged", func() bool { return l.commit("dark", "dark", 0, 3) })
	before := c.same(store)
	for node := range 3 {
		c.kafka.Kill(node)
	}
	l.until("the failure is told", func() bool { return feed.Status().Errors[askMetadata] > 0 })
	require.Equal(c.t, before, storedLags(c.t, store))
	c.ends(other)
	for node := range 3 {
		c.kafka.Restart(node)
	}
	c.kafka.Await()
	l.until("a commit is acknowledged", func() bool { return l.commit("dark", "dark", 0, 9) })
	require.Equal(c.t, "9 10 1", c.same(store)["dark dark 0"])
}
