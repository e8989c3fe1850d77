package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func noEnv(string) string { return "" }

// load goes all the way from arguments to a configuration.
func load(args []string, getenv func(string) string) (config, error) {
	opts, err := parseOptions(args, getenv, new(bytes.Buffer))
	if err != nil {
		return config{}, err
	}
	return loadConfig(opts)
}

// configFile writes a configuration file.
func configFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestDefaults(t *testing.T) {
	c, err := load(nil, noEnv)
	require.NoError(t, err)
	assert.True(t, c.embedded)
	assert.Equal(t, "demo", c.cluster)
	assert.Equal(t, demoInterval, c.interval)
	assert.Equal(t, defaultExpiry, c.expiry)

	c, err = load([]string{"--brokers", "a:1, b:2"}, noEnv)
	require.NoError(t, err)
	assert.False(t, c.embedded)
	assert.Equal(t, "kafka", c.cluster)
	assert.Equal(t, []string{"a:1", "b:2"}, c.kafka.brokers)
	assert.Equal(t, pollInterval, c.interval)
}

func TestBadFlags(t *testing.T) {
	for want, args := range map[string][]string{
		"flag provided but not defined: -bogus":                    {"--bogus"},
		`unexpected argument "extra"`:                              {"extra"},
		"--interval 1ms is too short: at least 100ms":              {"--interval", "1ms"},
		"--interval 0s is too short: at least 100ms":               {"--interval", "0s"},
		`--brokers: "a:1,,b:2" holds an empty address`:             {"--brokers", "a:1,,b:2"},
		`--brokers: "" holds an empty address`:                     {"--brokers", ""},
		`--cluster "a.b": letters, digits, - and _ only`:           {"--cluster", "a.b"},
		`--color "red": auto, always or never`:                     {"--color", "red"},
		`--metrics "9090": :port or host:port`:                     {"--metrics", "9090"},
		`--metrics "localhost:": :port or host:port`:               {"--metrics", "localhost:"},
		"--metrics needs a monitor that goes on: leave out --once": {"--metrics", ":9090", "--once"},
		`--cluster "": letters, digits, - and _ only; --color "red": auto, always or never`: {
			"--cluster", "", "--color", "red",
		},
		"TLS and SASL need a Kafka to talk to: name it with --brokers or --config": {"--tls"},
		"a client certificate needs its key: give both --tls-cert and --tls-key":   {"--brokers", "a:1", "--tls-cert", "x"},
		"--sasl-user needs --sasl-mechanism":                                       {"--brokers", "a:1", "--sasl-user", "x"},
		`SASL mechanism "GSSAPI": PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512`:           {"--brokers", "a:1", "--sasl-mechanism", "gssapi"},
		"SASL PLAIN needs --sasl-user; SASL PLAIN needs a password: --sasl-password or $LAGMONITOR_SASL_PASSWORD": {
			"--brokers", "a:1", "--sasl-mechanism", "plain",
		},
		"read configuration: /no/such/file.toml does not exist": {"--config", "/no/such/file.toml"},
	} {
		_, err := load(args, noEnv)
		require.Error(t, err, "%v", args)
		assert.Equal(t, want, err.Error())
		var stderr bytes.Buffer
		assert.Equal(t, exitUsage, run(t.Context(), args, new(bytes.Buffer), &stderr), "%v", args)
		assert.Contains(t, stderr.String(), "lagmonitor: "+want+"\n")
	}
}

func TestHelp(t *testing.T) {
	var stderr bytes.Buffer
	_, err := parseOptions([]string{"--help"}, noEnv, &stderr)
	require.ErrorIs(t, err, flag.ErrHelp)
	assert.Contains(t, stderr.String(), "  --brokers host:port ")
	assert.Contains(t, stderr.String(), "  --once   ")
	assert.Equal(t, exitOK, run(t.Context(), []string{"-h"}, new(bytes.Buffer), new(bytes.Buffer)))
}

const tomlConfig = `
[storage.default]
intervals = 20
expire-group = 3600

[cluster.prod]
class-name = "kafka"
servers = ["kafka1:9092", "kafka2:9092"]

[cluster.prod.sasl]
mechanism = "SCRAM-SHA-512"
user = "monitor"

[cluster.test]
class-name = "kafka"
servers = ["localhost:9092"]
`

func TestConfigFile(t *testing.T) {
	path := configFile(t, "lag.toml", tomlConfig)
	env := func(name string) string {
		if name == passwordVariable {
			return "secret"
		}
		return ""
	}
	c, err := load([]string{"--config", path, "--cluster", "Prod"}, env)
	require.NoError(t, err)
	assert.False(t, c.embedded)
	assert.Equal(t, "prod", c.cluster)
	assert.Equal(t, time.Hour, c.expiry)
	assert.Equal(t, kafkaConfig{
		brokers:       []string{"kafka1:9092", "kafka2:9092"},
		saslMechanism: "SCRAM-SHA-512", saslUser: "monitor", saslPassword: "secret",
	}, c.kafka)

	// Flags override, and leave the rest of the section in place.
	c, err = load([]string{"--config", path, "--cluster", "prod", "--brokers", "other:1", "--sasl-user", "me"}, env)
	require.NoError(t, err)
	assert.Equal(t, []string{"other:1"}, c.kafka.brokers)
	assert.Equal(t, "me", c.kafka.saslUser)
	assert.Equal(t, "SCRAM-SHA-512", c.kafka.saslMechanism)
	require.NoError(t, c.shareCluster(c.kafka.brokers))
	assert.Equal(t, []string{"other:1"}, c.viper.GetStringSlice("cluster.prod.servers"))
	assert.Equal(t, "monitor", c.viper.GetString("cluster.prod.sasl.user"))
	assert.Len(t, c.viper.GetStringMap("cluster"), 2)
	assert.Equal(t, 20, c.viper.GetInt("storage.default.intervals"))

	_, err = load([]string{"--config", path}, env)
	require.EqualError(t, err, path+" has the clusters prod, test: pick one with --cluster")
	_, err = load([]string{"--config", path, "--cluster", "staging"}, env)
	require.EqualError(t, err, "--cluster staging is not in "+path+", which has prod, test")
}

func TestConfigFileYAML(t *testing.T) {
	path := configFile(t, "lag.yaml", "cluster:\n  only:\n    class-name: kafka\n    servers: [a:1]\n    tls: {skip-verify: true}\n")
	c, err := load([]string{"--config", path}, noEnv)
	require.NoError(t, err)
	assert.Equal(t, "only", c.cluster)
	assert.True(t, c.kafka.tls)
	assert.True(t, c.kafka.tlsSkipVerify)

	for content, want := range map[string]string{
		"cluster:\n  only:\n    class-name: kafka\n":                         "cluster.only.servers is empty: name the brokers there or with --brokers",
		"cluster:\n  only:\n    class-name: zookeeper\n    servers: [a:1]\n": `cluster.only.class-name "zookeeper": only kafka is known`,
	} {
		_, err := load([]string{"--config", configFile(t, "bad.yaml", content)}, noEnv)
		require.EqualError(t, err, want)
	}
	_, err = load([]string{"--config", configFile(t, "bad.toml", "x = [")}, noEnv)
	var bad *configError
	require.True(t, errors.As(err, &bad))
}

// A configuration that only sets the store up leaves the demo.
func TestConfigFileWithoutCluster(t *testing.T) {
	c, err := load([]string{"--config", configFile(t, "s.toml", "[storage.mine]\nintervals = 5\n")}, noEnv)
	require.NoError(t, err)
	assert.True(t, c.embedded)
	assert.Equal(t, "demo", c.cluster)
}
