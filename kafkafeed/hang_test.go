package kafkafeed

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/lagkeeper/storage/internal/leaktest"
)

// hang makes the brokers of a fake hang like processes that get no processor time: they accept connections, keep the existing ones,
// and answer nothing.
type hang struct {
	hung    chan struct{} // closed when the brokers hang
	release chan struct{} // closed when they continue

	mu  sync.Mutex
	key kmsg.Key // guarded by mu; the brokers hang when a request of this kind arrives; -1 for none
}

func newHang(t *testing.T) *hang {
	h := &hang{hung: make(chan struct{}), release: make(chan struct{}), key: -1}
	t.Cleanup(h.resume) // otherwise the fake would not end
	return h
}

// at makes the brokers hang when the next request of a kind arrives.
func (h *hang) at(key kmsg.Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.key = key
}

func (h *hang) resume() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.key = -1
	select {
	case <-h.release:
	default:
		close(h.release)
	}
}

// arrived returns when the broker may read a request.
func (h *hang) arrived(key kmsg.Key) {
	h.mu.Lock()
	if key == h.key {
		h.key = -1
		close(h.hung)
	}
	h.mu.Unlock()
	select {
	case <-h.hung:
		<-h.release
	default:
	}
}

func (h *hang) listen(network, address string) (net.Listener, error) {
	l, err := net.Listen(network, address)
	return &hangingListener{l, h}, err
}

type hangingListener struct {
	net.Listener
	hang *hang
}

func (l *hangingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &hangingConn{Conn: conn, hang: l.hang}, nil
}

// hangingConn passes whole requests to the broker.
type hangingConn struct {
	net.Conn
	hang *hang
	rest []byte // of a request that has arrived
}

func (c *hangingConn) Read(b []byte) (int, error) {
	if len(c.rest) == 0 {
		size := make([]byte, 4)
		if _, err := io.ReadFull(c.Conn, size); err != nil {
			return 0, err
		}
		request := make([]byte, binary.BigEndian.Uint32(size))
		if _, err := io.ReadFull(c.Conn, request); err != nil {
			return 0, err
		}
		c.hang.arrived(kmsg.Key(binary.BigEndian.Uint16(request)))
		c.rest = append(size, request...)
	}
	n := copy(b, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// Run ends, and leaves no goroutine, while all brokers hang, whatever it waits for.
func TestRunEndsWhileBrokersHang(t *testing.T) {
	// No request times out before the test does.
	patient := ClientOpts(kgo.RequestTimeoutOverhead(15*time.Minute), kgo.RetryTimeout(time.Hour))
	for name, phase := range map[string]struct {
		key   kmsg.Key
		ready bool // whether the brokers hang only after the feed has become ready
		opts  []Opt
	}{
		"connection":                        {key: kmsg.ApiVersions},
		"first metadata":                    {key: kmsg.Metadata},
		"first end offsets":                 {key: kmsg.ListOffsets},
		"first list of groups":              {key: kmsg.ListGroups},
		"first coordinator":                 {key: kmsg.FindCoordinator},
		"first committed offsets":           {key: kmsg.OffsetFetch},
		"first committed offsets of a poll": {key: kmsg.OffsetFetch, opts: []Opt{WithMode(ModePoll)}},
		"first members":                     {key: kmsg.DescribeGroups},
		"first read of the log":             {key: kmsg.Fetch},
		"metadata":                          {key: kmsg.Metadata, ready: true},
		"end offsets":                       {key: kmsg.ListOffsets, ready: true},
		"list of groups":                    {key: kmsg.ListGroups, ready: true},
		"committed offsets of a poll":       {key: kmsg.OffsetFetch, ready: true, opts: []Opt{WithMode(ModePoll)}},
		"members":                           {key: kmsg.DescribeGroups, ready: true},
		"read of the log":                   {key: kmsg.Fetch, ready: true},
		"join":                              {key: kmsg.JoinGroup, opts: []Opt{Shard("lag-monitors")}},
		"share":                             {key: kmsg.SyncGroup, opts: []Opt{Shard("lag-monitors")}},
		"heartbeat":                         {key: kmsg.Heartbeat, ready: true, opts: []Opt{Shard("lag-monitors"), ClientOpts(kgo.HeartbeatInterval(often))}},
	} {
		t.Run(name, func(t *testing.T) {
			h, opts := newHanging(t, append(phase.opts, patient)...)
			store := openStore(t, "")
			leaks := goleak.IgnoreCurrent()
			if !phase.ready {
				h.at(phase.key)
			}
			feed := runFeed(t, store, opts...)
			if phase.ready {
				<-feed.Ready()
				h.at(phase.key)
			}
			<-h.hung
			feed.stop()
			noneLeft(t, leaks)
		})
	}
	t.Run("leave", func(t *testing.T) {
		h, opts := newHanging(t, Shard("lag-monitors"), patient)
		store := openStore(t, "")
		leaks := goleak.IgnoreCurrent()
		feed := runFeed(t, store, opts...)
		<-feed.Ready()
		h.at(kmsg.LeaveGroup)
		feed.stop()
		<-h.hung
		noneLeft(t, leaks)
	})
}

// newHanging returns the options of a feed from a fake with a group, whose brokers can hang.
func newHanging(t *testing.T, opts ...Opt) (*hang, []Opt) {
	h := newHang(t)
	f := withLog(t, kfake.ListenFn(h.listen))
	t.Cleanup(h.resume)
	f.commit("g", 0, 3)
	f.log(logCommit(0, "g", 0, 3))
	f.client.Close()
	return h, f.opts(append([]Opt{Interval(often)}, opts...)...)
}

// noneLeft fails the test if a goroutine is left that is not one of the fake.
func noneLeft(t *testing.T, before goleak.Option) {
	t.Helper()
	options := []goleak.Option{before}
	for _, function := range []string{"read", "read.func1", "write"} {
		options = append(options, goleak.IgnoreAnyFunction("github.com/twmb/franz-go/pkg/kfake.(*clientConn)."+function))
	}
	leaktest.None(t, options...)
}
