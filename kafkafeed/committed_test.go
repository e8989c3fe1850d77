package kafkafeed

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestChunksAreBounded(t *testing.T) {
	names := func(n int) (groups []string) {
		for i := range n {
			groups = append(groups, fmt.Sprint("g", i))
		}
		return groups
	}
	lengths := func(split [][]string) (of []int) {
		for _, some := range split {
			of = append(of, len(some))
		}
		return of
	}
	require.Empty(t, chunks(nil, nil))
	require.Equal(t, []int{2000, 2000, 1}, lengths(chunks(names(4001), nil)), "50 partitions are assumed")
	sizes := map[string]int{"g0": 60_000, "g1": 40_000, "g2": 1, "g3": 300_000, "g4": 0}
	require.Equal(t, []int{2, 1, 1, 1}, lengths(chunks(names(5), sizes)), "a group that is too large has its own request")
	groups := names(10_000)
	require.Equal(t, groups, slices.Concat(chunks(groups, nil)...), "none is left out")
}

// A request whose answer is too large for the client is split into halves.
func TestAnswerThatIsTooLargeIsAskedForInHalves(t *testing.T) {
	f := newFake(t, kfake.SeedTopics(100, "wide"))
	want := lags{}
	for i := range 30 {
		group := fmt.Sprint("g", i)
		var to kadm.Offsets
		for partition := range int32(100) {
			to.AddOffset("wide", partition, 0, -1)
			want[fmt.Sprint(group, " wide ", partition)] = "0 0 0"
		}
		require.NoError(t, f.admin.CommitAllOffsets(t.Context(), group, to))
	}
	store := openStore(t, "")
	feed := runFeed(t, store, f.opts(WithMode(ModePoll), ClientOpts(kgo.BrokerMaxReadBytes(8000),
		kgo.FetchMaxBytes(1000), kgo.FetchMaxPartitionBytes(1000)))...)
	<-feed.Ready()
	require.Equal(t, want, storedLags(t, store))
}

// countRequests counts the requests to a fake by kind.
func countRequests(cluster *kfake.Cluster, keys ...kmsg.Key) map[kmsg.Key]*atomic.Int64 {
	counts := make(map[kmsg.Key]*atomic.Int64)
	for _, key := range keys {
		count := new(atomic.Int64)
		counts[key] = count
		cluster.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			count.Add(1)
			return nil, nil, false
		})
	}
	return counts
}

// The number of requests of a poll depends on the number of brokers, not on the number of groups and partitions.
func TestRequestsOfAPollAreProportionalToBrokers(t *testing.T) {
	asked := []kmsg.Key{kmsg.Metadata, kmsg.ListOffsets, kmsg.ListGroups, kmsg.OffsetFetch, kmsg.DescribeGroups, kmsg.FindCoordinator}
	for _, size := range []struct{ brokers, groups, partitions int }{{1, 300, 50}, {3, 30, 5}, {3, 300, 50}, {3, 1900, 2}, {5, 300, 50}} {
		t.Run(fmt.Sprintf("%d brokers, %d groups with %d partitions", size.brokers, size.groups, size.partitions), func(t *testing.T) {
			f := newFake(t, kfake.NumBrokers(size.brokers), kfake.SeedTopics(int32(size.partitions), "wide"))
			commitAll(t, f.admin, size.groups, size.partitions)
			counts := countRequests(f.cluster, asked...)
			polled := make(chan struct{})
			once := sync.OnceFunc(func() { close(polled) })
			feed := runFeed(t, openStore(t, ""), f.opts(WithMode(ModePoll), WithHooks(pollHook(once)))...)
			<-polled
			<-feed.Ready()
			for key, count := range counts {
				require.Positive(t, count.Load(), key.Name())
				require.LessOrEqual(t, count.Load(), int64(4*size.brokers), "requests of kind %s", key.Name())
			}
		})
	}
}

// commitAll makes groups commit all partitions of the topic "wide".
func commitAll(t testing.TB, admin *kadm.Client, groups, partitions int) {
	for i := range groups {
		var to kadm.Offsets
		for partition := range int32(partitions) {
			to.AddOffset("wide", partition, 0, -1)
		}
		require.NoError(t, admin.CommitAllOffsets(t.Context(), fmt.Sprintf("consumer-group-%04d", i), to))
	}
}

type pollHook func()

func (h pollHook) OnPoll(time.Duration, error) { h() }

// A broker that lists no topics, such as one whose metadata is behind, is asked for them by name.
func TestTopicThatIsNotListedIsKeptWhileABrokerKnowsIt(t *testing.T) {
	f := newFake(t)
	f.produce("orders", 10)
	f.commit("g", 0, 3)
	var hidden atomic.Bool
	var answers atomic.Int64
	f.cluster.ControlKey(int16(kmsg.Metadata), hideTopics(f.cluster, f.brokers(), &hidden, &answers))
	store := openStore(t, "")
	feed := runFeed(t, store, f.opts(Interval(often))...)
	<-feed.Ready()
	hidden.Store(true)
	eventually(t, "the topic was missing from many lists", func() bool { return answers.Load() > 20 })
	require.Equal(t, lags{"g orders 0": "3 10 7"}, storedLags(t, store))
	require.Zero(t, feed.Status().Errors[askTopics], feed.Status().LastError)
	hidden.Store(false)
	require.NoError(t, f.cluster.DeleteTopic("orders"))
	agree(t, store, lags{})
}

// Topics that the feed may no longer describe are not deleted.
func TestTopicWithoutTheRightToItIsKept(t *testing.T) {
	f := newFake(t)
	f.produce("orders", 10)
	f.commit("g", 0, 3)
	var hidden atomic.Bool
	var answers atomic.Int64
	f.cluster.ControlKey(int16(kmsg.Metadata), refuseTopics(f.cluster, f.brokers(), &hidden, &answers))
	store := openStore(t, "")
	feed := runFeed(t, store, f.opts(Interval(often))...)
	<-feed.Ready()
	hidden.Store(true)
	eventually(t, "the topic was refused many times", func() bool { return answers.Load() > 20 })
	require.Equal(t, lags{"g orders 0": "3 10 7"}, storedLags(t, store))
}
