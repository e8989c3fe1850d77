package kafkafeed

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// confirm is the age at which an unchanged commit is stored again in poll mode, so that a group that Kafka still has does not expire.
const confirm = time.Hour

// polled is a commit as it was last stored in poll mode.
type polled struct {
	offset int64
	at     time.Time
}

// asked records the outcome of a request.
func (f *Feed) asked(request string, err error) {
	if err != nil {
		f.failed(request, err)
	} else {
		f.state.allowed(request)
	}
}

// pollGroups stores the owners of groups and, in poll mode, their committed offsets.
func (f *Feed) pollGroups(ctx context.Context) error {
	before, err := f.storedGroups(ctx)
	if err != nil {
		return err
	}
	listed, listErr := f.listGroups(ctx)
	f.asked(askGroups, listErr)
	if len(listed) == 0 && listErr != nil {
		return listErr
	}
	if err := f.pollCommits(ctx, listed, listErr == nil); err != nil {
		return err
	}
	err = f.pollMembers(ctx, listed)
	if fatal(err) {
		return err
	}
	f.asked(askMembers, err)
	if listErr == nil {
		if err := f.deleteGroups(ctx, before, listed); err != nil {
			return err
		}
	}
	return errors.Join(listErr, err)
}

func (f *Feed) storedGroups(ctx context.Context) ([]string, error) {
	groups, err := f.target.store.Groups(ctx, f.cluster)
	if err != nil {
		return nil, err
	}
	return slices.Collect(groups), nil
}

// pollCommits fetches committed offsets in poll mode, and in any mode if commits of the log were missed.
func (f *Feed) pollCommits(ctx context.Context, groups map[string]groupType, complete bool) error {
	f.commits.Lock()
	defer f.commits.Unlock()
	if f.mode() != ModePoll {
		if f.caughtUp.Load() {
			if err := f.settleDoubts(ctx); err != nil {
				return err
			}
		}
		if f.reconcile.Swap(false) {
			err := f.reconcileCommits(ctx, slices.Collect(maps.Keys(groups)))
			if err != nil {
				f.reconcile.Store(true)
			}
			return err
		}
		return nil
	}
	answered, err := f.tellCommits(ctx, slices.Collect(maps.Keys(groups)))
	if fatal(err) {
		return err
	}
	if errors.Is(err, storage.ErrUnavailable) {
		// The store may continue from an earlier state, but only after its positions have been read.
		clear(f.polled)
		if _, err := f.target.positions(ctx); err != nil {
			return err
		}
	}
	f.asked(askCommits, err)
	maps.DeleteFunc(f.polled, func(key commitKey, _ polled) bool { return complete && groups[key.group] == "" })
	select {
	case <-f.ready:
		return nil
	default:
	}
	// The times of what is known do not wait for what is missing, which may be for long.
	if err := f.seedTimes(ctx); err != nil {
		return err
	}
	if err != nil || !complete || answered < len(groups) {
		return nil
	}
	if f.sharer != nil && !f.member() && !f.shareless {
		f.shareless = true // the store may not have assigned the share yet
		return nil
	}
	f.becomeReady()
	return nil
}

// tellCommits fetches the committed offsets of groups and stores those that changed. It returns the number of answered groups. The
// caller holds commits.
func (f *Feed) tellCommits(ctx context.Context, groups []string) (answered int, err error) {
	var storeErr error
	doubtful := make(map[string]partitions)
	sizes := make(map[string]int, len(groups))
	for key := range f.polled {
		sizes[key.group]++
	}
	err = f.fetchCommits(ctx, groups, sizes, func(group string, committed offsets) {
		answered++
		if storeErr == nil {
			storeErr = f.tellGroup(ctx, group, committed, doubtful)
		}
	})
	if storeErr == nil {
		f.asked(askGone, f.uncommitted(ctx, doubtful, func(key commitKey) {
			delete(f.polled, key)
			storeErr = errors.Join(storeErr, f.target.deletePartition(ctx, key, 0))
		}))
	}
	return answered, errors.Join(storeErr, err)
}

// tellGroup adds to doubtful the partitions of a group that the store has and the answer lacks.
func (f *Feed) tellGroup(ctx context.Context, group string, committed offsets, doubtful map[string]partitions) error {
	now := time.Now()
	var moved []protocol.Commit
	for topic, found := range committed {
		if !f.wantsTopic(topic, false) {
			continue
		}
		for partition, offset := range found {
			f.open.note(topic, partition, offset)
			before, ok := f.polled[commitKey{group, topic, partition}]
			if !ok || before.offset != offset || now.Sub(before.at) > confirm {
				moved = append(moved, protocol.Commit{Topic: topic, Partition: partition, Offset: offset, Order: -1,
					Timestamp: now.UnixMilli()})
			}
		}
	}
	if len(moved) > 0 {
		refused, err := refusals(f.target.store.CommitBatch(ctx, f.cluster, group, moved))
		if err != nil {
			return err
		}
		for _, refusal := range refused {
			moved[refusal.Index].Offset = -1
		}
		for _, commit := range moved {
			if commit.Offset >= 0 {
				f.polled[commitKey{group, commit.Topic, commit.Partition}] = polled{commit.Offset, now}
			}
		}
	}
	stored := &f.stored
	if err := f.target.store.Group(ctx, f.cluster, group, stored); err != nil {
		return known(err)
	}
	for i := range stored.Topics {
		t := &stored.Topics[i]
		for partition := range t.Partitions {
			if len(t.Partitions[partition].Commits) == 0 {
				continue
			}
			if _, ok := committed[t.Name][int32(partition)]; ok {
				continue
			}
			if doubtful[group] == nil {
				doubtful[group] = make(partitions)
			}
			doubtful[group][t.Name] = append(doubtful[group][t.Name], int32(partition))
		}
	}
	return nil
}

// reconcileCommits stores the committed offsets of groups where they differ from the store.
func (f *Feed) reconcileCommits(ctx context.Context, groups []string) error {
	var storeErr error
	err := f.fetchCommits(ctx, groups, nil, func(group string, committed offsets) {
		stored := &f.stored
		switch err := f.target.store.Group(ctx, f.cluster, group, stored); {
		case known(err) != nil:
			storeErr = err
			return
		case err != nil:
			stored.Topics = nil
		}
		for i := range stored.Topics {
			t := &stored.Topics[i]
			for partition := range t.Partitions {
				commits := t.Partitions[partition].Commits
				if n := len(commits); n > 0 && committed[t.Name][int32(partition)] == commits[n-1].Offset {
					delete(committed[t.Name], int32(partition))
				}
			}
		}
		for topic, found := range committed {
			for partition, offset := range found {
				err := f.target.store.Commit(ctx, f.cluster, group, protocol.Commit{Topic: topic, Partition: partition,
					Offset: offset, Order: -1, Timestamp: time.Now().UnixMilli()})
				if fatal(err) || errors.Is(err, storage.ErrUnavailable) {
					storeErr = err
				}
			}
		}
	})
	return errors.Join(storeErr, err)
}
