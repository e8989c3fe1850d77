package contract

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

func exerciseEndOffsets(t *testing.T, factory Factory) {
	behave(t, factory, []behaviour{
		{name: "an end offset creates the topic", run: func(w *world) {
			w.topics()
			w.end("topic", 0, 1, 100)
			w.topics("topic")
			w.ends("topic", 100)
		}},
		{name: "the newest is what was set last", run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.end("topic", 0, 1, 50)
			w.ends("topic", 50)
		}},
		{name: "unknown partitions are -1", run: func(w *world) {
			w.end("topic", 2, 4, 100)
			w.ends("topic", -1, -1, 100, -1)
		}},
		{name: "an end offset of 0 is known", run: func(w *world) {
			w.end("topic", 1, 2, 0)
			w.ends("topic", -1, 0)
		}},
		{name: "the partition counts where the count is too low", run: func(w *world) {
			w.end("topic", 2, 1, 100)
			w.ends("topic", -1, -1, 100)
			w.end("topic", 3, 0, 7)
			w.ends("topic", -1, -1, 100, 7)
			w.end("topic", 4, -1, 8)
			w.ends("topic", -1, -1, 100, 7, 8)
			w.end("topic", 0, math.MinInt32, 9)
			w.ends("topic", 9, -1, 100, 7, 8)
		}},
		{name: "partitions are added", run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.end("topic", 0, 3, 101)
			w.ends("topic", 101, -1, -1)
		}},
		{name: "the partition count never shrinks", run: func(w *world) {
			w.end("topic", 0, 3, 100)
			w.end("topic", 1, 2, 200)
			w.ends("topic", 100, 200, -1)
		}},
		{name: "the newest intervals are kept", run: func(w *world) {
			w.end("topic", 0, 2, 100)
			w.end("topic", 1, 2, 7)
			w.commit("group", "topic", 0, 10, 1, 0)
			require.Equal(w.t, []int64{100}, w.partition("group", "topic", 0).BrokerOffsets)
			for _, offset := range []int64{200, 300, 250, 250} {
				w.end("topic", 0, 2, offset)
			}
			require.Equal(w.t, []int64{300, 250, 250}, w.partition("group", "topic", 0).BrokerOffsets)
			require.Equal(w.t, []int64{7}, w.partition("group", "topic", 1).BrokerOffsets)
		}},
		{name: "a negative partition is dropped", run: func(w *world) {
			w.drops(storage.ErrInvalid, endOf("local", "topic", -1, 1, 100))
			w.drops(storage.ErrInvalid, endOf("local", "topic", math.MinInt32, 1, 100))
			w.topics()
			w.end("topic", 0, 1, 100)
			w.drops(storage.ErrInvalid, endOf("local", "topic", -1, 5, 100))
			w.ends("topic", 100)
		}},
		{name: "a negative offset is dropped", run: func(w *world) {
			for _, offset := range []int64{-1, -2, math.MinInt64} {
				w.drops(storage.ErrInvalid, endOf("local", "topic", 0, 1, offset))
			}
			w.topics()
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 1, 0)
			for _, offset := range []int64{-1, -2, math.MinInt64} {
				w.drops(storage.ErrInvalid, endOf("local", "topic", 0, 5, offset))
			}
			w.ends("topic", 100)
		}},
		{name: "a count above the limit is dropped", run: func(w *world) {
			for _, count := range []int32{modelLimit + 1, math.MaxInt32} {
				w.drops(storage.ErrInvalid, endOf("local", "topic", 0, count, 100))
			}
			w.topics()
			w.end("topic", 0, 1, 100)
			w.drops(storage.ErrInvalid, endOf("local", "topic", 0, modelLimit+1, 200))
		}},
		{name: "a partition above the limit is dropped", run: func(w *world) {
			for _, partition := range []int32{modelLimit, math.MaxInt32 - 1, math.MaxInt32} {
				w.drops(storage.ErrInvalid, endOf("local", "topic", partition, 1, 100))
			}
			w.topics()
		}},
		{name: "the limit itself is taken", run: func(w *world) {
			w.end("topic", modelLimit-1, 1, 100)
			w.end("topic", 0, modelLimit, 200)
			ends := w.do(request(protocol.StorageFetchTopic, "local", "", "topic")).value.([]int64)
			require.Len(w.t, ends, modelLimit)
			require.Equal(w.t, []int64{200, -1, 100}, []int64{ends[0], ends[1], ends[modelLimit-1]})
		}},
		{name: "an unknown cluster is dropped", run: func(w *world) {
			w.drops(storage.ErrUnknownCluster, endOf("nowhere", "topic", 0, 1, 100))
			w.drops(storage.ErrUnknownCluster, endOf("", "topic", 0, 1, 100))
		}},
		{name: "clusters know nothing of each other", run: func(w *world) {
			w.sets(endOf("remote", "topic", 0, 1, 100))
			w.topics()
			w.ends("topic")
			w.names(request(protocol.StorageFetchTopics, "remote", "", ""), "topic")
		}},
		{name: "an unknown topic or cluster has no answer", run: func(w *world) {
			w.unanswered(storage.ErrUnknownTopic, request(protocol.StorageFetchTopic, "local", "", "topic"))
			w.unanswered(storage.ErrUnknownCluster, request(protocol.StorageFetchTopic, "nowhere", "", "topic"))
			w.unanswered(storage.ErrUnknownCluster, request(protocol.StorageFetchTopics, "nowhere", "", ""))
		}},
	})
}
