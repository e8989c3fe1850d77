package main

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/viper"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/kafkafeed"
)

// config is the combination of the flags and the configuration file.
type config struct {
	// viper holds the storage.* and cluster.* keys for the store's Coordinator.
	viper    *viper.Viper
	clusters []clusterConfig
	// embedded is set if no Kafka was named, so that the monitor starts its own.
	embedded bool
	interval time.Duration
}

// modeRead has no feed: others fill the store.
const modeRead kafkafeed.Mode = "read"

// clusterConfig is the configuration of one monitored cluster.
type clusterConfig struct {
	name   string // in lower case, as viper has it
	mode   kafkafeed.Mode
	kafka  kafkaConfig
	client []kgo.Opt // the options that result from kafka
}

// kafkaConfig is how to reach a Kafka cluster: the keys of cluster.<name>, overridden by the flags.
type kafkaConfig struct {
	brokers []string

	tls           bool
	tlsCA         string
	tlsCert       string
	tlsKey        string
	tlsSkipVerify bool

	saslMechanism string // "", PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	saslUser      string
	saslPassword  string
}

// loadConfig reads the configuration file, if any, and applies the flags on top. It returns all faults.
func loadConfig(opts options) (config, faults) {
	var wrong faults
	c := config{viper: viper.New(), interval: opts.interval}
	if opts.config != "" {
		c.viper.SetConfigFile(opts.config)
		if err := c.viper.ReadInConfig(); errors.Is(err, fs.ErrNotExist) {
			return c, faults{"read configuration: " + opts.config + " does not exist"}
		} else if err != nil {
			wrong.add("read configuration %s: %v", opts.config, err)
			return c, wrong
		}
	}
	names := c.pick(opts, &wrong)
	shared := make(map[string]any)
	for _, name := range names {
		cluster := c.read(name, opts, &wrong)
		c.clusters = append(c.clusters, cluster)
		shared[name] = map[string]any{"class-name": "kafka", "servers": cluster.kafka.brokers}
	}
	// The store needs the clusters too. Single keys would hide the rest of the section, so they are merged into it.
	if err := c.viper.MergeConfigMap(map[string]any{"cluster": shared}); err != nil {
		wrong.add("configure clusters: %v", err)
	}
	switch {
	case c.interval != 0:
	case opts.once:
		c.interval = onceInterval
	case c.embedded:
		c.interval = demoInterval
	default:
		c.interval = kafkafeed.DefaultInterval
	}
	return c, wrong
}

// pick returns the names of the selected clusters.
func (c *config) pick(opts options, wrong *faults) []string {
	known := slices.Sorted(maps.Keys(c.viper.GetStringMap("cluster")))
	names := make([]string, 0, len(opts.clusters))
	for _, name := range opts.clusters {
		if name = strings.ToLower(name); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	switch {
	case len(opts.brokers) > 0:
		if len(names) == 0 && len(known) <= 1 {
			names = append(known, "kafka")[:1]
		}
		if len(names) != 1 {
			wrong.add("--brokers is one cluster: name it with --cluster")
		}
	case len(known) > 0:
		for _, name := range names {
			if !slices.Contains(known, name) {
				wrong.add("--cluster %s is not in %s, which has %s", name, opts.config, strings.Join(known, ", "))
			}
		}
		if len(names) == 0 {
			names = known
		}
	default:
		c.embedded = true
		names = append(names, "demo")[:1]
	}
	return names
}

// shared reports whether the store is of a class that other processes can fill.
func (c *config) shared() bool {
	for name := range c.viper.GetStringMap("storage") {
		if class := c.viper.GetString("storage." + name + ".class-name"); class != "" && class != storage.DefaultClassName {
			return true
		}
	}
	return false
}

// read reads the connection settings of a cluster, and collects their faults.
func (c *config) read(name string, opts options, wrong *faults) clusterConfig {
	root := "cluster." + name + "."
	text := func(flag, key string) string {
		if flag != "" {
			return flag
		}
		return c.viper.GetString(root + key)
	}
	before := len(*wrong)
	cluster := clusterConfig{name: name, mode: kafkafeed.Mode(text(opts.mode, "mode")), kafka: opts.kafka}
	switch cluster.mode {
	case "":
		cluster.mode = kafkafeed.ModeAuto
		if c.embedded {
			cluster.mode = kafkafeed.ModePoll // the embedded Kafka keeps no log
		}
	case kafkafeed.ModeAuto, kafkafeed.ModeLog, kafkafeed.ModePoll:
	case modeRead:
		if !c.shared() {
			wrong.add("mode read needs a store that others fill: name its class-name, such as redis, under storage in the file of --config")
		}
		return cluster
	default:
		wrong.add("invalid %smode %q: must be auto, log, poll or read", root, cluster.mode)
	}
	if class := c.viper.GetString(root + "class-name"); class != "" && class != "kafka" {
		wrong.add("invalid %sclass-name %q: must be kafka", root, class)
	}
	k := &cluster.kafka
	k.brokers = opts.brokers
	if len(k.brokers) == 0 {
		k.brokers = c.viper.GetStringSlice(root + "servers")
	}
	if len(k.brokers) == 0 && !c.embedded {
		wrong.add("%sservers is empty: name the brokers there or with --brokers", root)
	}
	k.tlsCA = text(k.tlsCA, "tls.ca")
	k.tlsCert = text(k.tlsCert, "tls.cert")
	k.tlsKey = text(k.tlsKey, "tls.key")
	k.tlsSkipVerify = k.tlsSkipVerify || c.viper.GetBool(root+"tls.skip-verify")
	k.tls = k.tls || c.viper.GetBool(root+"tls.enabled") || k.tlsCA != "" || k.tlsCert != "" || k.tlsSkipVerify
	k.saslMechanism = strings.ToUpper(text(k.saslMechanism, "sasl.mechanism"))
	k.saslUser = text(k.saslUser, "sasl.user")
	k.saslPassword = text(k.saslPassword, "sasl.password")
	if k.saslPassword == "" {
		k.saslPassword = opts.getenv(passwordVariable)
	}
	k.check("cluster "+name+": ", c.embedded, wrong)
	if len(*wrong) == before {
		var err error
		if cluster.client, err = k.clientOptions(); err != nil {
			wrong.add("cluster %s: %v", name, err)
		}
	}
	return cluster
}

// check rejects combinations that cannot work.
func (k *kafkaConfig) check(where string, embedded bool, wrong *faults) {
	if embedded && (k.tls || k.saslMechanism != "" || k.saslUser != "") {
		wrong.add("TLS and SASL need a Kafka to talk to: name it with --brokers or --config")
	}
	if (k.tlsCert == "") != (k.tlsKey == "") {
		wrong.add("%s", where+"a client certificate needs its key: give both --tls-cert and --tls-key")
	}
	switch k.saslMechanism {
	case "":
		if k.saslUser != "" {
			wrong.add("%s", where+"--sasl-user needs --sasl-mechanism")
		}
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
		if k.saslUser == "" {
			wrong.add("%sSASL %s needs --sasl-user", where, k.saslMechanism)
		}
		if k.saslPassword == "" {
			wrong.add("%sSASL %s needs a password: --sasl-password or $%s", where, k.saslMechanism, passwordVariable)
		}
	default:
		wrong.add("%sinvalid SASL mechanism %q: must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", where, k.saslMechanism)
	}
}
