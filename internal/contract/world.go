package contract

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// world is a started module with short names for what tests do with it. Unless a method takes a whole request, it uses
// cluster "local".
type world struct {
	*subject
	t   *testing.T
	way way
	// base is the time to which the timestamps of the test are relative, in Unix milliseconds; well in the past, yet far from
	// expiring.
	base int64
}

// worldConfig is the configuration of most behaviours.
//
// An answer waits for a busy machine as long as it has to.
var worldConfig = Config{
	Settings: map[string]any{"intervals": 3, "reply-timeout": 3600},
	Clusters: []string{"local", "remote"},
}

// behaviour is a sentence of the contract as a test.
type behaviour struct {
	name   string
	config Config
	run    func(w *world)
}

// behave runs each behaviour as a subtest, in every way to make requests.
func behave(t *testing.T, factory Factory, behaviours []behaviour) {
	t.Helper()
	for _, b := range behaviours {
		if b.config.Clusters == nil {
			b.config = worldConfig
		}
		for _, way := range ways {
			t.Run(b.name+"/"+way.name, func(t *testing.T) {
				t.Parallel()
				b.run(newWorld(t, factory, b.config, way))
			})
		}
	}
}

func newWorld(t *testing.T, factory Factory, config Config, way way) *world {
	t.Helper()
	s := start(t, factory, config)
	if way.typed && s.store == nil {
		t.Skip("the module has no typed API")
	}
	return &world{subject: s, t: t, way: way, base: time.Now().Add(-time.Hour).UnixMilli()}
}

func (w *world) do(r protocol.StorageRequest) answer {
	w.t.Helper()
	return w.way.ask(w.t, w.subject, &r)
}

// sets carries out a set that must be accepted.
func (w *world) sets(r protocol.StorageRequest) {
	w.t.Helper()
	require.NoError(w.t, w.do(r).err, describe(&r))
}

// drops carries out a set and checks that it changes nothing and, if errors are returned, that its reason is why.
func (w *world) drops(why error, r protocol.StorageRequest) {
	w.t.Helper()
	before := w.state()
	got := w.do(r)
	require.Equal(w.t, before, w.state(), "changed by a request that must be dropped: %s", describe(&r))
	if w.way.typed {
		require.Truef(w.t, sameReason(&r, why, got.err), "%s: want %v, got %v", describe(&r), why, got.err)
	}
}

// end stores an end offset.
func (w *world) end(topic string, partition, count int32, offset int64) {
	w.t.Helper()
	w.sets(endOf("local", topic, partition, count, offset))
}

// commit stores a commit; the timestamp is relative to the base of the world.
func (w *world) commit(group, topic string, partition int32, offset, order, at int64) {
	w.t.Helper()
	w.sets(w.commitOf(group, topic, partition, offset, order, at))
}

// owner stores the owner of a partition.
func (w *world) owner(group, topic string, partition int32, owner, clientID string) {
	w.t.Helper()
	w.sets(ownerOf("local", group, topic, partition, owner, clientID))
}

func (w *world) commitOf(group, topic string, partition int32, offset, order, at int64) protocol.StorageRequest {
	return protocol.StorageRequest{
		RequestType: protocol.StorageSetConsumerOffset, Cluster: "local", Group: group, Topic: topic,
		Partition: partition, Offset: offset, Order: order, Timestamp: w.base + at,
	}
}

func endOf(cluster, topic string, partition, count int32, offset int64) protocol.StorageRequest {
	return protocol.StorageRequest{
		RequestType: protocol.StorageSetBrokerOffset, Cluster: cluster, Topic: topic, Partition: partition,
		TopicPartitionCount: count, Offset: offset, Timestamp: time.Now().UnixMilli(),
	}
}

func ownerOf(cluster, group, topic string, partition int32, owner, clientID string) protocol.StorageRequest {
	return protocol.StorageRequest{
		RequestType: protocol.StorageSetConsumerOwner, Cluster: cluster, Group: group, Topic: topic,
		Partition: partition, Owner: owner, ClientID: clientID,
	}
}

func request(kind protocol.StorageRequestConstant, cluster, group, topic string) protocol.StorageRequest {
	return protocol.StorageRequest{RequestType: kind, Cluster: cluster, Group: group, Topic: topic}
}

// groups checks the list of groups of cluster "local".
func (w *world) groups(want ...string) {
	w.t.Helper()
	w.names(request(protocol.StorageFetchConsumers, "local", "", ""), want...)
}

// topics checks the list of topics of cluster "local".
func (w *world) topics(want ...string) {
	w.t.Helper()
	w.names(request(protocol.StorageFetchTopics, "local", "", ""), want...)
}

// groupsOf checks the list of groups that hold a topic.
func (w *world) groupsOf(topic string, want ...string) {
	w.t.Helper()
	w.names(request(protocol.StorageFetchConsumersForTopic, "local", "", topic), want...)
}

func (w *world) names(r protocol.StorageRequest, want ...string) {
	w.t.Helper()
	if want == nil {
		want = []string{}
	}
	require.Equal(w.t, text(answer{value: want, replied: true}, false), text(w.do(r), false), describe(&r))
}

// ends checks the end offsets of a topic; none means that the topic is unknown.
func (w *world) ends(topic string, want ...int64) {
	w.t.Helper()
	got := w.do(request(protocol.StorageFetchTopic, "local", "", topic))
	if want == nil {
		require.Equal(w.t, "no reply", text(got, false), topic)
		return
	}
	require.Equal(w.t, text(answer{value: want, replied: true}, false), text(got, false), topic)
}

// unanswered checks that a fetch has no answer, and its reason.
func (w *world) unanswered(why error, r protocol.StorageRequest) {
	w.t.Helper()
	got := w.do(r)
	require.Equal(w.t, "no reply", text(got, false), describe(&r))
	if w.way.typed {
		require.True(w.t, errors.Is(got.err, why), "%s: want %v, got %v", describe(&r), why, got.err)
	}
}

// fetch returns the answer for a group, which must exist.
func (w *world) fetch(group string) protocol.ConsumerTopics {
	w.t.Helper()
	got := w.do(request(protocol.StorageFetchConsumer, "local", group, ""))
	require.IsType(w.t, protocol.ConsumerTopics{}, got.value, group)
	return got.value.(protocol.ConsumerTopics)
}

// partition returns one group-partition, which must exist.
func (w *world) partition(group, topic string, partition int) *protocol.ConsumerPartition {
	w.t.Helper()
	partitions := w.fetch(group)[topic]
	require.Greater(w.t, len(partitions), partition, "partitions of %s in %s", topic, group)
	return partitions[partition]
}

// samePartition compares the fields of a group-partition that the contract defines; a module may answer more.
func (w *world) samePartition(want, got *protocol.ConsumerPartition) {
	w.t.Helper()
	require.Equal(w.t, string(appendPartition(nil, want, true)), string(appendPartition(nil, got, true)))
}

// window checks the commits of a group for partition 0 of a topic. Each is "offset/order/lag@timestamp" with the
// timestamp relative to the base of the world, "-" for an unknown lag, and "nil" for an empty place.
func (w *world) window(group, topic, want string) {
	w.t.Helper()
	p := w.partition(group, topic, 0)
	shifted := []*protocol.ConsumerOffset{}
	for _, commit := range p.Offsets {
		if commit != nil {
			commit.Timestamp -= w.base
		}
		shifted = append(shifted, commit)
	}
	require.Equal(w.t, "["+strings.TrimPrefix(want+" ]", " "), string(appendCommits(nil, shifted, false)))
}

// state returns every answer that a module can give, as text.
func (w *world) state() string {
	w.t.Helper()
	var all strings.Builder
	add := func(r protocol.StorageRequest) answer {
		got := w.do(r)
		fmt.Fprintf(&all, "%v %s %s%s: %s\n", r.RequestType, r.Cluster, r.Group, r.Topic, text(got, true))
		return got
	}
	clusters := add(request(protocol.StorageFetchClusters, "", "", ""))
	for _, cluster := range sorted(clusters) {
		for _, topic := range sorted(add(request(protocol.StorageFetchTopics, cluster, "", ""))) {
			add(request(protocol.StorageFetchTopic, cluster, "", topic))
			add(request(protocol.StorageFetchConsumersForTopic, cluster, "", topic))
		}
		for _, group := range sorted(add(request(protocol.StorageFetchConsumers, cluster, "", ""))) {
			add(request(protocol.StorageFetchConsumer, cluster, group, ""))
		}
	}
	return all.String()
}

func sorted(got answer) []string {
	names, _ := got.value.([]string)
	names = slices.Clone(names)
	slices.Sort(names)
	return names
}
