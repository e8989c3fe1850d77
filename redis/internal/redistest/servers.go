// Package redistest runs real Redis servers on loopback for tests: one node, or a cluster whose nodes can be killed, paused,
// emptied and failed over. REDISTEST_SERVER names another program than redis-server, such as valkey-server.
package redistest

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/lagkeeper/storage/internal/servertest"
)

// calm and alert are the times after which the nodes of a cluster consider a silent node failed: they are alert only while a test
// waits for a failover. On a busy machine a node may be silent for seconds, and a failover that no test expects loses writes.
const calm, alert = time.Minute, 2 * time.Second

// Servers are the nodes of one Redis, numbered from 0. The methods fail the test on errors.
type Servers struct {
	t        testing.TB
	nodes    []*node
	cluster  bool
	replicas int        // per master
	secure   *Authority // signs the certificates of the nodes; nil without TLS
}

type node struct {
	address   string
	port, bus int
	secure    int // the port for TLS, 0 for none
	dir       string
	arguments []string

	process servertest.Process
}

// Single starts one server without cluster mode, which ends with the test. settings are pairs of a key of redis.conf and its value.
func Single(t testing.TB, settings ...string) *Servers {
	t.Helper()
	s := &Servers{t: t}
	s.start(1, settings)
	s.Await()
	return s
}

// Cluster starts a cluster of masters that share all slots, each with the given number of replicas. It ends with the test. Until the
// first failover the masters are the first nodes. settings are as in Single.
func Cluster(t testing.TB, masters, replicas int, settings ...string) *Servers {
	t.Helper()
	s := &Servers{t: t, cluster: true, replicas: replicas}
	s.start(masters*(1+replicas), settings)
	s.join(masters)
	s.Await()
	return s
}

// Replicated starts a server without cluster mode, node 0, and a replica of it, node 1. settings are as in Single.
func Replicated(t testing.TB, settings ...string) *Servers {
	t.Helper()
	s := &Servers{t: t}
	// A new replica rewrites its append-only file in a process that survives if the replica is killed.
	s.start(2, append([]string{"appendonly", "no"}, settings...))
	s.Follow(1, 0)
	s.Await()
	return s
}

// Follow makes a node without cluster mode a replica of another.
func (s *Servers) Follow(replica, of int) {
	s.t.Helper()
	s.Do(replica, "REPLICAOF", "127.0.0.1", fmt.Sprint(s.nodes[of].port))
}

// start starts n nodes that do not know each other.
func (s *Servers) start(n int, settings []string) {
	s.t.Helper()
	program, err := exec.LookPath(cmp.Or(os.Getenv("REDISTEST_SERVER"), "redis-server"))
	if err != nil {
		servertest.Missing(s.t, "redis-server is not installed, so no real Redis can be run: "+err.Error())
	}
	if s.secure != nil && withoutTLS(s.t.Context(), program) {
		servertest.Missing(s.t, program+" was built without TLS")
	}
	ports := servertest.FreePorts(s.t, 3*n)
	s.t.Cleanup(func() {
		for i := range s.nodes {
			s.Kill(i)
		}
	})
	for i := range n {
		node := &node{port: ports[3*i], bus: ports[3*i+1], dir: s.t.TempDir()}
		node.address = fmt.Sprintf("127.0.0.1:%d", node.port)
		node.arguments = []string{
			program, "--port", fmt.Sprint(node.port), "--bind", "127.0.0.1", "--dir", node.dir, "--logfile", "log", "--daemonize", "no",
			// The append-only file is written before a reply goes out, so a killed node returns with all writes that it acknowledged.
			"--save", "", "--appendonly", "yes", "--appendfsync", "no", "--maxmemory-policy", "noeviction",
			"--repl-diskless-sync-delay", "0", "--repl-backlog-size", "16mb",
		}
		if s.cluster {
			node.arguments = append(node.arguments, "--cluster-enabled", "yes", "--cluster-config-file", nodesFile,
				"--cluster-port", fmt.Sprint(node.bus), "--cluster-node-timeout", fmt.Sprint(calm.Milliseconds()),
				"--cluster-replica-validity-factor", "0", "--cluster-allow-replica-migration", "no")
		}
		if s.secure != nil {
			node.secure = ports[3*i+2]
			node.arguments = append(node.arguments, secureSettings(s.secure, node.secure, s.cluster)...)
		}
		for j := 0; j < len(settings); j += 2 {
			node.arguments = append(node.arguments, "--"+settings[j], settings[j+1])
		}
		s.nodes = append(s.nodes, node)
		s.Restart(i)
	}
	for i := range s.nodes {
		s.until("answers", func() bool {
			s.mustRun(i)
			_, err := s.try(i, "PING")
			return err == nil
		})
	}
}

// nodesFile is what a node stores about its cluster.
const nodesFile = "nodes.conf"

// Addresses returns the addresses of all nodes.
func (s *Servers) Addresses() []string {
	var addresses []string
	for _, node := range s.nodes {
		addresses = append(addresses, node.address)
	}
	return addresses
}

// Kill kills a node and returns when it has ended. It does nothing if the node is not running.
func (s *Servers) Kill(i int) { s.nodes[i].process.Kill() }

// Pause stops a node, as if the system gave it no processor time; Continue resumes it.
func (s *Servers) Pause(i int) {
	s.t.Helper()
	s.signal(i, syscall.SIGSTOP)
}

// Continue resumes a paused node.
func (s *Servers) Continue(i int) {
	s.t.Helper()
	s.signal(i, syscall.SIGCONT)
}

func (s *Servers) signal(i int, signal syscall.Signal) {
	s.t.Helper()
	if err := s.nodes[i].process.Signal(signal); err != nil {
		s.t.Fatalf("node %d: %v", i, err)
	}
}

// Restart starts a node that is not running, with the data that it had written.
func (s *Servers) Restart(i int) {
	s.t.Helper()
	node := s.nodes[i]
	if err := node.process.Start(nil, node.arguments[0], node.arguments[1:]...); err != nil {
		s.t.Fatal(err)
	}
}

// RestartEmpty starts a node that is not running, without its data. In a cluster it keeps its identity.
func (s *Servers) RestartEmpty(i int) {
	s.t.Helper()
	entries, err := os.ReadDir(s.nodes[i].dir)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() == nodesFile || entry.Name() == "log" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(s.nodes[i].dir, entry.Name())); err != nil {
			s.t.Fatal(err)
		}
	}
	s.Restart(i)
}

// FlushScripts removes all scripts from every running node.
func (s *Servers) FlushScripts() {
	s.t.Helper()
	for i := range s.nodes {
		if s.running(i) {
			s.Do(i, "SCRIPT", "FLUSH")
		}
	}
}

// Do sends a command to a node and returns its answer; an array is returned as its members, one per line.
func (s *Servers) Do(i int, command ...string) string {
	s.t.Helper()
	got, err := s.within(5*time.Minute, i, command...)
	if err != nil {
		s.t.Fatalf("node %d: %s: %v", i, command[0], err)
	}
	return got
}

// try is Do for commands that may fail.
func (s *Servers) try(i int, command ...string) (string, error) {
	return s.within(5*time.Second, i, command...)
}

// within sends a command on a connection of its own, because nodes stop and restart.
func (s *Servers) within(patience time.Duration, i int, command ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{s.nodes[i].address}, ForceSingleClient: true, DisableCache: true, DisableRetry: true, AlwaysRESP2: true,
		ClientSetInfo: rueidis.DisableClientSetInfo, Dialer: net.Dialer{Timeout: patience}, ConnWriteTimeout: patience,
	})
	if err != nil {
		return "", err
	}
	defer client.Close()
	return asText(client.Do(ctx, client.B().Arbitrary(command...).Build()).ToMessage())
}

func asText(message rueidis.RedisMessage, err error) (string, error) {
	if err != nil {
		return "", err
	}
	switch {
	case message.IsInt64():
		number, err := message.AsInt64()
		return strconv.FormatInt(number, 10), err
	case !message.IsArray():
		return message.ToString()
	}
	members, err := message.ToArray()
	if err != nil {
		return "", err
	}
	var lines string
	for _, member := range members {
		line, err := asText(member, nil)
		if err != nil {
			return "", err
		}
		lines += line + "\n"
	}
	return lines, nil
}

func (s *Servers) running(i int) bool { return s.nodes[i].process.Running() }

// mustRun fails the test if a node has exited by itself.
func (s *Servers) mustRun(i int) {
	s.t.Helper()
	node := s.nodes[i]
	if node.process.Ended() {
		log, _ := os.ReadFile(filepath.Join(node.dir, "log"))
		s.t.Fatalf("node %d has ended: %s", i, log[max(0, len(log)-4000):])
	}
}

// until returns when a condition holds.
func (s *Servers) until(what string, holds func() bool) {
	s.t.Helper()
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for !holds() {
		select {
		case <-s.t.Context().Done():
			s.t.Fatalf("the test is over before this holds: %s", what)
		case <-pause.C:
		}
	}
}
