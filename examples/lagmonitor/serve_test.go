package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

var servedAt = regexp.MustCompile(`serving at (http://\S+)`)

// get fetches a page and leaves no connection behind. It asks again if the server hangs up, which it does after some seconds if the
// machine is busy.
func get(t *testing.T, ctx context.Context, url string) (code int, body string) {
	t.Helper()
	fetch := func() error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		require.NoError(t, err)
		request.Close = true
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		all, err := io.ReadAll(response.Body)
		code, body = response.StatusCode, string(all)
		return err
	}
	err := fetch()
	for err != nil && ctx.Err() == nil {
		err = fetch()
	}
	require.NoError(t, err)
	return code, body
}

// The demo serves pages and metrics, at one address or two, and ends while it is being requested.
func TestRunServes(t *testing.T) {
	for _, args := range [][]string{
		{"--http", "127.0.0.1:0", "--metrics", "127.0.0.1:0"},
		{"--http", ":0", "--metrics", "127.0.0.1:0"},
	} {
		ctx, cancel := context.WithCancel(testContext(t))
		defer cancel()
		var stdout, stderr buffer
		ended := make(chan int, 1)
		go func() { ended <- run(ctx, append(args, "--interval", "100ms"), &stdout, &stderr) }()
		servers := 2
		if args[1] == args[3] {
			servers = 1
		}
		require.NoError(t, until(ctx, func() bool { return len(servedAt.FindAllString(stderr.String(), -1)) == servers }))
		find := func(path, holds string) string {
			var page string
			require.NoError(t, until(ctx, func() bool {
				for _, found := range servedAt.FindAllStringSubmatch(stderr.String(), -1) {
					if _, page = get(t, ctx, found[1]+path); strings.Contains(page, holds) {
						return true
					}
				}
				return false
			}), "%s without %q: %s", path, holds, page)
			return page
		}
		page := find("/metrics", `lagstore_consumergroup_lag_messages{cluster="demo",group="billing",partition="0",topic="orders"}`)
		for _, want := range []string{"lagstore_running 1", `lagstore_feed_mode{cluster="demo",mode="poll"} `,
			`lagstore_feed_request_errors_total{cluster="demo",request="end_offsets"} `, `lagstore_feed_records_total{cluster="demo",kind="commit"} `,
			`lagstore_exporter_groups_dropped{reason="max_series"} 0`, "go_goroutines", "process_start_time_seconds"} {
			assert.Contains(t, page, want)
		}
		find("/", "warehouse")
		find("/group?cluster=demo&name=billing", "orders")
		find("/api/v1/groups", `"group":"billing"`)
		find("/healthz", "ok\n")
		find("/readyz", "ok\n")
		find("/nowhere", "not found")
		cancel()
		assert.Equal(t, exitOK, <-ended)
	}
}

// A monitor whose Kafka cannot be reached is healthy, and not ready; one whose store has stopped is neither.
func TestHealthAndReadiness(t *testing.T) {
	ctx := testContext(t)
	coordinator := testStore(t)
	cluster := clusterConfig{name: "kafka", mode: "poll"}
	var err error
	cluster.client, err = kafkaConfig{brokers: []string{"127.0.0.1:1"}}.clientOptions()
	require.NoError(t, err)
	s, err := newSource(coordinator.Store(), cluster, time.Second, 10, feedLog{new(eventLog), kgo.LogLevelWarn}, make(chan struct{}, 1))
	require.NoError(t, err)
	m := &monitorState{coordinator: coordinator, store: coordinator.Store(), sources: []*source{s}, cfg: config{interval: time.Second}}
	served, end, err := m.handlers(options{http: ":0"})
	require.NoError(t, err)
	defer end()
	server, err := serve(":0", served[":0"])
	require.NoError(t, err)
	defer server.close()
	code, _ := get(t, ctx, server.url()+"/healthz")
	assert.Equal(t, http.StatusOK, code)
	code, body := get(t, ctx, server.url()+"/readyz")
	assert.Equal(t, http.StatusServiceUnavailable, code)
	assert.Equal(t, "kafka: the store is being filled\n", body)
	s.OnRequestError("metadata", io.ErrUnexpectedEOF)
	s.OnPoll(time.Second, io.ErrUnexpectedEOF)
	_, body = get(t, ctx, server.url()+"/readyz")
	assert.Equal(t, "kafka: metadata: unexpected EOF\n", body)
	require.NoError(t, coordinator.Stop())
	code, _ = get(t, ctx, server.url()+"/healthz")
	assert.Equal(t, http.StatusServiceUnavailable, code)
}

func TestServeFaults(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	for _, flag := range []string{"--metrics", "--http"} {
		var stderr bytes.Buffer
		assert.Equal(t, exitFailed, run(testContext(t), []string{flag, listener.Addr().String()}, new(bytes.Buffer), &stderr))
		assert.Contains(t, stderr.String(), "address already in use")
	}
}

// A port alone listens on this machine only; a host is used as given.
func TestLoopbackUnlessNamed(t *testing.T) {
	for address, want := range map[string]string{
		":9099": "127.0.0.1:9099", ":0": "127.0.0.1:0", "0.0.0.0:9099": "0.0.0.0:9099", "[::]:9099": "[::]:9099",
		"localhost:9099": "localhost:9099", "10.0.0.7:9099": "10.0.0.7:9099",
	} {
		assert.Equal(t, want, loopbackUnlessNamed(address), address)
	}
	s, err := serve(":0", http.NotFoundHandler())
	require.NoError(t, err)
	defer s.close()
	assert.True(t, s.listener.Addr().(*net.TCPAddr).IP.IsLoopback())
}

// Every phase of a connection has a time limit, whatever the client does.
func TestServerHasLimits(t *testing.T) {
	s, err := serve("127.0.0.1:0", http.NotFoundHandler())
	require.NoError(t, err)
	defer s.close()
	assert.Positive(t, s.server.ReadHeaderTimeout)
	assert.Positive(t, s.server.ReadTimeout)
	assert.Positive(t, s.server.WriteTimeout)
	assert.Positive(t, s.server.IdleTimeout)
	assert.Positive(t, s.server.MaxHeaderBytes)
}

// A group is shown whatever its name, and an address longer than any name is refused.
func TestLongNames(t *testing.T) {
	ctx := testContext(t)
	coordinator := testStore(t)
	store := coordinator.Store()
	tenKilobytes := strings.Repeat("\u202eж€", 10_240/8)
	require.Len(t, tenKilobytes, 10_240)
	names := []string{tenKilobytes, strings.Repeat("\xff", 10_240), strings.Repeat("ж", 32_767/2)}
	topicOf := func(name string) string { return name[:10_240] }
	now := time.Now().UnixMilli()
	for _, name := range names {
		require.NoError(t, store.SetEndOffset(ctx, "kafka", topicOf(name), protocol.EndOffset{Offset: 2, Timestamp: now}))
		require.NoError(t, store.Commit(ctx, "kafka", name, protocol.Commit{Topic: topicOf(name), Offset: 1, Timestamp: now}))
	}
	served, end, err := (&monitorState{coordinator: coordinator, store: store}).handlers(options{http: ":0"})
	require.NoError(t, err)
	defer end()
	s, err := serve(":0", served[":0"])
	require.NoError(t, err)
	defer s.close()
	shown := func(page, name, topic string) string {
		code, body := get(t, ctx, s.url()+page+"?"+url.Values{"cluster": {"kafka"}, "name": {name}, "topic": {topic}}.Encode())
		assert.Equal(t, http.StatusOK, code, page)
		return body
	}
	for _, name := range names {
		for _, page := range []string{"/api/v1/group", "/api/v1/history", "/chart.svg"} {
			shown(page, name, "")
		}
		page := shown("/group", name, "")
		assert.NotContains(t, page, "\u202e")
		assert.Contains(t, page, url.QueryEscape(name), "the addresses of its charts")
		assert.Contains(t, shown("/topic", topicOf(name), ""), url.QueryEscape(name))
	}
	shown("/chart.svg", tenKilobytes, topicOf(tenKilobytes))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url()+"/?q="+strings.Repeat("x", maxHeader+8<<10), nil)
	require.NoError(t, err)
	request.Close = true
	refused, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, refused.Body.Close()) // the server hangs up without having read all
	assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, refused.StatusCode)
}

// testStore is a store of the cluster kafka.
func testStore(t *testing.T) *storage.Coordinator {
	t.Helper()
	v := viper.New()
	v.Set("cluster.kafka.class-name", "kafka")
	coordinator, wrong := newStore(v, zap.NewNop())
	require.NoError(t, wrong.err())
	require.NoError(t, coordinator.Start())
	t.Cleanup(func() { assert.NoError(t, coordinator.Stop()) })
	return coordinator
}

// heap returns the live heap of the process.
func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// Clients that send a request and do not read share one page, and cost little; when they are gone, others are served again.
func TestClientsThatDoNotRead(t *testing.T) {
	ctx := testContext(t)
	coordinator := testStore(t)
	const groups, partitions = 100, 95
	topic := "orders-" + strings.Repeat("x", 150)
	now := time.Now().UnixMilli()
	for partition := range int32(partitions) {
		require.NoError(t, coordinator.Store().SetEndOffset(ctx, "kafka", topic, protocol.EndOffset{
			Partition: partition, Offset: 1000, Timestamp: now,
		}))
	}
	for group := range groups {
		var commits []protocol.Commit
		for partition := range int32(partitions) {
			commits = append(commits, protocol.Commit{Topic: topic, Partition: partition, Offset: 10, Timestamp: now})
		}
		require.NoError(t, coordinator.Store().CommitBatch(ctx, "kafka", fmt.Sprint("group-", group), commits))
	}
	served, end, err := (&monitorState{coordinator: coordinator, store: coordinator.Store()}).handlers(options{metrics: ":0"})
	require.NoError(t, err)
	defer end()
	// Without the time limits of serve, so that only the limit of scrapes acts.
	s := httptest.NewServer(served[":0"])
	defer s.Close()
	code, page := get(t, ctx, s.URL+"/metrics")
	require.Equal(t, http.StatusOK, code)
	require.Greater(t, len(page), 16<<20, "more than the system buffers for a client that does not read")
	page = ""
	before := heap()

	var silent []net.Conn
	ask := func() {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: lagmonitor\r\n\r\n")
		require.NoError(t, err)
		silent = append(silent, conn)
	}
	for range 40 {
		ask()
	}
	// Once the limit of scrapes is reached, another one is refused. One that succeeds may have kept a silent client from its
	// place for a moment.
	require.NoError(t, until(ctx, func() bool {
		if code, page = get(t, ctx, s.URL+"/metrics"); code != http.StatusServiceUnavailable {
			ask()
		}
		return code == http.StatusServiceUnavailable
	}))
	assert.Contains(t, page, "16 scrapes are being served")
	page = ""
	assert.Less(t, heap(), before+64<<20, "otherwise they would hold 40 pages of more than 16 MB each, and the data of these")
	for _, conn := range silent {
		require.NoError(t, conn.Close())
	}
	require.NoError(t, until(ctx, func() bool {
		code, _ = get(t, ctx, s.URL+"/metrics")
		return code == http.StatusOK
	}))
}

// A connection above the limit is accepted when another one ends, and closing waits for neither.
func TestConnectionsAreLimited(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	limited := limitConnections(inner, 2)
	accepted := make(chan net.Conn)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := limited.Accept()
			if err != nil {
				assert.ErrorIs(t, err, net.ErrClosed)
				return
			}
			accepted <- conn
		}
	}()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", inner.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	dial()
	dial()
	first, second := <-accepted, <-accepted
	dial() // the system accepts it, but the listener does not
	require.NoError(t, first.Close())
	require.Error(t, first.Close(), "a second Close frees no place")
	third := <-accepted
	assert.Len(t, limited.(*limitedListener).free, 2)
	require.NoError(t, limited.Close())
	<-ended
	require.NoError(t, second.Close())
	require.NoError(t, third.Close())
	assert.Empty(t, limited.(*limitedListener).free)
}
