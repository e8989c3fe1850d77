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
	// ConstLabels are added to every series, to tell the stores of one process apart; default none.
	ConstLabels prom.Labels
	// Lags says how the lags are exported; nil, the default, exports none.
	Lags *LagOptions
}

// LagOptions say how lags are exported.
type LagOptions struct {
	// By is what a series stands for; default PerPartition.
	By Aggregation
	// MaxSeries is how many series of lags are exported at most; default 100,000. Groups are exported whole or not at all,
	// and those that were exported at the last collection go first: so what is left out stays the same from one collection
	// to the next. How much that is say lagstore_exporter_groups_dropped and lagstore_exporter_series_dropped.
	MaxSeries int
	// Allow and Deny choose what is exported: a topic of a group that the first lets in and the second does not keep out.
	// nil lets everything in, and keeps nothing out. They are called at each collection, from several goroutines.
	Allow, Deny func(cluster, group, topic string) bool
}

// Aggregation is what a series of lags stands for.
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
)

// names is what metrics and labels may be called; a prefix too has to be a name.
var names = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// ownLabels are the labels that the metrics have of themselves.
var ownLabels = []string{"type", "outcome", "fault", "cluster", "group", "topic", "partition", "state"}

// Validate reports every fault at once, and nil where there is none.
func (o Options) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if o.Prefix != "" && !names.MatchString(o.Prefix) {
		fault("Prefix %q is not allowed; allowed is what a metric name can begin with: %s", o.Prefix, names)
	}
	for name := range o.ConstLabels {
		switch {
		case slices.Contains(ownLabels, name):
			fault("ConstLabels: %q is not allowed; the metrics have that label themselves", name)
		case !names.MatchString(name) || strings.HasPrefix(name, "__"):
			fault("ConstLabels: %q is no name of a label", name)
		}
	}
	if l := o.Lags; l != nil {
		if l.By != PerPartition && l.By != PerTopic {
			fault("Lags.By: %d is not allowed; allowed are PerPartition and PerTopic", l.By)
		}
		if l.MaxSeries < 0 {
			fault("Lags.MaxSeries: %d is not allowed; allowed is a number from 1, or 0 for %d", l.MaxSeries, defaultMaxSeries)
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
		o.Lags = &lags
	}
	return o
}

// wants tells whether a topic of a group is to be exported.
func (l *LagOptions) wants(cluster, group, topic string) bool {
	return (l.Allow == nil || l.Allow(cluster, group, topic)) && (l.Deny == nil || !l.Deny(cluster, group, topic))
}
