package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/servertest"
)

// redisServer starts a Redis without persistence, and returns its address once it listens.
func redisServer(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip("no redis-server: install it to run this test")
	}
	require.NoError(t, err)
	port := servertest.FreePorts(t, 1)[0]
	address := fmt.Sprint("127.0.0.1:", port)
	server := exec.Command(path, "--bind", "127.0.0.1", "--port", fmt.Sprint(port), "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	require.NoError(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	require.NoError(t, until(testContext(t), func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}))
	return address
}

// The configuration names the class of the store, and the errors name faults in it.
func TestAnotherClass(t *testing.T) {
	ctx := testContext(t)
	cluster, client := newCluster(t)
	write(t, ctx, client, 5)
	commit(t, ctx, client, "g", 2)
	file := "[storage.shared]\nclass-name = \"redis\"\n%s\n[cluster.prod]\nservers = [\"" + cluster.ListenAddrs()[0] + "\"]\n"
	var stdout, stderr bytes.Buffer
	path := configFile(t, "bad.toml", fmt.Sprintf(file, "buckets = 0"))
	assert.Equal(t, exitUsage, run(ctx, []string{"--config", path, "--once"}, &stdout, &stderr))
	assert.Contains(t, stderr.String(), "storage.shared.addresses")
	assert.Contains(t, stderr.String(), "storage.shared.buckets")

	path = configFile(t, "redis.toml", fmt.Sprintf(file, "addresses = [\""+redisServer(t)+"\"]"))
	stderr.Reset()
	require.Equal(t, exitOK, run(ctx, []string{"--config", path, "--once"}, &stdout, &stderr), stderr.String())
	assert.Regexp(t, `(?m)^BEHIND +g +t +6 +0 +18 `, stdout.String())
	// Another run finds what the first one has left there.
	stdout.Reset()
	require.Equal(t, exitOK, run(ctx, []string{"--config", path, "--once", "--json"}, &stdout, &stderr), stderr.String())
	assert.Contains(t, stdout.String(), `"group":"g"`)

	// A monitor that only reads needs no Kafka: it shows what others have stored.
	cluster.Close()
	stdout.Reset()
	require.Equal(t, exitOK, run(ctx, []string{"--config", path, "--once", "--mode", "read"}, &stdout, &stderr), stderr.String())
	assert.Regexp(t, `(?m)^BEHIND +g +t +6 +0 +18 `, stdout.String())
	stderr.Reset()
	require.Equal(t, exitUsage, run(ctx, []string{"--once", "--mode", "read"}, &stdout, &stderr))
	assert.Contains(t, stderr.String(), "mode read needs a store that others fill")
}
