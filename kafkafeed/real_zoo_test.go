package kafkafeed

import (
	"context"
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/kafkafeed/internal/kafkatest"
)

// zoo is a world with groups and topics of every kind.
type zoo struct {
	*world
	shown map[string]bool // groups that Kafka's own tool has rows for
	live  []string        // those of them with members
}

func newZoo(w *world) *zoo { return &zoo{world: w, shown: map[string]bool{}} }

const (
	streams = "shop.orders-enricher.v2"
	wide    = 500 // partitions
)

func (z *zoo) topics() {
	z.topic("orders", 3, 20)
	z.topic("payments.eu", 2, 10)
	z.topic("empty", 2, 0)
	z.topic("single", 1, 10)
	z.topic("wide", wide, 1)
	z.topic(streams+"-KTABLE-STATE.STORE-0000000001-changelog", 2, 8)
	z.topic(streams+"-KSTREAM.KEY-0000000002-repartition", 2, 8)

	z.grown()
	z.recreated()
	z.truncated()
	z.compacted()
}

func (z *zoo) grown() {
	z.topic("grown", 1, 0)
	z.commitAll("grown", 1, 2)
	z.grow("grown", 3)
	z.produce("grown", 3, 5)
	z.commitAll("grown", 3, 4)
}

func (z *zoo) recreated() {
	z.topic("recreated", 2, 50)
	z.commitAll("recreated", 2, 40)
	z.recreate(12)
}

// recreate recreates the topic with other records.
func (z *zoo) recreate(n int) {
	z.remove("recreated")
	z.topic("recreated", 2, n)
	z.commitAll("recreated", 2, 7)
}

func (z *zoo) truncated() {
	z.topic("truncated", 2, 30)
	z.commitAll("truncated", 2, 10)
	z.world.truncate("truncated", 0, 25)
}

// compacted creates a topic from which the cleaner has removed older records.
func (z *zoo) compacted() {
	value := func(s string) *string { return &s }
	z.create("compacted", 1, map[string]*string{"cleanup.policy": value("compact"), "segment.ms": value("100"),
		"min.cleanable.dirty.ratio": value("0.01"), "max.compaction.lag.ms": value("200")})
	end := int64(0)
	eventually(z.t, "the topic is compacted", func() bool {
		for range 20 {
			require.NoError(z.t, z.client.ProduceSync(z.t.Context(), &kgo.Record{Topic: "compacted", Key: []byte("k"), Value: []byte("v")}).FirstErr())
			end++
		}
		return z.firstRecord("compacted") > 0
	})
	for i := range 3 {
		z.shownCommit(fmt.Sprint("compacted-", i), "compacted", 0, end/2+int64(i))
	}
}

// firstRecord returns the offset of the first remaining record in partition 0 of a topic.
func (z *zoo) firstRecord(topic string) int64 {
	reader, err := kgo.NewClient(kgo.SeedBrokers(z.kafka.Addresses()...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		topic: {0: kgo.NewOffset().AtStart()}}))
	require.NoError(z.t, err)
	defer reader.Close()
	return read(z.t, reader, 1)[0].Offset
}

func (z *zoo) shownCommit(group, topic string, partition int32, offset int64) {
	z.commit(group, topic, partition, offset)
	z.shown[group] = true
}

// commitAll commits an offset on the first partitions of a topic, for three groups named after it.
func (z *zoo) commitAll(topic string, count int32, offset int64) {
	for i := range 3 {
		group := fmt.Sprint(topic, "-", i)
		var to kadm.Offsets
		for partition := range count {
			to.AddOffset(topic, partition, offset+int64(i), -1)
		}
		z.commitSome(group, to)
		z.shown[group] = true
	}
}

func (z *zoo) byHand() {
	for i := range 18 {
		group := fmt.Sprint("by-hand-", i)
		z.shownCommit(group, "orders", int32(i%3), int64(i))
		z.shownCommit(group, "orders", int32(i%3), int64(i+1))
		z.shownCommit(group, "payments.eu", int32(i%2), int64(i%11))
	}
	for i := range 4 {
		group := fmt.Sprint(streams, ".", i)
		z.shownCommit(group, streams+"-KTABLE-STATE.STORE-0000000001-changelog", 0, int64(i))
		z.shownCommit(group, streams+"-KSTREAM.KEY-0000000002-repartition", 1, int64(2*i))
	}
	z.commitAll("wide", wide, 0) // and of the three groups, the second is at the end, the third ahead
	z.commitAll("empty", 2, 0)
	z.shownCommit("internal", logTopic, 0, 0)
	z.commit("deleted", "orders", 0, 1)
	z.deleteGroup("deleted")
	z.shownCommit("half-deleted", "orders", 0, 1)
	z.shownCommit("half-deleted", "orders", 1, 1)
	z.deleteOffset("half-deleted", "orders", 0)
}

func (z *zoo) transactional() {
	for i := range 6 {
		group := fmt.Sprint("transactional-", i)
		x := z.begin("committer")
		x.commit(group, "orders", 0, int64(3+i))
		x.end(true)
		z.shown[group] = true
		x = z.begin("committer")
		x.commit(group, "orders", 0, 19)
		x.commit(fmt.Sprint("aborted-", i), "orders", 0, 19)
		x.end(false)
	}
	hanging := z.begin("hanging")
	hanging.commit("transactional-0", "orders", 0, 18)
	hanging.commit("open", "orders", 0, 18)

	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(z.kafka.Addresses()...), kgo.TransactionalID("exactly-once"),
		kgo.ConsumerGroup("exactly-once"), kgo.ClientID("eos"), kgo.ConsumeTopics("payments.eu"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DefaultProduceTopic("single"))
	require.NoError(z.t, err)
	z.t.Cleanup(session.Close)
	for done := 0; done < 2*10; {
		n := len(read(z.t, session, 10))
		require.NoError(z.t, session.Begin())
		require.NoError(z.t, session.ProduceSync(z.t.Context(), kgo.StringRecord("out")).FirstErr())
		committed, err := session.End(z.t.Context(), kgo.TryCommit)
		require.NoError(z.t, err)
		if committed { // otherwise the group has rebalanced, and reads the record again
			done += n
		}
	}
	z.shown["exactly-once"] = true
	z.live = append(z.live, "exactly-once")
}

// join makes a client a member of a group that has read some records and committed them.
func (z *zoo) join(group, topic string, records int, opts ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(z.kafka.Addresses()...), kgo.ConsumerGroup(group), kgo.ClientID("client-of-" + group),
		kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit()}, opts...)...)
	require.NoError(z.t, err)
	z.t.Cleanup(client.Close)
	read(z.t, client, records)
	commitRead(z.t, client)
	z.shown[group] = true
	return client
}

func (z *zoo) stays(group, topic string, records int, opts ...kgo.Opt) {
	z.join(group, topic, records, opts...)
	z.live = append(z.live, group)
}

func (z *zoo) classic() {
	for i := range 4 {
		z.stays(fmt.Sprint("classic-", i), "orders", 60-i)
	}
	z.stays("classic-static", "payments.eu", 20, kgo.InstanceID("first"))
	z.stays("classic-wide", "wide", wide/2)
	z.stays("classic-crowded", "single", 10)
	z.join("classic-crowded", "single", 0) // without a partition
	z.stays("classic-never-committed", "orders", 0)
	for i := range 3 {
		z.join(fmt.Sprint("classic-left-", i), "payments.eu", 20-i).Close()
	}
}

func (z *zoo) modern() {
	for i := range 3 {
		z.stays(fmt.Sprint("modern-", i), "orders", 60-i, kgo.ServerSideBalancer())
	}
	z.stays("modern-crowded", "single", 10, kgo.ServerSideBalancer())
	z.join("modern-crowded", "single", 0, kgo.ServerSideBalancer())
	for i := range 3 {
		z.join(fmt.Sprint("modern-left-", i), "payments.eu", 20-i, kgo.ServerSideBalancer()).Close()
	}
	z.join("converted", "payments.eu", 20).Close()
	z.stays("converted", "payments.eu", 0, kgo.ServerSideBalancer())
}

// java creates members with Kafka's own clients.
func (z *zoo) java() {
	if kafkatest.IsOld() {
		return // the members of franz-go cover this version
	}
	z.kafka.Spawn("org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", z.kafka.Addresses()[0], "--topic", "payments.eu",
		"--group", "java-modern", "--from-beginning", "--consumer-property", "group.protocol=consumer", "--consumer-property", "client.id=java")
	z.shown["java-modern"] = true
	z.live = append(z.live, "java-modern")
	z.kafka.Spawn("org.apache.kafka.tools.consumer.ConsoleShareConsumer", "--bootstrap-server", z.kafka.Addresses()[0], "--topic", "orders",
		"--group", "share")
	eventually(z.t, "the members of Java have joined", func() bool {
		ctx, cancel := context.WithTimeout(z.t.Context(), try)
		defer cancel()
		listed, _ := z.admin.ListGroups(ctx) // what has failed is missing
		modern, share := listed["java-modern"], listed["share"]
		return modern.State == "Stable" && share.State == "Stable" && len(z.committed("java-modern", "payments.eu")) == 2
	})
}

// committed returns the committed offsets of a group on a topic.
func (z *zoo) committed(group, topic string) map[int32]kadm.Offset {
	found, err := z.admin.FetchOffsets(z.t.Context(), group)
	if err != nil {
		return nil // it does not exist yet
	}
	return found.Offsets()[topic]
}

// settled reports whether every group that has members shows them.
func (z *zoo) settled(c *comparison) bool {
	return !slices.ContainsFunc(z.live, func(group string) bool { return !c.owned[group] })
}

func (z *zoo) storedGroups(store storage.Store) []string {
	groups, err := store.Groups(z.t.Context(), "prod")
	require.NoError(z.t, err)
	return slices.Sorted(groups)
}
