package kafkafeed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lagkeeper/storage/protocol"
)

// leaveTime bounds how long a feed that ends waits for the brokers to confirm that it leaves. Without that, the brokers notice when
// the session expires.
const leaveTime = 500 * time.Millisecond

// share is a set of partitions of the log that a feed reads. It is immutable; nil has none.
type share struct {
	count  int32 // of all partitions of the log
	owned  map[int32]bool
	member bool // reports whether the group has assigned the feed its partitions
}

func (s *share) with(numbers []int32, count int32) *share {
	next := &share{count: count, owned: make(map[int32]bool), member: true}
	if s != nil {
		maps.Copy(next.owned, s.owned)
	}
	for _, partition := range numbers {
		next.owned[partition] = true
	}
	return next
}

func (s *share) without(numbers []int32) *share {
	next := &share{count: s.count, owned: maps.Clone(s.owned), member: s.member}
	for _, partition := range numbers {
		delete(next.owned, partition)
	}
	return next
}

// sharded reports whether the feed reads a share of the log.
func (f *Feed) sharded() bool { return f.shard != "" || f.sharer != nil }

// Feeds reports whether the feed stores a group, and reads the partition of the log that has its commits. It is false for all groups
// while the feed waits for its share.
func (f *Feed) Feeds(group string) bool { return f.wantsGroup(group) && !f.foreign(group) }

// foreign reports whether the commits of a group are in a partition of the log that this feed does not read.
func (f *Feed) foreign(group string) bool {
	if !f.sharded() {
		return false
	}
	s := f.share.Load()
	return s == nil || !s.owned[protocol.LogPartitionOf(group, s.count)]
}

// member reports whether the feed has been assigned its share.
func (f *Feed) member() bool {
	s := f.share.Load()
	return s != nil && s.member
}

// pass deletes groups that other feeds have taken over. If their partition of the log returns, it is read from its start.
func (f *Feed) pass(ctx context.Context, groups []string) error {
	f.commits.Lock()
	defer f.commits.Unlock()
	forgotten := make(map[int32]bool)
	for _, group := range groups {
		s := f.share.Load()
		if !f.foreign(group) || !s.member {
			continue
		}
		// Orders are deleted first, so that the store does not refuse a later replay because of the deletion.
		if partition := protocol.LogPartitionOf(group, s.count); !forgotten[partition] {
			forgotten[partition] = true
			if err := f.target.forgetOrders(ctx, partition, s.count); err != nil {
				return err
			}
		}
		if err := known(f.target.store.DeleteGroup(ctx, f.cluster, group)); err != nil {
			return err
		}
		f.members.forget(group)
	}
	return nil
}

// member receives the feed's share: from the consumer group that shares the log, of which a client that reads nothing is a member, or
// from the store.
type member struct {
	client  *kgo.Client   // nil if the store shares the log, as are abandon and left
	abandon func()        // makes the client's requests fail
	left    chan struct{} // closed when the feed leaves

	mu        sync.Mutex
	owned     []int32  // guarded by mu; as the store assigned it, whether the log is read or not
	idle      bool     // guarded by mu; reports whether the log is not read
	changes   []change // guarded by mu
	interrupt func()   // guarded by mu; ends the current poll
}

// change is an assignment or a revocation by the consumer group.
type change struct {
	given, taken []int32
	lost         bool
	done         chan struct{} // closed when the revoked partitions are not read any more
}

// join makes the feed a member of the group. It returns before the brokers have answered.
func (f *Feed) join() (*member, error) {
	m := &member{left: make(chan struct{}), interrupt: func() {}}
	taken := func(lost bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, of map[string][]int32) {
			m.add(change{taken: of[logTopic], lost: lost})
		}
	}
	ctx, abandon := context.WithCancel(context.Background())
	client, err := kgo.NewClient(f.clientOpts(kgo.WithContext(ctx), kgo.ConsumerGroup(f.shard), kgo.ConsumeTopics(logTopic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()), kgo.WithHooks(memberHook{f}),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, of map[string][]int32) {
			f.state.allowed(askShard)
			m.add(change{given: of[logTopic]})
		}), kgo.OnPartitionsRevoked(taken(false)), kgo.OnPartitionsLost(taken(true)))...)
	if err != nil {
		abandon()
		return nil, fmt.Errorf("join group %q: %w", f.shard, err)
	}
	client.PauseFetchTopics(logTopic)
	m.client, m.abandon = client, abandon
	return m, nil
}

// memberHook records why the feed cannot be a member.
type memberHook struct{ feed *Feed }

func (h memberHook) OnGroupManageError(err error) { h.feed.failed(askShard, err) }

// leave gives all partitions back.
func (m *member) leave() {
	close(m.left)
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	_ = m.client.LeaveGroupContext(ctx) // if it fails, the session expires
	m.abandon()                         // otherwise Close waits for the same answer
	m.client.Close()
}

// add passes a change to the goroutine that reads, and returns when the revoked partitions are not read any more.
func (m *member) add(c change) {
	c.done = make(chan struct{})
	m.mu.Lock()
	idle := m.idle
	if !idle {
		m.changes = append(m.changes, c)
		m.interrupt()
	}
	m.mu.Unlock()
	if idle || len(c.taken) == 0 {
		return
	}
	select {
	case <-c.done:
	case <-m.left:
	}
}

// interruptWith sets the function that ends the poll that is about to begin.
func (m *member) interruptWith(cancel func()) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.interrupt = cancel
	if len(m.changes) > 0 {
		cancel()
	}
}

// errGrown ends the reading of a log that has more partitions than at its start.
var errGrown = errors.New(logTopic + " has grown")

// follow applies the changes of the consumer group, and starts again if the log has grown.
func (t *tailer) follow(ctx context.Context) error {
	if count := t.feed.logCount.Load(); count > t.count {
		f := t.feed
		f.log.Log(kgo.LogLevelWarn, "log has grown", "cluster", f.cluster, "before", t.count, "now", count)
		return errors.Join(errGrown, f.forgetOrders(ctx))
	}
	if t.member == nil {
		return nil
	}
	t.member.mu.Lock()
	changes := t.member.changes
	t.member.changes = nil
	t.member.mu.Unlock()
	for i, c := range changes {
		err := t.release(ctx, c.taken)
		close(c.done)
		if c.lost {
			t.feed.loseShare()
		}
		if err == nil && !c.lost && len(c.taken) == 0 {
			err = t.adopt(ctx, c.given)
		}
		if err != nil {
			for _, left := range changes[i+1:] {
				close(left.done)
			}
			return fmt.Errorf("follow the shares of the log: %w", err)
		}
	}
	return nil
}

// loseShare records that nothing assigns the feed a share any more.
func (f *Feed) loseShare() {
	f.commits.Lock()
	defer f.commits.Unlock()
	if s := f.share.Load(); s != nil {
		f.share.Store(&share{count: s.count, owned: s.owned})
	}
}
