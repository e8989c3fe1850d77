package lifecycle_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// TestEverythingAtOnce starts, stops and configures a store while requests are sent, replies are left unread, watchers read
// or do not, and a hook of the logger calls back: nothing hangs or panics, and nothing is left running.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	var c *storage.Coordinator
	core, _ := observer.New(zap.DebugLevel)
	c = coordinator(t, zap.New(core, zap.Hooks(func(e zapcore.Entry) error {
		_, _ = c.Stats()
		if p, err := c.Persistent(); err == nil && e.Message == "dropped" {
			_ = p.Snapshot(context.Background())
		}
		if e.Message == "restored" {
			_ = c.Stop()
		}
		return nil
	})), "snapshot-path", t.TempDir()+"/snapshot")
	c.Configure()
	quit := make(chan struct{})
	var users, owners sync.WaitGroup
	for range 3 {
		users.Go(func() { use(c, quit) })
		users.Go(func() { watch(c, quit) })
		owners.Go(func() {
			for range 30 {
				_ = c.Start()
				<-time.After(time.Millisecond)
				_ = c.Stop()
				func() {
					// Configure panics while the store runs, which another owner may have started.
					defer func() { _ = recover() }()
					c.Configure()
				}()
			}
		})
	}
	within(t, "everything", func() {
		owners.Wait()
		close(quit)
		users.Wait()
		_ = c.Stop()
		require.NoError(t, c.Stop())
	})
}

// use sends requests until quit is closed, and reads some of the replies.
func use(c *storage.Coordinator, quit chan struct{}) {
	for i := int64(0); ; i++ {
		r := &protocol.StorageRequest{RequestType: protocol.StorageFetchTopics, Cluster: "local", Reply: make(chan any, rand.N(2))}
		switch i % 4 {
		case 0:
			r = &protocol.StorageRequest{RequestType: protocol.StorageSetBrokerOffset, Cluster: "local", Topic: "topic", Offset: i, TopicPartitionCount: 1}
		case 1:
			r = &protocol.StorageRequest{RequestType: protocol.StorageSetConsumerOffset, Cluster: "local", Group: "group", Topic: "topic", Offset: i, Timestamp: time.Now().UnixMilli()}
		}
		select {
		case c.App.StorageChannel <- r:
		case <-quit:
			return
		}
		if i%8 == 2 {
			select {
			case <-r.Reply:
			case <-quit:
				return
			}
		}
	}
}

// watch watches until quit is closed, sometimes reading, sometimes not.
func watch(c *storage.Coordinator, quit chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-quit:
			return
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		if events, err := c.Watch(ctx, storage.WatchFilter{}); err == nil && i%2 == 0 {
			for range events {
				_, _ = c.Stats()
			}
		}
		<-ctx.Done()
		cancel()
	}
}
