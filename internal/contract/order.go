package contract

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// repetitions is how often an ordering guarantee is checked while others send.
const repetitions = 200

// storm is a module with many other senders.
type storm struct {
	*subject
	quit    chan struct{}
	senders sync.WaitGroup
}

// startStorm starts a module, and senders that send requests of all kinds about groups and topics of their own until the test
// ends. Half of the answers are never read.
func startStorm(t *testing.T, factory Factory, config Config) *storm {
	t.Helper()
	s := &storm{subject: start(t, factory, config), quit: make(chan struct{})}
	for sender := range 4 {
		s.senders.Add(1)
		go s.send(sender)
	}
	// Runs before the module is stopped.
	t.Cleanup(func() {
		close(s.quit)
		s.senders.Wait()
	})
	return s
}

func (s *storm) send(sender int) {
	defer s.senders.Done()
	topic, group := fmt.Sprint("storm topic ", sender), fmt.Sprint("storm group ", sender)
	w := &world{base: endOf("", "", 0, 0, 0).Timestamp}
	for i := int64(1); ; i++ {
		// Otherwise a sender and the module could pass a processor to each other for a long time.
		runtime.Gosched()
		r := w.commitOf(group, topic, 0, i, i, i)
		switch i % 8 {
		case 0:
			r = endOf("local", topic, 0, 1, i)
		case 1:
			r = ownerOf("local", group, topic, 0, "host", "client")
		case 2:
			r = request(protocol.StorageFetchConsumer, "local", group, "")
			r.Reply = make(chan any, 1)
		case 3:
			r = request(protocol.StorageFetchConsumers, "local", "", "")
			r.Reply = make(chan any, 1)
		case 4:
			if i%64 == 4 {
				r = request(protocol.StorageSetDeleteTopic, "local", "", topic)
			}
		}
		select {
		case s.channel <- &r:
		case <-s.quit:
			return
		}
		if r.Reply != nil && i%16 < 8 {
			select {
			case <-r.Reply:
			case <-s.quit:
				return
			}
		}
	}
}

// ordered is a sequence of requests with the answers of its fetches, as one sender sees them.
type ordered struct {
	name string
	// requests are those of one repetition, about a group and topic of its own.
	requests func(w *world, group, topic string) []protocol.StorageRequest
	// check checks the answers of the fetches among the requests, in their order.
	check func(t testing.TB, got []answer)
}

var orderings = []ordered{
	{
		name: "of five end offsets the fifth is the newest",
		requests: func(_ *world, _, topic string) []protocol.StorageRequest {
			var all []protocol.StorageRequest
			for i := range int64(5) {
				all = append(all, endOf("local", topic, 0, 1, 100+i))
			}
			return append(all, request(protocol.StorageFetchTopic, "local", "", topic))
		},
		check: func(t testing.TB, got []answer) { require.Equal(t, []int64{104}, got[0].value) },
	},
	{
		name: "a commit between two end offsets has its lag against the first",
		requests: func(w *world, group, topic string) []protocol.StorageRequest {
			return []protocol.StorageRequest{
				endOf("local", topic, 0, 1, 100),
				w.commitOf(group, topic, 0, 10, 1, 0),
				endOf("local", topic, 0, 1, 1000),
				request(protocol.StorageFetchConsumer, "local", group, ""),
			}
		},
		check: func(t testing.TB, got []answer) {
			p := onlyPartition(t, got[0])
			require.Equal(t, &protocol.Lag{Value: 90}, p.Offsets[2].Lag)
			require.Equal(t, uint64(990), p.CurrentLag)
			require.Equal(t, []int64{100, 1000}, p.BrokerOffsets)
		},
	},
	{
		name: "a deleted topic is made anew",
		requests: func(w *world, group, topic string) []protocol.StorageRequest {
			return []protocol.StorageRequest{
				endOf("local", topic, 2, 3, 100),
				w.commitOf(group, topic, 2, 10, 1, 0),
				request(protocol.StorageSetDeleteTopic, "local", "", topic),
				request(protocol.StorageFetchTopic, "local", "", topic),
				endOf("local", topic, 0, 1, 50),
				request(protocol.StorageFetchTopic, "local", "", topic),
				request(protocol.StorageFetchConsumer, "local", group, ""),
				request(protocol.StorageFetchConsumersForTopic, "local", "", topic),
				w.commitOf(group, topic, 0, 20, 1, 1000),
				request(protocol.StorageFetchConsumer, "local", group, ""),
			}
		},
		check: func(t testing.TB, got []answer) {
			require.False(t, got[0].replied)
			require.Equal(t, []int64{50}, got[1].value)
			require.False(t, got[2].replied, "the group holds a deleted topic")
			require.Equal(t, []string{}, got[3].value)
			p := onlyPartition(t, got[4])
			require.Equal(t, &protocol.Lag{Value: 30}, p.Offsets[2].Lag)
			require.Nil(t, p.Offsets[1])
		},
	},
	{
		name: "a deleted group is made anew",
		requests: func(w *world, group, topic string) []protocol.StorageRequest {
			return []protocol.StorageRequest{
				endOf("local", topic, 0, 1, 100),
				w.commitOf(group, topic, 0, 10, 1, 0),
				request(protocol.StorageSetDeleteGroup, "local", group, ""),
				request(protocol.StorageFetchConsumer, "local", group, ""),
				w.commitOf(group, topic, 0, 20, 1, 0),
				request(protocol.StorageFetchConsumer, "local", group, ""),
			}
		},
		check: func(t testing.TB, got []answer) {
			require.False(t, got[0].replied)
			p := onlyPartition(t, got[1])
			require.Nil(t, p.Offsets[1])
			require.Equal(t, int64(20), p.Offsets[2].Offset)
		},
	},
	{
		name: "commits of one group stay in their order",
		requests: func(w *world, group, topic string) []protocol.StorageRequest {
			all := []protocol.StorageRequest{endOf("local", topic, 0, 1, 100)}
			for i := range int64(20) {
				all = append(all, w.commitOf(group, topic, 0, i, i+1, i))
			}
			return append(all, request(protocol.StorageFetchConsumer, "local", group, ""))
		},
		check: func(t testing.TB, got []answer) {
			for i, commit := range onlyPartition(t, got[0]).Offsets {
				require.Equal(t, int64(17+i), commit.Offset)
				require.NotNil(t, commit.Lag, "the commit was taken for one out of order")
			}
		},
	},
	{
		name: "owners are set and cleared in order",
		requests: func(w *world, group, topic string) []protocol.StorageRequest {
			return []protocol.StorageRequest{
				endOf("local", topic, 0, 1, 100),
				w.commitOf(group, topic, 0, 10, 1, 0),
				ownerOf("local", group, topic, 0, "first", "client"),
				request(protocol.StorageClearConsumerOwners, "local", group, ""),
				request(protocol.StorageFetchConsumer, "local", group, ""),
				ownerOf("local", group, topic, 0, "second", "client"),
				request(protocol.StorageFetchConsumer, "local", group, ""),
			}
		},
		check: func(t testing.TB, got []answer) {
			require.Empty(t, onlyPartition(t, got[0]).Owner)
			require.Equal(t, "second", onlyPartition(t, got[1]).Owner)
		},
	},
	{
		name: "a fetch sees what was sent before it and nothing sent after",
		requests: func(w *world, group, topic string) []protocol.StorageRequest {
			return []protocol.StorageRequest{
				request(protocol.StorageFetchTopic, "local", "", topic),
				endOf("local", topic, 0, 1, 100),
				request(protocol.StorageFetchConsumer, "local", group, ""),
				request(protocol.StorageFetchConsumersForTopic, "local", "", topic),
				w.commitOf(group, topic, 0, 10, 1, 0),
				request(protocol.StorageFetchConsumersForTopic, "local", "", topic),
				request(protocol.StorageSetDeleteGroup, "local", group, topic),
				request(protocol.StorageFetchConsumersForTopic, "local", "", topic),
			}
		},
		check: func(t testing.TB, got []answer) {
			require.False(t, got[0].replied)
			require.False(t, got[1].replied)
			require.Equal(t, []string{}, got[2].value)
			require.Len(t, got[3].value, 1)
			require.Equal(t, []string{}, got[4].value)
		},
	},
}

func onlyPartition(t testing.TB, got answer) *protocol.ConsumerPartition {
	t.Helper()
	topics, ok := got.value.(protocol.ConsumerTopics)
	require.True(t, ok, "no group was answered but %v", got.value)
	require.Len(t, topics, 1)
	for _, partitions := range topics {
		require.Len(t, partitions, 1)
		require.Len(t, partitions[0].Offsets, 3)
		return partitions[0]
	}
	return nil
}

// exerciseOrder covers the ordering guarantees of one sender while others send.
func exerciseOrder(t *testing.T, factory Factory) {
	for name, settings := range map[string]map[string]any{
		"one worker":    {"intervals": 3, "workers": 1},
		"default":       {"intervals": 3},
		"no queues":     {"intervals": 3, "queue-depth": 0},
		"deep queues":   {"intervals": 3, "queue-depth": 100},
		"three workers": {"intervals": 3, "workers": 3, "queue-depth": 5},
		"many workers":  {"intervals": 3, "workers": 100},
	} {
		config := Config{Settings: settings, Clusters: []string{"local"}}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startStorm(t, factory, config)
			w := &world{subject: s.subject, t: t, way: ways[0], base: endOf("", "", 0, 0, 0).Timestamp}
			for _, o := range orderings {
				times := repetitions
				if name != "default" && name != "one worker" {
					times /= 4
				}
				for i := range times {
					group, topic := fmt.Sprint(o.name, i), fmt.Sprint("topic of ", o.name, i)
					o.check(t, fetched(t, s.subject, o.requests(w, group, topic)))
					// The lists of the storm grow with every repetition.
					clean := request(protocol.StorageSetDeleteTopic, "local", "", topic)
					send(t, s.channel, &clean)
				}
			}
		})
	}
	t.Run("many senders, each in its order", func(t *testing.T) {
		t.Parallel()
		s := startStorm(t, factory, Config{Settings: map[string]any{"intervals": 3}, Clusters: []string{"local"}})
		var senders sync.WaitGroup
		for sender := range 8 {
			senders.Add(1)
			go func() {
				defer senders.Done()
				t := apart{t}
				w := &world{subject: s.subject, way: ways[0], base: endOf("", "", 0, 0, 0).Timestamp}
				for i := range repetitions / 8 {
					for _, o := range orderings {
						group, topic := fmt.Sprint(sender, o.name, i), fmt.Sprint(sender, "topic of ", o.name, i)
						o.check(t, fetched(t, s.subject, o.requests(w, group, topic)))
					}
				}
			}()
		}
		senders.Wait()
	})
}

// apart is a test on a goroutine of its own: FailNow ends that goroutine, not the test.
type apart struct {
	testing.TB
}

func (a apart) FailNow() {
	a.Fail()
	runtime.Goexit()
}

// fetched sends requests without waiting and returns the answers of the fetches among them.
func fetched(t testing.TB, s *subject, requests []protocol.StorageRequest) []answer {
	t.Helper()
	pointers := make([]*protocol.StorageRequest, len(requests))
	for i := range requests {
		pointers[i] = &requests[i]
	}
	var got []answer
	for i, a := range pipelined(t, s, pointers) {
		if isFetch(pointers[i]) {
			got = append(got, a)
		}
	}
	return got
}
