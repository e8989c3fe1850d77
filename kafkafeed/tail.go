package kafkafeed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// quiet is for how long a fetch may bring nothing before the feed looks whether what is missing was compacted away.
const quiet = 500 * time.Millisecond

// tailer reads __consumer_offsets.
type tailer struct {
	feed    *Feed
	id      protocol.TopicID
	count   int32
	applier *applier
	logs    map[int32]*logTail
	behind  int // logs that have not reached their target
	effects []Effect
}

// logTail is one partition of the log.
type logTail struct {
	resolver *Resolver
	target   int64 // where it ended at the start
	told     int64 // the position that the store knows
	caughtUp bool
	counts   map[Kind]int
	time     time.Time
}

// tail reads the log until the context is done, or until it cannot be read, and says why. Nothing has changed if it could not
// begin.
func (f *Feed) tail(ctx context.Context) error {
	t, from, err := f.openLog(ctx)
	if err != nil {
		return err
	}
	seeds, err := f.seed(ctx)
	if err != nil {
		return err
	}
	// The ends are asked for again: what was answered with a commit stands before them.
	ends, err := f.listOffsets(ctx, partitions{logTopic: slices.Collect(maps.Keys(t.logs))}, timeEnd, false)
	if err != nil {
		return err
	}
	targets := make(map[int32]int64, len(t.logs))
	for partition, log := range t.logs {
		log.target = max(log.target, ends[logTopic][partition])
		targets[partition] = log.target
	}
	t.applier = newApplier(f, seeds, targets)
	t.behind = len(t.logs)
	for partition := range t.logs {
		t.report(partition)
	}
	f.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{logTopic: from})
	defer f.client.PurgeTopicsFromConsuming(logTopic)
	f.state.allowed(askLog)
	for {
		if err := t.settle(ctx); err != nil {
			return err
		}
		if err := t.read(ctx); err != nil {
			return err
		}
	}
}

// openLog finds out where to read each partition of the log from, and whether it may be read.
func (f *Feed) openLog(ctx context.Context) (*tailer, map[int32]kgo.Offset, error) {
	topics, _, err := f.metadata(ctx)
	if err != nil {
		return nil, nil, err
	}
	topic, ok := topics[logTopic]
	if !ok {
		return nil, nil, fmt.Errorf("%s is not there, or may not be seen", logTopic)
	}
	t := &tailer{feed: f, id: topic.id, count: topic.count, logs: make(map[int32]*logTail)}
	of := partitions{}
	for partition := range topic.count {
		of[logTopic] = append(of[logTopic], partition)
	}
	starts, err := f.listOffsets(ctx, of, timeStart, false)
	if err != nil {
		return nil, nil, err
	}
	ends, err := f.listOffsets(ctx, of, timeEnd, false)
	if err != nil {
		return nil, nil, err
	}
	positions, err := f.target.positions(ctx)
	if err != nil {
		return nil, nil, err
	}
	from := make(map[int32]kgo.Offset, topic.count)
	for partition := range topic.count {
		start, end := starts[logTopic][partition], ends[logTopic][partition]
		position, known := positions[partition]
		if known && position > end {
			f.log.Log(kgo.LogLevelWarn, "log begins anew: its end is before what was read", "cluster", f.cluster, "partition",
				partition, "end", end, "position", position)
			if err := f.target.forgetOrders(ctx, partition, topic.count); err != nil {
				return nil, nil, err
			}
			position = start
		}
		position = max(position, start)
		t.logs[partition] = &logTail{resolver: NewResolver(position, f.maxPending), target: end, told: -1, counts: make(map[Kind]int)}
		from[partition] = kgo.NewOffset().At(position)
	}
	// One read tells whether more is allowed than to look.
	for partition := range topic.count {
		if _, _, err = f.fetchOnce(ctx, t.id, partition, t.logs[partition].resolver.Next()); err == nil {
			return t, from, nil
		}
		if isRefused(err) {
			break
		}
	}
	return nil, nil, fmt.Errorf("read %s: %w", logTopic, err)
}

// seed asks for the commits of all groups that the store does not know, so that their lag is right at once. The log replaces
// these, and what poll mode has told, when it was read to where it ended.
func (f *Feed) seed(ctx context.Context) (map[commitKey]*seed, error) {
	f.commits.Lock()
	defer f.commits.Unlock()
	f.state.change(func(s *Status) { s.Mode, s.Reason = ModeLog, "" })
	if !f.caughtUp.Load() {
		listed, err := f.listGroups(ctx)
		f.asked(askGroups, err)
		var unknown []string
		for group := range listed {
			var stored protocol.Group
			if errors.Is(f.target.store.Group(ctx, f.cluster, group, &stored), storage.ErrUnknownGroup) {
				unknown = append(unknown, group)
			}
		}
		_, err = f.tellCommits(ctx, unknown)
		if fatal(err) {
			return nil, err
		}
		f.asked(askCommits, err)
	}
	seeds := make(map[commitKey]*seed, len(f.polled))
	for key := range f.polled {
		seeds[key] = &seed{}
	}
	return seeds, nil
}

// settle notes which partitions have reached their target, and what follows if all have.
func (t *tailer) settle(ctx context.Context) error {
	if t.behind == 0 {
		return nil
	}
	for _, log := range t.logs {
		if !log.caughtUp && log.resolver.Next() >= log.target {
			log.caughtUp = true
			t.behind--
		}
	}
	if t.behind > 0 {
		return nil
	}
	if err := t.applier.finish(ctx); err != nil {
		return err
	}
	if err := t.tellPositions(ctx); err != nil {
		return err
	}
	t.feed.commits.Lock()
	clear(t.feed.polled)
	t.feed.commits.Unlock()
	t.feed.log.Log(kgo.LogLevelInfo, "caught up with the log", "cluster", t.feed.cluster)
	t.feed.caughtUp.Store(true)
	t.feed.becomeReady()
	return nil
}

// read applies what one fetch brings.
func (t *tailer) read(ctx context.Context) error {
	wait := t.feed.interval
	if t.behind > 0 {
		wait = quiet
	}
	within, cancel := context.WithTimeout(ctx, wait)
	fetches := t.feed.client.PollFetches(within)
	cancel()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var failure error
	read := false
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		log := t.logs[p.Partition]
		if log == nil || failure != nil {
			return
		}
		if p.Err != nil && !errors.Is(p.Err, context.DeadlineExceeded) {
			failure = t.failed(ctx, p.Partition, p.Err)
		}
		if failure == nil && len(p.Records) > 0 {
			read = true
			failure = t.take(ctx, log, p.Records)
			t.feed.state.setEnd(p.Partition, p.HighWatermark)
		}
	})
	if failure == nil {
		failure = t.applier.flush(ctx)
	}
	if failure != nil {
		return failure
	}
	if !read {
		return t.skip(ctx)
	}
	return t.tellPositions(ctx)
}

func (t *tailer) take(ctx context.Context, log *logTail, records []*kgo.Record) error {
	for _, record := range records {
		entry, err := Decode(record)
		if err != nil && t.feed.log.Level() >= kgo.LogLevelDebug {
			t.feed.log.Log(kgo.LogLevelDebug, "record is corrupt", "cluster", t.feed.cluster, "err", err)
		}
		log.counts[entry.Kind]++
		t.effects = log.resolver.Apply(entry, t.effects[:0])
		if len(t.effects) > 0 {
			if err := t.applier.apply(ctx, t.effects); err != nil {
				return err
			}
		}
	}
	log.time = records[len(records)-1].Timestamp
	return nil
}

// failed returns an error if the log cannot be read further without beginning anew.
func (t *tailer) failed(ctx context.Context, partition int32, err error) error {
	if isRefused(err) {
		return err
	}
	var loss *kgo.ErrDataLoss
	if errors.As(err, &loss) || errors.Is(err, kerr.OffsetOutOfRange) || errors.Is(err, kerr.UnknownTopicID) ||
		errors.Is(err, kerr.InconsistentTopicID) {
		// What was read is not what the log holds now: its orders say nothing any more.
		if err := t.feed.target.forgetOrders(ctx, partition, t.count); err != nil {
			return err
		}
		if err := t.feed.target.setPosition(ctx, partition, 0); err != nil {
			return err
		}
		return fmt.Errorf("read partition %d of %s: %w", partition, logTopic, err)
	}
	t.feed.failed(askLog, err)
	return nil
}

// skip looks whether there is nothing more to read before the target: what compaction emptied brings no record.
func (t *tailer) skip(ctx context.Context) error {
	for partition, log := range t.logs {
		if log.caughtUp || log.resolver.Next() >= log.target {
			continue
		}
		next, records, err := t.feed.fetchOnce(ctx, t.id, partition, log.resolver.Next())
		if err != nil {
			t.feed.failed(askLog, err)
		} else if records == 0 {
			log.resolver.SkipTo(next)
		}
	}
	return t.tellPositions(ctx)
}

// tellPositions tells the store, after everything was stored, from where to read again. Before the log was caught up with,
// what is kept apart would be missing.
func (t *tailer) tellPositions(ctx context.Context) error {
	for partition, log := range t.logs {
		position := t.feed.early.position(partition, log.resolver.Position())
		if position != log.told && len(t.applier.seeds) == 0 {
			if err := t.feed.target.setPosition(ctx, partition, position); err != nil {
				return err
			}
			log.told = position
		}
		if len(log.counts) > 0 {
			t.feed.state.count(log.counts)
			for _, hook := range t.feed.hooks {
				if h, ok := hook.(HookRecords); ok {
					h.OnRecords(partition, maps.Clone(log.counts))
				}
			}
			clear(log.counts)
		}
		t.report(partition)
	}
	return nil
}

func (t *tailer) report(partition int32) {
	log := t.logs[partition]
	transactions, commits := log.resolver.Pending()
	t.feed.state.setLog(LogStatus{Partition: partition, Next: log.resolver.Next(), Position: log.resolver.Position(),
		End: max(log.target, log.resolver.Next()), OpenTransactions: transactions, PendingCommits: commits, Time: log.time})
}
