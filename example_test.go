package storage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/viper"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// An application opens the store, stores what Kafka reports, and reads a group.
func ExampleOpen() {
	db, err := storage.Open(storage.Options{Clusters: []string{"local"}})
	if err != nil {
		panic(err)
	}
	defer db.Close()

	ctx, now := context.Background(), time.Now().UnixMilli()
	var group protocol.Group
	_ = db.SetEndOffset(ctx, "local", "orders", protocol.EndOffset{TopicPartitionCount: 1, Offset: 120})
	_ = db.Commit(ctx, "local", "billing", protocol.Commit{Topic: "orders", Offset: 100, Timestamp: now})
	err = db.Group(ctx, "local", "billing", &group)
	fmt.Println(err, group.Topics[0].Partitions[0].CurrentLag)
	// Output: <nil> 20
}

// An application embeds the store: it names its Kafka clusters, starts the coordinator, and uses method calls or the channel.
func ExampleCoordinator() {
	config := viper.New()
	config.Set("cluster.local.class-name", "kafka")
	app := &protocol.ApplicationContext{StorageChannel: make(chan *protocol.StorageRequest)}
	coordinator := &storage.Coordinator{App: app, Log: zap.NewNop(), Viper: config}
	coordinator.Configure()
	if err := coordinator.Start(); err != nil {
		panic(err)
	}
	defer coordinator.Stop()
	store := coordinator.Store()

	ctx, now := context.Background(), time.Now().UnixMilli()
	end := protocol.EndOffset{Partition: 0, TopicPartitionCount: 1, Offset: 120, Timestamp: now}
	commit := protocol.Commit{Topic: "orders", Partition: 0, Offset: 100, Timestamp: now}
	if err := store.SetEndOffset(ctx, "local", "orders", end); err != nil {
		panic(err)
	}
	if err := store.Commit(ctx, "local", "billing", commit); err != nil {
		panic(err)
	}
	var group protocol.Group
	if err := store.Group(ctx, "local", "billing", &group); err != nil {
		panic(err)
	}
	fmt.Println("billing is behind by", group.Topics[0].Partitions[0].CurrentLag)
	// Output: billing is behind by 20
}

// exampleCoordinator starts a coordinator with one cluster, called local, for the examples below.
func exampleCoordinator(settings map[string]any) *storage.Coordinator {
	config := viper.New()
	config.Set("cluster.local.class-name", "kafka")
	for key, value := range settings {
		config.Set(key, value)
	}
	coordinator := &storage.Coordinator{
		App:   &protocol.ApplicationContext{StorageChannel: make(chan *protocol.StorageRequest)},
		Log:   zap.NewNop(),
		Viper: config,
	}
	coordinator.Configure()
	if err := coordinator.Start(); err != nil {
		panic(err)
	}
	return coordinator
}

// The same over the channel, as code for the published API does it. Requests of one sender take effect in the order sent, so
// the sender need not wait between them.
func ExampleCoordinator_channel() {
	coordinator := exampleCoordinator(nil)
	defer coordinator.Stop()
	requests := coordinator.App.StorageChannel

	now := time.Now().UnixMilli()
	requests <- &protocol.StorageRequest{
		RequestType: protocol.StorageSetBrokerOffset, Cluster: "local", Topic: "orders",
		Partition: 0, TopicPartitionCount: 1, Offset: 120, Timestamp: now,
	}
	requests <- &protocol.StorageRequest{
		RequestType: protocol.StorageSetConsumerOffset, Cluster: "local", Group: "billing", Topic: "orders",
		Partition: 0, Offset: 100, Order: 1, Timestamp: now,
	}
	fetch := &protocol.StorageRequest{
		RequestType: protocol.StorageFetchConsumer, Cluster: "local", Group: "billing", Reply: make(chan interface{}),
	}
	requests <- fetch
	topics, known := (<-fetch.Reply).(protocol.ConsumerTopics)
	fmt.Println(known, topics["orders"][0].CurrentLag)
	// Output: true 20
}

// StorageFetchTopic answers the newest end offset of every partition; -1 stands for a partition that exists but has none yet.
// For an unknown topic the Reply is closed without a value, which reads as nil.
func ExampleCoordinator_fetchTopic() {
	coordinator := exampleCoordinator(nil)
	defer coordinator.Stop()
	requests := coordinator.App.StorageChannel

	requests <- &protocol.StorageRequest{
		RequestType: protocol.StorageSetBrokerOffset, Cluster: "local", Topic: "orders",
		Partition: 1, TopicPartitionCount: 3, Offset: 120, Timestamp: time.Now().UnixMilli(),
	}
	for _, topic := range []string{"orders", "unheard-of"} {
		fetch := &protocol.StorageRequest{
			RequestType: protocol.StorageFetchTopic, Cluster: "local", Topic: topic, Reply: make(chan interface{}),
		}
		requests <- fetch
		switch answer := (<-fetch.Reply).(type) {
		case []int64:
			fmt.Println(topic, answer)
		case nil:
			fmt.Println(topic, "is unknown")
		}
	}
	// Output:
	// orders [-1 120 -1]
	// unheard-of is unknown
}

// The typed API returns why a commit was dropped; the channel cannot.
func ExampleStore() {
	coordinator := exampleCoordinator(map[string]any{"storage.mystorage.group-denylist": "^console-consumer-"})
	defer coordinator.Stop()
	store := coordinator.Store()

	ctx, now := context.Background(), time.Now().UnixMilli()
	commit := protocol.Commit{Topic: "orders", Partition: 0, Offset: 100, Order: 7, Timestamp: now}
	err := store.Commit(ctx, "local", "billing", commit)
	fmt.Println("before the end offset is known:", errors.Is(err, storage.ErrUnknownTopic))

	end := protocol.EndOffset{Partition: 0, TopicPartitionCount: 1, Offset: 120, Timestamp: now}
	if err := store.SetEndOffset(ctx, "local", "orders", end); err != nil {
		panic(err)
	}
	err = store.Commit(ctx, "local", "console-consumer-42", commit)
	fmt.Println("from a group on the denylist:", errors.Is(err, storage.ErrFiltered))
	fmt.Println("taken:", store.Commit(ctx, "local", "billing", commit) == nil)
	err = store.Commit(ctx, "local", "billing", commit)
	fmt.Println("once more:", errors.Is(err, storage.ErrDuplicate))
	// Output:
	// before the end offset is known: true
	// from a group on the denylist: true
	// taken: true
	// once more: true
}

// announced is a module class of the application's own: it prints where it is configured and leaves the rest to the in-memory
// module.
type announced struct {
	*storage.InMemoryStorage
}

func (m announced) Configure(name, configRoot string) {
	fmt.Println("module", name, "reads", configRoot)
	m.InMemoryStorage.Configure(name, configRoot)
}

func init() {
	err := storage.Register("announced",
		func(app *protocol.ApplicationContext, log *zap.Logger, v *viper.Viper) storage.Module {
			return announced{&storage.InMemoryStorage{App: app, Log: log, Viper: v}}
		})
	if err != nil {
		panic(err)
	}
}

// A module class that an application registered, usually in an init function, is selected by class-name like a built-in one.
func ExampleRegister() {
	coordinator := exampleCoordinator(map[string]any{"storage.mystorage.class-name": "announced"})
	defer coordinator.Stop()

	fetch := &protocol.StorageRequest{RequestType: protocol.StorageFetchClusters, Reply: make(chan interface{})}
	coordinator.App.StorageChannel <- fetch
	fmt.Println("clusters:", <-fetch.Reply)
	// Output:
	// module mystorage reads storage.mystorage
	// clusters: [local]
}

// offsetsLog stands for __consumer_offsets, which an application reads with a Kafka client.
type offsetsLog []protocol.Commit

// Read returns the commits since a time. A consumer would begin at the offset that ListOffsets returns for it.
func (log offsetsLog) Read(from time.Time) offsetsLog {
	for i := range log {
		if log[i].Timestamp >= from.UnixMilli() {
			return log[i:]
		}
	}
	return nil
}

// slack is how long before the watermark an application begins to read. It must exceed the difference of its clock from those
// of the brokers, plus how far it may have been behind.
const slack = 5 * time.Minute

// catchUp reads from the log what the store may not know, and returns the number of new commits.
func catchUp(ctx context.Context, coordinator *storage.Coordinator, log offsetsLog) (taken int, err error) {
	p, err := coordinator.Persistent()
	if err != nil {
		return 0, err
	}
	var from time.Time // the beginning
	if watermark := p.Restored().Watermark; !watermark.IsZero() {
		from = watermark.Add(-slack)
	}
	for _, commit := range log.Read(from) {
		err := coordinator.Store().Commit(ctx, "local", "billing", commit)
		switch {
		case err == nil:
			taken++
		case errors.Is(err, storage.ErrStopped):
			return taken, err
		}
		// A commit that is known already returns ErrDuplicate and changes nothing.
	}
	p.ReplayDone()
	return taken, nil
}

// After a restart an application continues from its last snapshot: it stores the current end offsets, and reads the commits
// since the watermark again.
func ExamplePersistent() {
	dir, err := os.MkdirTemp("", "lag")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	settings := map[string]any{"storage.mystorage.snapshot-path": filepath.Join(dir, "lag.snapshot")}

	ctx, now := context.Background(), time.Now().UnixMilli()
	var log offsetsLog
	for i := range int64(3) {
		log = append(log, protocol.Commit{Topic: "orders", Offset: 100 + i, Order: 1 + i, Timestamp: now - 60_000 + i})
	}
	run := func(end int64) {
		coordinator := exampleCoordinator(settings)
		defer coordinator.Stop() // saves a snapshot
		store := coordinator.Store()
		if err := store.SetEndOffset(ctx, "local", "orders", protocol.EndOffset{Offset: end}); err != nil {
			panic(err)
		}
		taken, err := catchUp(ctx, coordinator, log)
		if err != nil {
			panic(err)
		}
		var group protocol.Group
		if err := store.Group(ctx, "local", "billing", &group); err != nil {
			panic(err)
		}
		partition := group.Topics[0].Partitions[0]
		fmt.Println(taken, "new,", len(partition.Commits), "known, behind by", partition.CurrentLag)
	}
	run(120)
	log = append(log, protocol.Commit{Topic: "orders", Offset: 125, Order: 4, Timestamp: now})
	run(130)
	// Output:
	// 3 new, 3 known, behind by 18
	// 1 new, 4 known, behind by 5
}
