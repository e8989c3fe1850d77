package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
		"lagstore_running 1", "lagstore_exporter_series_dropped 0", "go_goroutines", "process_start_time_seconds",
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
