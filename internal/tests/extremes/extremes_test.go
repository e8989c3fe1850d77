package extremes_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/contract"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/storagetest"
)

var (
	extremeOffsets = []int64{
		math.MinInt64, math.MinInt64 + 1, -1 << 62, math.MinInt32, -1, 0, 1, math.MaxInt32, math.MaxUint32, 1 << 62,
		math.MaxInt64 - 1, math.MaxInt64,
	}
	extremeInt32s = []int32{math.MinInt32, math.MinInt32 + 1, -2, -1, 0, 1, 2, math.MaxInt32 - 1, math.MaxInt32}
	extremeNames  = map[string]string{
		"empty":         "",
		"NUL":           "\x00",
		"invalid UTF-8": "a\xff\xfe\xc3(",
		"longest":       strings.Repeat("x", math.MaxInt16),
		"longest 2":     strings.Repeat("x", math.MaxInt16-1) + "y",
	}
)

// sameAsModel carries out, in every mode, the requests that make returns for a time, and compares the answers with the
// model's.
func sameAsModel(t *testing.T, config storagetest.Config, make func(now int64) []*protocol.StorageRequest) {
	t.Helper()
	for _, mode := range contract.Modes() {
		asked := false
		contract.CheckAgainstModel(t, testkit.InMemory, config, mode,
			func(now int64) ([]*protocol.StorageRequest, time.Duration) {
				if asked {
					return nil, 0
				}
				asked = true
				return make(now), 0
			})
	}
}

// TestExtremeLag checks the lag, both stored and current, between all pairs of extreme offsets. Values that are easy to get
// wrong are given; the model computes the others.
func TestExtremeLag(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		end, offset int64
		want        uint64
	}{
		{math.MaxInt64, 0, math.MaxInt64},
		{math.MaxInt64, 1, math.MaxInt64 - 1},
		{math.MaxInt64, math.MaxInt64 - 1, 1},
		{math.MaxInt64, math.MaxInt64, 0},
		{0, math.MaxInt64, 0},
		{1, math.MaxInt64, 0},
		{0, 0, 0},
	} {
		s := testkit.Started(t, testkit.Config())
		s.Send(testkit.EndOf("topic", 0, 1, test.end))
		s.Send(testkit.CommitOf("group", "topic", 0, test.offset, 1, time.Now().UnixMilli()))
		answer, _ := s.Ask(testkit.FetchOf("group"))
		p := answer.(protocol.ConsumerTopics)["topic"][0]
		require.Equal(t, test.offset, p.Offsets[2].Offset)
		require.Equal(t, []int64{test.end}, p.BrokerOffsets)
		require.Equal(t, test.want, p.Offsets[2].Lag.Value, "stored lag of %d behind %d", test.offset, test.end)
		require.Equal(t, test.want, p.CurrentLag, "current lag of %d behind %d", test.offset, test.end)
	}
	sameAsModel(t, testkit.Config(), func(now int64) []*protocol.StorageRequest {
		var all []*protocol.StorageRequest
		for i, end := range extremeOffsets {
			for j, offset := range extremeOffsets {
				topic, group := fmt.Sprint("topic", i), fmt.Sprint("group", j)
				all = append(all, testkit.EndOf(topic, 0, 1, end), testkit.CommitOf(group, topic, 0, offset, int64(i+1), now), testkit.FetchOf(group))
			}
		}
		return all
	})
}

// TestExtremeOffsets follows extreme offsets through windows and histories, in both directions and back and forth.
func TestExtremeOffsets(t *testing.T) {
	t.Parallel()
	for _, intervals := range []int{1, 3, 30} {
		sameAsModel(t, testkit.Config("intervals", intervals), func(now int64) []*protocol.StorageRequest {
			sequence := slices.Clone(extremeOffsets)
			slices.Reverse(sequence)
			sequence = append(sequence, extremeOffsets...)
			for i := range extremeOffsets {
				sequence = append(sequence, extremeOffsets[i], extremeOffsets[len(extremeOffsets)-1-i])
			}
			var all []*protocol.StorageRequest
			for i, offset := range sequence {
				all = append(all,
					testkit.EndOf("topic", 0, 1, offset),
					testkit.CommitOf("group", "topic", 0, sequence[len(sequence)-1-i], int64(i+1), now),
					testkit.FetchOf("group"),
					&protocol.StorageRequest{RequestType: protocol.StorageFetchTopic, Cluster: "local", Topic: "topic"},
				)
			}
			return all
		})
	}
}

// TestExtremeOrders places commits of extreme orders among each other.
func TestExtremeOrders(t *testing.T) {
	t.Parallel()
	for _, intervals := range []int{1, 3, 30} {
		sameAsModel(t, testkit.Config("intervals", intervals), func(now int64) []*protocol.StorageRequest {
			all := []*protocol.StorageRequest{testkit.EndOf("topic", 0, 1, 100)}
			for step := range len(extremeOffsets) {
				group := fmt.Sprint("group", step)
				for i := range 2 * len(extremeOffsets) {
					// Each group gets the orders in a different sequence.
					order := extremeOffsets[(i*(step+1)+step)%len(extremeOffsets)]
					all = append(all, testkit.CommitOf(group, "topic", 0, int64(i), order, now+int64(i)), testkit.FetchOf(group))
				}
			}
			return all
		})
	}
}

// TestExtremeTimestamps has sequences of extreme timestamps, even if nothing is too old and if almost everything is too
// close.
func TestExtremeTimestamps(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]storagetest.Config{
		"default":          testkit.Config(),
		"short expiry":     testkit.Config("expire-group", 1),
		"min-distance":     testkit.Config("min-distance", 1),
		"great expiry":     testkit.Config("expire-group", testkit.Centuries),
		"great distance":   testkit.Config("expire-group", testkit.Centuries, "min-distance", testkit.Centuries),
		"distance, window": testkit.Config("intervals", 30, "expire-group", testkit.Centuries, "min-distance", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sameAsModel(t, config, func(now int64) []*protocol.StorageRequest {
				times := append(slices.Clone(extremeOffsets), now-1001, now-1000, now-999, now-1, now, now+1,
					now-1000*testkit.Centuries-1, now-1000*testkit.Centuries, 1-now)
				all := []*protocol.StorageRequest{testkit.EndOf("topic", 0, 1, 100)}
				for i, first := range times {
					for j, second := range times {
						group := fmt.Sprint("group", i, "-", j)
						all = append(all,
							testkit.CommitOf(group, "topic", 0, 10, 10, first),
							testkit.CommitOf(group, "topic", 0, 20, 20, second), testkit.FetchOf(group),
							testkit.CommitOf(group, "topic", 0, 15, 15, first),
							testkit.CommitOf(group, "topic", 0, 30, 0, second), testkit.FetchOf(group))
					}
				}
				return all
			})
		})
	}
}

// TestExtremePartitions uses all pairs of extreme partitions and counts.
func TestExtremePartitions(t *testing.T) {
	t.Parallel()
	sameAsModel(t, testkit.Config(), func(now int64) []*protocol.StorageRequest {
		var all []*protocol.StorageRequest
		for i, partition := range extremeInt32s {
			for j, count := range extremeInt32s {
				topic, group := fmt.Sprint("topic", i, "-", j), fmt.Sprint("group", i, "-", j)
				all = append(all, testkit.EndOf(topic, partition, count, 100))
				for _, of := range extremeInt32s {
					all = append(all, testkit.CommitOf(group, topic, of, 10, 1, now), &protocol.StorageRequest{
						RequestType: protocol.StorageSetConsumerOwner, Cluster: "local", Group: group, Topic: topic,
						Partition: of, Owner: "host", ClientID: "client",
					})
				}
				all = append(all, testkit.FetchOf(group),
					&protocol.StorageRequest{RequestType: protocol.StorageFetchTopic, Cluster: "local", Topic: topic},
					&protocol.StorageRequest{RequestType: protocol.StorageFetchTopics, Cluster: "local"},
					&protocol.StorageRequest{RequestType: protocol.StorageFetchConsumers, Cluster: "local"})
			}
		}
		return all
	})
}

// TestExtremeLimit commits to the last partition that a topic can have.
func TestExtremeLimit(t *testing.T) {
	t.Parallel()
	const last = 1<<20 - 1
	s := testkit.Started(t, testkit.Config())
	s.Send(testkit.EndOf("topic", last, 0, 100))
	s.Send(testkit.CommitOf("group", "topic", last, 10, 1, time.Now().UnixMilli()))
	s.Send(testkit.EndOf("topic", last+1, 0, 100))
	s.Send(testkit.EndOf("topic", 0, last+2, 100))
	s.Send(testkit.CommitOf("group", "topic", last+1, 10, 1, time.Now().UnixMilli()))
	answer, _ := s.Ask(testkit.FetchOf("group"))
	partitions := answer.(protocol.ConsumerTopics)["topic"]
	require.Len(t, partitions, last+1)
	require.Equal(t, uint64(90), partitions[last].CurrentLag)
	require.Empty(t, partitions[0].Offsets)
	require.NotNil(t, partitions[0])
}

// TestExtremeNames uses names of all kinds wherever there is a name.
func TestExtremeNames(t *testing.T) {
	t.Parallel()
	for which, name := range extremeNames {
		t.Run(which, func(t *testing.T) {
			t.Parallel()
			sameAsModel(t, testkit.Config(), func(now int64) []*protocol.StorageRequest {
				var all []*protocol.StorageRequest
				for _, names := range [][4]string{
					{"local", "group", "topic", "host"},
					{name, "group", "topic", "host"},
					{"local", name, "topic", "host"},
					{"local", "group", name, "host"},
					{"local", "group", "topic", name},
					{"local", name, name, name},
				} {
					for kind := range protocol.StorageRequestConstant(protocol.StorageRequestTypes) {
						switch kind {
						case protocol.StorageSetDeleteTopic, protocol.StorageSetDeleteGroup, protocol.StorageClearConsumerOwners:
							continue
						}
						all = append(all, &protocol.StorageRequest{
							RequestType: kind, Cluster: names[0], Group: names[1], Topic: names[2],
							TopicPartitionCount: 1, Offset: 10, Order: int64(len(all)), Timestamp: now,
							Owner: names[3], ClientID: names[3],
						})
					}
					all = append(all, testkit.FetchOf(names[1]))
				}
				for _, kind := range []protocol.StorageRequestConstant{
					protocol.StorageClearConsumerOwners, protocol.StorageSetDeleteGroup, protocol.StorageSetDeleteTopic,
				} {
					all = append(all,
						&protocol.StorageRequest{RequestType: kind, Cluster: "local", Group: name, Topic: name},
						&protocol.StorageRequest{RequestType: protocol.StorageFetchTopics, Cluster: "local"},
						&protocol.StorageRequest{RequestType: protocol.StorageFetchConsumers, Cluster: "local"},
						testkit.FetchOf(name), testkit.FetchOf("group"))
				}
				return all
			})
		})
	}
}

// TestExtremeCombinations combines extremes of every field in every request.
func TestExtremeCombinations(t *testing.T) {
	t.Parallel()
	sameAsModel(t, testkit.Config("expire-group", testkit.Centuries), func(now int64) []*protocol.StorageRequest {
		all := []*protocol.StorageRequest{testkit.EndOf("", 0, 2, math.MaxInt64), testkit.EndOf("\xff", 1, 2, 0)}
		for i := range 3000 {
			all = append(all, &protocol.StorageRequest{
				RequestType: protocol.StorageRequestConstant(i * 7 % protocol.StorageRequestTypes),
				Cluster:     []string{"local", "", "\xff", "LOCAL"}[i/3%4],
				Group:       []string{"", "\xff", "group"}[i/5%3],
				Topic:       []string{"", "\xff"}[i/11%2],
				Partition:   extremeInt32s[i/2%len(extremeInt32s)], TopicPartitionCount: extremeInt32s[i/7%len(extremeInt32s)],
				Offset: extremeOffsets[i/3%len(extremeOffsets)], Order: extremeOffsets[i/13%len(extremeOffsets)],
				Timestamp: append([]int64{now, now + 1}, extremeOffsets...)[i%(2+len(extremeOffsets))],
				Owner:     []string{"", "\xff"}[i/17%2], ClientID: []string{"", "\xff"}[i/19%2],
			})
		}
		return all
	})
}

// TestSendersFaults sends many requests that cannot be answered: they are counted, logged now and then, change nothing and
// cause no panic.
func TestSendersFaults(t *testing.T) {
	t.Parallel()
	core, written := observer.New(zap.WarnLevel)
	m := &storage.InMemoryStorage{
		App: &protocol.ApplicationContext{}, Log: zap.New(core), Viper: testkit.Configuration(testkit.Config()),
	}
	m.Configure("test", "storage.test")
	require.NoError(t, m.Start())
	s := &testkit.Service{Module: m, T: t, Store: m.Store, Channel: m.GetCommunicationChannel()}
	t.Cleanup(func() { s.MustStop() })
	s.Fill()
	const times = 1000
	for range times {
		s.Send(nil)
		s.Send(testkit.FetchOf("group"))
		s.Send(&protocol.StorageRequest{RequestType: 99})
	}
	s.Holds(true)
	stats, err := m.Stats()
	require.NoError(t, err)
	require.Equal(t, [4]uint64{times, times, times, 0},
		[4]uint64{stats.Relay.NilRequests, stats.Relay.NilReplies, stats.Relay.UnknownTypes, stats.Relay.Panics})
	require.Eventually(t, func() bool {
		// The goroutine of the last answer may run for a moment after it was read.
		stats, err := m.Stats()
		return err == nil && stats.Relay.WaitingReplies == 0
	}, testkit.Patience, time.Millisecond)
	require.Greater(t, written.Len(), 2)
	require.Less(t, written.Len(), times/10)
}

// panicking is a store that panics.
type panicking struct {
	storage.Backend
	building bool
}

func (p panicking) Fetch(context.Context, *protocol.StorageRequest) (func() any, error) {
	if !p.building {
		panic("a bug")
	}
	return func() any { panic("a bug") }, nil
}

func (panicking) Commit(context.Context, string, string, protocol.Commit) error { panic("a bug") }

// TestPanicIsContained lets the store panic: the Reply is closed, and the next request is served.
func TestPanicIsContained(t *testing.T) {
	t.Parallel()
	for _, building := range []bool{false, true} {
		core, written := observer.New(zap.ErrorLevel)
		relay := storage.NewRelay(panicking{building: building}, zap.New(core), storage.RelayOptions{Workers: 1})
		relay.Start()
		s := &testkit.Service{T: t, Channel: relay.GetCommunicationChannel()}
		for range 3 {
			s.Send(testkit.CommitOf("group", "topic", 0, 10, 1, 0))
			_, replied := s.Ask(testkit.FetchOf("group"))
			require.False(t, replied)
		}
		relay.Stop()
		require.NotZero(t, written.Len(), "panics in the log")
		for _, entry := range written.All() {
			require.Contains(t, entry.ContextMap()["stack"], "panicking")
		}
	}
}
