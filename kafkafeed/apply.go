package kafkafeed

import (
	"context"
	"errors"
	"maps"
	"sync"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// maxEarly bounds the commits that wait for the end offset of their partition, maxEarlyPolls the number of polls for which they wait.
const (
	maxEarly      = 10_000
	maxEarlyPolls = 2
)

// batch is the number of commits of one group that are stored at once.
const batch = 1000

// applier stores the effects of log records, for each group in the order of the log. Several appliers may work at once, each on a
// partition of the log.
type applier struct {
	feed  *Feed
	seeds seeds
	log   *logTail
	// round is another number in each round, so that what was known of a name before is not taken for true.
	round uint64
	// groups are those with commits that are not stored yet, and some without.
	groups []*groupNames
	// spare holds slices for reuse; room is the number of commits that fit into them.
	spare []*groupCommits
	room  int
}

type groupCommits struct {
	name      string
	partition int32 // of the log
	commits   []protocol.Commit
}

func (a *applier) apply(ctx context.Context, effects []Effect) error {
	for i := range effects {
		entry := &effects[i].Entry
		if effects[i].Missed {
			a.feed.reconcile.Store(true)
			continue
		}
		var err error
		switch entry.Kind {
		case KindCommit:
			a.log.names.find([]byte(entry.Group), []byte(entry.Topic))
			err = a.commit(ctx, &protocol.Commit{Topic: entry.Topic, Partition: entry.Partition, Offset: entry.Offset, Order: entry.Order,
				Timestamp: entry.Timestamp})
		case KindCommitTombstone:
			a.log.names.find([]byte(entry.Group), []byte(entry.Topic))
			err = a.tombstone(ctx, entry)
		case KindGroupTombstone:
			if a.feed.wantsGroup(entry.Group) {
				err = a.groupTombstone(ctx, entry.Group)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// wants reports whether the feed stores the group and topic that were found last.
func (a *applier) wants() bool {
	g, t := a.log.names.group, a.log.names.topic
	if g.round != a.round {
		g.round, g.wanted, g.seeds = a.round, a.feed.wantsGroup(g.name), a.seeds[g.name]
	}
	if t.round != a.round {
		t.round, t.wanted, t.seeds = a.round, g.wanted && a.feed.wantsTopic(t.name, false), g.seeds[t.name]
	}
	return t.wanted
}

// commit adds a commit of the group and topic found last if the feed stores them.
func (a *applier) commit(ctx context.Context, commit *protocol.Commit) error {
	if !a.wants() {
		return nil
	}
	a.feed.open.note(commit.Topic, commit.Partition, commit.Offset)
	group, topic := a.log.names.group, a.log.names.topic
	if topic.seeds.take(a.log.partition, commit, a.feed.window) {
		return nil
	}
	g := group.pending
	if g == nil {
		g = a.take()
		g.name, g.partition = group.name, a.log.partition
		group.pending, a.groups = g, append(a.groups, group)
	}
	g.commits = append(g.commits, *commit)
	if len(g.commits) >= batch {
		return a.flushGroup(ctx, group)
	}
	return nil
}

func (a *applier) tombstone(ctx context.Context, entry *Entry) error {
	if !a.wants() {
		return nil
	}
	if a.log.names.topic.seeds.drop(entry.Partition) {
		return nil
	}
	if err := a.flushGroup(ctx, a.log.names.group); err != nil {
		return err
	}
	key := commitKey{entry.Group, entry.Topic, entry.Partition}
	a.feed.early.drop(key, entry.Order)
	if entry.Order == 0 {
		return nil // no record precedes it, and the store would also delete later commits
	}
	if err := a.feed.target.deletePartition(ctx, key, entry.Order); err != nil {
		if fatal(err) || errors.Is(err, storage.ErrUnavailable) {
			return err
		}
		a.feed.failed(askStoreWrites, err)
	}
	a.feed.members.forget(entry.Group)
	return nil
}

func (a *applier) groupTombstone(ctx context.Context, group string) error {
	if g := a.log.names.groups[group]; g != nil {
		if err := a.flushGroup(ctx, g); err != nil {
			return err
		}
	}
	a.feed.members.forget(group)
	return known(a.feed.target.store.ClearOwners(ctx, a.feed.cluster, group))
}

// flush stores everything that is not yet stored.
func (a *applier) flush(ctx context.Context) error {
	for _, group := range a.groups {
		if err := a.flushGroup(ctx, group); err != nil {
			return err
		}
	}
	a.groups = a.groups[:0]
	return nil
}

func (a *applier) flushGroup(ctx context.Context, group *groupNames) error {
	g := group.pending
	if g == nil {
		return nil
	}
	f := a.feed
	err := f.keepEarly(g, a.log.target, f.target.store.CommitBatch(ctx, f.cluster, g.name, g.commits))
	group.pending = nil
	a.put(g)
	return err
}

// maxSpare bounds the number of commits that fit into the slices for reuse.
const maxSpare = 50_000

func (a *applier) take() *groupCommits {
	n := len(a.spare)
	if n == 0 {
		return &groupCommits{}
	}
	g := a.spare[n-1]
	a.spare, a.room = a.spare[:n-1], a.room-cap(g.commits)
	return g
}

func (a *applier) put(g *groupCommits) {
	if a.room+cap(g.commits) <= maxSpare {
		g.commits = g.commits[:0]
		a.spare, a.room = append(a.spare, g), a.room+cap(g.commits)
	}
}

// keepEarly keeps the commits that a batch refused because they were read before the first poll that knows their partition. The
// topics of all records before target, the end of the log at the start, have been polled already. It returns the error of the batch
// as a whole.
func (f *Feed) keepEarly(g *groupCommits, target int64, err error) error {
	refused, err := refusals(err)
	for _, refusal := range refused {
		commit := &g.commits[refusal.Index]
		if commit.Order < target {
			continue
		}
		if errors.Is(refusal.Err, storage.ErrUnknownTopic) || errors.Is(refusal.Err, storage.ErrUnknownPartition) {
			f.early.add(Entry{Kind: KindCommit, Group: g.name, Topic: commit.Topic, Partition: commit.Partition, Offset: commit.Offset,
				Order: commit.Order, Timestamp: commit.Timestamp, LogPartition: g.partition, Producer: -1}, f.state)
		}
	}
	return err
}

// refusals returns the refused commits of a batch, or the error of the batch as a whole.
func refusals(err error) ([]storage.Refusal, error) {
	var batch *storage.BatchError
	if errors.As(err, &batch) {
		return batch.Refused, nil
	}
	return nil, err
}

// early holds commits whose topic or partition the store does not know yet.
type early struct {
	mu      sync.Mutex
	commits map[commitKey]earlyCommit // guarded by mu
}

type earlyCommit struct {
	entry Entry
	polls int
}

func (e *early) add(entry Entry, state *state) {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := commitKey{entry.Group, entry.Topic, entry.Partition}
	if before, ok := e.commits[key]; ok && before.entry.Order > entry.Order {
		return
	}
	if _, ok := e.commits[key]; !ok && len(e.commits) >= maxEarly {
		state.change(func(s *Status) { s.EarlyDropped++ })
		return
	}
	e.commits[key] = earlyCommit{entry: entry}
	state.change(func(s *Status) { s.Early = len(e.commits) })
}

func (e *early) drop(key commitKey, order int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if before, ok := e.commits[key]; ok && before.entry.Order < order {
		delete(e.commits, key)
	}
}

// release drops the waiting commits of a log partition.
func (e *early) release(logPartition int32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	maps.DeleteFunc(e.commits, func(_ commitKey, c earlyCommit) bool { return c.entry.LogPartition == logPartition })
}

// position returns the lowest order of the waiting commits of a log partition, or the offset if none is lower.
func (e *early) position(logPartition int32, offset int64) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.commits {
		if c.entry.LogPartition == logPartition {
			offset = min(offset, c.entry.Order)
		}
	}
	return offset
}

// retry stores the waiting commits, after a poll of end offsets.
func (e *early) retry(ctx context.Context, t target, state *state) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	dropped := 0
	for key, c := range e.commits {
		entry := c.entry
		err := t.store.Commit(ctx, t.cluster, entry.Group, protocol.Commit{Topic: entry.Topic, Partition: entry.Partition,
			Offset: entry.Offset, Order: entry.Order, Timestamp: entry.Timestamp})
		if fatal(err) || ctx.Err() != nil || errors.Is(err, storage.ErrUnavailable) {
			return err
		}
		c.polls++
		unknown := errors.Is(err, storage.ErrUnknownTopic) || errors.Is(err, storage.ErrUnknownPartition)
		switch {
		case unknown && c.polls < maxEarlyPolls:
			e.commits[key] = c
		case unknown:
			dropped++
			fallthrough
		default:
			delete(e.commits, key)
		}
	}
	state.change(func(s *Status) { s.Early = len(e.commits); s.EarlyDropped += uint64(dropped) })
	return nil
}
