package kafkafeed

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/lagkeeper/storage/protocol"
)

// seeds are the partitions whose commit was fetched before the log was read, by group and topic. Their records of the log are kept
// apart, so that their lag is never that of an older commit.
type seeds map[string]groupSeeds

type groupSeeds map[string]*topicSeeds

// topicSeeds are the seeds of a group on a topic.
type topicSeeds struct {
	mu  sync.Mutex // for a group whose records are in several partitions of the log, because it has grown
	all []seed     // by partition
}

// seed holds the log's records of a partition whose newest commit is in the store without its order. There is one for each partition of
// each group, so it has no pointer but one, to memory without any.
type seed struct {
	partition, logPartition int32
	oldest                  int32 // index in commits
	seen                    bool
	commits                 []seedCommit // the newest, in a ring once they are as many as a window
}

type seedCommit struct{ offset, order, timestamp int64 }

// add adds partitions to those that are there.
func (s seeds) add(keys iter.Seq[commitKey]) {
	for key := range keys {
		topics := s[key.group]
		if topics == nil {
			topics = make(groupSeeds)
			s[key.group] = topics
		}
		t := topics[key.topic]
		if t == nil {
			t = &topicSeeds{}
			topics[key.topic] = t
		}
		t.all = append(t.all, seed{partition: key.partition})
	}
	for _, topics := range s {
		for _, t := range topics {
			// Of a partition that was there, the seed with its records comes first.
			slices.SortStableFunc(t.all, func(a, b seed) int { return cmp.Compare(a.partition, b.partition) })
			t.all = slices.CompactFunc(t.all, func(a, b seed) bool { return a.partition == b.partition })
		}
	}
}

// find returns the seed of a partition, nil if there is none. The caller holds mu.
func (t *topicSeeds) find(partition int32) *seed {
	// Most groups have all partitions of a topic.
	if int(partition) < len(t.all) && t.all[partition].partition == partition {
		return &t.all[partition]
	}
	i, ok := slices.BinarySearchFunc(t.all, partition, func(s seed, partition int32) int { return cmp.Compare(s.partition, partition) })
	if !ok {
		return nil
	}
	return &t.all[i]
}

// take keeps a commit of the log apart if its partition is a seed. Only as many as a window holds are kept.
func (t *topicSeeds) take(logPartition int32, commit *protocol.Commit, window int) bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.find(commit.Partition)
	if s == nil {
		return false
	}
	s.seen, s.logPartition = true, logPartition
	kept := seedCommit{commit.Offset, commit.Order, commit.Timestamp}
	if n := len(s.commits); n < window {
		if n == cap(s.commits) {
			grown := make([]seedCommit, n, min(window, max(4, 3*n)))
			copy(grown, s.commits)
			s.commits = grown
		}
		s.commits = append(s.commits, kept)
		return true
	}
	s.commits[s.oldest] = kept
	if s.oldest++; int(s.oldest) == window {
		s.oldest = 0
	}
	return true
}

// drop records that the log deletes a partition, and reports whether it is a seed.
func (t *topicSeeds) drop(partition int32) bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.find(partition)
	if s == nil {
		return false
	}
	s.seen, s.commits, s.oldest = true, nil, 0
	return true
}

// appendTo appends the commits, oldest first.
func (s *seed) appendTo(to []protocol.Commit, topic string) []protocol.Commit {
	for i := range s.commits {
		c := &s.commits[(int(s.oldest)+i)%len(s.commits)]
		to = append(to, protocol.Commit{Topic: topic, Partition: s.partition, Offset: c.offset, Order: c.order, Timestamp: c.timestamp})
	}
	return to
}

// finish replaces fetched commits with those of the log.
func (t *tailer) finish(ctx context.Context) error {
	all := t.seeds
	t.seeds = make(seeds)
	for _, log := range t.logs {
		log.names = newNames() // the names refer to seeds
	}
	groups := slices.Collect(maps.Keys(all))
	return atOnce(maxWorkers(), len(groups), func(_, i int) error { return t.finishGroup(ctx, groups[i], all[groups[i]]) })
}

func (t *tailer) finishGroup(ctx context.Context, group string, topics groupSeeds) error {
	g := &groupCommits{name: group}
	for topic, of := range topics {
		for i := range of.all {
			s := &of.all[i]
			if s.seen && len(s.commits) == 0 {
				if err := t.feed.target.deletePartition(ctx, commitKey{group, topic, s.partition}, 0); err != nil {
					return err
				}
				t.feed.members.forget(group)
			}
			if len(s.commits) == 0 {
				continue
			}
			g.partition = s.logPartition
			g.commits = s.appendTo(g.commits, topic)
			if len(g.commits) >= batch {
				if err := t.replace(ctx, g); err != nil {
					return err
				}
				g.commits = g.commits[:0]
			}
		}
	}
	if len(g.commits) == 0 {
		return nil
	}
	return t.replace(ctx, g)
}

func (t *tailer) replace(ctx context.Context, g *groupCommits) error {
	target := int64(0)
	if log := t.logs[g.partition]; log != nil {
		target = log.target
	}
	f := t.feed
	return f.keepEarly(g, target, f.target.store.ReplaceCommits(ctx, f.cluster, g.name, g.commits))
}
