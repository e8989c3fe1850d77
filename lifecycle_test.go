package storage_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/storagetest"
)

func TestStartBeforeConfigure(t *testing.T) {
	t.Parallel()
	channel := make(chan *protocol.StorageRequest)
	app := &protocol.ApplicationContext{Logger: zap.NewNop(), StorageChannel: channel}
	v := configuration(extremeConfig())
	for name, unconfigured := range map[string]interface {
		Start() error
		Stop() error
	}{
		"module":      &storage.InMemoryStorage{App: app, Log: zap.NewNop(), Viper: v},
		"coordinator": &storage.Coordinator{App: app, Log: zap.NewNop(), Viper: v},
	} {
		require.Error(t, unconfigured.Start(), name)
		require.Error(t, unconfigured.Start(), name)
		require.NoError(t, unconfigured.Stop(), name)
		require.Error(t, unconfigured.Start(), name)
	}
	select {
	case channel <- fetchOf("group"):
		require.FailNow(t, "a request was received")
	default:
	}
}

func TestStopBeforeStart(t *testing.T) {
	t.Parallel()
	forServices(t, func(t *testing.T, s *service) {
		s.stop()
		s.stop()
		require.Error(t, s.Start(), "Start after Stop")
		s.again()
		require.NoError(t, s.Start())
		s.fill()
	})
}

func TestSecondStart(t *testing.T) {
	t.Parallel()
	forServices(t, func(t *testing.T, s *service) {
		require.NoError(t, s.Start())
		s.fill()
		require.Error(t, s.Start())
		require.Error(t, s.Start())
		s.holds(true)
	})
}

func TestStartAfterStop(t *testing.T) {
	t.Parallel()
	forServices(t, func(t *testing.T, s *service) {
		require.NoError(t, s.Start())
		s.fill()
		s.stop()
		s.deaf()
		require.Error(t, s.Start())
		require.Error(t, s.Start())
		s.deaf()
		s.stop()
		s.deaf()
	})
}

func TestConfigureAgain(t *testing.T) {
	t.Parallel()
	forServices(t, func(t *testing.T, s *service) {
		for range 20 {
			require.NoError(t, s.Start())
			s.holds(false)
			s.fill()
			s.stop()
			s.deaf()
			s.again()
			s.deaf()
		}
	})
}

// TestConfigurationIsReadAgain checks that Configure and Start take what is configured then, not before.
func TestConfigurationIsReadAgain(t *testing.T) {
	t.Parallel()
	v := configuration(extremeConfig("group-denylist", "^group$"))
	c := &storage.Coordinator{
		App: &protocol.ApplicationContext{StorageChannel: make(chan *protocol.StorageRequest)}, Viper: v,
	}
	c.Configure()
	require.NoError(t, c.Start())
	s := &service{Module: asModule{c}, t: t, store: c.Store, channel: c.App.StorageChannel}
	s.send(endOf("topic", 0, 1, 100))
	s.send(commitOf("group", "topic", 0, 10, 1, time.Now().UnixMilli()))
	_, there := s.ask(fetchOf("group"))
	require.False(t, there)
	s.stop()

	v.Set("storage.test.group-denylist", "")
	v.Set("storage.test.intervals", 2)
	v.Set("cluster.third.class-name", "kafka")
	c.Configure()
	require.NoError(t, c.Start())
	s.fill()
	answer, _ := s.ask(fetchOf("group"))
	require.Len(t, answer.(protocol.ConsumerTopics)["topic"][0].Offsets, 2)
	clusters, _ := s.ask(&protocol.StorageRequest{RequestType: protocol.StorageFetchClusters})
	require.ElementsMatch(t, []string{"local", "remote", "third"}, clusters)
	s.stop()
}

// TestStopUnderLoad starts and stops again and again while senders send all the time, over the channel, abandoning most
// replies, and over the typed API.
func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	for name, configured := range services {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i := range 20 {
				s := configured(t, extremeConfig("queue-depth", i%3, "workers", 1+i%5))
				quit := make(chan struct{})
				var senders sync.WaitGroup
				for sender := range 4 {
					senders.Add(2)
					go func() {
						defer senders.Done()
						s.hammer(sender, quit)
					}()
					go func() {
						defer senders.Done()
						s.call(sender, quit)
					}()
				}
				require.NoError(t, s.Start())
				s.fillAmongOthers(i)
				s.stop()
				s.stop()
				// Half of the senders are still at it when it begins anew.
				if name == "coordinator" {
					s.again()
					require.NoError(t, s.Start())
					s.fillAmongOthers(i)
					s.stop()
				}
				close(quit)
				senders.Wait()
			}
		})
	}
}

// hammer sends requests until quit is closed, and reads one reply in four.
func (s *service) hammer(sender int, quit chan struct{}) {
	channel, now := s.channel, time.Now().UnixMilli()
	for i := int64(0); ; i++ {
		topic, group := fmt.Sprint("topic of ", sender), fmt.Sprint("group of ", sender)
		r := endOf(topic, 0, 1, i)
		switch i % 4 {
		case 1:
			r = commitOf(group, topic, 0, i, i, now)
		case 2:
			r = fetchOf(group)
			r.Reply = make(chan any)
		case 3:
			r = &protocol.StorageRequest{RequestType: protocol.StorageFetchConsumers, Cluster: "local", Reply: make(chan any, 1)}
		}
		select {
		case channel <- r:
		case <-quit:
			return
		}
		if i%16 == 2 {
			select {
			case <-r.Reply:
			case <-quit:
				return
			}
		}
	}
}

// call calls the typed API until quit is closed.
func (s *service) call(sender int, quit chan struct{}) {
	ctx, topic, group := context.Background(), fmt.Sprint("typed topic ", sender), fmt.Sprint("typed group ", sender)
	var into protocol.Group
	for i := int64(1); ; i++ {
		select {
		case <-quit:
			return
		default:
			runtime.Gosched()
		}
		store := s.store()
		errs := []error{
			store.SetEndOffset(ctx, "local", topic, protocol.EndOffset{Offset: i}),
			store.Commit(ctx, "local", group, protocol.Commit{Topic: topic, Offset: i, Timestamp: time.Now().UnixMilli()}),
			store.Group(ctx, "local", group, &into),
		}
		// Whether it is stopped before, between or after is chance; anything but that is not.
		for _, err := range errs {
			if err != nil && !errors.Is(err, storage.ErrStopped) && !errors.Is(err, storage.ErrUnknownTopic) &&
				!errors.Is(err, storage.ErrUnknownGroup) {
				s.t.Errorf("a typed call while it stops: %v", err)
				return
			}
		}
	}
}

// fillAmongOthers is fill where others send too.
func (s *service) fillAmongOthers(i int) {
	s.t.Helper()
	topic, group := fmt.Sprint("topic", i), fmt.Sprint("group", i)
	s.send(endOf(topic, 0, 1, 100))
	s.send(commitOf(group, topic, 0, 10, 1, time.Now().UnixMilli()))
	_, there := s.ask(fetchOf(group))
	require.True(s.t, there)
}

// TestStartStopAtOnce calls everything from everywhere: whatever the order, nothing panics, hangs or is left running.
func TestStartStopAtOnce(t *testing.T) {
	t.Parallel()
	forServices(t, func(t *testing.T, s *service) {
		var callers sync.WaitGroup
		for range 4 {
			callers.Add(1)
			go func() {
				defer callers.Done()
				for range 100 {
					_ = s.Start()
					_, _ = s.store().Clusters(context.Background())
					_ = s.Stop()
					func() {
						// Configure panics while it runs; one of the others may just have started it.
						defer func() { _ = recover() }()
						s.Configure("test", "storage.test")
					}()
				}
			}()
		}
		callers.Wait()
	})
}

// TestClosedStorageChannel closes the application's channel. In a bubble, Wait returns only when nothing spins.
func TestClosedStorageChannel(t *testing.T) {
	t.Parallel()
	for name, closeAt := range map[string]func(s *service){
		"while it runs": func(s *service) {
			require.NoError(s.t, s.Start())
			s.fill()
			close(s.channel)
		},
		"before Start": func(s *service) {
			close(s.channel)
			require.NoError(s.t, s.Start())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := coordinator(t, extremeConfig())
				closeAt(s)
				synctest.Wait()
				clusters, err := s.store().Clusters(t.Context())
				require.NoError(t, err, "the typed API needs no channel")
				require.Equal(t, storagetest.GeneratorClusters, clusters)
				s.stop()
				s.stop()
			})
		})
	}
}

// TestClosedStorageChannelWithRoom closes a channel that still holds requests: they are carried out.
func TestClosedStorageChannelWithRoom(t *testing.T) {
	t.Parallel()
	c := newCoordinator(extremeConfig())
	c.App.StorageChannel = make(chan *protocol.StorageRequest, 3)
	fetch := fetchOf("group")
	fetch.Reply = make(chan any, 1)
	c.App.StorageChannel <- endOf("topic", 0, 1, 100)
	c.App.StorageChannel <- commitOf("group", "topic", 0, 10, 1, time.Now().UnixMilli())
	c.App.StorageChannel <- fetch
	close(c.App.StorageChannel)
	require.NoError(t, c.Start())
	require.IsType(t, protocol.ConsumerTopics{}, <-fetch.Reply)
	require.NoError(t, c.Stop())
}

// TestTwoStores runs two stores in one process that know nothing of each other.
func TestTwoStores(t *testing.T) {
	t.Parallel()
	one, two := started(t, extremeConfig()), started(t, extremeConfig("intervals", 5))
	one.fill()
	two.holds(false)
	two.fill()
	one.stop()
	two.holds(true)
}

// failing is a module that does not start or does not stop.
type failing struct {
	storage.Module
	start, stop error
}

func (f failing) Start() error {
	if f.start != nil {
		return f.start
	}
	return f.Module.Start()
}

func (f failing) Stop() error { return errors.Join(f.Module.Stop(), f.stop) }

func TestModuleErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, errs := range map[string][2]error{"start": {broken, nil}, "stop": {nil, broken}} {
		class := "failing to " + name
		require.NoError(t, storage.Register(class, func(
			app *protocol.ApplicationContext, log *zap.Logger, v *viper.Viper,
		) storage.Module {
			return failing{&storage.InMemoryStorage{App: app, Log: log, Viper: v}, errs[0], errs[1]}
		}))
		c := newCoordinator(extremeConfig("class-name", class))
		err := c.Start()
		if name == "stop" {
			require.NoError(t, err)
			err = c.Stop()
		}
		require.ErrorIs(t, err, broken)
		require.NotEqual(t, broken, err, "the error is not wrapped")
		select {
		case c.App.StorageChannel <- fetchOf("group"):
			require.FailNow(t, "a request was received")
		default:
		}
		require.NoError(t, c.Stop())
	}
}
