package kafkafeed

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lagkeeper/storage/protocol"
)

// Coordinators leave out topics that the feed may not describe, and report missing rights if asked by name: what the store has of
// these topics stays.
func TestCommitsOfHiddenTopicsStay(t *testing.T) {
	f := newFake(t)
	f.produce("orders", 10)
	f.commit("g", 0, 3)
	f.commit("g", 1, 4)
	var hidden atomic.Bool
	var named atomic.Int64
	f.cluster.ControlKey(int16(kmsg.OffsetFetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		f.cluster.KeepControl()
		request := r.(*kmsg.OffsetFetchRequest)
		response := request.ResponseKind().(*kmsg.OffsetFetchResponse)
		for _, g := range request.Groups {
			group := kmsg.NewOffsetFetchResponseGroup()
			group.Group = g.Group
			for _, topic := range g.Topics {
				refused := kmsg.NewOffsetFetchResponseGroupTopic()
				refused.Topic = topic.Topic
				for _, partition := range topic.Partitions {
					p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
					p.Partition, p.Offset, p.ErrorCode = partition, -1, kerr.TopicAuthorizationFailed.Code
					refused.Partitions = append(refused.Partitions, p)
				}
				group.Topics = append(group.Topics, refused)
				named.Add(1)
			}
			response.Groups = append(response.Groups, group)
		}
		return response, nil, hidden.Load()
	})
	store := openStore(t, "")
	feed := runFeed(t, store, f.opts(Interval(often), WithMode(ModePoll))...)
	<-feed.Ready()
	both := lags{"g orders 0": "3 10 7", "g orders 1": "4 10 6"}
	require.Equal(t, both, storedLags(t, store))
	hidden.Store(true)
	eventually(t, "the topic was asked for by name", func() bool { return named.Load() > 2 })
	require.Equal(t, both, storedLags(t, store))
	require.Contains(t, feed.Status().Refused, askGone)

	again := openStore(t, "")
	require.NoError(t, again.SetEndOffset(t.Context(), "prod", "orders", protocol.EndOffset{TopicPartitionCount: 3, Offset: 10}))
	require.NoError(t, again.Commit(t.Context(), "prod", "g", protocol.Commit{Topic: "orders", Offset: 3, Order: -1, Timestamp: time.Now().UnixMilli()}))
	<-runFeed(t, again, f.opts(Interval(often), WithMode(ModePoll))...).Ready()
	require.Equal(t, lags{"g orders 0": "3 10 7"}, storedLags(t, again))

	hidden.Store(false)
	var set kadm.TopicsSet
	set.Add("orders", 0)
	_, err := f.admin.DeleteOffsets(t.Context(), "g", set)
	require.NoError(t, err)
	agree(t, store, lags{"g orders 1": "4 10 6"})
}
