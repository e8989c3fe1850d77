package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/lagkeeper/storage/kafkafeed"
)

// passwordVariable is the environment variable that holds the SASL password if --sasl-password is not given.
const passwordVariable = "LAGMONITOR_SASL_PASSWORD"

// The intervals between two polls if --interval is not given.
const (
	demoInterval = 2 * time.Second
	onceInterval = 500 * time.Millisecond
	minInterval  = 100 * time.Millisecond
)

// options are the command line, checked as far as possible without reading a file. An option that is not given is empty, so that the
// configuration file applies.
type options struct {
	brokers  []string
	clusters []string
	config   string
	interval time.Duration // 0 stands for the default
	mode     string        // auto, log, poll or read
	once     bool
	json     bool
	version  bool
	color    string // auto, always or never
	metrics  string // host:port to serve the metrics on; "" for none
	http     string // host:port to serve the pages on; "" for none

	kafka kafkaConfig // without the brokers

	getenv func(string) string
}

// clusterName matches the allowed names of clusters: viper would take a dot for a separator of keys.
var clusterName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

const usageText = `Lagmonitor shows how far the consumer groups of Kafka clusters are behind.

Usage:
  lagmonitor [flags]

Without --brokers and --config it starts an embedded Kafka with a workload, to have something to show.
Against a Kafka of yours it only reads: it joins no group, commits nothing and creates nothing.

Examples:
  lagmonitor                                          a demo
  lagmonitor --brokers kafka1:9092                    one cluster, live; ? shows the keys
  lagmonitor --config lag.toml --cluster prod,test    two of the clusters of a file
  lagmonitor --brokers kafka1:9092 --once             one table; exits with 3 if something is missing
  lagmonitor --brokers kafka1:9092 --once --json | jq '.groups[] | select(.status == "STOPPED") | .group'
  lagmonitor --brokers kafka1:9092 --http :8080 --metrics :9099

Flags:
`

// flagSet returns the flags, which write to opts and to the two lists.
func flagSet(opts *options, brokers, clusters *string) *flag.FlagSet {
	flags := flag.NewFlagSet("lagmonitor", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	k := &opts.kafka
	flags.StringVar(brokers, "brokers", "", "comma-separated `host:port` list of the Kafka to monitor")
	flags.StringVar(clusters, "cluster", "", "`name` of the cluster; with --config a comma-separated list picks some of the file")
	flags.StringVar(&opts.config, "config", "", "TOML or YAML `file` with storage.* and cluster.* keys; flags override it")
	flags.DurationVar(&opts.interval, "interval", 0, "`time` between two polls (default 10s, demo 2s)")
	flags.StringVar(&opts.mode, "mode", "", "`how` to learn of commits: auto (default), log (__consumer_offsets), poll, or read what others write into a shared store")
	flags.BoolVar(&opts.once, "once", false, "print one table and exit")
	flags.BoolVar(&opts.json, "json", false, "print JSON, one document each interval; with --once just one")
	flags.StringVar(&opts.color, "color", "auto", "`when` to use colour: auto (respects NO_COLOR), always or never")
	flags.StringVar(&opts.http, "http", "", "serve pages, /healthz and /readyz on `:port` of this machine, or host:port")
	flags.StringVar(&opts.metrics, "metrics", "", "serve /metrics for Prometheus on `:port` of this machine, or host:port")
	flags.BoolVar(&opts.version, "version", false, "print the version and exit")
	flags.BoolVar(&k.tls, "tls", false, "speak TLS to the brokers")
	flags.StringVar(&k.tlsCA, "tls-ca", "", "PEM `file` with the certificates to trust instead of the system's")
	flags.StringVar(&k.tlsCert, "tls-cert", "", "PEM `file` with the client certificate")
	flags.StringVar(&k.tlsKey, "tls-key", "", "PEM `file` with the key of the client certificate")
	flags.BoolVar(&k.tlsSkipVerify, "tls-skip-verify", false, "do not verify the brokers' certificates (insecure)")
	flags.StringVar(&k.saslMechanism, "sasl-mechanism", "", "`name` of the mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
	flags.StringVar(&k.saslUser, "sasl-user", "", "SASL user `name`")
	flags.StringVar(&k.saslPassword, "sasl-password", "", "SASL `password`; better given as $"+passwordVariable)
	return flags
}

// parseOptions reads the command line. It returns flag.ErrHelp for --help, and otherwise faults.
func parseOptions(args []string, getenv func(string) string) (options, error) {
	opts := options{getenv: getenv}
	var brokers, clusters string
	flags := flagSet(&opts, &brokers, &clusters)
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return opts, err
		}
		return opts, faults{err.Error()}
	}
	var wrong faults
	if flags.NArg() > 0 {
		wrong.add("unexpected argument %q", flags.Arg(0))
	}
	flags.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "interval":
			if opts.interval < minInterval {
				wrong.add("invalid --interval %v: must be at least %v", opts.interval, minInterval)
			}
		case "brokers":
			opts.brokers = split(brokers, func(string) bool { return true }, func(item string) {
				wrong.add("invalid --brokers %q: must be a list of host:port without empty items", brokers)
			})
		case "cluster":
			opts.clusters = split(clusters, clusterName.MatchString, func(item string) {
				wrong.add("invalid --cluster %q: must be letters, digits, - and _", item)
			})
		case "mode":
			switch kafkafeed.Mode(opts.mode) {
			case kafkafeed.ModeAuto, kafkafeed.ModeLog, kafkafeed.ModePoll, modeRead:
			default:
				wrong.add("invalid --mode %q: must be auto, log, poll or read", opts.mode)
			}
		case "color":
			if opts.color != "auto" && opts.color != "always" && opts.color != "never" {
				wrong.add("invalid --color %q: must be auto, always or never", opts.color)
			}
		case "metrics", "http":
			if _, port, err := net.SplitHostPort(f.Value.String()); err != nil || port == "" {
				wrong.add("invalid --%s %q: must be :port or host:port", f.Name, f.Value)
			} else if opts.once {
				wrong.add("--%s needs a monitor that goes on: leave out --once", f.Name)
			}
		case "tls-ca", "tls-cert", "tls-key", "tls-skip-verify":
			opts.kafka.tls = true
		}
	})
	return opts, wrong.err()
}

// helpText is the output of --help.
func helpText() string {
	var b strings.Builder
	b.WriteString(usageText)
	var brokers, clusters string
	flagSet(new(options), &brokers, &clusters).VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		fmt.Fprintf(&b, "  %-26s %s\n", strings.TrimSpace("--"+f.Name+" "+value), usage)
	})
	return b.String()
}

// split splits a comma-separated list. It calls bad once, for the first item that is empty or invalid.
func split(list string, pleases func(string) bool, bad func(item string)) (items []string) {
	for _, item := range strings.Split(list, ",") {
		item = strings.TrimSpace(item)
		if item == "" || !pleases(item) {
			bad(item)
			return nil
		}
		items = append(items, item)
	}
	return items
}
