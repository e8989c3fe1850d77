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
)

// passwordVariable is the environment variable that holds the SASL password where --sasl-password is not given.
const passwordVariable = "LAGMONITOR_SASL_PASSWORD"

// The intervals between two polls where --interval is not given.
const (
	demoInterval = 2 * time.Second
	pollInterval = 10 * time.Second
	minInterval  = 100 * time.Millisecond
)

// options are the command line, checked as far as that goes without reading a file. What is not given is empty, so that
// a configuration file can speak.
type options struct {
	brokers  []string
	cluster  string
	config   string
	interval time.Duration // 0: the default of the mode
	once     bool
	json     bool
	color    string // auto, always or never
	metrics  string // host:port to serve the metrics on; "" for none

	tls           bool
	tlsCA         string
	tlsCert       string
	tlsKey        string
	tlsSkipVerify bool

	saslMechanism string
	saslUser      string
	saslPassword  string

	getenv func(string) string
}

// clusterName is what a cluster may be called: viper would take a dot for a step into the configuration.
var clusterName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

const usageText = `Lagmonitor shows how far the consumer groups of a Kafka cluster are behind.

Usage:
  lagmonitor [flags]

Without --brokers and --config it starts an embedded Kafka with a workload, to have something to show.
Against a Kafka of yours it only reads: it joins no group, commits nothing and creates nothing.

Flags:
`

// parseOptions reads the command line. It returns flag.ErrHelp after printing the help to stderr.
func parseOptions(args []string, getenv func(string) string, stderr io.Writer) (options, error) {
	opts := options{getenv: getenv}
	var brokers string
	flags := flag.NewFlagSet("lagmonitor", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&brokers, "brokers", "", "comma-separated `host:port` list of the Kafka to monitor")
	flags.StringVar(&opts.cluster, "cluster", "", "`name` of the cluster in the store; picks one of several in --config")
	flags.StringVar(&opts.config, "config", "", "TOML or YAML `file` with storage.* and cluster.* keys; flags override it")
	flags.DurationVar(&opts.interval, "interval", 0, "`time` between two polls (default 10s, embedded 2s)")
	flags.BoolVar(&opts.once, "once", false, "print one settled table and exit")
	flags.BoolVar(&opts.json, "json", false, "print JSON, one document a poll; with --once just one")
	flags.StringVar(&opts.color, "color", "auto", "`when` to use colour: auto (respects NO_COLOR), always or never")
	flags.StringVar(&opts.metrics, "metrics", "", "serve the lags and the store's statistics for Prometheus on `:port` of this machine, or host:port")
	flags.BoolVar(&opts.tls, "tls", false, "speak TLS to the brokers")
	flags.StringVar(&opts.tlsCA, "tls-ca", "", "PEM `file` with the certificates to trust instead of the system's")
	flags.StringVar(&opts.tlsCert, "tls-cert", "", "PEM `file` with the client certificate")
	flags.StringVar(&opts.tlsKey, "tls-key", "", "PEM `file` with the key of the client certificate")
	flags.BoolVar(&opts.tlsSkipVerify, "tls-skip-verify", false, "do not verify the brokers' certificates (insecure)")
	flags.StringVar(&opts.saslMechanism, "sasl-mechanism", "", "`name` of the mechanism: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
	flags.StringVar(&opts.saslUser, "sasl-user", "", "SASL user `name`")
	flags.StringVar(&opts.saslPassword, "sasl-password", "", "SASL `password`; better given as $"+passwordVariable)

	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			printHelp(flags, stderr)
		}
		return opts, err
	}
	if flags.NArg() > 0 {
		return opts, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}

	var faults []error
	flags.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "interval":
			if opts.interval < minInterval {
				faults = append(faults, fmt.Errorf("--interval %v is too short: at least %v", opts.interval, minInterval))
			}
		case "brokers":
			var err error
			if opts.brokers, err = splitBrokers(brokers); err != nil {
				faults = append(faults, fmt.Errorf("--brokers: %w", err))
			}
		case "cluster":
			if !clusterName.MatchString(opts.cluster) {
				faults = append(faults, fmt.Errorf("--cluster %q: letters, digits, - and _ only", opts.cluster))
			}
		case "color":
			if opts.color != "auto" && opts.color != "always" && opts.color != "never" {
				faults = append(faults, fmt.Errorf("--color %q: auto, always or never", opts.color))
			}
		case "metrics":
			if _, port, err := net.SplitHostPort(opts.metrics); err != nil || port == "" {
				faults = append(faults, fmt.Errorf("--metrics %q: :port or host:port", opts.metrics))
			} else if opts.once {
				faults = append(faults, errors.New("--metrics needs a monitor that goes on: leave out --once"))
			}
		case "tls-ca", "tls-cert", "tls-key", "tls-skip-verify":
			opts.tls = true
		}
	})
	return opts, oneLine(faults)
}

// printHelp prints the flags, one a line.
func printHelp(flags *flag.FlagSet, out io.Writer) {
	fmt.Fprint(out, usageText)
	flags.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		fmt.Fprintf(out, "  %-26s %s\n", strings.TrimSpace("--"+f.Name+" "+value), usage)
	})
}

// splitBrokers takes a comma-separated list apart.
func splitBrokers(list string) ([]string, error) {
	var brokers []string
	for _, broker := range strings.Split(list, ",") {
		broker = strings.TrimSpace(broker)
		if broker == "" {
			return nil, fmt.Errorf("%q holds an empty address", list)
		}
		brokers = append(brokers, broker)
	}
	return brokers, nil
}

// oneLine joins errors into one whose message is a single line; nil for none.
func oneLine(faults []error) error {
	if len(faults) == 0 {
		return nil
	}
	texts := make([]string, len(faults))
	for i, fault := range faults {
		texts[i] = strings.Join(strings.Fields(fault.Error()), " ")
	}
	return errors.New(strings.Join(texts, "; "))
}
