package kafkafeed

import (
	"context"
	"sync"

	"github.com/lagkeeper/storage/protocol"
)

// seeds are the partitions whose commit was fetched before the log was read, by group and topic. Their records of the log are kept
// apart, so that their lag is never that of an older commit.
type seeds map[string]topicSeeds

type topicSeeds map[string]map[int32]*seed

// seed holds the log's records of a partition whose newest commit is in the store without its order.
type seed struct {
	mu        sync.Mutex        // for a group whose records are in several partitions of the log, because it has grown
	partition int32             // of the log
	commits   []protocol.Commit // the newest, in a ring once they are as many as a window
	oldest    int               // index in commits
	seen      bool
}

func (s seeds) add(key commitKey) {
	topics := s[key.group]
	if topics == nil {
		topics = make(topicSeeds)
		s[key.group] = topics
	}
	partitions := topics[key.topic]
	if partitions == nil {
		partitions = make(map[int32]*seed)
		topics[key.topic] = partitions
	}
	if partitions[key.partition] == nil {
		partitions[key.partition] = &seed{}
	}
}

// add adds a commit of the log. Only as many as a window holds are kept.
func (s *seed) add(logPartition int32, commit *protocol.Commit, window int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen, s.partition = true, logPartition
	if len(s.commits) < window {
		s.commits = append(s.commits, *commit)
		return
	}
	s.commits[s.oldest] = *commit
	if s.oldest++; s.oldest == window {
		s.oldest = 0
	}
}

// inOrder appends the commits, oldest first.
func (s *seed) inOrder(to []protocol.Commit) []protocol.Commit {
	return append(append(to, s.commits[s.oldest:]...), s.commits[:s.oldest]...)
}

// drop records that the log deletes the partition.
func (s *seed) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen, s.commits, s.oldest = true, nil, 0
}

// finish replaces fetched commits with those of the log.
func (t *tailer) finish(ctx context.Context) error {
	all := t.seeds
	t.seeds = make(seeds)
	for _, log := range t.logs {
		log.names = newNames() // the names refer to seeds
	}
	for group, topics := range all {
		if err := t.finishGroup(ctx, group, topics); err != nil {
			return err
		}
	}
	return nil
}

func (t *tailer) finishGroup(ctx context.Context, group string, topics topicSeeds) error {
	g := &groupCommits{name: group}
	for topic, partitions := range topics {
		for partition, s := range partitions {
			if s.seen && len(s.commits) == 0 {
				if err := t.feed.target.deletePartition(ctx, commitKey{group, topic, partition}, 0); err != nil {
					return err
				}
				t.feed.members.forget(group)
			}
			if len(s.commits) == 0 {
				continue
			}
			g.partition = s.partition
			g.commits = s.inOrder(g.commits)
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
