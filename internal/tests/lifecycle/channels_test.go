package lifecycle_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// foreign is a module with a channel of its own, from which it takes a limited number of requests.
type foreign struct {
	channel chan *protocol.StorageRequest
	takes   int
	done    sync.WaitGroup
}

func (m *foreign) Configure(string, string) { m.channel = make(chan *protocol.StorageRequest) }

func (m *foreign) Start() error {
	m.done.Go(func() {
		for range m.takes {
			(<-m.channel).Reply <- "taken"
		}
	})
	return nil
}

func (m *foreign) Stop() error {
	m.done.Wait()
	return nil
}

func (m *foreign) GetCommunicationChannel() chan *protocol.StorageRequest { return m.channel }

func init() {
	for class, closes := range map[string]bool{"deaf": false, "closing": true} {
		err := storage.Register(class, func(*protocol.ApplicationContext, *zap.Logger, *viper.Viper) storage.Module {
			if closes {
				return &closing{foreign{takes: 1}}
			}
			return &foreign{takes: 1}
		})
		if err != nil {
			panic(err)
		}
	}
}

// closing is a foreign that closes its channel as soon as it is started.
type closing struct{ foreign }

func (m *closing) Start() error {
	close(m.channel)
	return nil
}

// TestModuleThatDoesNotTake sends requests that a module never takes: the Reply of each fetch is closed, the others are
// counted in the log, and Stop returns.
func TestModuleThatDoesNotTake(t *testing.T) {
	t.Parallel()
	for class, taken := range map[string]int{"deaf": 1, "closing": 0} {
		synctest.Test(t, func(t *testing.T) {
			core, logs := observer.New(zap.InfoLevel)
			c := coordinator(t, zap.New(core), "class-name", class)
			c.App.StorageChannel = make(chan *protocol.StorageRequest, 10)
			c.Configure()
			require.NoError(t, c.Start())
			var replies []chan any
			for range 4 {
				reply := make(chan any, 1)
				replies = append(replies, reply)
				c.App.StorageChannel <- &protocol.StorageRequest{RequestType: protocol.StorageFetchClusters, Reply: reply}
			}
			c.App.StorageChannel <- &protocol.StorageRequest{RequestType: protocol.StorageSetDeleteGroup}
			c.App.StorageChannel <- nil
			for _, reply := range replies[:taken] {
				require.Equal(t, "taken", <-reply)
			}
			begun := time.Now()
			require.NoError(t, c.Stop())
			require.Less(t, time.Since(begun), 10*time.Second)
			for _, reply := range replies[taken:] {
				_, open := <-reply
				require.False(t, open)
			}
			lost := logs.FilterMessage("request lost: the module does not take it").All()
			require.NotEmpty(t, lost)
		})
	}
}

// TestStartOnAClosedChannel starts on a closed channel: a warning is logged, and the typed API works.
func TestStartOnAClosedChannel(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	c := coordinator(t, zap.New(core))
	close(c.App.StorageChannel)
	c.Configure()
	require.NoError(t, c.Start())
	require.Equal(t, 1, logs.FilterMessage("StorageChannel closed: no more requests are received").FilterLevelExact(zap.WarnLevel).Len())
	_, err := c.Store().Clusters(t.Context())
	require.NoError(t, err)
	require.NoError(t, c.Stop())
}

// TestTwoOnOneChannel lets two Coordinators receive from one channel: one of them is stopped while the other is busy, and
// then the other.
func TestTwoOnOneChannel(t *testing.T) {
	t.Parallel()
	one, two := coordinator(t, nil), coordinator(t, nil)
	two.App.StorageChannel = one.App.StorageChannel
	for _, c := range []*storage.Coordinator{one, two} {
		c.Configure()
		require.NoError(t, c.Start())
	}
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for range 3 {
		senders.Go(func() {
			for {
				reply := make(chan any)
				select {
				case one.App.StorageChannel <- &protocol.StorageRequest{RequestType: protocol.StorageFetchClusters, Reply: reply}:
					<-reply
				case <-stop:
					return
				}
			}
		})
	}
	within(t, "stop of two", func() {
		require.NoError(t, one.Stop())
		send(t, two)
		require.NoError(t, two.Stop())
	})
	close(stop)
	senders.Wait()
}

// TestKeptAcrossRestarts keeps everything that may be kept while the store is stopped, configured and started again, with
// another class in between.
func TestKeptAcrossRestarts(t *testing.T) {
	t.Parallel()
	c := coordinator(t, nil, "snapshot-path", t.TempDir()+"/snapshot")
	c.Configure()
	store, channel := c.Store(), c.App.StorageChannel
	persistent, err := c.Persistent()
	require.NoError(t, err)
	ctx := context.Background()
	for round := range 3 {
		_, err = store.Clusters(ctx)
		require.ErrorIs(t, err, storage.ErrStopped)
		require.ErrorIs(t, persistent.Snapshot(ctx), storage.ErrStopped)
		_, err = c.Stats()
		require.ErrorIs(t, err, storage.ErrStopped)
		require.NoError(t, c.Start())
		if round > 0 {
			require.NotEmpty(t, persistent.Restored().File)
		}
		events, err := store.(storage.Watcher).Watch(ctx, storage.WatchFilter{})
		require.NoError(t, err)
		send(t, c)
		require.NoError(t, store.SetEndOffset(ctx, "local", "typed", protocol.EndOffset{Offset: int64(round + 1)}))
		require.NoError(t, persistent.Snapshot(ctx))
		stats, err := c.Stats()
		require.NoError(t, err)
		require.Equal(t, 2, stats.Topics)
		require.Equal(t, channel, c.App.StorageChannel)
		require.NoError(t, c.Stop())
		for range events {
			// It ends with the run.
		}

		// Another class, without a typed API.
		c.Viper.Set("storage.test.class-name", "deaf")
		c.Configure()
		_, err = store.Clusters(ctx)
		require.ErrorIs(t, err, storage.ErrStopped)
		require.ErrorIs(t, persistent.Snapshot(ctx), storage.ErrStopped)
		require.NoError(t, c.Stop())
		c.Viper.Set("storage.test.class-name", "inmemory")
		c.Configure()
	}
}

// TestKeptModuleChannel keeps the channel of a module that is configured again, if it has the right capacity and is open.
func TestKeptModuleChannel(t *testing.T) {
	t.Parallel()
	v := coordinator(t, nil).Viper
	m := &storage.InMemoryStorage{Viper: v}
	m.Configure("test", "storage.test")
	channel := m.GetCommunicationChannel()
	for range 3 {
		require.NoError(t, m.Start())
		reply := make(chan any)
		channel <- &protocol.StorageRequest{RequestType: protocol.StorageFetchClusters, Reply: reply}
		require.Equal(t, []string{"local"}, <-reply)
		require.NoError(t, m.Stop())
		m.Configure("test", "storage.test")
		require.Equal(t, channel, m.GetCommunicationChannel())
	}
	v.Set("storage.test.queue-depth", 5)
	m.Configure("test", "storage.test")
	require.Equal(t, 5, cap(m.GetCommunicationChannel()))
	require.NoError(t, m.Start())
	close(m.GetCommunicationChannel())
	require.NoError(t, m.Stop())
	m.Configure("test", "storage.test")
	require.NoError(t, m.Start())
	reply := make(chan any)
	m.GetCommunicationChannel() <- &protocol.StorageRequest{RequestType: protocol.StorageFetchClusters, Reply: reply}
	require.Equal(t, []string{"local"}, <-reply)
	require.NoError(t, m.Stop())
}
