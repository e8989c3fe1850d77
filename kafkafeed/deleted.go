package kafkafeed

import (
	"context"
	"errors"
	"slices"

	"github.com/lagkeeper/storage/protocol"
)

// gone is the number of complete listings in a row from which a topic or a group must be missing before it is deleted from the store.
const gone = 2

// deleteTopics deletes topics that Kafka no longer has: those missing from two listings in a row that no broker knows when it is asked
// for them by name.
func (f *Feed) deleteTopics(ctx context.Context, m *metadata, wanted partitions) error {
	stored, err := f.target.store.Topics(ctx, f.cluster)
	if err != nil {
		return err
	}
	missing := make(map[string]int)
	var deleted, doubtful []string
	for name := range stored {
		if _, ok := wanted[name]; ok || m.unsure[name] {
			continue
		}
		missing[name] = f.missingTopics[name] + 1
		_, listed := m.topics[name]
		switch {
		case missing[name] < gone:
		case listed:
			deleted = append(deleted, name) // it is not wanted any more
		default:
			doubtful = append(doubtful, name)
		}
	}
	absent, err := f.absent(ctx, m.brokers, doubtful)
	f.asked(askTopics, err)
	for _, name := range append(deleted, absent...) {
		if err := known(f.target.store.DeleteTopic(ctx, f.cluster, name)); err != nil {
			return err
		}
		delete(missing, name)
		f.forgetSeeded(name)
	}
	f.missingTopics = missing
	return nil
}

// deleteGroups deletes groups that the store had before the groups were listed, and that Kafka no longer has. It is not enough that no
// broker lists a group: a broker lists only the groups of the log partitions that it has begun to lead, so right after its start it
// lists none. The group's coordinator must answer that it knows no commit of the group.
func (f *Feed) deleteGroups(ctx context.Context, stored []string, listed map[string]groupType) error {
	if f.mode() != ModePoll && !f.caughtUp.Load() {
		return nil // the rest of the log would bring them back
	}
	missing := make(map[string]int)
	var deleted, doubtful, passed []string
	for _, group := range stored {
		if listed[group] != "" {
			continue
		}
		if f.foreign(group) && (f.shared || !f.member()) {
			continue // the feed that has the group may not be known yet
		}
		missing[group] = f.missingGroups[group] + 1
		switch {
		case missing[group] < gone:
		case f.foreign(group):
			passed = append(passed, group)
		case f.wantsGroup(group):
			doubtful = append(doubtful, group)
		default:
			deleted = append(deleted, group)
		}
	}
	err := f.fetchCommits(ctx, doubtful, nil, func(group string, committed offsets) {
		if len(committed) == 0 {
			deleted = append(deleted, group)
		}
	})
	f.asked(askMissing, err)
	if err := f.pass(ctx, passed); err != nil {
		return err
	}
	for _, group := range deleted {
		if err := known(f.target.store.DeleteGroup(ctx, f.cluster, group)); err != nil {
			return err
		}
		delete(missing, group)
		f.members.forget(group)
	}
	f.missingGroups = missing
	return nil
}

// doubt records which groups of some log partitions the store had before these were read again. Meanwhile a group may have been
// deleted without a trace: Kafka's cleaner removes tombstones a day after it has removed what they delete. The caller holds commits.
func (f *Feed) doubt(ctx context.Context, numbers []int32, count int32) error {
	stored, err := f.storedGroups(ctx)
	for _, group := range stored {
		if f.wantsGroup(group) && slices.Contains(numbers, protocol.LogPartitionOf(group, count)) {
			f.doubts[group] = true
		}
	}
	return err
}

// heldCommit is the newest commit that the store has of a partition of a group.
type heldCommit struct {
	topic     string
	partition int32
	order     int64
}

// settleDoubts deletes what the coordinators have no commit of. Groups without an answer stay in doubt. It returns an error of the
// store. The caller holds commits, and the log has been read to the end that it had at the start.
func (f *Feed) settleDoubts(ctx context.Context) error {
	held := make(map[string][]heldCommit, len(f.doubts))
	var groups []string
	for group := range f.doubts {
		commits, err := f.heldCommits(ctx, group)
		if err != nil {
			return err
		}
		if len(commits) == 0 {
			delete(f.doubts, group)
			continue
		}
		held[group], groups = commits, append(groups, group)
	}
	if len(groups) == 0 {
		return nil
	}
	missing := make(map[string]partitions)
	orders := make(map[commitKey]int64)
	err := f.fetchCommits(ctx, groups, nil, func(group string, committed offsets) {
		for _, c := range held[group] {
			if _, ok := committed[c.topic][c.partition]; ok {
				continue
			}
			if missing[group] == nil {
				missing[group] = make(partitions)
			}
			missing[group][c.topic] = append(missing[group][c.topic], c.partition)
			orders[commitKey{group, c.topic, c.partition}] = c.order
		}
		delete(f.doubts, group)
	})
	f.asked(askMissing, err)
	var storeErr error
	err = f.uncommitted(ctx, missing, func(key commitKey) {
		// A commit after the request has a greater order.
		storeErr = errors.Join(storeErr, f.target.deletePartition(ctx, key, orders[key]+1))
		f.members.forget(key.group)
	})
	if err != nil || storeErr != nil {
		for group := range missing {
			f.doubts[group] = true
		}
	}
	f.asked(askGone, err)
	return storeErr
}

// heldCommits returns the commits that the store has of a group. The caller holds commits.
func (f *Feed) heldCommits(ctx context.Context, group string) (held []heldCommit, err error) {
	stored := &f.stored
	if err := f.target.store.Group(ctx, f.cluster, group, stored); err != nil {
		return nil, known(err)
	}
	for i := range stored.Topics {
		t := &stored.Topics[i]
		for partition := range t.Partitions {
			if commits := t.Partitions[partition].Commits; len(commits) > 0 {
				held = append(held, heldCommit{t.Name, int32(partition), commits[len(commits)-1].Order})
			}
		}
	}
	return held, nil
}
