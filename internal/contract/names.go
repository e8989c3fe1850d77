package contract

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// exerciseNames covers the names of clusters, groups and topics.
func exerciseNames(t *testing.T, factory Factory) {
	behave(t, factory, []behaviour{
		{name: "a cluster is found in lower case", config: Config{Settings: map[string]any{"intervals": 3}, Clusters: []string{"MixedCase"}},
			run: func(w *world) {
				w.names(request(protocol.StorageFetchClusters, "", "", ""), "mixedcase")
				for i, cluster := range []string{"MixedCase", "mixedcase", "MIXEDCASE"} {
					w.sets(endOf(cluster, "topic", 0, 1, int64(100+i)))
					r := w.commitOf("group", "topic", 0, 10, int64(i+1), int64(i))
					r.Cluster = cluster
					w.sets(r)
				}
				for _, cluster := range []string{"MixedCase", "mixedcase", "MIXEDCASE"} {
					got := w.do(request(protocol.StorageFetchTopic, cluster, "", "topic"))
					require.Equal(w.t, []int64{102}, got.value)
					topics := w.do(request(protocol.StorageFetchConsumer, cluster, "group", "")).value
					require.Equal(w.t, []int64{100, 101, 102}, topics.(protocol.ConsumerTopics)["topic"][0].BrokerOffsets)
					require.NotContains(w.t, topics.(protocol.ConsumerTopics)["topic"][0].Offsets, (*protocol.ConsumerOffset)(nil))
				}
				w.sets(request(protocol.StorageSetDeleteGroup, "MIXEDcase", "group", ""))
				w.names(request(protocol.StorageFetchConsumers, "MixedCase", "", ""))
				w.unanswered(storage.ErrUnknownCluster, request(protocol.StorageFetchTopics, "mixed-case", "", ""))
			}},
		{name: "groups and topics have case", run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.end("Topic", 0, 1, 200)
			w.commit("group", "topic", 0, 10, 1, 0)
			w.commit("Group", "Topic", 0, 10, 1, 0)
			w.topics("topic", "Topic")
			w.groups("group", "Group")
			w.groupsOf("topic", "group")
			w.groupsOf("TOPIC")
			w.unanswered(storage.ErrUnknownGroup, request(protocol.StorageFetchConsumer, "local", "GROUP", ""))
		}},
		{name: "any name is a name", run: func(w *world) {
			for _, name := range oddNames {
				w.end(name, 0, 1, 100)
				w.commit(name, name, 0, 10, 1, 0)
				w.owner(name, name, 0, name, name)
			}
			w.topics(oddNames...)
			w.groups(oddNames...)
			for _, name := range oddNames {
				w.ends(name, 100)
				w.groupsOf(name, name)
				w.window(name, name, "nil nil 10/1/90@0")
				p := w.partition(name, name, 0)
				require.Equal(w.t, [2]string{name, name}, [2]string{p.Owner, p.ClientID})
			}
		}},
		{name: "a name longer than Kafka's is dropped", run: func(w *world) {
			longest := strings.Repeat("n", modelName)
			long := longest + "n"
			w.end(longest, 0, 1, 100)
			w.commit(longest, longest, 0, 10, 1, 0)
			w.owner(longest, longest, 0, longest, longest)
			for _, r := range []protocol.StorageRequest{
				endOf("local", long, 0, 1, 100),
				w.commitOf(long, longest, 0, 20, 2, 1000),
				w.commitOf(longest, long, 0, 20, 2, 1000),
				ownerOf("local", long, longest, 0, "host", "client"),
				ownerOf("local", longest, long, 0, "host", "client"),
				ownerOf("local", longest, longest, 0, long, "client"),
				ownerOf("local", longest, longest, 0, "host", long),
			} {
				w.drops(storage.ErrInvalid, r)
			}
		}},
		{name: "names do not run into each other", run: func(w *world) {
			// The same letters, divided differently between cluster, group and topic.
			w.end("c", 0, 1, 100)
			w.end("bc", 0, 1, 100)
			w.commit("ab", "c", 0, 10, 1, 0)
			w.commit("a", "bc", 0, 20, 1, 0)
			w.window("ab", "c", "nil nil 10/1/90@0")
			w.window("a", "bc", "nil nil 20/1/80@0")
			w.groupsOf("c", "ab")
			w.groupsOf("bc", "a")
		}},
		{name: "the lists of a fetch hold no name twice", run: func(w *world) {
			for i := range 100 {
				w.end(fmt.Sprint("topic", i%10), int32(i%3), 3, 100)
				w.commit(fmt.Sprint("group", i%7), fmt.Sprint("topic", i%10), int32(i%3), 10, int64(i+1), int64(i))
			}
			w.topics("topic0", "topic1", "topic2", "topic3", "topic4", "topic5", "topic6", "topic7", "topic8", "topic9")
			w.groups("group0", "group1", "group2", "group3", "group4", "group5", "group6")
			w.groupsOf("topic0", "group0", "group1", "group2", "group3", "group4", "group5", "group6")
		}},
	})
}

// oddNames are names that code may trip over. Kafka allows fewer for topics; the store allows all.
var oddNames = []string{
	"", " ", ".", "..", "a.b.c", "a-b_c", "a/b", "a\\b", "a:b", "a,b", "a\x00b", "\x00", "\n", "%s%d", "{}", "null",
	"größe", "集団", "🦀", "e\u0301", "\u00e9", "\u202eabc", "-1", "0", "$HOME", "'; --", strings.Repeat("long", 100),
	"\xff", "\xfe\xff", "a\xc3", "\ufffd",
}

func itoa(n int64) string {
	return strconv.FormatInt(n, 10)
}
