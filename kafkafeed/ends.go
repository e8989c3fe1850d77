package kafkafeed

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lagkeeper/storage/protocol"
)

// endKind is the kind of end offset that the store has for a partition with open transactions.
type endKind int

const (
	readableEnd   endKind = iota // the last stable offset, unless a group is beyond it
	highWatermark                // the end of all written records
	lastStable                   // the end of the records before the first open transaction
)

// pollEnds stores the topics and the end offset of every partition. It returns an error if nothing could be fetched.
func (f *Feed) pollEnds(ctx context.Context) error {
	at := time.Now()
	m, err := f.metadata(ctx)
	if err != nil {
		f.failed(askMetadata, err)
		return err
	}
	f.asked(askMetadata, m.err)
	topics := m.topics
	f.noteLog(topics[logTopic])
	of := make(partitions, len(topics))
	for name, t := range topics {
		if f.wantsTopic(name, t.internal) {
			for partition := range t.count {
				of[name] = append(of[name], partition)
			}
		}
	}
	logs := slices.Collect(maps.Keys(f.state.logEnds()))
	var starts, logEnds offsets
	var startErr error
	var wg sync.WaitGroup
	wg.Go(func() { starts, logEnds, startErr = f.listStarts(ctx, of, logs) })
	ends, endErr := f.listEnds(ctx, of)
	wg.Wait()
	f.asked(askEnds, endErr)
	f.asked(askStarts, startErr)
	for name, found := range ends {
		told := make([]protocol.EndOffset, 0, len(found))
		for partition, end := range found {
			told = append(told, protocol.EndOffset{Partition: partition, TopicPartitionCount: topics[name].count, Offset: end,
				Timestamp: at.UnixMilli(), LogStartOffset: min(starts[name][partition], end), TopicID: topics[name].id})
		}
		refused, err := refusals(f.target.store.SetEndOffsetBatch(ctx, f.cluster, name, told))
		if err != nil {
			return err
		}
		if len(refused) > 0 {
			f.failed(askStoreWrites, refused[0].Err)
		}
	}
	f.noteEndless(of, ends)
	if err := f.deleteTopics(ctx, m, of); err != nil {
		return err
	}
	if err := f.early.retry(ctx, f.target, f.state); err != nil {
		return err
	}
	if len(ends) == 0 && endErr != nil {
		return endErr
	}
	if _, ok := of[logTopic]; ok {
		logEnds = ends
	}
	f.state.raiseEnds(logEnds[logTopic])
	// Whether a log partition is behind is known only with its end.
	if len(logEnds[logTopic]) >= len(logs) {
		f.state.change(func(s *Status) { s.LastPoll, s.PollDuration = at, time.Since(at) })
	}
	return nil
}

// listStarts fetches the start offsets of partitions. The same requests fetch the ends of log partitions, unless the log is one of the
// topics.
func (f *Feed) listStarts(ctx context.Context, of partitions, logs []int32) (starts, logEnds offsets, err error) {
	starts, logEnds = make(offsets, len(of)), make(offsets)
	asked, isEnd := of, func(string) bool { return false }
	if _, ok := of[logTopic]; !ok && len(logs) > 0 {
		asked = maps.Clone(of)
		asked[logTopic] = logs
		isEnd = func(topic string) bool { return topic == logTopic }
	}
	time := func(topic string, _ int32) int64 {
		if isEnd(topic) {
			return timeEnd
		}
		return timeStart
	}
	err = f.askOffsets(ctx, asked, time, false, func(topic string, p *kmsg.ListOffsetsResponseTopicPartition) {
		if isEnd(topic) {
			logEnds.add(topic, p)
		} else {
			starts.add(topic, p)
		}
	})
	return starts, logEnds, err
}

// listEnds fetches the end offsets of partitions. Partitions without a complete answer from their leader are left out.
func (f *Feed) listEnds(ctx context.Context, of partitions) (offsets, error) {
	switch f.end {
	case highWatermark:
		return f.listOffsets(ctx, of, timeEnd, false)
	case lastStable:
		return f.listOffsets(ctx, of, timeEnd, true)
	}
	committed := f.open.committed()
	high, err := f.listOffsets(ctx, of, timeEnd, false)
	if err != nil && len(high) == 0 {
		return nil, err
	}
	answered := make(partitions, len(high))
	for name, found := range high {
		for partition := range found {
			answered[name] = append(answered[name], partition)
		}
	}
	// The second end is lower only if a transaction is open.
	stable, stableErr := f.listOffsets(ctx, answered, timeEnd, true)
	if stableErr != nil {
		err = stableErr
	}
	open := make(map[commitKey]openEnd)
	for name, found := range stable {
		var stored []int64
		for partition, end := range found {
			if end >= high[name][partition] {
				continue
			}
			if stored == nil {
				stored, _ = f.target.store.EndOffsets(ctx, f.cluster, name, nil) // a new topic has none
			}
			key := commitKey{topic: name, partition: partition}
			beyond := committed[key].beyond || committed[key].highest > end
			open[key] = openEnd{highest: committed[key].highest, beyond: beyond}
			// An end in the store goes back only if the log does.
			if beyond || int(partition) < len(stored) && stored[partition] > end {
				found[partition] = high[name][partition]
			}
		}
	}
	f.open.set(open)
	f.state.change(func(s *Status) { s.OpenPartitions = len(open) })
	return stable, err
}

// openEnd is the state of a partition with open transactions.
type openEnd struct {
	highest int64 // the highest commit
	beyond  bool  // reports whether a group committed beyond the last stable offset, so that it reads uncommitted messages
}

// openEnds are the partitions that had open transactions at the last poll.
type openEnds struct {
	some atomic.Bool // reports whether there are any

	mu   sync.Mutex
	ends map[commitKey]openEnd // guarded by mu
}

// note records a commit.
func (o *openEnds) note(topic string, partition int32, offset int64) {
	if !o.some.Load() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	key := commitKey{topic: topic, partition: partition}
	if end, ok := o.ends[key]; ok && offset > end.highest {
		end.highest = offset
		o.ends[key] = end
	}
}

// committed returns the recorded state of a partition.
func (o *openEnds) committed() map[commitKey]openEnd {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.ends)
}

// set replaces the partitions with those of a poll, and keeps the commits recorded since the poll began.
func (o *openEnds) set(ends map[commitKey]openEnd) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, end := range ends {
		end.highest = max(end.highest, o.ends[key].highest)
		ends[key] = end
	}
	o.ends = ends
	o.some.Store(len(ends) > 0)
}

// noteEndless records the partitions whose end the poll lacks. If the store has no end of them, it refuses their commits, so these are
// fetched once there is an end.
func (f *Feed) noteEndless(of partitions, ends offsets) {
	for key := range f.endless {
		if _, ok := ends[key.topic][key.partition]; ok {
			f.reconcile.Store(true)
		}
	}
	f.endless = make(map[commitKey]bool)
	for name, numbers := range of {
		for _, partition := range numbers {
			if _, ok := ends[name][partition]; !ok {
				f.endless[commitKey{topic: name, partition: partition}] = true
			}
		}
	}
}
