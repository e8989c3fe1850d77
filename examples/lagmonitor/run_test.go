package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lagkeeper/storage/internal/servertest"
)

// buffer is an output that other goroutines may read.
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

// newCluster is a Kafka without a workload.
func newCluster(t *testing.T, options ...kfake.Opt) (*kfake.Cluster, *kgo.Client) {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(3), kfake.SeedTopics(6, "t")}, options...)...)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(
		kgo.SeedBrokers(cluster.ListenAddrs()...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MetadataMinAge(metadataMinAge),
	)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return cluster, client
}

// write writes messages to each partition of topic t.
func write(t *testing.T, ctx context.Context, client *kgo.Client, n int) {
	t.Helper()
	for i := range 6 * n {
		require.NoError(t, client.ProduceSync(ctx, &kgo.Record{Topic: "t", Partition: int32(i % 6), Value: []byte("x")}).FirstErr())
	}
}

// commit commits without being a member, as a tool does.
func commit(t *testing.T, ctx context.Context, client *kgo.Client, group string, offset int64) {
	t.Helper()
	offsets := make(kadm.Offsets)
	for partition := range int32(6) {
		offsets.AddOffset("t", partition, offset, -1)
	}
	require.NoError(t, kadm.NewClient(client).CommitAllOffsets(ctx, group, offsets))
}

// The demo as a newcomer sees it.
func TestRunOnce(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	var stdout, stderr bytes.Buffer
	began := time.Now()
	require.Equal(t, exitOK, run(testContext(t), []string{"--once"}, &stdout, &stderr), stderr.String())
	quick := time.Since(began) < 15*time.Second
	assert.Equal(t, 1, strings.Count(stderr.String(), "\n"))
	assert.Contains(t, stderr.String(), "--brokers")
	for group, state := range map[string]string{"billing": "OK", "warehouse": "LAGGING", "search": "REWOUND", "dashboard": "OK"} {
		assert.Regexp(t, "(?m)^"+state+" +"+group+" ", stdout.String())
	}
	if quick {
		assert.NotContains(t, stdout.String(), "STOPPED", "nobody has been silent for 15 s")
	}
	assert.Contains(t, stdout.String(), "group adhoc was deleted")
	assert.Contains(t, stdout.String(), "topic legacy was deleted")
	assert.NotContains(t, stdout.String(), "\x1b")
}

// decoded is a document of --json, as far as tests check it.
type decoded struct {
	Clusters []clusterState
	Groups   []struct {
		Cluster, Group, Status string
		Lag                    struct{ Messages *uint64 }
		TopicDetails           []struct {
			Topic      string
			Partitions []struct {
				Committed *int64 `json:"committed_offset"`
				End       *int64 `json:"end_offset"`
				Lag       struct{ Messages *uint64 }
			}
		} `json:"topic_details"`
	}
	Events []event
}

func TestRunOnceJSON(t *testing.T) {
	ctx := testContext(t)
	cluster, client := newCluster(t)
	write(t, ctx, client, 5)
	commit(t, ctx, client, "g", 2)
	var stdout, stderr bytes.Buffer
	args := []string{"--once", "--json", "--brokers", strings.Join(cluster.ListenAddrs(), ",")}
	require.Equal(t, exitOK, run(ctx, args, &stdout, &stderr), stderr.String())
	var d decoded
	decoder := json.NewDecoder(&stdout)
	require.NoError(t, decoder.Decode(&d))
	require.False(t, decoder.More(), "one document")
	require.Len(t, d.Clusters, 1)
	assert.True(t, d.Clusters[0].Ready)
	assert.Empty(t, d.Clusters[0].Missing)
	require.Len(t, d.Groups, 1)
	g := d.Groups[0]
	assert.Equal(t, [3]string{"kafka", "g", "BEHIND"}, [3]string{g.Cluster, g.Group, g.Status}, "one commit says no more")
	assert.EqualValues(t, 18, *g.Lag.Messages)
	require.Len(t, g.TopicDetails, 1)
	require.Len(t, g.TopicDetails[0].Partitions, 6)
	for _, p := range g.TopicDetails[0].Partitions {
		assert.Equal(t, [3]int64{2, 5, 3}, [3]int64{*p.Committed, *p.End, int64(*p.Lag.Messages)})
	}
}

// The demo runs until it is interrupted, with every kind of output.
func TestRunOn(t *testing.T) {
	for _, args := range [][]string{{"--interval", "100ms"}, {"--interval", "100ms", "--json"}, {"--interval", "100ms", "--color", "always"}} {
		ctx, cancel := context.WithCancel(testContext(t))
		var stdout, stderr buffer
		ended := make(chan int, 1)
		go func() { ended <- run(ctx, args, &stdout, &stderr) }()
		require.NoError(t, until(ctx, func() bool { return strings.Count(stdout.String(), "billing") >= 5 }))
		cancel()
		assert.Equal(t, exitOK, <-ended)
	}
}

// Two clusters of a configuration file at once, with the store's own keys.
func TestRunSeveralClusters(t *testing.T) {
	ctx := testContext(t)
	one, oneClient := newCluster(t)
	two, twoClient := newCluster(t)
	write(t, ctx, oneClient, 5)
	write(t, ctx, twoClient, 7)
	for _, client := range []*kgo.Client{oneClient, twoClient} {
		commit(t, ctx, client, "g", 2)
		commit(t, ctx, client, "hidden", 2)
	}
	path := configFile(t, "lag.toml", fmt.Sprintf("[storage.mine]\ngroup-denylist = \"^h\"\n[cluster.one]\nservers = [%q]\n[cluster.two]\nservers = [%q]\nmode = \"poll\"\n",
		one.ListenAddrs()[0], two.ListenAddrs()[0]))
	var stdout, stderr bytes.Buffer
	require.Equal(t, exitOK, run(ctx, []string{"--config", path, "--once"}, &stdout, &stderr), stderr.String())
	assert.Empty(t, stderr.String())
	assert.Regexp(t, `(?m)^BEHIND +one +g +t +6 +0 +18 `, stdout.String())
	assert.Regexp(t, `(?m)^BEHIND +two +g +t +6 +0 +30 `, stdout.String())
	assert.Contains(t, stdout.String(), "one  commits polled  poll ")
	assert.NotContains(t, stdout.String(), "hidden")
	stdout.Reset()
	require.Equal(t, exitOK, run(ctx, []string{"--config", path, "--once", "--cluster", "TWO"}, &stdout, &stderr), stderr.String())
	assert.NotContains(t, stdout.String(), "one")
}

func TestRunFailures(t *testing.T) {
	nobody := fmt.Sprint("127.0.0.1:", servertest.FreePorts(t, 1)[0])
	var stdout, stderr bytes.Buffer
	assert.Equal(t, exitFailed, run(testContext(t), []string{"--brokers", nobody, "--once", "--interval", "100ms"}, &stdout, &stderr))
	assert.Empty(t, stdout.String(), "no empty table")
	assert.Contains(t, stderr.String(), "lagmonitor: no cluster can be read\nlagmonitor: kafka: metadata: ")
	assert.Contains(t, stderr.String(), nobody)
	assert.Contains(t, stderr.String(), "refused")

	stderr.Reset()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.Equal(t, exitFailed, run(ctx, []string{"--brokers", nobody, "--once"}, new(bytes.Buffer), &stderr), "no table, no success")
	assert.Contains(t, stderr.String(), "interrupted")
}

// If Kafka goes away the user is informed, and what was known stays.
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
	require.NoError(t, until(ctx, func() bool { return strings.Contains(stdout.String(), "BEHIND") }))
	cluster.Close()
	cluster.Close()
	require.NoError(t, until(ctx, func() bool {
		_, after, failed := strings.Cut(stdout.String(), "metadata: dial tcp")
		return failed && strings.Contains(after, "BEHIND")
	}))
	assert.NotContains(t, stdout.String(), "deleted")
	cancel()
	assert.Equal(t, exitOK, <-ended)
}

// The live view runs on a terminal, handles keys, and restores the terminal.
func TestRunLive(t *testing.T) {
	ctx := testContext(t)
	w := newWorld(t)
	last := w.readings(300)
	keys, typed := io.Pipe()
	defer typed.Close()
	var out buffer
	program := tea.NewProgram(newModel(true, nil), tea.WithContext(ctx), tea.WithInput(keys), tea.WithOutput(&out), tea.WithWindowSize(100, 24),
		tea.WithoutSignalHandler(), tea.WithEnvironment([]string{"TERM=xterm-256color"}))
	ended := make(chan error, 1)
	go func() {
		_, err := program.Run()
		ended <- err
	}()
	program.Send(readingMsg(last))
	require.NoError(t, until(ctx, func() bool { return strings.Contains(out.String(), "warehouse") }))
	_, err := io.WriteString(typed, "?")
	require.NoError(t, err)
	require.NoError(t, until(ctx, func() bool { return strings.Contains(out.String(), "the most alarming first") }))
	_, err = io.WriteString(typed, "q")
	require.NoError(t, err)
	require.NoError(t, <-ended)
	assert.Contains(t, out.String(), "\x1b[?1049h", "the alternate screen")
	assert.Contains(t, out.String(), "\x1b[?1049l", "and back")
}

func TestTerminal(t *testing.T) {
	_, capable := terminal(new(bytes.Buffer), noEnv)
	assert.False(t, capable)
	assert.True(t, colored(options{color: "always", getenv: noEnv}, false))
	assert.True(t, colored(options{color: "auto", getenv: noEnv}, true))
	assert.False(t, colored(options{color: "auto", getenv: noEnv}, false))
	assert.False(t, colored(options{color: "never", getenv: noEnv}, true))
	assert.False(t, colored(options{color: "auto", getenv: func(name string) string { return map[string]string{"NO_COLOR": "1"}[name] }}, true))
}

func TestOneLine(t *testing.T) {
	assert.Equal(t, "a: b (and 2 more)", oneLine(fmt.Errorf("a: b\n\n c\nd")))
	assert.Equal(t, "a", oneLine(fmt.Errorf("a")))
	assert.Equal(t, "failed", oneLine(fmt.Errorf("\n")))
	log := new(eventLog)
	feedLog{log, kgo.LogLevelWarn}.Log(kgo.LogLevelInfo, "no news")
	feedLog{log, kgo.LogLevelWarn}.Log(kgo.LogLevelWarn, "request failed", "err", fmt.Errorf("x\ny"), "request", "z")
	feedLog{log, kgo.LogLevelWarn}.Log(kgo.LogLevelWarn, "request failed", "err", context.Canceled)
	assert.Equal(t, []string{"request failed err=x (and 1 more) request=z"}, eventTexts(log.all()))
}

// Events are bounded, and a repeated event takes no room.
func TestEventLog(t *testing.T) {
	log := new(eventLog)
	for i := range 3 * keptEvents {
		log.add(time.Unix(int64(i), 0), "event %d", i)
		log.add(time.Unix(int64(i), 1), "event %d", i)
	}
	require.Len(t, log.all(), keptEvents)
	assert.Equal(t, event{time.Unix(3*keptEvents-1, 1), fmt.Sprint("event ", 3*keptEvents-1)}, log.all()[keptEvents-1])
	assert.Len(t, log.take(), keptEvents)
	log.add(time.Unix(0, 0), "one more")
	assert.Equal(t, []string{"one more"}, eventTexts(log.take()))
	assert.Empty(t, log.take())
}
