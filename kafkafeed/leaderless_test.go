package kafkafeed

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lagkeeper/storage/protocol"
)

// without answers requests for metadata while a broker is down that had the only copy of its partitions: it is not listed, and they
// have no leader. all is the answer while it is up.
func without(cluster *kfake.Cluster, all *kmsg.MetadataResponse, broker int32, down *atomic.Bool) func(kmsg.Request) (kmsg.Response, error, bool) {
	return func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if !down.Load() {
			return nil, nil, false
		}
		response := r.ResponseKind().(*kmsg.MetadataResponse)
		response.ClusterID, response.ControllerID = all.ClusterID, all.ControllerID
		response.Brokers = slices.DeleteFunc(slices.Clone(all.Brokers), func(b kmsg.MetadataResponseBroker) bool { return b.NodeID == broker })
		wanted := r.(*kmsg.MetadataRequest).Topics
		for _, topic := range all.Topics {
			if wanted != nil && !slices.ContainsFunc(wanted, func(t kmsg.MetadataRequestTopic) bool { return t.Topic != nil && *t.Topic == *topic.Topic }) {
				continue
			}
			topic.Partitions = slices.Clone(topic.Partitions)
			for i := range topic.Partitions {
				if p := &topic.Partitions[i]; p.Leader == broker {
					p.Leader, p.ErrorCode = -1, kerr.LeaderNotAvailable.Code
				}
			}
			response.Topics = append(response.Topics, topic)
		}
		return response, nil, true
	}
}

// If a partition of the log has no leader, no broker lists its groups: the feed says so, and is ready only once it knows them.
func TestGroupsWithoutCoordinatorAreMissed(t *testing.T) {
	for _, mode := range []Mode{ModePoll, ModeAuto} {
		t.Run(string(mode), func(t *testing.T) {
			f := withLog(t)
			const dead = 2
			require.NoError(t, f.cluster.MoveTopicPartition("orders", 0, 0))
			require.NoError(t, f.cluster.MoveTopicPartition(logTopic, 0, 0))
			require.NoError(t, f.cluster.MoveTopicPartition(logTopic, 1, dead))
			here, aged, there := "", "", ""
			for i := 0; aged == "" || there == ""; i++ {
				switch group := fmt.Sprint("g", i); {
				case f.cluster.CoordinatorFor(group) == dead:
					there = group
				case here == "":
					here = group
				default:
					aged = group
				}
			}
			require.NoError(t, f.cluster.CreateTopic("old", 1, nil))
			require.NoError(t, f.cluster.MoveTopicPartition("old", 0, 0))
			begun := time.Now()
			f.dated("old", 3*time.Hour, 2*time.Hour, time.Minute)
			f.commitTo(aged, "old", 1)
			f.commit(here, 0, 3)
			f.commit(there, 0, 4)
			f.log(logCommit(0, here, 0, 3), logCommit(1, there, 0, 4))
			var down atomic.Bool
			all, err := kmsg.NewPtrMetadataRequest().RequestWith(t.Context(), f.client)
			require.NoError(t, err)
			f.cluster.ControlKey(int16(kmsg.Metadata), without(f.cluster, all, dead, &down))
			down.Store(true)

			store := openStore(t, "")
			feed := runFeed(t, store, f.opts(Interval(often), WithMode(mode))...)
			eventually(t, "the rest is polled again and again", func() bool {
				return feed.Status().Errors[askGroups] > 3 && storedLags(t, store)[here+" orders 0"] != ""
			})
			require.NotContains(t, stored(t, store), there)
			eventually(t, "the backlog is as old as its records", func() bool {
				if !slices.Contains(stored(t, store), aged) {
					return false
				}
				lag, least, most := timeLag(t, store, aged)
				return lag.Kind == protocol.TimeLagInterpolated && least < 2*time.Hour+time.Since(begun) && most > 2*time.Hour
			})
			status := feed.Status()
			require.False(t, status.Ready)
			require.Equal(t, ModePoll, status.Mode)
			feed.state.mu.Lock()
			text := feed.state.texts[askGroups]
			feed.state.mu.Unlock()
			require.Contains(t, text, "1 of 2 partitions of __consumer_offsets have no leader")

			down.Store(false)
			<-feed.Ready()
			agree(t, store, lags{here + " orders 0": "3 100 97", there + " orders 0": "4 100 96", aged + " old 0": "1 3 2"})
		})
	}
}
