// Package config reads the configuration of an application from a viper into plain values. It reports all faults at once and
// warns of unknown keys. A key that is not set gets its default in the viper, so that an application that shows its configuration
// shows the defaults.
package config

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/viper"

	"github.com/lagkeeper/storage/internal/curve"
	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/internal/window"
)

// The defaults, in the units of the keys: numbers and seconds.
const (
	DefaultIntervals        = 10
	DefaultShards           = 20
	DefaultExpireGroup      = 7 * 24 * 3600
	DefaultSweepInterval    = 60
	DefaultSnapshotInterval = 60
	DefaultReplayTimeout    = 600
	defaultReplyTimeout     = 30
)

// maxQueueDepth is the greatest queue-depth: a channel of that capacity takes 128 MiB.
const maxQueueDepth = 1 << 24

// Module is the configuration of one module. Each field holds the key of the same name; the key workers gives both Shards and
// Workers. As in the options of a store, -1 turns off a feature that the key turns off with 0.
type Module struct {
	Intervals, Shards, CurveSegments              int
	ExpireGroup, ExpireTopic                      time.Duration
	SweepInterval, MinDistance                    time.Duration
	SnapshotPath                                  string
	SnapshotInterval, ReplayTimeout, ReplyTimeout time.Duration
	MaxMemory                                     int64
	GroupAllow, GroupDeny                         *regexp.Regexp
	QueueDepth                                    int
	Warnings                                      []string // about settings that are odd but valid
}

// ReadModule reads the keys under root. className is the class of a module that names none. The error names every fault, one per
// line.
func ReadModule(v *viper.Viper, root, className string) (Module, error) {
	return readModule(&reader{viper: v, root: root}, className, func() {})
}

// readModule calls more to read the keys that only some classes have.
func readModule(r *reader, className string, more func()) (Module, error) {
	v := r.viper
	// This precedes the defaults, because setting one under root would turn any other value into a table.
	if r.checkTable(); len(r.faults) > 0 {
		return Module{}, r.err()
	}
	takeBackDefault(v, r.key("expire-topic"))
	intervals := r.integer("intervals", DefaultIntervals, 1, window.MaxCommits)
	expireGroup := r.integer("expire-group", DefaultExpireGroup, 1, math.MaxInt64)
	m := Module{
		Intervals:        int(intervals),
		ExpireGroup:      seconds(expireGroup),
		SweepInterval:    r.seconds("sweep-interval", DefaultSweepInterval, 1),
		Shards:           int(r.integer("workers", DefaultShards, 1, engine.MaxShards)),
		MinDistance:      r.seconds("min-distance", 0, 0),
		CurveSegments:    int(zeroIsOff(r.integer("curve-segments", curve.DefaultSegments, 0, curve.MaxSegments))),
		SnapshotPath:     r.text("snapshot-path", ""),
		SnapshotInterval: zeroIsOff(r.seconds("snapshot-interval", DefaultSnapshotInterval, 0)),
		ReplayTimeout:    zeroIsOff(r.seconds("replay-timeout", DefaultReplayTimeout, 0)),
		MaxMemory:        r.integer("max-memory", 0, 0, math.MaxInt64),
		GroupAllow:       r.expression("group-allowlist", "group-whitelist"),
		GroupDeny:        r.expression("group-denylist", "group-blacklist"),
	}
	if v.Get(r.key("expire-topic")) == nil {
		giveDefault(v, r.key("expire-topic"), number(expireGroup))
	}
	m.ExpireTopic = r.seconds("expire-topic", expireGroup, 1)
	m.QueueDepth = int(r.integer("queue-depth", 1, 0, maxQueueDepth))
	m.ReplyTimeout = r.seconds("reply-timeout", defaultReplyTimeout, 1)
	r.text("class-name", className)
	more()
	r.findUnknown()
	m.Warnings = r.warnings
	return m, r.err()
}

// zeroIsOff converts a configured number for the options, in which 0 stands for the default and -1 turns the feature off.
func zeroIsOff[N int64 | time.Duration](n N) N {
	if n == 0 {
		return -1
	}
	return n
}

// defaultName is the name of the module if the configuration names none.
const (
	defaultName  = "default"
	defaultClass = "storage." + defaultName + ".class-name"
)

// WhichModule returns the name and the class of the module that is configured under storage. className is the class of a module
// that names none. If no module is configured, WhichModule adds one named default to viper.
func WhichModule(v *viper.Viper, className string) (name, class string, err error) {
	const root = "storage"
	var modules map[string]any
	if present := v.Get(root); present != nil {
		var ok bool
		if modules, ok = present.(map[string]any); !ok {
			return "", "", fmt.Errorf("%s: %s is not allowed; allowed is a table with one module", root, show(present))
		}
	}
	names := namesOf(modules)
	if len(names) > 1 {
		// The default module of an earlier call does not count.
		names = slices.DeleteFunc(names, func(name string) bool { return name == defaultName && isGivenDefault(v, defaultClass) })
	}
	switch len(names) {
	case 0:
		giveDefault(v, defaultClass, className)
		return defaultName, className, nil
	case 1:
		name = names[0]
	default:
		return "", "", fmt.Errorf("%s: only one module is allowed; configured are: %s", root, strings.Join(names, ", "))
	}
	r := &reader{viper: v, root: root + "." + name}
	if r.checkTable(); len(r.faults) > 0 {
		return "", "", r.err()
	}
	if class = r.text("class-name", className); class == "" {
		class = className
	}
	return name, class, r.err()
}

// Clusters reads the names under cluster. It returns an error if cluster is not a table.
func Clusters(v *viper.Viper) ([]string, error) {
	present := v.Get("cluster")
	if present == nil {
		return nil, nil
	}
	clusters, ok := present.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("read configuration: cluster: %s is not allowed; allowed is a table of clusters", show(present))
	}
	return namesOf(clusters), nil
}

// namesOf returns the keys of a table, sorted.
func namesOf(table map[string]any) []string {
	names := make([]string, 0, len(table))
	for name := range table {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
