// Embed opens a store, watches it, survives a restart, and writes everything out as JSON lines.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

func main() {
	dir, err := os.MkdirTemp("", "embed")
	check(err)
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	options := storage.Options{Clusters: []string{"local"}, SnapshotPath: filepath.Join(dir, "lag.snapshot")}
	db, err := storage.Open(options)
	check(err)

	// A watcher receives the changes in order, and holds up no writer.
	events, err := db.Watch(ctx, storage.WatchFilter{Groups: []string{"billing"}})
	check(err)
	check(db.SetEndOffset(ctx, "local", "orders", protocol.EndOffset{TopicPartitionCount: 1, Offset: 120}))
	commit := protocol.Commit{Topic: "orders", Offset: 100, Order: 1, Timestamp: time.Now().UnixMilli()}
	check(db.Commit(ctx, "local", "billing", commit))
	for event := range events {
		fmt.Println("event:", event.Kind, event.Group)
		break
	}

	// Close saves a snapshot, Open restores it. Its numbers are confirmed by the next poll, and by reading the log to its end.
	check(db.Close())
	db, err = storage.Open(options)
	check(err)
	fmt.Println("restored groups:", db.Restored().Groups)
	check(db.SetEndOffset(ctx, "local", "orders", protocol.EndOffset{TopicPartitionCount: 1, Offset: 150}))
	db.ReplayDone()

	var group protocol.Group
	check(db.Group(ctx, "local", "billing", &group))
	partition := group.Topics[0].Partitions[0]
	fmt.Printf("billing is %v by %d messages\n", partition.State, partition.CurrentLag)
	check(db.Export(ctx, os.Stdout))
	check(db.Close())
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
