package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/viper"
)

// configError is a fault of the configuration, which is the user's to mend: it ends the program with exit code 2.
type configError struct{ err error }

func (e *configError) Error() string { return e.err.Error() }
func (e *configError) Unwrap() error { return e.err }

func badConfig(format string, args ...any) error {
	return &configError{fmt.Errorf(format, args...)}
}

// config is what the flags and the configuration file say together.
type config struct {
	// viper holds the storage.* and cluster.* keys for the store's Coordinator.
	viper *viper.Viper
	// cluster is the name of the cluster that is monitored, in lower case as viper has it.
	cluster string
	// embedded says that no Kafka was named, so that one has to be brought.
	embedded bool
	interval time.Duration
	kafka    kafkaConfig
	// expiry is after which time without a commit the store forgets a group or one of its topics.
	expiry time.Duration
}

// kafkaConfig is how to reach a Kafka cluster: the keys of cluster.<name> and the flags over them.
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

// defaultExpiry is the store's own default of expire-group.
const defaultExpiry = 604800 * time.Second

// loadConfig reads the configuration file, if any, and lays the flags over it. Every error is a *configError.
func loadConfig(opts options) (config, error) {
	v := viper.New()
	if opts.config != "" {
		v.SetConfigFile(opts.config)
		if err := v.ReadInConfig(); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return config{}, badConfig("read configuration: %s does not exist", opts.config)
			}
			return config{}, badConfig("read configuration %s: %w", opts.config, err)
		}
	}
	c := config{viper: v, interval: opts.interval}
	if err := c.pickCluster(opts); err != nil {
		return config{}, err
	}
	if err := c.readKafka(opts); err != nil {
		return config{}, err
	}
	if c.interval == 0 {
		c.interval = pollInterval
		if c.embedded {
			c.interval = demoInterval
		}
	}
	c.expiry = shortestExpiry(v)
	return c, nil
}

// pickCluster finds out which cluster is meant and whether it has to be brought along.
func (c *config) pickCluster(opts options) error {
	known := slices.Sorted(maps.Keys(c.viper.GetStringMap("cluster")))
	switch {
	case opts.cluster != "":
		c.cluster = strings.ToLower(opts.cluster)
		if len(opts.brokers) == 0 && len(known) > 0 && !slices.Contains(known, c.cluster) {
			return badConfig("--cluster %s is not in %s, which has %s", opts.cluster, opts.config, strings.Join(known, ", "))
		}
	case len(known) == 1:
		c.cluster = known[0]
	case len(known) > 1:
		return badConfig("%s has the clusters %s: pick one with --cluster", opts.config, strings.Join(known, ", "))
	case len(opts.brokers) > 0:
		c.cluster = "kafka"
	default:
		c.cluster = "demo"
	}
	c.embedded = len(opts.brokers) == 0 && !slices.Contains(known, c.cluster)
	return nil
}

// readKafka collects how the cluster is reached.
func (c *config) readKafka(opts options) error {
	root := "cluster." + c.cluster + "."
	text := func(flag, key string) string {
		if flag != "" {
			return flag
		}
		return c.viper.GetString(root + key)
	}
	k := &c.kafka
	k.brokers = opts.brokers
	if len(k.brokers) == 0 {
		k.brokers = c.viper.GetStringSlice(root + "servers")
	}
	k.tlsCA = text(opts.tlsCA, "tls.ca")
	k.tlsCert = text(opts.tlsCert, "tls.cert")
	k.tlsKey = text(opts.tlsKey, "tls.key")
	k.tlsSkipVerify = opts.tlsSkipVerify || c.viper.GetBool(root+"tls.skip-verify")
	k.tls = opts.tls || c.viper.GetBool(root+"tls.enabled") || k.tlsCA != "" || k.tlsCert != "" || k.tlsSkipVerify
	k.saslMechanism = strings.ToUpper(text(opts.saslMechanism, "sasl.mechanism"))
	k.saslUser = text(opts.saslUser, "sasl.user")
	k.saslPassword = text(opts.saslPassword, "sasl.password")
	if k.saslPassword == "" && opts.getenv != nil {
		k.saslPassword = opts.getenv(passwordVariable)
	}
	return c.checkKafka()
}

// checkKafka refuses what cannot work, all of it at once.
func (c *config) checkKafka() error {
	k := &c.kafka
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.embedded {
		if k.tls || k.saslMechanism != "" || k.saslUser != "" {
			fault("TLS and SASL need a Kafka to talk to: name it with --brokers or --config")
		}
	} else if len(k.brokers) == 0 {
		fault("cluster.%s.servers is empty: name the brokers there or with --brokers", c.cluster)
	}
	if class := c.viper.GetString("cluster." + c.cluster + ".class-name"); class != "" && class != "kafka" {
		fault("cluster.%s.class-name %q: only kafka is known", c.cluster, class)
	}
	if (k.tlsCert == "") != (k.tlsKey == "") {
		fault("a client certificate needs its key: give both --tls-cert and --tls-key")
	}
	switch k.saslMechanism {
	case "":
		if k.saslUser != "" {
			fault("--sasl-user needs --sasl-mechanism")
		}
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
		if k.saslUser == "" {
			fault("SASL %s needs --sasl-user", k.saslMechanism)
		}
		if k.saslPassword == "" {
			fault("SASL %s needs a password: --sasl-password or $%s", k.saslMechanism, passwordVariable)
		}
	default:
		fault("SASL mechanism %q: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", k.saslMechanism)
	}
	if err := oneLine(faults); err != nil {
		return &configError{err}
	}
	return nil
}

// shareCluster tells the store's configuration of the cluster. It merges into what the file says rather than set keys
// over it: a set key would hide the rest of its section.
func (c *config) shareCluster(brokers []string) error {
	return c.viper.MergeConfigMap(map[string]any{
		"cluster": map[string]any{
			c.cluster: map[string]any{"class-name": "kafka", "servers": brokers},
		},
	})
}

// shortestExpiry is the least of the store's expiry times. What is not a number is left for the Coordinator to refuse.
func shortestExpiry(v *viper.Viper) time.Duration {
	shortest := defaultExpiry
	for name := range v.GetStringMap("storage") {
		for _, key := range []string{"expire-group", "expire-topic"} {
			seconds := v.GetInt64("storage." + name + "." + key)
			if seconds > 0 && time.Duration(seconds) < shortest/time.Second {
				shortest = time.Duration(seconds) * time.Second
			}
		}
	}
	return shortest
}
