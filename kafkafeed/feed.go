package kafkafeed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// Feed fills one cluster of a store from Kafka. Each cluster needs its own Feed.
type Feed struct {
	config
	cluster string
	target  target

	state   *state
	members *members
	early   *early
	ready   chan struct{} // closed when the answers of the store are complete
	once    sync.Once     // closes ready
	running atomic.Bool

	// caughtUp is true once everything that the log held at the start has been read.
	caughtUp atomic.Bool
	// share is the share of the log that the feed reads, if the log is shared; nil before the feed has one. It changes only while
	// commits is held.
	share atomic.Pointer[share]
	// sharer is the store if it assigns the shares of the log; nil otherwise.
	sharer storage.LogSharer
	told   *member
	// shareless is true after a poll during which the store had assigned nothing to the feed; guarded by commits.
	shareless bool
	// logCount is the number of partitions of the log at the last check.
	logCount atomic.Int32
	// leaderless are the partitions of the log that had no leader at the last check: their groups have no coordinator.
	leaderless atomic.Pointer[[]int32]
	// reconcile is true if commits of the log were missed, so that committed offsets must be fetched.
	reconcile atomic.Bool

	open openEnds
	// calling is held while hooks are called.
	calling sync.Mutex

	// timesFailed is true if the past end offsets of a partition with a lag could not be fetched.
	timesFailed atomic.Bool
	times       sync.Mutex
	seeded      map[commitKey]bool // partitions whose past end offsets were fetched; guarded by times

	// live is the client while Run runs.
	live atomic.Pointer[kgo.Client]
	// client and admin are set by Run before it starts a goroutine.
	client *kgo.Client
	admin  *kadm.Client

	// missingTopics and missingGroups count the successive complete listings from which a topic or group of the store was
	// missing. Owned by the goroutine that polls.
	missingTopics, missingGroups map[string]int
	// endless are the partitions whose end the newest poll lacked. Owned by the goroutine that polls.
	endless map[commitKey]bool

	// commits is held while committed offsets are fetched and stored, and while the mode changes.
	commits sync.Mutex
	polled  map[commitKey]polled // guarded by commits
	stored  protocol.Group       // memory reused for one group after the other; guarded by commits
	// doubts are the groups whose deletion may have been missed; guarded by commits.
	doubts map[string]bool
}

// New returns a Feed for a cluster that is configured in the store. It returns an error that names every fault of the options. It does
// not connect.
func New(store storage.Store, cluster string, opts ...Opt) (*Feed, error) {
	c, err := newConfig(opts)
	if err == nil && store == nil {
		err = errors.New("no store")
	}
	var sharer storage.LogSharer
	if err == nil && c.shared && c.shard == "" {
		sharer, err = sharerOf(store)
	}
	if err == nil {
		// Making a client checks its options; the client connects at its first use.
		var client *kgo.Client
		if client, err = c.newClient(context.Background()); err == nil {
			client.Close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make feed of cluster %q: %w", cluster, err)
	}
	if c.log == nil {
		c.log = noLogger{}
	}
	f := &Feed{
		config: c, cluster: cluster, target: target{store, cluster}, state: newState(cluster),
		members: &members{groups: make(map[string]owners)}, early: &early{commits: make(map[commitKey]earlyCommit)},
		ready: make(chan struct{}), polled: make(map[commitKey]polled), doubts: make(map[string]bool), seeded: make(map[commitKey]bool),
	}
	if sharer != nil {
		f.sharer, f.told = sharer, &member{interrupt: func() {}, idle: true}
		f.share.Store(&share{count: int32(sharer.LogPartitions())})
	}
	return f, nil
}

// newClient returns a client that reads all records of a log, including markers and the records of open and aborted transactions. Its
// requests fail when the context is done.
func (c *config) newClient(ctx context.Context) (*kgo.Client, error) {
	return kgo.NewClient(c.clientOpts(kgo.WithContext(ctx), kgo.KeepControlRecords(), kgo.FetchIsolationLevel(kgo.ReadUncommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
}

// clientOpts returns the options of all clients of the feed. Closing a client with a fetch session, or one that pushes metrics, would
// wait for a broker that hangs.
func (c *config) clientOpts(more ...kgo.Opt) []kgo.Opt {
	opts := append([]kgo.Opt{kgo.ClientID("kafkafeed")}, c.client...)
	return append(append(opts, kgo.DisableFetchSessions(), kgo.DisableClientMetrics()), more...)
}

// Ready is closed when the answers of the store are complete: in log mode when the log has been read to the end that it had at the
// start, in poll mode when every group has been fetched.
func (f *Feed) Ready() <-chan struct{} { return f.ready }

// Status returns what the feed is doing.
func (f *Feed) Status() Status { return f.state.get() }

func (f *Feed) becomeReady() {
	f.once.Do(func() {
		f.target.replayDone()
		f.state.change(func(s *Status) { s.Ready = true })
		close(f.ready)
	})
}

func (f *Feed) mode() Mode {
	f.state.mu.Lock()
	defer f.state.mu.Unlock()
	return f.state.status.Mode
}

// Run feeds the store until the context is done, and returns the context's error. It also returns if the store is stopped or does not
// have the cluster. If Kafka cannot be reached or refuses requests, Run retries at each interval, and Status gives the error. Run can
// be called once.
func (f *Feed) Run(ctx context.Context) error {
	if f.running.Swap(true) {
		return fmt.Errorf("run feed of cluster %q: already run", f.cluster)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	client, err := f.newClient(ctx)
	if err != nil {
		return fmt.Errorf("run feed of cluster %q: %w", f.cluster, err)
	}
	defer client.Close()
	f.client, f.admin = client, kadm.NewClient(client)
	f.live.Store(client)
	defer f.live.Store(nil)

	first := make(chan struct{}) // closed when end offsets are known
	var wg sync.WaitGroup
	wg.Go(func() { stop(f.pollLoop(ctx, first)) })
	wg.Go(func() { stop(f.commitLoop(ctx, first)) })
	if f.sharer != nil {
		wg.Go(func() { stop(f.shareLoop(ctx)) })
	}
	wg.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return fmt.Errorf("run feed of cluster %q: %w", f.cluster, cause)
	}
	return ctx.Err()
}

// pollLoop polls end offsets and groups at each interval. It returns an error that no retry can resolve.
func (f *Feed) pollLoop(ctx context.Context, first chan<- struct{}) error {
	ticker := time.NewTicker(f.interval)
	defer ticker.Stop()
	began := false
	for {
		at := time.Now()
		err := f.pollEnds(ctx)
		if err == nil && !began {
			began = true
			close(first)
		}
		if !fatal(err) && began {
			err = errors.Join(err, f.pollGroups(ctx))
		}
		if !fatal(err) && f.timesFailed.Swap(false) {
			err = errors.Join(err, f.seedTimes(ctx))
		}
		if fatal(err) || ctx.Err() != nil {
			return err
		}
		callHooks(f, func(h HookPoll) { h.OnPoll(time.Since(at), err) })
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// storeRetry is how long the feed waits before it reads the log again after the store was unavailable.
const storeRetry = time.Second

// commitLoop reads the log. While it cannot, it retries at each interval.
func (f *Feed) commitLoop(ctx context.Context, first <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-first:
	}
	if f.config.mode == ModePoll {
		if err := f.fallBack(ctx, ""); err != nil {
			return err
		}
		<-ctx.Done() // pollLoop continues
		return ctx.Err()
	}
	for {
		err := f.tail(ctx)
		if fatal(err) || ctx.Err() != nil {
			return err
		}
		if errors.Is(err, errGrown) {
			continue // retry at once: nothing failed
		}
		wait := f.interval
		unavailable := errors.Is(err, storage.ErrUnavailable)
		if unavailable {
			wait = min(wait, storeRetry)
			f.failed(askStoreWrites, err)
		} else {
			f.failed(askLog, err)
		}
		if unavailable {
			// The log is readable again.
		} else if f.config.mode == ModeLog {
			f.state.change(func(s *Status) { s.Mode, s.Reason = ModeLog, err.Error() })
		} else if err := f.fallBack(ctx, err.Error()); err != nil {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// fallBack switches to polling, and fetches the committed offsets at once. It returns an error that no retry can resolve.
func (f *Feed) fallBack(ctx context.Context, reason string) error {
	f.commits.Lock()
	changed := f.mode() != ModePoll
	f.state.change(func(s *Status) { s.Mode, s.Reason = ModePoll, reason })
	f.commits.Unlock()
	if !changed {
		return nil
	}
	f.state.clearLogs()
	f.log.Log(kgo.LogLevelInfo, "polling committed offsets", "cluster", f.cluster, "reason", reason)
	groups, err := f.listGroups(ctx)
	f.asked(askGroups, err)
	if err := f.pollCommits(ctx, groups, err == nil); fatal(err) {
		return err
	}
	return nil
}
