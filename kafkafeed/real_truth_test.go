package kafkafeed

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// truth returns what Kafka has committed, as lags, from the ends and the starts of the topics. It returns an error if any broker's
// answer is incomplete.
func (w *world) truth() (lags, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), try)
	defer cancel()
	groups, err := w.admin.ListGroups(ctx)
	if err != nil {
		return nil, err
	}
	ends, err := w.admin.ListEndOffsets(ctx)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, err
	}
	starts, err := w.admin.ListStartOffsets(ctx)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, err
	}
	found := lags{}
	for _, group := range groups.Groups() {
		committed, err := w.admin.FetchOffsets(ctx, group)
		if err != nil {
			return nil, err
		}
		committed.Offsets().Each(func(o kadm.Offset) {
			end, _ := ends.Lookup(o.Topic, o.Partition)
			start, _ := starts.Lookup(o.Topic, o.Partition)
			found[fmt.Sprint(group, " ", o.Topic, " ", o.Partition)] = fmt.Sprint(o.At, " ", end.Offset, " ", max(0, end.Offset-max(o.At, start.Offset)))
		})
	}
	return found, nil
}

// same waits until the store has what Kafka has, and returns it.
func (w *world) same(store storage.Store) lags {
	w.t.Helper()
	var want, have lags
	var err error
	defer func() {
		if w.t.Failed() {
			require.NoError(w.t, err)
			require.Equal(w.t, want, have)
		}
	}()
	eventually(w.t, "the store has what Kafka has", func() bool {
		var found lags
		if found, err = w.truth(); err != nil {
			return false
		}
		want, have = found, storedLags(w.t, store)
		return len(want) > 0 && maps.Equal(want, have)
	})
	return have
}

// told is an offset that Kafka has acknowledged.
type told struct {
	at     time.Time
	offset int64
}

// ledger writes to Kafka, and records what was acknowledged and when. From that it knows which answers of a store are honest
// meanwhile.
type ledger struct {
	*world
	store storage.Store
	feed  *running
	ends  map[string][]told                  // by "topic partition"
	newer map[string]map[int64]bool          // by "group topic partition": offsets that may have been committed after the last acknowledged one
	last  map[string]told                    // by "group topic partition": the newest acknowledged commit
	old   map[string]map[int64]bool          // earlier commits
	state map[string]protocol.GroupPartition // at the last check
}

func (w *world) ledger(store storage.Store, feed *running) *ledger {
	l := &ledger{w, store, feed, map[string][]told{}, map[string]map[int64]bool{}, map[string]told{}, map[string]map[int64]bool{}, storedPartitions(w.t, store)}
	for key, p := range l.state {
		l.newer[key], l.old[key] = map[int64]bool{}, map[int64]bool{}
		for _, commit := range p.Commits {
			l.old[key][commit.Offset] = true
		}
	}
	return l
}

// produce reports whether Kafka has acknowledged a record.
func (l *ledger) produce(topic string, partition int32) bool {
	ctx, cancel := context.WithTimeout(l.t.Context(), 2*time.Second)
	defer cancel()
	record, err := l.client.ProduceSync(ctx, &kgo.Record{Topic: topic, Partition: partition, Value: []byte("v")}).First()
	if err != nil {
		return false
	}
	key := fmt.Sprint(topic, " ", partition)
	l.ends[key] = append(l.ends[key], told{time.Now(), record.Offset + 1})
	return true
}

// commit reports whether Kafka has acknowledged a commit.
func (l *ledger) commit(group, topic string, partition int32, offset int64) bool {
	ctx, cancel := context.WithTimeout(l.t.Context(), 2*time.Second)
	defer cancel()
	key := fmt.Sprint(group, " ", topic, " ", partition)
	if l.newer[key] == nil {
		l.newer[key], l.old[key] = map[int64]bool{}, map[int64]bool{}
	}
	l.newer[key][offset] = true
	var to kadm.Offsets
	to.AddOffset(topic, partition, offset, -1)
	committed, err := l.admin.CommitOffsets(ctx, group, to)
	if err != nil || committed.Error() != nil {
		return false
	}
	maps.Copy(l.old[key], l.newer[key])
	l.newer[key] = map[int64]bool{}
	l.last[key] = told{time.Now(), offset}
	return true
}

// honest fails the test if the store has a wrong lag without a sign of it. An end offset has an age, at which it was true. A commit is
// the newest, or Status says that the log is behind or has not been checked since.
func (l *ledger) honest() {
	l.t.Helper()
	status := l.feed.Status()
	now := time.Now()
	before := l.state
	l.state = storedPartitions(l.t, l.store)
	for key, p := range l.state {
		if len(p.EndOffsets) == 0 {
			continue
		}
		end := p.EndOffsets[len(p.EndOffsets)-1]
		require.GreaterOrEqual(l.t, end, int64(0), key)
		if was, ok := before[key]; ok && len(was.EndOffsets) > 0 {
			require.GreaterOrEqual(l.t, end, was.EndOffsets[len(was.EndOffsets)-1], "%s: an end goes back", key)
			require.GreaterOrEqual(l.t, p.LogStartOffset, was.LogStartOffset, "%s: a log start goes back", key)
		}
		group, partition, _ := strings.Cut(key, " ")
		// Timestamps are in milliseconds.
		seen := now.Add(-p.EndOffsetAge - 2*time.Millisecond)
		for _, t := range l.ends[partition] {
			if t.at.Before(seen) {
				require.GreaterOrEqual(l.t, end, t.offset, "%s: an end offset is wrong at its time, %v ago", key, p.EndOffsetAge)
			}
		}
		last, ok := l.last[key]
		if !ok || len(p.Commits) == 0 {
			continue
		}
		commit := p.Commits[len(p.Commits)-1].Offset
		require.Equal(l.t, uint64(max(0, end-max(commit, p.LogStartOffset))), p.CurrentLag, key)
		if commit == last.offset || l.newer[key][commit] {
			continue
		}
		require.True(l.t, l.old[key][commit], "%s: commit %d was never made", key, commit)
		log := int(protocol.LogPartitionOf(group, l.feed.logCount.Load()))
		marked := status.LastPoll.Before(last.at) || len(status.Logs) <= log || status.Logs[log].Next < status.Logs[log].End
		require.True(l.t, marked, "%s: commit %d is not the newest, %d, and the status does not show it: %+v", key, commit, last.offset, status)
	}
}

// until waits until a condition holds, and checks at each turn whether the store is honest.
func (l *ledger) until(what string, holds func() bool) {
	l.t.Helper()
	eventually(l.t, what, func() bool {
		l.honest()
		return holds()
	})
}
