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
)

// quiet is how long a fetch may return nothing before the feed checks whether compaction has removed the missing records.
const quiet = 500 * time.Millisecond

// tailer reads __consumer_offsets.
type tailer struct {
	feed   *Feed
	count  int32
	logs   map[int32]*logTail
	member *member // of the group that shares the log; nil if it is not shared
	behind int     // logs that have not reached their target
	// seeds is empty once the log has been read to the end that it had at the start.
	seeds seeds
	takers
	// unsettled is true from the arrival of log partitions until all have reached their target.
	unsettled bool
	// idle is true if nothing arrived for an interval: the first share of a new member is empty until others have given up theirs.
	idle bool
}

// logTail is one partition of the log.
type logTail struct {
	partition int32
	resolver  *Resolver
	names     *names
	effects   []Effect
	fetched   [][]*kgo.Record // the records of the newest fetch that have not been taken
	target    int64           // its end at the start
	told      int64           // the position that the store has
	caughtUp  bool
	counts    map[Kind]int
	time      time.Time
}

// tail reads the log until the context is done or the log cannot be read, and returns the reason. If it could not begin, nothing has
// changed.
func (f *Feed) tail(ctx context.Context) error {
	topic, err := f.logTopic(ctx)
	if err != nil {
		return err
	}
	t := &tailer{feed: f, count: topic.count, logs: make(map[int32]*logTail), seeds: make(seeds)}
	f.state.clearLogs() // an earlier end is meaningless for a log that is read from the start
	defer f.client.PurgeTopicsFromConsuming(logTopic)
	switch {
	case f.sharer != nil:
		if shared := f.share.Load().count; topic.count != shared {
			return fmt.Errorf("%s has %d partitions: must be %d, as in the store", logTopic, topic.count, shared)
		}
		t.member = f.told
		t.member.begin()
		defer t.member.end()
	case f.shard != "":
		if t.member, err = f.join(); err != nil {
			return err
		}
		defer f.loseShare()
		defer t.member.leave()
	default:
		if err := t.adopt(ctx, slices.Collect(countTo(topic.count))); err != nil {
			return err
		}
	}
	f.state.allowed(askLog)
	for {
		if err := t.follow(ctx); err != nil {
			return err
		}
		if err := t.settle(ctx); err != nil {
			return err
		}
		if err := t.read(ctx); err != nil {
			return err
		}
	}
}

// settle marks the partitions that have reached their target, and completes the start once all have.
func (t *tailer) settle(ctx context.Context) error {
	if !t.unsettled || len(t.logs) == 0 && !t.idle {
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
	if err := t.finish(ctx); err != nil {
		return err
	}
	if err := t.tellPositions(ctx); err != nil {
		return err
	}
	if err := t.feed.seedTimes(ctx); err != nil {
		return err
	}
	t.unsettled = false
	t.feed.commits.Lock()
	clear(t.feed.polled)
	err := t.feed.settleDoubts(ctx)
	t.feed.commits.Unlock()
	if err != nil {
		return err
	}
	t.feed.log.Log(kgo.LogLevelInfo, "caught up with the log", "cluster", t.feed.cluster)
	t.feed.caughtUp.Store(true)
	t.feed.becomeReady()
	return nil
}

// read applies the records of one fetch.
func (t *tailer) read(ctx context.Context) error {
	wait := t.feed.interval
	if t.behind > 0 {
		wait = quiet
	}
	within, cancel := context.WithTimeout(ctx, wait)
	t.member.interruptWith(cancel)
	fetches := t.feed.client.PollFetches(within)
	t.idle = errors.Is(within.Err(), context.DeadlineExceeded)
	cancel()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var failure error
	var read []*logTail
	records := 0
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		log := t.logs[p.Partition]
		if log == nil || failure != nil {
			return
		}
		if p.Err != nil && !errors.Is(p.Err, context.DeadlineExceeded) && !errors.Is(p.Err, context.Canceled) {
			failure = t.failed(ctx, p.Partition, p.Err)
		}
		if failure == nil && len(p.Records) > 0 {
			// If another broker leads the partition now, the fetches of both may have records of it.
			if len(log.fetched) == 0 {
				read = append(read, log)
			}
			log.fetched = append(log.fetched, p.Records)
			records += len(p.Records)
			t.feed.state.setEnd(p.Partition, p.HighWatermark)
		}
	})
	if failure == nil {
		failure = t.take(ctx, read, records)
	}
	if failure != nil {
		return failure
	}
	if len(read) == 0 && (t.behind > 0 || t.idle) {
		return t.skip(ctx)
	}
	return t.tellPositions(ctx)
}

// failed returns an error if the log cannot be read further without starting again.
func (t *tailer) failed(ctx context.Context, partition int32, err error) error {
	if isRefused(err) {
		return err
	}
	var loss *kgo.ErrDataLoss
	if errors.As(err, &loss) || errors.Is(err, kerr.OffsetOutOfRange) || errors.Is(err, kerr.UnknownTopicID) ||
		errors.Is(err, kerr.InconsistentTopicID) {
		// The records read so far are not those that the log has now: their orders are meaningless.
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

// skip checks whether only records removed by compaction precede the end: those never arrive.
func (t *tailer) skip(ctx context.Context) error {
	ends := t.feed.state.logEnds()
	for partition, log := range t.logs {
		if log.resolver.Next() >= max(log.target, ends[partition]) {
			continue
		}
		next, records, err := t.feed.fetchLog(ctx, partition, log.resolver.Next())
		if err != nil {
			t.feed.failed(askLog, err)
		} else if records == 0 {
			log.resolver.SkipTo(next)
		}
	}
	return t.tellPositions(ctx)
}

// tellPositions stores the positions to read from after a restart, after everything else was stored. It stores none until the log has
// been read to its target, because the commits kept apart would be missing.
func (t *tailer) tellPositions(ctx context.Context) error {
	for partition, log := range t.logs {
		position := t.feed.early.position(partition, log.resolver.Position())
		if position != log.told && len(t.seeds) == 0 {
			if err := t.feed.target.setPosition(ctx, partition, position); err != nil {
				return err
			}
			log.told = position
		}
		if len(log.counts) > 0 {
			t.feed.state.count(log.counts)
			callHooks(t.feed, func(h HookRecords) { h.OnRecords(partition, maps.Clone(log.counts)) })
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
