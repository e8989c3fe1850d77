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

// applier stores the effects of log records, for each group in the order of the log.
type applier struct {
	feed *Feed
	// groups are the commits that are not stored yet.
	groups map[string]*groupCommits
	// spare holds slices for reuse; room is the number of commits that fit into them.
	spare []*groupCommits
	room  int
	// seeds are the partitions whose commit was fetched before the log was read. Their records of the log are kept apart, so that
	// their lag is never that of an older commit. Empty once the log has been read to the end that it had at the start.
	seeds map[commitKey]*seed
	// targets are the ends of the log's partitions at the start. The topics of all records before them have been polled already.
	targets map[int32]int64
}

type groupCommits struct {
	partition int32 // of the log
	commits   []protocol.Commit
}

// seed holds the log's records of a partition whose newest commit is in the store without its order.
type seed struct {
	partition int32             // of the log
	commits   []protocol.Commit // the newest, oldest first
	seen      bool
}

func newApplier(feed *Feed) *applier {
	return &applier{feed: feed, groups: make(map[string]*groupCommits), seeds: make(map[commitKey]*seed), targets: make(map[int32]int64)}
}

func (a *applier) apply(ctx context.Context, effects []Effect) error {
	for i := range effects {
		entry := &effects[i].Entry
		if effects[i].Missed {
			a.feed.reconcile.Store(true)
			continue
		}
		if !a.wants(entry) {
			continue
		}
		switch entry.Kind {
		case KindCommit:
			if err := a.commit(ctx, entry); err != nil {
				return err
			}
		case KindCommitTombstone:
			if err := a.tombstone(ctx, entry); err != nil {
				return err
			}
		case KindGroupTombstone:
			if err := a.flushGroup(ctx, entry.Group); err != nil {
				return err
			}
			a.feed.members.forget(entry.Group)
			if err := known(a.feed.target.store.ClearOwners(ctx, a.feed.cluster, entry.Group)); err != nil {
				return err
			}
		}
	}
	return nil
}

// wants reports whether the feed stores the group and topic of an entry.
func (a *applier) wants(entry *Entry) bool {
	return a.feed.wantsGroup(entry.Group) && (entry.Topic == "" || a.feed.wantsTopic(entry.Topic, false))
}

// commit adds a commit if the feed stores its group and topic.
func (a *applier) commit(ctx context.Context, entry *Entry) error {
	if !a.wants(entry) {
		return nil
	}
	a.feed.open.note(entry.Topic, entry.Partition, entry.Offset)
	commit := protocol.Commit{Topic: entry.Topic, Partition: entry.Partition, Offset: entry.Offset, Order: entry.Order,
		Timestamp: entry.Timestamp}
	if s := a.seed(entry); s != nil {
		s.seen, s.partition = true, entry.LogPartition
		if len(s.commits) == a.feed.window {
			copy(s.commits, s.commits[1:])
			s.commits = s.commits[:len(s.commits)-1]
		}
		s.commits = append(s.commits, commit)
		return nil
	}
	g := a.groups[entry.Group]
	if g == nil {
		g = a.take()
		a.groups[entry.Group] = g
	}
	g.partition, g.commits = entry.LogPartition, append(g.commits, commit)
	if len(g.commits) >= batch {
		return a.flushGroup(ctx, entry.Group)
	}
	return nil
}

// seed returns the records kept apart for the partition of an entry, nil if there are none.
func (a *applier) seed(entry *Entry) *seed {
	if len(a.seeds) == 0 {
		return nil
	}
	return a.seeds[commitKey{entry.Group, entry.Topic, entry.Partition}]
}

func (a *applier) tombstone(ctx context.Context, entry *Entry) error {
	key := commitKey{entry.Group, entry.Topic, entry.Partition}
	if s := a.seed(entry); s != nil {
		s.seen, s.commits = true, nil
		return nil
	}
	if err := a.flushGroup(ctx, entry.Group); err != nil {
		return err
	}
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

// flush stores everything that is not yet stored.
func (a *applier) flush(ctx context.Context) error {
	for group := range a.groups {
		if err := a.flushGroup(ctx, group); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) flushGroup(ctx context.Context, group string) error {
	g := a.groups[group]
	if g == nil || len(g.commits) == 0 {
		return nil
	}
	err := a.keepEarly(group, g, a.feed.target.store.CommitBatch(ctx, a.feed.cluster, group, g.commits))
	delete(a.groups, group)
	a.put(g)
	return err
}

// maxSpare bounds the number of commits that fit into the slices for reuse.
const maxSpare = 100_000

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

// keepEarly keeps the commits that a batch refused because they were read before the first poll that knows their partition. It returns
// the error of the batch as a whole.
func (a *applier) keepEarly(group string, g *groupCommits, err error) error {
	refused, err := refusals(err)
	for _, refusal := range refused {
		commit := &g.commits[refusal.Index]
		if commit.Order < a.targets[g.partition] {
			continue
		}
		if errors.Is(refusal.Err, storage.ErrUnknownTopic) || errors.Is(refusal.Err, storage.ErrUnknownPartition) {
			a.feed.early.add(Entry{Kind: KindCommit, Group: group, Topic: commit.Topic, Partition: commit.Partition, Offset: commit.Offset,
				Order: commit.Order, Timestamp: commit.Timestamp, LogPartition: g.partition, Producer: -1}, a.feed.state)
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

// finish replaces fetched commits with those of the log.
func (a *applier) finish(ctx context.Context) error {
	seeds := a.seeds
	a.seeds = make(map[commitKey]*seed)
	groups := make(map[string]*groupCommits)
	for key, s := range seeds {
		if s.seen && len(s.commits) == 0 {
			if err := a.feed.target.deletePartition(ctx, key, 0); err != nil {
				return err
			}
			a.feed.members.forget(key.group)
		}
		if len(s.commits) == 0 {
			continue
		}
		g := groups[key.group]
		if g == nil {
			g = &groupCommits{partition: s.partition}
			groups[key.group] = g
		}
		g.commits = append(g.commits, s.commits...)
		if len(g.commits) >= batch {
			if err := a.replace(ctx, key.group, g); err != nil {
				return err
			}
			delete(groups, key.group)
		}
	}
	for group, g := range groups {
		if err := a.replace(ctx, group, g); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) replace(ctx context.Context, group string, g *groupCommits) error {
	return a.keepEarly(group, g, a.feed.target.store.ReplaceCommits(ctx, a.feed.cluster, group, g.commits))
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
