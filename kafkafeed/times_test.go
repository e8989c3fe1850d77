package kafkafeed

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// dated writes a record to partition 0 for each age, as dated by its producer.
func (f *fake) dated(topic string, ages ...time.Duration) {
	for _, age := range ages {
		f.log(&kgo.Record{Topic: topic, Value: []byte("v"), Timestamp: time.Now().Add(-age)})
	}
}

// timeLag returns the time lag of a group on partition 0 of its only topic, with its least and greatest possible value.
func timeLag(t *testing.T, store storage.Store, group string) (lag protocol.TimeLag, least, most time.Duration) {
	var g protocol.Group
	require.NoError(t, store.Group(t.Context(), "prod", group, &g))
	lag = g.Topics[0].Partitions[0].TimeLag
	return lag, lag.Lag - lag.Margin, lag.Lag + lag.Margin
}

const day = 24 * time.Hour

// A backlog is as old as its records, whatever the age of the store.
func TestTimeLagFromTheFirstMinute(t *testing.T) {
	for _, mode := range []Mode{ModePoll, ModeLog} {
		t.Run(string(mode), func(t *testing.T) {
			f := withLog(t)
			require.NoError(t, f.cluster.CreateTopic("old", 1, nil))
			begun := time.Now()
			f.dated("old", 20*day, 10*day, 2*day, 2*time.Hour, 2*time.Hour, 40*time.Minute, 90*time.Second)
			// By commit: how long ago the record that the group reads next was the newest.
			ages := map[int64]time.Duration{2: 2 * day, 3: 2 * time.Hour, 5: 40 * time.Minute, 6: 90 * time.Second}
			for offset := range int64(8) {
				group := fmt.Sprint("at-", offset)
				f.commitTo(group, "old", offset)
				record := logCommit(0, group, 0, offset)
				record.Key = commitKeyBytes(1, group, "old", 0)
				f.log(record)
			}
			store := openStore(t, "")
			feed := runFeed(t, store, f.opts(WithMode(mode))...)
			<-feed.Ready()
			for offset, age := range ages {
				lag, least, most := timeLag(t, store, fmt.Sprint("at-", offset))
				require.Equal(t, protocol.TimeSourceProducer, lag.Source)
				require.Equal(t, protocol.TimeLagInterpolated, lag.Kind, "commit %d", offset)
				require.LessOrEqual(t, least, age+time.Since(begun)+time.Minute, "commit %d: %+v", offset, lag)
				require.GreaterOrEqual(t, most, age-time.Minute, "commit %d: %+v", offset, lag)
				require.GreaterOrEqual(t, lag.Margin, producerMargin)
			}
			for _, group := range []string{"at-0", "at-1"} {
				lag, least, _ := timeLag(t, store, group)
				require.Equal(t, protocol.TimeLagAtLeast, lag.Kind, "older than the ladder reaches")
				require.Greater(t, least, 6*day)
			}
			lag, _, _ := timeLag(t, store, "at-7")
			require.Equal(t, protocol.TimeLagExact, lag.Kind)
			require.Zero(t, feed.Status().Errors[askTimes]+feed.Status().Errors[askConfigs]+feed.Status().Errors[askStoreWrites], feed.Status().LastError)
		})
	}
}

func (f *fake) commitTo(group, topic string, offset int64) {
	require.NoError(f.t, f.commitAt(group, topic, 0, offset))
}

func (f *fake) commitAt(group, topic string, partition int32, offset int64) error {
	var to kadm.Offsets
	to.AddOffset(topic, partition, offset, -1)
	return f.admin.CommitAllOffsets(f.t.Context(), group, to)
}

// If the older records of a partition were deleted, the age of the first remaining one is known.
func TestTimeLagOfATruncatedPartition(t *testing.T) {
	f := newFake(t)
	require.NoError(t, f.cluster.CreateTopic("old", 1, nil))
	begun := time.Now()
	f.dated("old", 3*day, 2*time.Hour, 2*time.Hour, time.Minute)
	require.NoError(t, f.cluster.DeleteRecords("old", 0, 1))
	f.commitTo("g", "old", 0)
	store := openStore(t, "")
	feed := runFeed(t, store, f.opts()...)
	<-feed.Ready()
	lag, least, most := timeLag(t, store, "g")
	require.LessOrEqual(t, least, 2*time.Hour+time.Since(begun)+time.Minute, lag)
	require.GreaterOrEqual(t, most, 2*time.Hour-time.Minute, lag)
	require.Less(t, most-least, 6*time.Minute+time.Since(begun), lag)
}

func TestTimesOfTheBrokerHaveASmallMargin(t *testing.T) {
	f := newFake(t)
	require.NoError(t, f.cluster.CreateTopic("appended", 1, map[string]string{"message.timestamp.type": "LogAppendTime"}))
	begun := time.Now()
	f.dated("appended", 0, 0)
	f.commitTo("g", "appended", 0)
	store := openStore(t, "")
	feed := runFeed(t, store, f.opts()...)
	<-feed.Ready()
	lag, least, most := timeLag(t, store, "g")
	require.Equal(t, protocol.TimeSourceBroker, lag.Source, lag)
	require.Less(t, least, time.Since(begun)+time.Minute)
	require.Less(t, most-least, time.Since(begun)+2*time.Minute)
}

// The ladder takes one request per rung and broker, however many partitions there are, and ends at the last commit.
func TestLadderIsBatchedAndEnds(t *testing.T) {
	f := newFake(t, kfake.SeedTopics(60, "wide"))
	begun := time.Now()
	for partition := range int32(60) {
		for range 2 {
			f.log(&kgo.Record{Topic: "wide", Partition: partition, Value: []byte("v"), Timestamp: time.Now().Add(-30 * time.Minute)})
		}
		require.NoError(t, f.commitAt("g", "wide", partition, 1))
	}
	var asked atomic.Int64
	f.cluster.ControlKey(int16(kmsg.ListOffsets), func(r kmsg.Request) (kmsg.Response, error, bool) {
		f.cluster.KeepControl()
		if r.(*kmsg.ListOffsetsRequest).Topics[0].Partitions[0].Timestamp > 0 {
			asked.Add(1)
		}
		return nil, nil, false
	})
	store := openStore(t, "")
	feed := runFeed(t, store, f.opts(WithMode(ModePoll))...)
	<-feed.Ready()
	const rungs = 4 // 1, 5 and 15 minutes, and the hour before which there is nothing
	require.GreaterOrEqual(t, asked.Load(), int64(3*rungs), "60 partitions at 3 brokers")
	require.LessOrEqual(t, asked.Load(), int64(3*(rungs+halvings)))
	lag, least, most := timeLag(t, store, "g")
	require.LessOrEqual(t, least, 31*time.Minute+time.Since(begun), lag)
	require.GreaterOrEqual(t, most, 29*time.Minute, lag)
}

// A failed request is repeated at the next poll, and a refused one is reported.
func TestLadderIsClimbedAgainAfterAFailure(t *testing.T) {
	f := newFake(t)
	require.NoError(t, f.cluster.CreateTopic("old", 1, nil))
	f.dated("old", 2*time.Hour, 2*time.Hour)
	f.commitTo("g", "old", 0)
	failing := f.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Topic: "old", Err: kerr.TopicAuthorizationFailed, Count: -1,
		When: func(r kmsg.Request) bool { return r.(*kmsg.ListOffsetsRequest).Topics[0].Partitions[0].Timestamp > 0 }})
	f.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeConfigs}, Resource: "old", Err: kerr.TopicAuthorizationFailed, Count: -1})
	store := openStore(t, "")
	feed := runFeed(t, store, f.opts(Interval(often))...)
	<-feed.Ready()
	require.Contains(t, feed.Status().Refused, askTimes)
	failing.Remove()
	eventually(t, "the lag in time is known", func() bool {
		_, _, most := timeLag(t, store, "g")
		return most > time.Hour
	})
	lag, _, _ := timeLag(t, store, "g")
	require.Equal(t, protocol.TimeSourceProducer, lag.Source, "without the right to describe it, a time counts as the producer's")
	require.Contains(t, feed.Status().Refused, askConfigs)
}

func TestRecordTime(t *testing.T) {
	f := newFake(t)
	require.NoError(t, f.cluster.CreateTopic("old", 1, nil))
	begun := time.Now()
	f.dated("old", 3*day, 2*time.Hour)
	f.inTransaction("x", &kgo.Record{Topic: "old", Value: []byte("v")})(kgo.TryCommit)
	store := openStore(t, "")
	idle, err := New(store, "prod", f.opts()...)
	require.NoError(t, err)
	_, _, err = idle.RecordTime(t.Context(), "old", 0, 0)
	require.ErrorContains(t, err, "feed does not run")
	feed := runFeed(t, store, f.opts()...)
	<-feed.Ready()
	for offset, age := range map[int64]time.Duration{0: 3 * day, 1: 2 * time.Hour, 2: 0} {
		at, source, err := feed.RecordTime(t.Context(), "old", 0, offset)
		require.NoError(t, err)
		require.Equal(t, protocol.TimeSourceProducer, source)
		require.InDelta(t, age.Seconds(), time.Since(at).Seconds(), (time.Since(begun) + time.Minute).Seconds())
	}
	_, _, err = feed.RecordTime(t.Context(), "old", 0, 3)
	require.ErrorIs(t, err, ErrNoRecord, "a marker is not a message")
	_, _, err = feed.RecordTime(t.Context(), "old", 0, 4)
	require.ErrorIs(t, err, ErrNoRecord)
	_, _, err = feed.RecordTime(t.Context(), "old", 0, 5)
	require.ErrorIs(t, err, kerr.OffsetOutOfRange)
	_, _, err = feed.RecordTime(t.Context(), "old", 7, 0)
	require.ErrorIs(t, err, kerr.LeaderNotAvailable)
	_, _, err = feed.RecordTime(t.Context(), "none", 0, 0)
	require.ErrorIs(t, err, kerr.UnknownTopicOrPartition)
	feed.stop()
	_, _, err = feed.RecordTime(t.Context(), "old", 0, 0)
	require.ErrorContains(t, err, "feed does not run")
}
