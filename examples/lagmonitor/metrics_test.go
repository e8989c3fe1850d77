package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

var metricsURL = regexp.MustCompile(`metrics at (http://\S+)`)

// get fetches a page and leaves no connection behind.
func get(t *testing.T, ctx context.Context, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	require.NoError(t, err)
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(body)
}

// The demo serves what its table shows, and ends while it is asked.
func TestRunMetrics(t *testing.T) {
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	var stdout, stderr buffer
	ended := make(chan int, 1)
	args := []string{"--interval", "100ms", "--metrics", "127.0.0.1:0"}
	go func() { ended <- run(ctx, args, &stdout, &stderr) }()
	require.NoError(t, until(ctx, func() bool { return metricsURL.MatchString(stderr.String()) }))
	url := metricsURL.FindStringSubmatch(stderr.String())[1]
	require.True(t, strings.HasSuffix(url, metricsPath))
	var page string
	require.NoError(t, until(ctx, func() bool {
		var code int
		code, page = get(t, ctx, url)
		require.Equal(t, http.StatusOK, code, page)
		return strings.Contains(page, `lagstore_consumergroup_lag_messages{cluster="demo",group="billing",partition="0",topic="orders"}`)
	}))
	for _, want := range []string{
		`lagstore_consumergroup_state{cluster="demo",group="warehouse",partition="0",state="`,
		"lagstore_consumergroup_time_lag_seconds{", `lagstore_requests_total{outcome="done",type="SetConsumerOffset"}`,
		"lagstore_running 1", `lagstore_exporter_groups_dropped{reason="max_series"} 0`, "go_goroutines", "process_start_time_seconds",
	} {
		assert.Contains(t, page, want)
	}
	_, root := get(t, ctx, strings.TrimSuffix(url, metricsPath)+"/")
	assert.Contains(t, root, metricsPath)
	code, _ := get(t, ctx, strings.TrimSuffix(url, metricsPath)+"/nowhere")
	assert.Equal(t, http.StatusNotFound, code)
	cancel()
	assert.Equal(t, exitOK, <-ended)
}

func TestMetricsFaults(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	var stderr bytes.Buffer
	args := []string{"--metrics", listener.Addr().String()}
	assert.Equal(t, exitFailed, run(testContext(t), args, new(bytes.Buffer), &stderr))
	assert.Contains(t, stderr.String(), "address already in use")
}

// A port alone is this machine's; a host is taken as it is.
func TestLoopbackUnlessNamed(t *testing.T) {
	for address, want := range map[string]string{
		":9099": "127.0.0.1:9099", ":0": "127.0.0.1:0", "0.0.0.0:9099": "0.0.0.0:9099", "[::]:9099": "[::]:9099",
		"localhost:9099": "localhost:9099", "10.0.0.7:9099": "10.0.0.7:9099",
	} {
		assert.Equal(t, want, loopbackUnlessNamed(address), address)
	}
	m, err := serveMetrics(":0", &storage.Coordinator{}, new(sync.Mutex))
	require.NoError(t, err)
	defer m.close()
	assert.True(t, m.listener.Addr().(*net.TCPAddr).IP.IsLoopback())
}

// Every phase of a connection has an end, whatever the client does.
func TestMetricsServerHasLimits(t *testing.T) {
	m, err := serveMetrics("127.0.0.1:0", &storage.Coordinator{}, new(sync.Mutex))
	require.NoError(t, err)
	defer m.close()
	assert.Positive(t, m.server.ReadHeaderTimeout)
	assert.Positive(t, m.server.ReadTimeout)
	assert.Positive(t, m.server.WriteTimeout)
	assert.Positive(t, m.server.IdleTimeout)
	assert.Positive(t, m.server.MaxHeaderBytes)
}

// heap is what the process holds, garbage left out.
func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// Clients that ask and do not read share what is made for them, and cost little; when they are gone all is well again.
func TestClientsThatDoNotRead(t *testing.T) {
	ctx := testContext(t)
	config := viper.New()
	config.Set("cluster.kafka.class-name", "kafka")
	coordinator, err := openStore(config, zap.NewNop())
	require.NoError(t, err)
	defer func() { assert.NoError(t, coordinator.Stop()) }()
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
	m, err := serveMetrics(":0", coordinator, new(sync.Mutex))
	require.NoError(t, err)
	defer m.close()
	code, page := get(t, ctx, m.url())
	require.Equal(t, http.StatusOK, code)
	require.Greater(t, len(page), 16<<20, "more than the system keeps for a client that does not read")
	page = ""
	before := heap()

	var silent []net.Conn
	for range 40 {
		conn, err := net.Dial("tcp", m.listener.Addr().String())
		require.NoError(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: lagmonitor\r\n\r\n")
		require.NoError(t, err)
		silent = append(silent, conn)
	}
	// Once all that may be served are being served, another one is told so.
	require.NoError(t, until(ctx, func() bool {
		code, page = get(t, ctx, m.url())
		return code == http.StatusServiceUnavailable
	}))
	assert.Contains(t, page, "16 scrapes are being served")
	page = ""
	assert.Less(t, heap(), before+64<<20, "they would hold 40 pages of more than 16 MB otherwise, and what they were made from")
	for _, conn := range silent {
		require.NoError(t, conn.Close())
	}
	require.NoError(t, until(ctx, func() bool {
		code, _ = get(t, ctx, m.url())
		return code == http.StatusOK
	}))
}

// A connection above the limit is taken when another one ends, and closing does not wait for either.
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
	dial() // the system takes it, and we do not
	require.NoError(t, first.Close())
	require.Error(t, first.Close(), "closing again makes no room")
	third := <-accepted
	assert.Len(t, limited.(*limitedListener).free, 2)
	require.NoError(t, limited.Close())
	<-ended
	require.NoError(t, second.Close())
	require.NoError(t, third.Close())
	assert.Empty(t, limited.(*limitedListener).free)
}
