package contract

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// fetches returns one fetch of every kind that has an answer in a world made by populate.
func fetches() []protocol.StorageRequest {
	return []protocol.StorageRequest{
		request(protocol.StorageFetchClusters, "", "", ""),
		request(protocol.StorageFetchConsumers, "local", "", ""),
		request(protocol.StorageFetchTopics, "local", "", ""),
		request(protocol.StorageFetchConsumer, "local", "group", ""),
		request(protocol.StorageFetchTopic, "local", "", "topic"),
		request(protocol.StorageFetchConsumersForTopic, "local", "", "topic"),
	}
}

func populate(w *world) {
	w.t.Helper()
	w.end("topic", 0, 2, 100)
	w.end("topic", 0, 2, 200)
	w.end("topic", 1, 2, 300)
	w.commit("group", "topic", 0, 10, 1, 0)
	w.commit("group", "topic", 0, 20, 3, 1000)
	w.commit("group", "topic", 0, 30, 2, 2000)
	w.owner("group", "topic", 0, "host", "client")
	w.commit("other", "topic", 1, 20, 1, 0)
}

// exerciseReplies covers replies over the channel, and answers in every way.
func exerciseReplies(t *testing.T, factory Factory) {
	// overTheChannel makes a world whose requests go over the channel.
	overTheChannel := func(t *testing.T) *world {
		t.Parallel()
		w := newWorld(t, factory, worldConfig, ways[0])
		populate(w)
		return w
	}

	t.Run("one value, then closed", func(t *testing.T) {
		w := overTheChannel(t)
		for _, r := range fetches() {
			for _, room := range []int{0, 1, 5} {
				sent := r
				sent.Reply = make(chan any, room)
				send(t, w.channel, &sent)
				require.True(t, await(t, sent.Reply).replied, describe(&r))
			}
		}
	})
	t.Run("nothing to answer, just closed", func(t *testing.T) {
		w := overTheChannel(t)
		for _, r := range []protocol.StorageRequest{
			request(protocol.StorageFetchConsumers, "nowhere", "", ""),
			request(protocol.StorageFetchTopics, "nowhere", "", ""),
			request(protocol.StorageFetchConsumer, "nowhere", "group", ""),
			request(protocol.StorageFetchConsumer, "local", "unknown", ""),
			request(protocol.StorageFetchTopic, "nowhere", "", "topic"),
			request(protocol.StorageFetchTopic, "local", "", "unknown"),
			request(protocol.StorageFetchConsumersForTopic, "nowhere", "", "topic"),
		} {
			for _, room := range []int{0, 1} {
				sent := r
				sent.Reply = make(chan any, room)
				send(t, w.channel, &sent)
				require.False(t, await(t, sent.Reply).replied, describe(&r))
			}
		}
	})
	t.Run("unknown request types", func(t *testing.T) {
		w := overTheChannel(t)
		before := w.state()
		for _, kind := range []int{-1, protocol.StorageRequestTypes, 99, -1 << 30, math.MaxInt, math.MinInt} {
			r := request(protocol.StorageRequestConstant(kind), "local", "group", "topic")
			send(t, w.channel, &r)
			asked := r
			asked.Reply = make(chan any)
			send(t, w.channel, &asked)
			require.False(t, await(t, asked.Reply).replied, "type %d", kind)
		}
		require.Equal(t, before, w.state())
	})
	t.Run("no Reply", func(t *testing.T) {
		w := overTheChannel(t)
		before := w.state()
		for _, r := range fetches() {
			sent := r
			send(t, w.channel, &sent)
			require.Equal(t, r, sent, "the request was changed")
		}
		require.Equal(t, before, w.state())
	})
	t.Run("no request", func(t *testing.T) {
		w := overTheChannel(t)
		before := w.state()
		for range 10 {
			send(t, w.channel, nil)
		}
		require.Equal(t, before, w.state())
	})
	t.Run("a Reply that cannot be answered ends nothing", func(t *testing.T) {
		w := overTheChannel(t)
		before := w.state()
		for _, room := range []int{0, 1} {
			for _, r := range append(fetches(), request(protocol.StorageFetchConsumer, "local", "unknown", "")) {
				closed := r
				closed.Reply = make(chan any, room)
				close(closed.Reply)
				send(t, w.channel, &closed)
			}
		}
		require.Equal(t, before, w.state())
	})
	t.Run("replies are read late and in any order", func(t *testing.T) {
		w := overTheChannel(t)
		var sent []*protocol.StorageRequest
		var want []string
		for i := range 300 {
			w.commit(fmt.Sprint("group", i), "topic", 0, int64(i), 1, 0)
			r := request(protocol.StorageFetchConsumer, "local", fmt.Sprint("group", i), "")
			want = append(want, text(w.do(r), true))
			r.Reply = make(chan any)
			send(t, w.channel, &r)
			sent = append(sent, &r)
		}
		for i := len(sent) - 1; i >= 0; i-- {
			require.Equal(t, want[i], text(await(t, sent[i].Reply), true))
		}
	})
	t.Run("abandoned replies cost nobody anything", func(t *testing.T) {
		w := overTheChannel(t)
		var abandoned []protocol.StorageRequest
		for range 10_000 {
			r := fetches()[len(abandoned)%len(fetches())]
			r.Reply = make(chan any)
			abandoned = append(abandoned, r)
		}
		for i := range abandoned {
			send(t, w.channel, &abandoned[i])
		}
		w.commit("group", "topic", 1, 50, 9, 3000)
		require.Len(t, w.partition("group", "topic", 1).Offsets, 3)
		w.groups("group", "other")
		stop(t, w.module)
		for i := range abandoned {
			await(t, abandoned[i].Reply)
		}
	})

	behave(t, factory, []behaviour{
		{name: "answers are copies", run: func(w *world) {
			populate(w)
			before := w.state()
			for range 3 {
				for _, r := range fetches() {
					spoil(w.do(r).value)
				}
			}
			require.Equal(w.t, before, w.state())
		}},
		{name: "answers stand still", run: func(w *world) {
			populate(w)
			kept := w.do(request(protocol.StorageFetchConsumer, "local", "group", ""))
			before := text(kept, true)
			w.commit("group", "topic", 0, 90, 9, 9000)
			w.end("topic", 0, 2, 900)
			w.sets(request(protocol.StorageClearConsumerOwners, "local", "group", ""))
			w.sets(request(protocol.StorageSetDeleteTopic, "local", "", "topic"))
			w.groups()
			require.Equal(w.t, before, text(kept, true))
		}},
	})
}

// spoil changes everything in an answer that can be changed.
func spoil(value any) {
	switch value := value.(type) {
	case []string:
		for i := range value {
			value[i] = "spoilt"
		}
		_ = append(value, "spoilt")
	case []int64:
		for i := range value {
			value[i] = -99
		}
		_ = append(value, -99)
	case protocol.ConsumerTopics:
		for _, partitions := range value {
			for i, p := range partitions {
				for j, commit := range p.Offsets {
					if commit != nil {
						if commit.Lag != nil {
							commit.Lag.Value = 99
						}
						*commit = protocol.ConsumerOffset{Offset: -99}
					}
					p.Offsets[j] = nil
				}
				for j := range p.BrokerOffsets {
					p.BrokerOffsets[j] = -99
				}
				_ = append(p.Offsets, nil, nil)
				_ = append(p.BrokerOffsets, -99, -99)
				*p = protocol.ConsumerPartition{Owner: "spoilt"}
				partitions[i] = nil
			}
		}
		clear(value)
		value["spoilt"] = nil
	}
}
