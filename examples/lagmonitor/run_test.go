package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
)

// buffer is an output that another goroutine may look at.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// The demo as a newcomer sees it.
func TestRunOnce(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	var stdout, stderr bytes.Buffer
	require.Equal(t, exitOK, run(testContext(t), []string{"--once"}, &stdout, &stderr), stderr.String())
	assert.Equal(t, 1, strings.Count(stderr.String(), "\n"))
	assert.Contains(t, stderr.String(), "--brokers")
	for group, state := range map[string]string{
		"billing": "CAUGHT UP", "warehouse": "BEHIND", "mailer": "STOPPED", "search": "REWIND", "dashboard": "CAUGHT UP",
	} {
		assert.Regexp(t, "(?m)^"+group+" .* "+state+"$", stdout.String())
	}
	assert.Contains(t, stdout.String(), "group adhoc was deleted")
	assert.Contains(t, stdout.String(), "topic legacy was deleted")
	assert.Contains(t, stdout.String(), "topic clicks grew from 2 to 4 partitions")
	assert.NotContains(t, stdout.String(), "\x1b")
}

func TestRunOnceJSON(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.Equal(t, exitOK, run(testContext(t), []string{"--once", "--json"}, &stdout, &stderr), stderr.String())
	var d struct {
		Cluster string
		Rows    []struct {
			Group string
			Lag   *uint64
			State string
		}
		Events []event
	}
	decoder := json.NewDecoder(&stdout)
	require.NoError(t, decoder.Decode(&d))
	require.False(t, decoder.More(), "one document")
	assert.Equal(t, "demo", d.Cluster)
	require.Len(t, d.Rows, 5)
	assert.Equal(t, "warehouse", d.Rows[4].Group)
	assert.EqualValues(t, 336, *d.Rows[4].Lag)
	assert.Equal(t, "BEHIND", d.Rows[4].State)
	assert.NotEmpty(t, d.Events)
}

// The demo runs until it is told to end, in every kind of output.
func TestRunLive(t *testing.T) {
	for _, args := range [][]string{
		{"--interval", "100ms"},
		{"--interval", "100ms", "--json"},
		{"--interval", "100ms", "--color", "always"},
	} {
		ctx, cancel := context.WithCancel(testContext(t))
		var stdout, stderr buffer
		ended := make(chan int, 1)
		go func() { ended <- run(ctx, args, &stdout, &stderr) }()
		require.NoError(t, until(ctx, func() bool { return strings.Count(stdout.String(), "billing") >= 5 }))
		cancel()
		assert.Equal(t, exitOK, <-ended)
	}
}

// A real Kafka, as far as the program can tell, and a configuration file.
func TestRunAgainstBrokers(t *testing.T) {
	ctx := testContext(t)
	cluster, client := newCluster(t)
	write(t, ctx, client, 5)
	commit(t, ctx, client, "g", 2)

	var stdout, stderr bytes.Buffer
	args := []string{"--brokers", strings.Join(cluster.ListenAddrs(), ","), "--cluster", "Prod", "--once"}
	require.Equal(t, exitOK, run(ctx, args, &stdout, &stderr), stderr.String())
	assert.Empty(t, stderr.String())
	assert.Contains(t, stdout.String(), "lagmonitor  prod ")
	assert.Regexp(t, `(?m)^g +t +2 +0 +3 .* STOPPED$`, stdout.String())

	path := configFile(t, "lag.toml", `
[storage.mine]
group-denylist = "^h"

[cluster.file]
class-name = "kafka"
servers = ["`+cluster.ListenAddrs()[0]+`"]
`)
	commit(t, ctx, client, "hidden", 2)
	stdout.Reset()
	require.Equal(t, exitOK, run(ctx, []string{"--config", path, "--once"}, &stdout, &stderr), stderr.String())
	assert.Contains(t, stdout.String(), "lagmonitor  file ")
	assert.Contains(t, stdout.String(), "\ng ")
	assert.NotContains(t, stdout.String(), "hidden", "the store's own keys count")
}

func TestRunFailures(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := listener.Addr().String()
	require.NoError(t, listener.Close())

	var stderr bytes.Buffer
	assert.Equal(t, exitFailed, run(testContext(t), []string{"--brokers", nobody}, new(bytes.Buffer), &stderr))
	assert.Equal(t, 1, strings.Count(stderr.String(), "\n"), stderr.String())
	assert.Contains(t, stderr.String(), "lagmonitor: reach Kafka at "+nobody+": dial tcp "+nobody+": ")
	assert.Contains(t, stderr.String(), "refused")

	stderr.Reset()
	path := configFile(t, "bad.toml", "[storage.mine]\nintervals = -1\nworkers = \"many\"\n")
	assert.Equal(t, exitUsage, run(testContext(t), []string{"--config", path}, new(bytes.Buffer), &stderr))
	assert.Equal(t, 1, strings.Count(stderr.String(), "\n"), stderr.String())
	assert.Contains(t, stderr.String(), "storage.mine.intervals")
	assert.Contains(t, stderr.String(), "storage.mine.workers")

	stderr.Reset()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	defer cluster.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	args := []string{"--brokers", cluster.ListenAddrs()[0], "--once"}
	assert.Equal(t, exitFailed, run(ctx, args, new(bytes.Buffer), &stderr), "no table, no success")
	assert.Contains(t, stderr.String(), "interrupted")
}

// A Kafka that goes away is told to the user, and what was known stays on the screen.
func TestRunOutage(t *testing.T) {
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	cluster, client := newCluster(t)
	write(t, ctx, client, 5)
	commit(t, ctx, client, "g", 2)
	var stdout, stderr buffer
	ended := make(chan int, 1)
	args := []string{"--brokers", strings.Join(cluster.ListenAddrs(), ","), "--interval", "100ms"}
	go func() { ended <- run(ctx, args, &stdout, &stderr) }()
	require.NoError(t, until(ctx, func() bool { return strings.Contains(stdout.String(), "STOPPED") }))
	cluster.Close()
	require.NoError(t, until(ctx, func() bool {
		_, after, failed := strings.Cut(stdout.String(), "poll failed")
		return failed && strings.Contains(after, "STOPPED")
	}))
	assert.NotContains(t, stdout.String(), "deleted")
	cancel()
	assert.Equal(t, exitOK, <-ended)
}

func TestLiveDisplay(t *testing.T) {
	var out bytes.Buffer
	d := &liveDisplay{out: &out, size: func() (int, int) { return 80, 24 }, color: true, note: "every 2s"}
	events := new(eventLog)
	events.add(time.Unix(0, 0), "topic legacy was deleted")
	require.NoError(t, d.show(testTable, events))
	assert.True(t, strings.HasPrefix(out.String(), enterScreen+toTop))
	assert.True(t, strings.HasSuffix(out.String(), clearBelow))
	out.Reset()
	require.NoError(t, d.show(testTable, events))
	assert.True(t, strings.HasPrefix(out.String(), toTop), "the screen is entered once")
	assert.Contains(t, out.String(), "\x1b[31mSTOPPED\x1b[0m"+clearRight+"\r\n")
	out.Reset()
	require.NoError(t, d.close())
	assert.True(t, strings.HasPrefix(out.String(), leaveScreen), "the cursor is back")
	assert.Contains(t, out.String(), "mailer", "the last table stays")
	out.Reset()
	require.NoError(t, d.close())
	assert.Empty(t, out.String())
}

func TestNewDisplay(t *testing.T) {
	cfg := config{interval: time.Second}
	plain := options{color: "auto", getenv: noEnv}
	out := new(bytes.Buffer)
	assert.IsType(t, &linesDisplay{}, newDisplay(plain, out, cfg), "no terminal")
	once := plain
	once.once = true
	assert.IsType(t, &onceDisplay{}, newDisplay(once, out, cfg))
	once.json = true
	assert.IsType(t, &jsonDisplay{}, newDisplay(once, out, cfg))
	always := plain
	always.color = "always"
	assert.True(t, newDisplay(always, out, cfg).(*linesDisplay).color)
	assert.False(t, newDisplay(plain, out, cfg).(*linesDisplay).color)
}
