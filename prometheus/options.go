package prometheus

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	prom "github.com/prometheus/client_golang/prometheus"
)

// Options say what a Collector exports.
type Options struct {
	// Prefix is what the name of every metric begins with; default "lagstore_".
	Prefix string
	// ConstLabels are added to every series, to distinguish the stores of one process; default none.
	ConstLabels prom.Labels
	// Lags says how the lags are exported; nil, the default, exports none.
	Lags *LagOptions
}

// LagOptions say how lags are exported.
type LagOptions struct {
	// By is what a series covers; default PerPartition.
	By Aggregation
	// MaxSeries limits the series of lags; default 100,000. MaxBytes limits the bytes that they take in a scrape, as
	// uncompressed text; default 64 MiB. Names of groups and topics can be long.
	//
	// Groups are exported whole or not at all, in the order of cluster and name, each that still fits; a partition gets room
	// for all series that it can have. So the same groups are left out at every collection as long as the store holds the
	// same. lagstore_exporter_groups_dropped counts them.
	MaxSeries, MaxBytes int
	// Allow and Deny select the topics of groups to export: those for which Allow returns true and Deny does not. If Allow is
	// nil, all are allowed; if Deny is nil, none is denied. They are called at each collection, from one goroutine at a time.
	Allow, Deny func(cluster, group, topic string) bool
}

// Aggregation is what a series of lags covers.
type Aggregation int

const (
	// PerPartition exports series for each partition of each topic of a group.
	PerPartition Aggregation = iota
	// PerTopic exports series for each topic of a group, over all its partitions.
	PerTopic
)

// String returns "per partition" or "per topic".
func (a Aggregation) String() string {
	switch a {
	case PerPartition:
		return "per partition"
	case PerTopic:
		return "per topic"
	default:
		return fmt.Sprintf("Aggregation(%d)", int(a))
	}
}

const (
	defaultPrefix    = "lagstore_"
	defaultMaxSeries = 100_000
	// defaultMaxBytes leaves more than 600 bytes for each of the default number of series; most take 150 to 250.
	defaultMaxBytes = 64 << 20
)

// names matches valid names of metrics and labels; a prefix has to be a name too.
var names = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// ownLabels are the labels that the metrics themselves have.
var ownLabels = []string{"type", "outcome", "fault", "cluster", "group", "topic", "partition", "state", "reason"}

// Validate returns every fault at once, nil if there is none.
func (o Options) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if o.Prefix != "" && !names.MatchString(o.Prefix) {
		fault("invalid Prefix %q: must match %s", o.Prefix, names)
	}
	for name := range o.ConstLabels {
		switch {
		case slices.Contains(ownLabels, name):
			fault("invalid ConstLabels: the metrics have a label %q themselves", name)
		case !names.MatchString(name) || strings.HasPrefix(name, "__"):
			fault("invalid ConstLabels: %q is not a label name", name)
		}
	}
	if l := o.Lags; l != nil {
		if l.By != PerPartition && l.By != PerTopic {
			fault("invalid Lags.By %d: must be PerPartition or PerTopic", l.By)
		}
		if l.MaxSeries < 0 {
			fault("invalid Lags.MaxSeries %d: must not be negative", l.MaxSeries)
		}
		if l.MaxBytes < 0 {
			fault("invalid Lags.MaxBytes %d: must not be negative", l.MaxBytes)
		}
	}
	return errors.Join(faults...)
}

// withDefaults returns a copy in which every default is filled in.
func (o Options) withDefaults() Options {
	if o.Prefix == "" {
		o.Prefix = defaultPrefix
	}
	if o.Lags != nil {
		lags := *o.Lags
		if lags.MaxSeries == 0 {
			lags.MaxSeries = defaultMaxSeries
		}
		if lags.MaxBytes == 0 {
			lags.MaxBytes = defaultMaxBytes
		}
		o.Lags = &lags
	}
	return o
}

// wants reports whether a topic of a group is to be exported.
func (l *LagOptions) wants(cluster, group, topic string) bool {
	return (l.Allow == nil || l.Allow(cluster, group, topic)) && (l.Deny == nil || !l.Deny(cluster, group, topic))
}
