package storage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// offsetsLog stands for __consumer_offsets: what a Kafka client reads.
type offsetsLog []protocol.Commit

// Read returns the commits from a time on, as a consumer does that begins at the offset which ListOffsets gives for it.
func (log offsetsLog) Read(from time.Time) offsetsLog {
	for i := range log {
		if log[i].Timestamp >= from.UnixMilli() {
			return log[i:]
		}
	}
	return nil
}

// slack is how much earlier than the watermark an application begins to read: more than its clock differs from those of
// the brokers, and than it may have been behind.
const slack = 5 * time.Minute

// catchUp reads from the log what the store may not know, and returns how many commits were new.
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
		// What is known already is ErrDuplicate, and changes nothing.
	}
	p.ReplayDone()
	return taken, nil
}

// An application that restarts goes on where its last snapshot was taken: it tells the store the end offsets as they are
// now, and reads the commits since the watermark again.
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
