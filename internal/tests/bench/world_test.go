package bench_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/spf13/viper"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// benchWorld is a running store with groups × partitions group-partitions of regular shape: each group consumes one topic, of
// a tenth as many or at least ten, with the same number of partitions each.
type benchWorld struct {
	groups, partitions int

	coordinator *storage.Coordinator
	store       storage.Backend
	groupNames  []string
	topicNames  []string
	topicOf     []string // by group

	offsets []int64 // the newest commit, by group × partitions + partition
	round   int64
	start   int64
	random  *rand.Rand
}

const benchCluster = "local"

func newBenchWorld(tb testing.TB, groups, partitions, intervals int, log *zap.Logger) *benchWorld {
	tb.Helper()
	v := viper.New()
	v.Set("storage.bench.intervals", intervals)
	v.Set("cluster."+benchCluster+".class-name", "kafka")
	w := &benchWorld{
		groups: groups, partitions: partitions,
		coordinator: &storage.Coordinator{
			App: &protocol.ApplicationContext{StorageChannel: make(chan *protocol.StorageRequest)},
			Log: log, Viper: v,
		},
		offsets: make([]int64, groups*partitions),
		start:   time.Now().UnixMilli() - 6*24*3_600_000,
		random:  rand.New(rand.NewPCG(1, 2)),
	}
	w.coordinator.Configure()
	if err := w.coordinator.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = w.coordinator.Stop() })
	w.store = w.coordinator.Store().(storage.Backend)
	for t := range max(10, groups/10) {
		w.topicNames = append(w.topicNames, fmt.Sprintf("events.orders-%06d.v1", t))
	}
	for g := range groups {
		w.groupNames = append(w.groupNames, fmt.Sprintf("billing-service-%06d", g))
		w.topicOf = append(w.topicOf, w.topicNames[g%len(w.topicNames)])
	}
	w.poll(tb)
	return w
}

// poll stores an end offset of each partition.
func (w *benchWorld) poll(tb testing.TB) {
	for _, topic := range w.topicNames {
		ends := make([]protocol.EndOffset, w.partitions)
		for p := range ends {
			ends[p] = protocol.EndOffset{Partition: int32(p), TopicPartitionCount: int32(w.partitions), Offset: 1<<40 + 1_000, Timestamp: w.start}
		}
		must(tb, w.store.SetEndOffsetBatch(context.Background(), benchCluster, topic, ends))
	}
}

// load lets every group commit every partition times times, ten seconds apart.
func (w *benchWorld) load(tb testing.TB, times int) {
	batch := make([]protocol.Commit, w.partitions)
	for range times {
		w.round++
		for g := range w.groups {
			for p := range batch {
				batch[p] = w.next(g, p)
			}
			must(tb, w.store.CommitBatch(context.Background(), benchCluster, w.groupNames[g], batch))
		}
	}
}

// next makes the next commit of a group on a partition: about a thousand messages after its last, with an order behind those
// of a fiftieth of all groups' commits in the meantime.
func (w *benchWorld) next(g, p int) protocol.Commit {
	i := g*w.partitions + p
	w.offsets[i] += 900 + w.random.Int64N(200)
	return protocol.Commit{
		Topic: w.topicOf[g], Partition: int32(p), Offset: 1<<40 + w.offsets[i],
		Order:     w.round*w.orderStep() + int64(p) + 1,
		Timestamp: w.start + w.round*10_000 + w.random.Int64N(500),
	}
}

// orderStep is by how much the order of a group-partition grows from round to round.
func (w *benchWorld) orderStep() int64 { return max(int64(len(w.offsets))/50, 200) }

func must(tb testing.TB, err error) {
	if err != nil {
		tb.Fatal(err)
	}
}

// jsonLogger logs JSON at Info level to nowhere, as an application in production logs to a file.
func jsonLogger() *zap.Logger {
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(io.Discard), zap.InfoLevel))
}
