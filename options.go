package storage

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/lagkeeper/storage/internal/config"
	"github.com/lagkeeper/storage/internal/curve"
	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/internal/feed"
	"github.com/lagkeeper/storage/internal/lines"
	"github.com/lagkeeper/storage/internal/window"
	"github.com/lagkeeper/storage/protocol"
)

// Options configure a store. The zero value of each field stands for its default. If a negative duration or number is
// allowed, it turns the feature off.
type Options struct {
	// Clusters are the names of the Kafka clusters, at most 10,000. Two names must not differ only in case. AddCluster and
	// RemoveCluster change the set while the store runs.
	Clusters []string
	// Intervals is the number of commits kept per partition of a group, and of end offsets per partition of a topic;
	// default 10, from 1 to 1,000.
	Intervals int
	// ExpireGroup is how long after its last commit a group is forgotten; default 7 days.
	ExpireGroup time.Duration
	// ExpireTopic is how long after its last commit on a topic a group forgets the topic; default ExpireGroup.
	ExpireTopic time.Duration
	// SweepInterval is the time between two sweeps that remove what has expired; default 60 s.
	SweepInterval time.Duration
	// MinDistance is the time between two commits below which the later takes the place of the earlier; default 0.
	MinDistance time.Duration
	// Shards is the number of parts that the groups are spread over, each with its own lock; default 20, from 1 to 1,024.
	Shards int
	// GroupAllow and GroupDeny are unanchored: a group is stored if it matches the first and does not match the second. nil
	// excludes no group.
	GroupAllow, GroupDeny *regexp.Regexp
	// CurveSegments is how finely the end offsets of a partition are remembered for the lag in time; default 32, at most
	// 128. A negative number turns the lag in time off.
	CurveSegments int
	// SnapshotPath is the file that keeps the state across restarts, "" for none. Its directory must exist.
	SnapshotPath string
	// SnapshotInterval is the time between two snapshots; default 60 s. A negative duration saves on Close alone.
	SnapshotInterval time.Duration
	// ReplayTimeout is how long after the start, or an import, the replay of __consumer_offsets is taken to be complete if
	// nobody has called ReplayDone. A restored topic whose end offsets have not been polled by then is taken to be deleted.
	// Default 10 minutes; a negative duration waits for ever.
	ReplayTimeout time.Duration
	// MaxMemory is the number of bytes, as Stats counts them, at which the store refuses new groups, topics and
	// partitions; 0 is no limit.
	MaxMemory int64
	// Logger takes the log lines of the store; nil means that nothing is logged. It is called by a goroutine of its own, for
	// which the store never waits, so its hooks may call the store, even Close.
	Logger *zap.Logger
}

// Validate returns every fault of the options at once, nil if there is none.
func (o Options) Validate() error {
	var faults []error
	number := func(name string, value, least, most int) {
		if value != 0 && (value < least || value > most) {
			faults = append(faults, fmt.Errorf("invalid %s %d: must be between %d and %d", name, value, least, most))
		}
	}
	duration := func(name string, value time.Duration) {
		if value < 0 {
			faults = append(faults, fmt.Errorf("invalid %s %v: must not be negative", name, value))
		}
	}
	number("Intervals", o.Intervals, 1, window.MaxCommits)
	number("Shards", o.Shards, 1, engine.MaxShards)
	number("CurveSegments", max(o.CurveSegments, 0), 1, curve.MaxSegments)
	duration("ExpireGroup", o.ExpireGroup)
	duration("ExpireTopic", o.ExpireTopic)
	duration("SweepInterval", o.SweepInterval)
	duration("MinDistance", o.MinDistance)
	if o.MaxMemory < 0 {
		faults = append(faults, fmt.Errorf("invalid MaxMemory %d: must not be negative", o.MaxMemory))
	}
	faults = append(faults, validateClusters(o.Clusters))
	return errors.Join(faults...)
}

// validateClusters returns an error for names that are too long, and for two that differ only in case, since a request in
// another case could mean either.
func validateClusters(names []string) error {
	seen := make(map[string]string, len(names))
	for _, name := range names {
		if len(name) > engine.MaxName {
			return fmt.Errorf("invalid Clusters: a name of %d bytes: must be at most %d", len(name), engine.MaxName)
		}
		lower := strings.ToLower(name)
		if other, ok := seen[lower]; ok && other != name {
			return fmt.Errorf("invalid Clusters: %q and %q differ only in case", other, name)
		}
		seen[lower] = name
	}
	if len(seen) > engine.MaxClusters {
		return fmt.Errorf("invalid Clusters: %d names: must be at most %d", len(seen), engine.MaxClusters)
	}
	return nil
}

// optionsOf returns the options of the two halves of a module, without the clusters and the logger.
func optionsOf(m config.Module) (Options, RelayOptions) {
	return Options{
		Intervals: m.Intervals, Shards: m.Shards, CurveSegments: m.CurveSegments, MinDistance: m.MinDistance,
		ExpireGroup: m.ExpireGroup, ExpireTopic: m.ExpireTopic, SweepInterval: m.SweepInterval,
		GroupAllow: m.GroupAllow, GroupDeny: m.GroupDeny, MaxMemory: m.MaxMemory,
		SnapshotPath: m.SnapshotPath, SnapshotInterval: m.SnapshotInterval, ReplayTimeout: m.ReplayTimeout,
	}, RelayOptions{Workers: m.Shards, QueueDepth: m.QueueDepth, ReplyTimeout: m.ReplyTimeout}
}

// withDefaults returns the options with every default filled in.
func (o Options) withDefaults() Options {
	setDefault := func(field *time.Duration, value time.Duration) {
		if *field == 0 {
			*field = value
		}
	}
	setDefault(&o.ExpireGroup, config.DefaultExpireGroup*time.Second)
	setDefault(&o.ExpireTopic, o.ExpireGroup)
	setDefault(&o.SweepInterval, config.DefaultSweepInterval*time.Second)
	setDefault(&o.SnapshotInterval, config.DefaultSnapshotInterval*time.Second)
	setDefault(&o.ReplayTimeout, config.DefaultReplayTimeout*time.Second)
	if o.Intervals == 0 {
		o.Intervals = config.DefaultIntervals
	}
	if o.Shards == 0 {
		o.Shards = config.DefaultShards
	}
	if o.CurveSegments == 0 {
		o.CurveSegments = curve.DefaultSegments
	}
	o.Logger = lines.Log(o.Logger)
	return o
}

// accept returns the filter of groups, nil if no group is excluded.
func (o *Options) accept() func(group string) bool {
	if o.GroupAllow == nil && o.GroupDeny == nil {
		return nil
	}
	return func(group string) bool {
		return (o.GroupAllow == nil || o.GroupAllow.MatchString(group)) && (o.GroupDeny == nil || !o.GroupDeny.MatchString(group))
	}
}

func (o *Options) engine(clock engine.Clock, hub *feed.Hub[protocol.Event]) engine.Config {
	return engine.Config{
		Clusters: o.Clusters, Shards: o.Shards, Intervals: o.Intervals,
		ExpireGroup: milliseconds(o.ExpireGroup), ExpireTopic: milliseconds(o.ExpireTopic),
		MinDistance: milliseconds(o.MinDistance), Accept: o.accept(),
		CurveSegments: max(o.CurveSegments, 0), MaxMemory: o.MaxMemory, Clock: clock, Hub: hub,
		Remember: o.SnapshotPath != "", ReplayTimeout: milliseconds(max(o.ReplayTimeout, 0)),
	}
}

// milliseconds returns a duration for the engine. The longest stands for ever, since a configuration may contain more seconds
// than a duration can hold.
func milliseconds(d time.Duration) int64 {
	if d == math.MaxInt64 {
		return 1 << 60
	}
	return d.Milliseconds()
}

// RelayOptions are the settings of a Relay. A field that is zero or out of range stands for its default.
type RelayOptions struct {
	// Workers is the number of goroutines that build answers; default 20. While answers wait for other answers of the same
	// Relay, there are up to 1,024 more.
	Workers int
	// QueueDepth is the capacity of the request channel and, per worker, of the queue of answers to build, which holds at
	// most 1,024; default 0, which is a channel without a buffer.
	QueueDepth int
	// ReplyTimeout is how long an answer that nobody reads stays deliverable; default 30 s.
	ReplyTimeout time.Duration
	// MaxUnread and MaxUnreadBytes limit the number of unread answers and an estimate of their memory; defaults 1,024 and 64
	// MiB. Beyond that the oldest is dropped, but never the newest.
	MaxUnread, MaxUnreadBytes int
}

func (o RelayOptions) withDefaults() RelayOptions {
	if o.Workers < 1 {
		o.Workers = 20
	}
	o.QueueDepth = max(o.QueueDepth, 0)
	if o.ReplyTimeout <= 0 {
		o.ReplyTimeout = 30 * time.Second
	}
	if o.MaxUnread < 1 {
		o.MaxUnread = 1024
	}
	if o.MaxUnreadBytes < 1 {
		o.MaxUnreadBytes = 64 << 20
	}
	return o
}
