package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// listeners are the listeners of brokers that can be killed, or hang.
type listeners struct {
	release chan struct{} // closed when brokers that hang continue
	held    chan struct{} // holds one token if a request has reached a broker that hangs

	mu    sync.Mutex
	all   []*listener // guarded by mu, like the fields below
	hangs map[*listener]bool
}

type listener struct {
	net.Listener
	of    *listeners
	conns []net.Conn // guarded by of.mu
}

type connection struct {
	net.Conn
	at *listener
}

func newListeners() *listeners {
	return &listeners{release: make(chan struct{}), held: make(chan struct{}, 1), hangs: make(map[*listener]bool)}
}

func (l *listeners) listen(network, address string) (net.Listener, error) {
	inner, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at := &listener{Listener: inner, of: l}
	l.all = append(l.all, at)
	return at, nil
}

// kill refuses new connections to a broker, and closes the existing ones.
func (l *listeners) kill(broker int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.all[broker].Close()
	for _, conn := range l.all[broker].conns {
		_ = conn.Close()
	}
}

// hang lets a broker accept connections and answer nothing, until release is closed.
func (l *listeners) hang(broker int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hangs[l.all[broker]] = true
}

func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	l.conns = append(l.conns, conn)
	return connection{conn, l}, nil
}

func (c connection) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.at.of.mu.Lock()
	hangs := c.at.of.hangs[c.at]
	c.at.of.mu.Unlock()
	if hangs && n > 0 {
		notify(c.at.of.held)
		<-c.at.of.release
	}
	return n, err
}

// threeBrokers is a Kafka of three brokers, each of which leads two partitions of topic t and coordinates some groups. It returns
// the groups of brokers 0 and 1, and those of broker 2.
func threeBrokers(t *testing.T, ctx context.Context, opts ...kfake.Opt) (cluster *kfake.Cluster, client *kgo.Client, here, there []string) {
	cluster, client = newCluster(t, opts...)
	for partition := range int32(6) {
		require.NoError(t, cluster.MoveTopicPartition("t", partition, partition%3))
	}
	write(t, ctx, client, 5)
	for i := range 9 {
		group := fmt.Sprint("group-", i)
		commit(t, ctx, client, group, 2)
		if cluster.CoordinatorFor(group) == 2 {
			there = append(there, group)
		} else {
			here = append(here, group)
		}
	}
	require.NotEmpty(t, here)
	require.NotEmpty(t, there)
	return cluster, client, here, there
}

// If one of three brokers is down, the monitor prints what is known, names what is missing, and sets the exit code. Lags are marked
// as lower bounds, because no end is known of the partitions that the broker led.
func TestRunOncePartial(t *testing.T) {
	ctx := testContext(t)
	brokers := newListeners()
	cluster, client, here, there := threeBrokers(t, ctx, kfake.ListenFn(brokers.listen))
	addresses := cluster.ListenAddrs()
	client.Close()
	brokers.kill(2)

	var stdout, stderr bytes.Buffer
	require.Equal(t, exitPartial, run(ctx, []string{"--brokers", strings.Join(addresses, ","), "--once"}, &stdout, &stderr), stdout.String())
	checkPartial(t, stdout.String(), here, there)
	refused := addresses[2] + ": connect: connection refused"
	assert.Contains(t, stdout.String(), "! end offsets, list of groups, log start offsets: dial tcp "+refused)
	assert.Equal(t, "lagmonitor: incomplete: kafka: end offsets, list of groups, log start offsets: dial tcp "+refused+"\n", stderr.String(),
		"what failed for the same reason is on one line")
}

func checkPartial(t *testing.T, screen string, here, there []string) {
	t.Helper()
	for _, group := range here {
		assert.Regexp(t, `(?m)^BEHIND +`+group+` +t +6 +0 +≥12 `, screen)
	}
	for _, group := range there {
		assert.NotContains(t, screen, group+" ")
	}
	assert.NotContains(t, screen, "request failed", "what is missing is told once")
}

// Once the others have noticed that a broker is down, they do not list it, and its partitions have no leader. The groups that it
// coordinated, whose commits only it had, are missing from every list: the monitor says so.
func TestRunOnceWithoutCoordinator(t *testing.T) {
	ctx := testContext(t)
	cluster, client, here, there := threeBrokers(t, ctx)
	require.NoError(t, cluster.CreateTopic("__consumer_offsets", 3, nil))
	for partition := range int32(3) {
		require.NoError(t, cluster.MoveTopicPartition("__consumer_offsets", partition, partition))
	}
	all, err := kmsg.NewPtrMetadataRequest().RequestWith(ctx, client)
	require.NoError(t, err)
	cluster.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		response := r.ResponseKind().(*kmsg.MetadataResponse)
		response.Brokers = slices.DeleteFunc(slices.Clone(all.Brokers), func(b kmsg.MetadataResponseBroker) bool { return b.NodeID == 2 })
		for _, topic := range all.Topics {
			topic.Partitions = slices.Clone(topic.Partitions)
			for i := range topic.Partitions {
				if p := &topic.Partitions[i]; p.Leader == 2 {
					p.Leader, p.ErrorCode = -1, kerr.LeaderNotAvailable.Code
				}
			}
			response.Topics = append(response.Topics, topic)
		}
		return response, nil, true
	})

	var stdout, stderr bytes.Buffer
	args := []string{"--brokers", strings.Join(cluster.ListenAddrs()[:2], ","), "--once"}
	require.Equal(t, exitPartial, run(ctx, args, &stdout, &stderr), stdout.String())
	checkPartial(t, stdout.String(), here, there)
	assert.Contains(t, stdout.String(), "commits polled")
	assert.Contains(t, stdout.String(), "the log is not read: ")
	assert.Contains(t, stderr.String(), "incomplete: kafka: end offsets, log start offsets: LEADER_NOT_AVAILABLE")
	assert.Contains(t, stderr.String(), "incomplete: kafka: list of groups: 1 of 3 partitions of __consumer_offsets have no leader: no broker lists their groups\n")
}

// An interrupt ends the monitor at once while it waits for a broker that hangs.
func TestRunEndsWhileABrokerHangs(t *testing.T) {
	for name, args := range map[string][]string{"once": {"--once"}, "tables": {"--interval", "100ms"}, "polls": {"--once", "--mode", "poll"}} {
		t.Run(name, func(t *testing.T) {
			ctx, interrupt := context.WithCancel(testContext(t))
			defer interrupt()
			brokers := newListeners()
			cluster, client, _, _ := threeBrokers(t, ctx, kfake.ListenFn(brokers.listen))
			t.Cleanup(func() { close(brokers.release) }) // before the cluster is closed
			client.Close()
			brokers.hang(2)
			var stdout, stderr buffer
			ended := make(chan int, 1)
			go func() {
				ended <- run(ctx, append(args, "--brokers", strings.Join(cluster.ListenAddrs(), ",")), &stdout, &stderr)
			}()
			<-brokers.held
			interrupt()
			code := <-ended // the broker still hangs
			if args[0] == "--once" {
				assert.Equal(t, exitFailed, code)
				assert.Equal(t, "lagmonitor: interrupted before there was a table to print\n", stderr.String())
			} else {
				assert.Equal(t, exitOK, code)
				assert.Empty(t, stderr.String())
			}
			assert.Empty(t, stdout.String())
		})
	}
}

// The first screen does not claim that nobody has committed anything while a broker is missing.
func TestFirstScreenWithABrokerDown(t *testing.T) {
	s := newScreen(t, 100, 10, false)
	state := clusterState{Cluster: "prod", Mode: "auto", Missing: []string{"the store is being filled"}}
	s.send(readingMsg(reading{at: dawn, clusters: []clusterState{state}}))
	screen := s.text()
	assert.Contains(t, screen, "no group is known yet")
	assert.Contains(t, screen, "prod  starting  no poll yet  ! the store is being filled")

	polled := dawn.UnixMilli()
	state.LastPoll, state.Mode, state.Missing = &polled, "poll", []string{"list of groups: no answer"}
	s.send(readingMsg(reading{at: dawn, clusters: []clusterState{state}}))
	screen = s.text()
	assert.Contains(t, screen, "no group is known yet")
	assert.Contains(t, screen, "! list of groups: no answer")

	state.Ready, state.Missing = true, nil
	s.send(readingMsg(reading{at: dawn, clusters: []clusterState{state}}))
	assert.Contains(t, s.text(), "no group has committed anything yet")
}
