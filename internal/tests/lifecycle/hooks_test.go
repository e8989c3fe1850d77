package lifecycle_test

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// coordinator makes a Coordinator of an inmemory module with a snapshot, and of one cluster.
func coordinator(t *testing.T, log *zap.Logger, settings ...any) *storage.Coordinator {
	t.Helper()
	v := viper.New()
	v.Set("cluster.local.class-name", "kafka")
	v.Set("storage.test.class-name", "inmemory")
	v.Set("storage.test.workers", 2)
	for i := 0; i < len(settings); i += 2 {
		v.Set("storage.test."+settings[i].(string), settings[i+1])
	}
	return &storage.Coordinator{App: &protocol.ApplicationContext{StorageChannel: make(chan *protocol.StorageRequest)}, Log: log, Viper: v}
}

// within fails the test, and prints all goroutines, if do does not return.
func within(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		debug.SetTraceback("all")
		panic(what + " does not return")
	}
}

// send sends requests that cause a log line of every kind, and reads one answer.
func send(t *testing.T, c *storage.Coordinator) {
	t.Helper()
	reply := make(chan any)
	closed := make(chan any)
	close(closed)
	unread := make(chan any)
	for _, r := range []*protocol.StorageRequest{
		nil,
		{RequestType: protocol.StorageSetBrokerOffset, Cluster: "local", Topic: "topic", Offset: 100, TopicPartitionCount: 1},
		{RequestType: protocol.StorageSetConsumerOffset, Cluster: "local", Group: "group", Topic: "topic", Offset: 1, Timestamp: time.Now().UnixMilli()},
		{RequestType: protocol.StorageSetConsumerOffset, Cluster: "local", Group: "group", Topic: "unknown"},
		{RequestType: 99},
		{RequestType: protocol.StorageFetchConsumer, Cluster: "local", Group: "group"},
		{RequestType: protocol.StorageFetchConsumer, Cluster: "local", Group: "group", Reply: closed},
		{RequestType: protocol.StorageFetchConsumer, Cluster: "local", Group: "group", Reply: unread},
		{RequestType: protocol.StorageFetchConsumer, Cluster: "local", Group: "unknown", Reply: make(chan any)},
		{RequestType: protocol.StorageFetchConsumer, Cluster: "local", Group: "group", Reply: reply},
	} {
		c.App.StorageChannel <- r
	}
	require.IsType(t, protocol.ConsumerTopics{}, <-reply)
}

// TestHooksCallBack has a hook that calls the store from every line, one call for each message: nothing hangs, and no request
// is lost.
func TestHooksCallBack(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(*storage.Coordinator){
		"stop":      func(c *storage.Coordinator) { _ = c.Stop() },
		"start":     func(c *storage.Coordinator) { _ = c.Start() },
		"configure": func(c *storage.Coordinator) { c.Configure() },
		"stats":     func(c *storage.Coordinator) { _, _ = c.Stats() },
		"watch": func(c *storage.Coordinator) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			_, _ = c.Watch(ctx, storage.WatchFilter{})
		},
		"snapshot": func(c *storage.Coordinator) {
			if p, err := c.Persistent(); err == nil {
				_ = p.Snapshot(context.Background())
			}
		},
		"typed": func(c *storage.Coordinator) {
			if s := c.Store(); s != nil {
				_ = s.SetEndOffset(context.Background(), "local", "hooked", protocol.EndOffset{Offset: 1})
			}
		},
		"request": func(c *storage.Coordinator) {
			reply := make(chan any)
			select {
			case c.App.StorageChannel <- &protocol.StorageRequest{RequestType: protocol.StorageFetchClusters, Reply: reply}:
				<-reply
			case <-time.After(50 * time.Millisecond): // nobody receives before Start and after Stop
			}
		},
	} {
		for _, level := range []zapcore.Level{zap.InfoLevel, zap.DebugLevel} {
			t.Run(fmt.Sprint(name, " ", level), func(t *testing.T) {
				t.Parallel()
				var c *storage.Coordinator
				var once sync.Map
				core, logs := observer.New(level)
				c = coordinator(t, zap.New(core, zap.Hooks(func(e zapcore.Entry) error {
					if _, again := once.LoadOrStore(e.Message, true); !again {
						call(c)
					}
					return nil
				})), "snapshot-path", filepath.Join(t.TempDir(), "snapshot"))
				within(t, name, func() {
					c.Configure()
					err := c.Start()
					if name != "stop" && name != "start" && name != "configure" {
						require.NoError(t, err)
						send(t, c)
					} else if err == nil {
						// The hook may be called while it runs or not.
						select {
						case c.App.StorageChannel <- nil:
						case <-time.After(time.Second):
						}
					}
					if p, err := c.Persistent(); err == nil {
						_ = p.Snapshot(t.Context())
					}
					_ = c.Stop()
					_ = c.Stop()
				})
				require.NotEmpty(t, logs.FilterMessage("configuring").All())
			})
		}
	}
}

// TestStopFromALine stops the store from the log line of a request: what was sent before it takes effect.
func TestStopFromALine(t *testing.T) {
	t.Parallel()
	for name, wait := range map[string]func(func()){
		"by the hook": func(do func()) { do() },
		"by a goroutine that the hook waits for": func(do func()) {
			done := make(chan struct{})
			go func() {
				defer close(done)
				do()
			}()
			<-done
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c *storage.Coordinator
			stopped := make(chan struct{})
			core, _ := observer.New(zap.InfoLevel)
			c = coordinator(t, zap.New(core, zap.Hooks(func(e zapcore.Entry) error {
				if e.Message == "unknown request type" {
					wait(func() { _ = c.Stop() })
					close(stopped)
				}
				return nil
			})))
			c.Configure()
			require.NoError(t, c.Start())
			store := c.Store()
			within(t, "Stop", func() {
				c.App.StorageChannel <- &protocol.StorageRequest{RequestType: 99}
				<-stopped
			})
			_, err := store.Clusters(t.Context())
			require.ErrorIs(t, err, storage.ErrStopped)
			require.NoError(t, c.Stop())
		})
	}
}

// broken is a core that panics at every line.
type broken struct{ zapcore.Core }

func (broken) Enabled(zapcore.Level) bool { return true }

func (b broken) With([]zapcore.Field) zapcore.Core { return b }

func (b broken) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return to.AddCore(e, b)
}

func (broken) Write(zapcore.Entry, []zapcore.Field) error { panic("broken logger") }

// TestLoggerThatPanics sends requests of every kind to a store whose logger panics at every line: they take effect, and the
// lost lines are counted.
func TestLoggerThatPanics(t *testing.T) {
	t.Parallel()
	c := coordinator(t, zap.New(broken{}), "snapshot-path", filepath.Join(t.TempDir(), "snapshot"))
	within(t, "a panicking logger", func() {
		c.Configure()
		require.NoError(t, c.Start())
		send(t, c)
		p, err := c.Persistent()
		require.NoError(t, err)
		require.NoError(t, p.Snapshot(t.Context()))
		stats, err := c.Stats()
		require.NoError(t, err)
		require.Positive(t, stats.LostLines)
		require.Zero(t, stats.Panics)
		require.Zero(t, stats.Relay.Panics)
		require.NoError(t, c.Stop())
	})
}

// TestLoggerThatDoesNotReturn stops a store whose logger hangs: only the lines are lost.
func TestLoggerThatDoesNotReturn(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	core, logs := observer.New(zap.DebugLevel)
	c := coordinator(t, zap.New(core, zap.Hooks(func(zapcore.Entry) error {
		<-release
		return nil
	})))
	within(t, "a store whose logger hangs", func() {
		c.Configure()
		require.NoError(t, c.Start())
		send(t, c)
		require.NoError(t, c.Stop())
	})
	close(release)
	require.Eventually(t, func() bool { return logs.FilterMessage("stopping").Len() > 0 }, patience, time.Millisecond)
}
