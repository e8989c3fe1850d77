package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/kafkafeed"
)

func noEnv(string) string { return "" }

// load turns arguments into a configuration.
func load(args []string, getenv func(string) string) (config, error) {
	opts, err := parseOptions(args, getenv)
	if err != nil {
		return config{}, err
	}
	c, wrong := loadConfig(opts)
	return c, wrong.err()
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
	assert.Equal(t, "demo", c.clusters[0].name)
	assert.Equal(t, demoInterval, c.interval)

	c, err = load([]string{"--brokers", "a:1, b:2"}, noEnv)
	require.NoError(t, err)
	assert.False(t, c.embedded)
	require.Len(t, c.clusters, 1)
	assert.Equal(t, "kafka", c.clusters[0].name)
	assert.Equal(t, []string{"a:1", "b:2"}, c.clusters[0].kafka.brokers)
	assert.Equal(t, kafkafeed.ModeAuto, c.clusters[0].mode)
	assert.Equal(t, kafkafeed.DefaultInterval, c.interval)
	assert.Equal(t, "kafka", c.viper.GetString("cluster.kafka.class-name"), "the store has the cluster")
}

func TestBadFlags(t *testing.T) {
	for want, args := range map[string][]string{
		"flag provided but not defined: -bogus":                                         {"--bogus"},
		`unexpected argument "extra"`:                                                   {"extra"},
		"invalid --interval 1ms: must be at least 100ms":                                {"--interval", "1ms"},
		"invalid --interval 0s: must be at least 100ms":                                 {"--interval", "0s"},
		`invalid --brokers "a:1,,b:2": must be a list of host:port without empty items`: {"--brokers", "a:1,,b:2"},
		`invalid --brokers "": must be a list of host:port without empty items`:         {"--brokers", ""},
		`invalid --cluster "a.b": must be letters, digits, - and _`:                     {"--cluster", "x,a.b"},
		`invalid --color "red": must be auto, always or never`:                          {"--color", "red"},
		`invalid --mode "both": must be auto, log, poll or read`:                        {"--mode", "both"},
		`invalid --metrics "9090": must be :port or host:port`:                          {"--metrics", "9090"},
		`invalid --http "localhost:": must be :port or host:port`:                       {"--http", "localhost:"},
		"--metrics needs a monitor that goes on: leave out --once":                      {"--metrics", ":9090", "--once"},
		"--http needs a monitor that goes on: leave out --once":                         {"--http", ":9090", "--once"},
		"invalid --cluster \"\": must be letters, digits, - and _\ninvalid --color \"red\": must be auto, always or never": {
			"--cluster", "", "--color", "red",
		},
		"--brokers is one cluster: name it with --cluster":                                              {"--brokers", "a:1", "--cluster", "x,y"},
		"TLS and SASL need a Kafka to talk to: name it with --brokers or --config":                      {"--tls"},
		"cluster kafka: a client certificate needs its key: give both --tls-cert and --tls-key":         {"--brokers", "a:1", "--tls-cert", "x"},
		"cluster kafka: --sasl-user needs --sasl-mechanism":                                             {"--brokers", "a:1", "--sasl-user", "x"},
		`cluster kafka: invalid SASL mechanism "GSSAPI": must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512`: {"--brokers", "a:1", "--sasl-mechanism", "gssapi"},
		"cluster kafka: SASL PLAIN needs --sasl-user\ncluster kafka: SASL PLAIN needs a password: --sasl-password or $LAGMONITOR_SASL_PASSWORD": {
			"--brokers", "a:1", "--sasl-mechanism", "plain",
		},
		"cluster kafka: read TLS CA: open /no/such.pem: no such file or directory": {"--brokers", "a:1", "--tls-ca", "/no/such.pem"},
		"read configuration: /no/such/file.toml does not exist":                    {"--config", "/no/such/file.toml"},
	} {
		_, err := load(args, noEnv)
		require.Error(t, err, "%v", args)
		assert.Equal(t, want, err.Error())
		var stderr bytes.Buffer
		assert.Equal(t, exitUsage, run(t.Context(), args, new(bytes.Buffer), &stderr), "%v", args)
		assert.Equal(t, "lagmonitor: "+strings.ReplaceAll(want, "\n", "\nlagmonitor: ")+"\nlagmonitor: see lagmonitor --help\n", stderr.String())
	}
}

func TestHelpAndVersion(t *testing.T) {
	var stdout, stderr bytes.Buffer
	assert.Equal(t, exitOK, run(t.Context(), []string{"--help"}, &stdout, &stderr))
	assert.Empty(t, stderr.String())
	for _, want := range []string{"Examples:\n  lagmonitor ", "  --brokers host:port ", "  --once   ", "  --http :port ", "--config lag.toml --cluster prod,test"} {
		assert.Contains(t, stdout.String(), want)
	}
	stdout.Reset()
	assert.Equal(t, exitOK, run(t.Context(), []string{"--version"}, &stdout, &stderr))
	assert.Regexp(t, `^lagmonitor \S+ go1\.\S+\n$`, stdout.String())
}

const tomlConfig = `
[storage.default]
intervals = 20
expire-group = 3600

[cluster.prod]
class-name = "kafka"
servers = ["kafka1:9092", "kafka2:9092"]
mode = "log"

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
	c, err := load([]string{"--config", path}, env)
	require.NoError(t, err)
	assert.False(t, c.embedded)
	require.Len(t, c.clusters, 2, "several clusters at once")
	assert.Equal(t, "prod", c.clusters[0].name)
	assert.Equal(t, kafkafeed.ModeLog, c.clusters[0].mode)
	assert.Equal(t, kafkaConfig{
		brokers:       []string{"kafka1:9092", "kafka2:9092"},
		saslMechanism: "SCRAM-SHA-512", saslUser: "monitor", saslPassword: "secret",
	}, c.clusters[0].kafka)
	assert.Equal(t, "test", c.clusters[1].name)
	assert.Equal(t, kafkafeed.ModeAuto, c.clusters[1].mode)
	assert.Equal(t, 20, window(c.viper))

	// Flags override single keys, and keep the rest of the section.
	c, err = load([]string{"--config", path, "--cluster", "Prod", "--brokers", "other:1", "--sasl-user", "me", "--mode", "poll"}, env)
	require.NoError(t, err)
	require.Len(t, c.clusters, 1)
	assert.Equal(t, []string{"other:1"}, c.clusters[0].kafka.brokers)
	assert.Equal(t, "me", c.clusters[0].kafka.saslUser)
	assert.Equal(t, kafkafeed.ModePoll, c.clusters[0].mode)
	assert.Equal(t, "SCRAM-SHA-512", c.clusters[0].kafka.saslMechanism)
	assert.Equal(t, []string{"other:1"}, c.viper.GetStringSlice("cluster.prod.servers"))
	assert.Equal(t, "monitor", c.viper.GetString("cluster.prod.sasl.user"))
	assert.Len(t, c.viper.GetStringMap("cluster"), 2)

	_, err = load([]string{"--config", path, "--brokers", "other:1"}, env)
	require.EqualError(t, err, "--brokers is one cluster: name it with --cluster")
	_, err = load([]string{"--config", path, "--cluster", "staging,test"}, env)
	require.ErrorContains(t, err, "--cluster staging is not in "+path+", which has prod, test")
}

// All faults of a file are reported at once, one per line, those of the store and of the clusters alike.
func TestConfigFaults(t *testing.T) {
	path := configFile(t, "bad.toml", `
[storage.mine]
intervals = -1
workers = "many"
group-allowlist = "("

[cluster.a]
class-name = "zookeeper"
mode = "both"
[cluster.a.sasl]
user = "x"

[cluster.b]
servers = ["b:1"]
tls = { cert = "x" }
`)
	var stderr bytes.Buffer
	assert.Equal(t, exitUsage, run(t.Context(), []string{"--config", path}, new(bytes.Buffer), &stderr))
	lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	require.Len(t, lines, 9, stderr.String())
	for i, want := range []string{
		`lagmonitor: invalid cluster.a.mode "both"`, `lagmonitor: invalid cluster.a.class-name "zookeeper"`, "lagmonitor: cluster.a.servers is empty",
		"lagmonitor: cluster a: --sasl-user needs --sasl-mechanism", "lagmonitor: cluster b: a client certificate needs its key",
		"storage.mine.intervals", "storage.mine.", "storage.mine.", "lagmonitor: see lagmonitor --help",
	} {
		assert.Contains(t, lines[i], want)
	}
	assert.Contains(t, stderr.String(), "storage.mine.workers")
	assert.Contains(t, stderr.String(), "storage.mine.group-allowlist")

	// An unknown class is named.
	stderr.Reset()
	path = configFile(t, "class.toml", "[storage.mine]\nclass-name = \"granite\"\n")
	assert.Equal(t, exitUsage, run(t.Context(), []string{"--config", path}, new(bytes.Buffer), &stderr))
	assert.Contains(t, stderr.String(), `unknown class "granite"`)
	_, err := load([]string{"--config", configFile(t, "bad.toml", "x = [")}, noEnv)
	require.ErrorContains(t, err, "read configuration")
}

func TestConfigFileYAML(t *testing.T) {
	path := configFile(t, "lag.yaml", "cluster:\n  only:\n    class-name: kafka\n    servers: [a:1]\n    tls: {skip-verify: true}\n")
	c, err := load([]string{"--config", path}, noEnv)
	require.NoError(t, err)
	assert.Equal(t, "only", c.clusters[0].name)
	assert.True(t, c.clusters[0].kafka.tls)
	assert.True(t, c.clusters[0].kafka.tlsSkipVerify)
	c, err = load([]string{"--config", path, "--brokers", "b:2"}, noEnv)
	require.NoError(t, err)
	assert.Equal(t, "only", c.clusters[0].name)
	assert.Equal(t, []string{"b:2"}, c.clusters[0].kafka.brokers)
}

// A configuration that only configures the store still starts the demo.
func TestConfigFileWithoutCluster(t *testing.T) {
	c, err := load([]string{"--config", configFile(t, "s.toml", "[storage.mine]\nintervals = 5\n")}, noEnv)
	require.NoError(t, err)
	assert.True(t, c.embedded)
	assert.Equal(t, "demo", c.clusters[0].name)
	assert.Equal(t, 5, window(c.viper))
}
