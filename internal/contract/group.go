package contract

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// exerciseGroup covers the answers of a fetch of a group and of the lists of groups.
func exerciseGroup(t *testing.T, factory Factory) {
	behave(t, factory, []behaviour{
		{name: "a slice for each topic, as long as the topic has partitions", run: func(w *world) {
			w.end("a", 0, 3, 100)
			w.end("b", 1, 2, 100)
			w.commit("group", "a", 0, 10, 1, 0)
			w.commit("group", "b", 1, 10, 1, 0)
			topics := w.fetch("group")
			require.Len(w.t, topics, 2)
			require.Len(w.t, topics["a"], 3)
			require.Len(w.t, topics["b"], 2)
		}},
		{name: "a partition never committed is empty, not missing", run: func(w *world) {
			w.end("topic", 0, 3, 100)
			w.end("topic", 1, 3, 7)
			w.end("topic", 1, 3, 8)
			w.commit("group", "topic", 0, 10, 1, 0)
			w.samePartition(&protocol.ConsumerPartition{
				Offsets: []*protocol.ConsumerOffset{}, BrokerOffsets: []int64{7, 8},
			}, w.partition("group", "topic", 1))
			w.samePartition(&protocol.ConsumerPartition{
				Offsets: []*protocol.ConsumerOffset{}, BrokerOffsets: []int64{},
			}, w.partition("group", "topic", 2))
		}},
		{name: "the slice grows when a commit needs it", run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 1, 0)
			w.end("topic", 1, 3, 100)
			require.Len(w.t, w.fetch("group")["topic"], 1)
			w.commit("group", "topic", 0, 20, 2, 1000)
			require.Len(w.t, w.fetch("group")["topic"], 1)
			w.commit("group", "topic", 1, 20, 3, 2000)
			require.Len(w.t, w.fetch("group")["topic"], 3)
			w.window("group", "topic", "nil 10/1/90@0 20/2/80@1000")
		}},
		{name: "the slice grows when an owner needs it", run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.commit("group", "topic", 0, 10, 1, 0)
			w.end("topic", 1, 2, 100)
			w.owner("group", "topic", 0, "host", "client")
			require.Len(w.t, w.fetch("group")["topic"], 1)
			w.owner("group", "topic", 1, "host", "client")
			require.Len(w.t, w.fetch("group")["topic"], 2)
		}},
		{name: "topics join a group", run: func(w *world) {
			w.end("a", 0, 1, 100)
			w.end("b", 0, 1, 100)
			w.commit("group", "a", 0, 10, 1, 0)
			w.groupsOf("b")
			w.commit("group", "b", 0, 20, 1, 0)
			w.groupsOf("a", "group")
			w.groupsOf("b", "group")
			w.window("group", "a", "nil nil 10/1/90@0")
			w.window("group", "b", "nil nil 20/1/80@0")
		}},
		{name: "the groups of a topic", run: func(w *world) {
			w.end("a", 0, 1, 100)
			w.end("b", 0, 1, 100)
			w.groupsOf("a")
			w.commit("one", "a", 0, 10, 1, 0)
			w.commit("two", "a", 0, 10, 1, 0)
			w.commit("two", "b", 0, 10, 1, 0)
			w.commit("two", "b", 0, 20, 2, 1000)
			w.groupsOf("a", "one", "two")
			w.groupsOf("b", "two")
			w.groupsOf("unknown")
			w.groupsOf("")
			w.groups("one", "two")
		}},
		{name: "no groups, no topics", run: func(w *world) {
			w.groups()
			w.topics()
			w.groupsOf("topic")
		}},
		{name: "every configured cluster is listed", run: func(w *world) {
			w.names(request(protocol.StorageFetchClusters, "", "", ""), "local", "remote")
			w.names(request(protocol.StorageFetchClusters, "nowhere", "", ""), "local", "remote")
		}},
		{name: "clusters know nothing of each other", run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.sets(endOf("remote", "topic", 0, 1, 1000))
			w.commit("group", "topic", 0, 10, 1, 0)
			w.unanswered(storage.ErrUnknownGroup, request(protocol.StorageFetchConsumer, "remote", "group", ""))
			r := w.commitOf("group", "topic", 0, 30, 3, 0)
			r.Cluster = "remote"
			w.sets(r)
			w.window("group", "topic", "nil nil 10/1/90@0")
		}},
		{name: "an unknown group or cluster has no answer", run: func(w *world) {
			w.unanswered(storage.ErrUnknownGroup, request(protocol.StorageFetchConsumer, "local", "group", ""))
			for _, kind := range []protocol.StorageRequestConstant{
				protocol.StorageFetchConsumer, protocol.StorageFetchConsumers, protocol.StorageFetchConsumersForTopic,
			} {
				w.unanswered(storage.ErrUnknownCluster, request(kind, "nowhere", "group", "topic"))
			}
		}},
		{name: "many groups", run: func(w *world) {
			w.end("topic", 0, 1, 100)
			var names []string
			for i := range 500 {
				names = append(names, string(rune('a'+i%26))+string(rune('a'+i/26)))
				w.commit(names[i], "topic", 0, 10, 1, 0)
			}
			w.groups(names...)
			w.groupsOf("topic", names...)
		}},
	})
}

// exerciseOwners covers owners and client ids.
func exerciseOwners(t *testing.T, factory Factory) {
	behave(t, factory, []behaviour{
		{name: "an owner is set and replaced", run: func(w *world) {
			w.end("topic", 0, 2, 100)
			w.end("topic", 1, 2, 100)
			w.commit("group", "topic", 0, 10, 1, 0)
			w.owner("group", "topic", 0, "host", "client")
			p := w.partition("group", "topic", 0)
			require.Equal(w.t, [2]string{"host", "client"}, [2]string{p.Owner, p.ClientID})
			w.owner("group", "topic", 0, "other", "")
			p = w.partition("group", "topic", 0)
			require.Equal(w.t, [2]string{"other", ""}, [2]string{p.Owner, p.ClientID})
			require.Empty(w.t, w.partition("group", "topic", 1).Owner)
		}},
		{name: "a commit keeps the owner", run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.owner("group", "topic", 0, "host", "client")
			w.commit("group", "topic", 0, 10, 1, 0)
			require.Equal(w.t, "host", w.partition("group", "topic", 0).Owner)
			require.Equal(w.t, "client", w.partition("group", "topic", 0).ClientID)
		}},
		{name: "an owner creates the group", run: func(w *world) {
			w.end("topic", 0, 2, 100)
			w.owner("group", "topic", 0, "host", "client")
			w.groups("group")
			w.groupsOf("topic", "group")
			w.samePartition(&protocol.ConsumerPartition{
				Offsets: []*protocol.ConsumerOffset{}, BrokerOffsets: []int64{100}, Owner: "host", ClientID: "client",
			}, w.partition("group", "topic", 0))
			w.samePartition(&protocol.ConsumerPartition{
				Offsets: []*protocol.ConsumerOffset{}, BrokerOffsets: []int64{},
			}, w.partition("group", "topic", 1))
			require.Len(w.t, w.fetch("group")["topic"], 2)
		}},
		{name: "no ghost groups", run: func(w *world) {
			w.end("topic", 0, 2, 100)
			for _, there := range []bool{false, true} {
				if there {
					w.commit("group", "topic", 0, 10, 1, 0)
				}
				w.drops(storage.ErrUnknownCluster, ownerOf("nowhere", "group", "topic", 0, "host", "client"))
				w.drops(storage.ErrUnknownTopic, ownerOf("remote", "group", "topic", 0, "host", "client"))
				w.drops(storage.ErrUnknownTopic, ownerOf("local", "group", "other", 0, "host", "client"))
				w.drops(storage.ErrUnknownPartition, ownerOf("local", "group", "topic", 1, "host", "client"))
				w.drops(storage.ErrUnknownPartition, ownerOf("local", "group", "topic", 2, "host", "client"))
				w.drops(storage.ErrInvalid, ownerOf("local", "group", "topic", -1, "host", "client"))
			}
		}},
		{name: "all owners are cleared", run: func(w *world) {
			w.end("a", 0, 1, 100)
			w.end("b", 1, 2, 100)
			w.commit("group", "a", 0, 10, 1, 0)
			w.owner("group", "a", 0, "host", "client")
			w.owner("group", "b", 1, "host", "client")
			w.owner("neighbour", "a", 0, "host", "client")
			w.sets(request(protocol.StorageClearConsumerOwners, "local", "group", ""))
			for _, partitions := range w.fetch("group") {
				for _, p := range partitions {
					require.Empty(w.t, p.Owner+p.ClientID)
				}
			}
			w.window("group", "a", "nil nil 10/1/90@0")
			w.groupsOf("b", "group")
			require.Equal(w.t, "host", w.partition("neighbour", "a", 0).Owner)
		}},
		{name: "clearing an unknown group makes none", run: func(w *world) {
			w.drops(storage.ErrUnknownGroup, request(protocol.StorageClearConsumerOwners, "local", "group", ""))
			w.drops(storage.ErrUnknownCluster, request(protocol.StorageClearConsumerOwners, "nowhere", "group", ""))
		}},
	})
}

// exerciseDeletes covers deleted topics and groups, and what is recreated after them.
func exerciseDeletes(t *testing.T, factory Factory) {
	deleteTopicOf := request(protocol.StorageSetDeleteTopic, "local", "", "topic")
	deleteGroupOf := request(protocol.StorageSetDeleteGroup, "local", "group", "")
	deleteBoth := request(protocol.StorageSetDeleteGroup, "local", "group", "topic")
	unknownGroup := request(protocol.StorageFetchConsumer, "local", "group", "")

	// held makes a group that holds two topics, and another that holds one of them.
	held := func(w *world) {
		w.end("topic", 0, 1, 100)
		w.end("other", 0, 1, 100)
		w.commit("group", "topic", 0, 10, 1, 0)
		w.commit("group", "other", 0, 20, 1, 0)
		w.commit("neighbour", "topic", 0, 30, 1, 0)
	}

	behave(t, factory, []behaviour{
		{name: "a topic goes from the brokers and from every group", run: func(w *world) {
			held(w)
			w.sets(deleteTopicOf)
			w.topics("other")
			w.ends("topic")
			w.groupsOf("topic")
			require.Len(w.t, w.fetch("group"), 1)
			w.window("group", "other", "nil nil 20/1/80@0")
		}},
		{name: "a group left with no topic goes with it", run: func(w *world) {
			held(w)
			w.sets(deleteTopicOf)
			w.groups("group")
			w.sets(request(protocol.StorageSetDeleteTopic, "local", "", "other"))
			w.groups()
			w.unanswered(storage.ErrUnknownGroup, unknownGroup)
		}},
		{name: "a topic made anew is empty", run: func(w *world) {
			w.end("topic", 2, 3, 100)
			w.commit("group", "topic", 2, 10, 10, 0)
			w.owner("group", "topic", 2, "host", "client")
			w.sets(deleteTopicOf)
			w.drops(storage.ErrUnknownTopic, w.commitOf("group", "topic", 0, 20, 20, 1000))
			w.end("topic", 0, 1, 50)
			w.ends("topic", 50)
			w.groupsOf("topic")
			w.groups()
			w.commit("group", "topic", 0, 5, 1, 2000)
			w.window("group", "topic", "nil nil 5/1/45@2000")
			require.Len(w.t, w.fetch("group")["topic"], 1)
			require.Equal(w.t, []int64{50}, w.partition("group", "topic", 0).BrokerOffsets)
			require.Empty(w.t, w.partition("group", "topic", 0).Owner)
		}},
		{name: "a topic of another cluster stays", run: func(w *world) {
			held(w)
			w.sets(endOf("remote", "topic", 0, 1, 7))
			w.sets(deleteTopicOf)
			w.names(request(protocol.StorageFetchTopics, "remote", "", ""), "topic")
		}},
		{name: "an unknown topic changes nothing", run: func(w *world) {
			held(w)
			w.drops(storage.ErrUnknownTopic, request(protocol.StorageSetDeleteTopic, "local", "", "unknown"))
			w.drops(storage.ErrUnknownTopic, request(protocol.StorageSetDeleteTopic, "local", "", ""))
			w.drops(storage.ErrUnknownTopic, request(protocol.StorageSetDeleteTopic, "remote", "", "topic"))
			w.drops(storage.ErrUnknownCluster, request(protocol.StorageSetDeleteTopic, "nowhere", "", "topic"))
		}},
		{name: "a topic deleted again and again", run: func(w *world) {
			for i := range int64(20) {
				w.end("topic", 0, 1, 100+i)
				w.commit("group", "topic", 0, 10, 1, i)
				w.window("group", "topic", "nil nil "+"10/1/"+itoa(90+i)+"@"+itoa(i))
				w.sets(deleteTopicOf)
				w.groups()
			}
		}},

		{name: "a group goes", run: func(w *world) {
			held(w)
			w.sets(deleteGroupOf)
			w.unanswered(storage.ErrUnknownGroup, unknownGroup)
			w.groups("neighbour")
			w.groupsOf("topic", "neighbour")
			w.groupsOf("other")
			w.topics("topic", "other")
		}},
		{name: "a group made anew is empty", run: func(w *world) {
			held(w)
			w.owner("group", "topic", 0, "host", "client")
			w.sets(deleteGroupOf)
			w.commit("group", "topic", 0, 5, 1, 500)
			w.window("group", "topic", "nil nil 5/1/95@500")
			require.Len(w.t, w.fetch("group"), 1)
			require.Empty(w.t, w.partition("group", "topic", 0).Owner)
		}},
		{name: "an unknown group changes nothing", run: func(w *world) {
			held(w)
			w.drops(storage.ErrUnknownGroup, request(protocol.StorageSetDeleteGroup, "local", "unknown", ""))
			w.drops(storage.ErrUnknownGroup, request(protocol.StorageSetDeleteGroup, "remote", "group", ""))
			w.drops(storage.ErrUnknownCluster, request(protocol.StorageSetDeleteGroup, "nowhere", "group", ""))
		}},
		{name: "one topic of a group goes", run: func(w *world) {
			held(w)
			w.sets(deleteBoth)
			require.Len(w.t, w.fetch("group"), 1)
			w.window("group", "other", "nil nil 20/1/80@0")
			w.groupsOf("topic", "neighbour")
			w.ends("topic", 100)
			w.commit("group", "topic", 0, 5, 1, 500)
			w.window("group", "topic", "nil nil 5/1/95@500")
		}},
		{name: "a group goes with its last topic", run: func(w *world) {
			held(w)
			w.sets(deleteBoth)
			w.sets(request(protocol.StorageSetDeleteGroup, "local", "group", "other"))
			w.groups("neighbour")
			w.unanswered(storage.ErrUnknownGroup, unknownGroup)
		}},
		{name: "a topic that the group does not hold changes nothing", run: func(w *world) {
			held(w)
			w.drops(storage.ErrUnknownTopic, request(protocol.StorageSetDeleteGroup, "local", "group", "unknown"))
			w.drops(storage.ErrUnknownTopic, request(protocol.StorageSetDeleteGroup, "local", "neighbour", "other"))
			w.drops(storage.ErrUnknownGroup, request(protocol.StorageSetDeleteGroup, "local", "unknown", "topic"))
		}},
		{name: "a group with owners only goes with its topic", run: func(w *world) {
			w.end("topic", 0, 1, 100)
			w.owner("group", "topic", 0, "host", "client")
			w.sets(deleteTopicOf)
			w.groups()
		}},
	})
}
