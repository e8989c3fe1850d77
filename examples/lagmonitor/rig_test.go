package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lagkeeper/storage"
)

// rig is a whole monitor in process: brokers, store, poller and view, on a clock that moves with the polls.
type rig struct {
	t      *testing.T
	ctx    context.Context
	poller *poller
	view   view
	events *eventLog
	clock  time.Time

	coordinator *storage.Coordinator
}

func newRig(t *testing.T, ctx context.Context, brokers []string) *rig {
	t.Helper()
	return newRigWith(t, ctx, brokers, viper.New())
}

func newRigWith(t *testing.T, ctx context.Context, brokers []string, v *viper.Viper) *rig {
	t.Helper()
	v.Set("cluster.demo.class-name", "kafka")
	r := &rig{t: t, ctx: ctx, events: new(eventLog), clock: time.Now().Add(-10 * time.Minute).Truncate(time.Second)}
	coordinator, err := openStore(v, r.events.logger())
	require.NoError(t, err)
	r.coordinator = coordinator
	t.Cleanup(func() { assert.NoError(t, coordinator.Stop()) })
	client, err := openKafka(ctx, kafkaConfig{brokers: brokers})
	require.NoError(t, err)
	t.Cleanup(client.Close)

	now := func() time.Time { return r.clock }
	gatherer := newGatherer(client)
	gatherer.now = now
	store := storeClient{requests: coordinator.App.StorageChannel, cluster: "demo"}
	r.poller = newPoller(gatherer, store, r.events, defaultExpiry)
	r.poller.restart = newRestart(coordinator, "demo")
	r.view = view{store: store, pace: paceFor(rigInterval), now: now}
	return r
}

// poll moves the clock, polls and returns the table.
func (r *rig) poll() table {
	r.t.Helper()
	r.clock = r.clock.Add(rigInterval)
	require.NoError(r.t, r.poller.poll(r.ctx))
	t, err := r.view.table(r.ctx)
	require.NoError(r.t, err)
	return t
}

// row finds a row of a table, nil where it is not there.
func (t table) row(group, topic string) *row {
	for i := range t.Rows {
		if t.Rows[i].Group == group && t.Rows[i].Topic == topic {
			return &t.Rows[i]
		}
	}
	return nil
}

func (r *rig) eventTexts() string {
	var texts []string
	for _, e := range r.events.last(keptEvents) {
		texts = append(texts, e.Text)
	}
	return strings.Join(texts, "\n")
}

// newCluster is a Kafka without a workload.
func newCluster(t *testing.T, options ...kfake.Opt) (*kfake.Cluster, *kgo.Client) {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3), kfake.SeedTopics(2, "t")}, options...)...)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(
		kgo.SeedBrokers(cluster.ListenAddrs()...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MetadataMinAge(metadataMinAge),
	)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return cluster, client
}

// write writes messages to partition 0 of topic t.
func write(t *testing.T, ctx context.Context, client *kgo.Client, n int) {
	t.Helper()
	for range n {
		require.NoError(t, client.ProduceSync(ctx, &kgo.Record{Topic: "t", Value: []byte("x")}).FirstErr())
	}
}

// commit commits as a tool does that is no member.
func commit(t *testing.T, ctx context.Context, client *kgo.Client, group string, offset int64) {
	t.Helper()
	offsets := make(kadm.Offsets)
	offsets.AddOffset("t", 0, offset, -1)
	require.NoError(t, kadm.NewClient(client).CommitAllOffsets(ctx, group, offsets))
}
