package kafkafeed

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// countTo returns the numbers from 0 up to, but not including, a count.
func countTo(count int32) iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for i := range count {
			if !yield(i) {
				return
			}
		}
	}
}

// logTopic returns the metadata of the log. If the log grows, groups move to other partitions, so their orders become meaningless.
func (f *Feed) logTopic(ctx context.Context) (topic, error) {
	m, err := f.metadata(ctx)
	if err != nil {
		return topic{}, err
	}
	log, ok := m.topics[logTopic]
	if !ok {
		return topic{}, fmt.Errorf("%s does not exist, or may not be described", logTopic)
	}
	f.noteLog(log)
	positions, err := f.target.positions(ctx)
	// Which partitions have a position is no evidence if each feed has some.
	if err == nil && !f.sharded() && len(positions) > 0 && int32(len(positions)) < log.count {
		err = f.forgetOrders(ctx)
	}
	return log, err
}

// noteLog records the metadata of the log.
func (f *Feed) noteLog(log topic) {
	f.logCount.Store(log.count)
	f.leaderless.Store(&log.leaderless)
}

// forgetOrders restarts the orders of all groups; the reading continues.
func (f *Feed) forgetOrders(ctx context.Context) error {
	positions, err := f.target.positions(ctx)
	if err != nil {
		return err
	}
	if err := f.target.forgetAllOrders(ctx); err != nil {
		return err
	}
	for partition, offset := range positions {
		if err := f.target.setPosition(ctx, partition, offset); err != nil {
			return err
		}
	}
	return nil
}

// adopt begins to read partitions of the log from the positions in the store, after fetching the committed offsets of the groups of
// these partitions.
func (t *tailer) adopt(ctx context.Context, numbers []int32) error {
	t.unsettled, t.idle = true, false
	numbers = slices.DeleteFunc(numbers, func(partition int32) bool { return t.logs[partition] != nil })
	if err := t.feed.seed(ctx, t.seeds, numbers, t.count, func() error { return t.open(ctx, numbers) }); err != nil {
		return err
	}
	if err := t.feed.seedTimes(ctx); err != nil {
		return err
	}
	// The ends are fetched again, because the fetched commits precede them.
	ends, err := t.feed.listOffsets(ctx, partitions{logTopic: numbers}, timeEnd, false)
	if err != nil {
		return err
	}
	from := make(map[int32]kgo.Offset, len(numbers))
	for _, partition := range numbers {
		log := t.logs[partition]
		log.target = max(log.target, ends[logTopic][partition])
		from[partition] = kgo.NewOffset().At(log.resolver.Next())
		t.report(partition)
	}
	if len(numbers) > 0 {
		t.feed.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{logTopic: from})
	}
	return nil
}

// open finds where to start reading partitions of the log, and whether the feed may read them.
func (t *tailer) open(ctx context.Context, numbers []int32) error {
	f := t.feed
	of := partitions{logTopic: numbers}
	starts, err := f.listOffsets(ctx, of, timeStart, false)
	if err != nil {
		return err
	}
	ends, err := f.listOffsets(ctx, of, timeEnd, false)
	if err != nil {
		return err
	}
	positions, err := f.target.positions(ctx)
	if err != nil {
		return err
	}
	opened := make(map[int32]*logTail, len(numbers))
	for _, partition := range numbers {
		start, end := starts[logTopic][partition], ends[logTopic][partition]
		position, known := positions[partition]
		if known && position > end {
			f.log.Log(kgo.LogLevelWarn, "log begins anew: its end is before what was read", "cluster", f.cluster, "partition",
				partition, "end", end, "position", position)
			if err := f.target.forgetOrders(ctx, partition, t.count); err != nil {
				return err
			}
			position = start
		}
		position = max(position, start)
		opened[partition] = &logTail{partition: partition, resolver: NewResolver(position, f.maxPending), names: newNames(), target: end,
			told: -1, counts: make(map[Kind]int)}
	}
	// Listing offsets needs fewer rights than reading, so one read shows whether the feed may read.
	for _, partition := range numbers {
		if _, _, err = f.fetchLog(ctx, partition, opened[partition].resolver.Next()); err == nil || isRefused(err) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", logTopic, err)
	}
	maps.Copy(t.logs, opened)
	t.behind += len(opened)
	return nil
}

// seed fetches the commits of all groups of some log partitions that the store does not know, so that their lag is right at once.
// They, and those of poll mode, are replaced by the log once it has been read to the end that it had at the start. open is called
// before the mode changes.
func (f *Feed) seed(ctx context.Context, seeds seeds, numbers []int32, count int32, open func() error) error {
	f.commits.Lock()
	defer f.commits.Unlock()
	if err := open(); err != nil {
		return err
	}
	f.caughtUp.Store(false)
	f.state.change(func(s *Status) { s.Mode, s.Reason = ModeLog, "" })
	f.share.Store(f.share.Load().with(numbers, count))
	if err := f.doubt(ctx, numbers, count); err != nil {
		return err
	}
	listed, err := f.listGroups(ctx)
	f.asked(askGroups, err)
	var unknown []string
	for group := range listed {
		if slices.Contains(numbers, protocol.LogPartitionOf(group, count)) &&
			errors.Is(f.target.store.Group(ctx, f.cluster, group, &f.stored), storage.ErrUnknownGroup) {
			unknown = append(unknown, group)
		}
	}
	_, err = f.tellCommits(ctx, unknown)
	if fatal(err) {
		return err
	}
	f.asked(askCommits, err)
	seeds.add(maps.Keys(f.polled))
	return nil
}

// fetchLog reads one partition of the log from an offset and returns the offset after the records. It shows whether the log may be
// read and, unlike the client, whether only records removed by compaction precede the end.
func (f *Feed) fetchLog(ctx context.Context, partition int32, offset int64) (next int64, records int, err error) {
	read := fetch{client: f.client, topic: logTopic, partition: partition, offset: offset, wait: 100 * time.Millisecond}
	found, next, err := read.do(ctx)
	return next, len(found), err
}

// release ends the reading of partitions of the log, and stores where to continue.
func (t *tailer) release(ctx context.Context, numbers []int32) error {
	numbers = slices.DeleteFunc(numbers, func(partition int32) bool { return t.logs[partition] == nil })
	if len(numbers) == 0 {
		return nil
	}
	err := t.tellPositions(ctx)
	if errors.Is(err, storage.ErrUnavailable) {
		t.feed.failed(askStoreWrites, err) // the next feed to read them starts earlier
		err = nil
	}
	t.feed.client.RemoveConsumePartitions(map[string][]int32{logTopic: numbers})
	t.feed.commits.Lock()
	defer t.feed.commits.Unlock()
	t.feed.share.Store(t.feed.share.Load().without(numbers))
	for _, partition := range numbers {
		if !t.logs[partition].caughtUp {
			t.behind--
		}
		delete(t.logs, partition)
		t.feed.early.release(partition)
		t.feed.state.dropLog(partition)
	}
	maps.DeleteFunc(t.seeds, func(group string, _ groupSeeds) bool {
		return slices.Contains(numbers, protocol.LogPartitionOf(group, t.count))
	})
	t.feed.members.release(numbers, t.count)
	maps.DeleteFunc(t.feed.doubts, func(group string, _ bool) bool {
		return slices.Contains(numbers, protocol.LogPartitionOf(group, t.count))
	})
	maps.DeleteFunc(t.feed.polled, func(key commitKey, _ polled) bool {
		return slices.Contains(numbers, protocol.LogPartitionOf(key.group, t.count))
	})
	return err
}
