package kafkafeed

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Mode is how a Feed learns the commits of groups.
type Mode string

// The modes.
const (
	// ModeAuto reads the log if it can and polls otherwise.
	ModeAuto Mode = "auto"
	// ModeLog reads __consumer_offsets.
	ModeLog Mode = "log"
	// ModePoll fetches the committed offsets of all groups at each interval.
	ModePoll Mode = "poll"
)

// DefaultInterval is the time between two polls of end offsets.
const DefaultInterval = 10 * time.Second

// DefaultWindow is the number of commits of a partition that a Feed replays together.
const DefaultWindow = 10

// Opt is an option of a Feed.
type Opt func(*config)

type config struct {
	client     []kgo.Opt
	interval   time.Duration
	mode       Mode
	groups     func(string) bool
	topics     func(string) bool
	hooks      []Hook
	log        kgo.Logger
	end        endKind
	window     int
	maxPending int
	shard      string
	shared     bool
	// worthSharing is the number of records from which several goroutines apply those of a fetch.
	worthSharing int
}

// ClientOpts adds options of the client that talks to Kafka: seed brokers, TLS, SASL and everything else of kgo. Options that
// make the client a member of a group or set its offsets must not be used.
func ClientOpts(opts ...kgo.Opt) Opt {
	return func(c *config) { c.client = append(c.client, opts...) }
}

// Interval sets the time between two polls of end offsets, group members and, in poll mode, commits. The default is
// DefaultInterval.
func Interval(d time.Duration) Opt { return func(c *config) { c.interval = d } }

// WithMode sets the mode. The default is ModeAuto.
func WithMode(m Mode) Opt { return func(c *config) { c.mode = m } }

// Groups restricts the feed to the groups for which match returns true. The default is every group. Several goroutines may call match
// at once.
func Groups(match func(group string) bool) Opt { return func(c *config) { c.groups = match } }

// Topics restricts the feed to the topics for which match returns true. The default is every topic that is not internal to Kafka.
// Several goroutines may call match at once.
func Topics(match func(topic string) bool) Opt { return func(c *config) { c.topics = match } }

// WithHooks adds hooks: values that implement one or more of the Hook interfaces.
func WithHooks(hooks ...Hook) Opt { return func(c *config) { c.hooks = append(c.hooks, hooks...) } }

// WithLogger sets the logger. The default logs nothing. The client has a logger of its own, which ClientOpts sets.
func WithLogger(log kgo.Logger) Opt { return func(c *config) { c.log = log } }

// LastStableOffset makes the last stable offset of a partition its end, up to which consumers can read committed messages.
// The default is the last stable offset too, except for partitions on which a group has committed beyond it while
// transactions are open: such a group reads uncommitted messages, so the end is the high watermark.
func LastStableOffset() Opt { return func(c *config) { c.end = lastStable } }

// HighWatermark makes the high watermark of a partition its end, as kafka-consumer-groups --describe does. A group that reads
// only committed messages then has a lag while transactions are open.
func HighWatermark() Opt { return func(c *config) { c.end = highWatermark } }

// Window sets the number of commits of a partition that are replayed when a store that started empty has caught up: the intervals of
// the store. The default is DefaultWindow.
func Window(commits int) Opt { return func(c *config) { c.window = commits } }

// MaxPending sets the number of commits of open transactions that are kept for one partition of the log. The default is
// DefaultMaxPending.
func MaxPending(commits int) Opt { return func(c *config) { c.maxPending = commits } }

// Shard makes the feed one of several, in any number of processes, that share the partitions of __consumer_offsets as members of the
// Kafka consumer group of this name. Each feeds the groups whose commits are in its share, and the end offsets of all topics. A group
// that another feed has taken over is deleted from the store. The mode is then ModeLog, and the feed needs the right to read the
// consumer group.
func Shard(group string) Opt { return func(c *config) { c.shard = group } }

// SharedStore declares that several feeds, in any number of processes, fill the same store. Each feeds the groups whose commits are in
// its share of the partitions of __consumer_offsets, or of as many parts in ModePoll, and the end offsets of all topics. The position
// of a partition is handed over in the store. Without Shard the store assigns the shares, as a storage.LogSharer. With Shard Kafka
// assigns them, and groups that another feed has taken over are not deleted from the store.
func SharedStore() Opt { return func(c *config) { c.shared = true } }

func newConfig(opts []Opt) (config, error) {
	c := config{interval: DefaultInterval, mode: ModeAuto, window: DefaultWindow, maxPending: DefaultMaxPending, worthSharing: worthSharing}
	for _, opt := range opts {
		opt(&c)
	}
	var faults []error
	if c.interval <= 0 {
		faults = append(faults, fmt.Errorf("invalid interval %v: must be above 0", c.interval))
	}
	if c.mode != ModeAuto && c.mode != ModeLog && c.mode != ModePoll {
		faults = append(faults, fmt.Errorf("invalid mode %q: must be auto, log or poll", c.mode))
	}
	if c.window < 1 || c.window > 1000 {
		faults = append(faults, fmt.Errorf("invalid window %d: must be between 1 and 1000", c.window))
	}
	if c.maxPending < 1 {
		faults = append(faults, fmt.Errorf("invalid limit of pending commits %d: must be above 0", c.maxPending))
	}
	if c.shard != "" && c.mode == ModePoll {
		faults = append(faults, errors.New("invalid mode \"poll\" of a shard: must be auto or log"))
	} else if c.shard != "" {
		c.mode = ModeLog
	}
	return c, errors.Join(faults...)
}

// wantsGroup reports whether the feed stores a group.
func (c *config) wantsGroup(group string) bool {
	return (c.shard == "" || group != c.shard) && (c.groups == nil || c.groups(group))
}

// wantsTopic reports whether the feed stores a topic, which may be internal to Kafka.
func (c *config) wantsTopic(topic string, internal bool) bool {
	if c.topics == nil {
		return !internal
	}
	return c.topics(topic)
}

// Hook is a value whose methods are called when something happens. It implements one or more of HookPoll, HookRecords and
// HookRequestError. Hooks are called one after the other by the goroutines that do the work, so they must be fast.
type Hook any

// callHooks calls each hook that is of a kind.
func callHooks[H any](f *Feed, call func(H)) {
	f.calling.Lock()
	defer f.calling.Unlock()
	for _, hook := range f.hooks {
		if h, ok := hook.(H); ok {
			call(h)
		}
	}
}

// HookPoll is called after each poll of end offsets and groups.
type HookPoll interface {
	// OnPoll gets the duration of a poll and its error, nil if there was none.
	OnPoll(took time.Duration, err error)
}

// HookRecords is called after the records of one fetch of one log partition have been applied.
type HookRecords interface {
	// OnRecords gets the number of records by kind.
	OnRecords(logPartition int32, records map[Kind]int)
}

// HookRequestError is called for each request that failed, in part or as a whole.
type HookRequestError interface {
	// OnRequestError gets the kind of the request, as in Status.Errors, and the error.
	OnRequestError(request string, err error)
}
