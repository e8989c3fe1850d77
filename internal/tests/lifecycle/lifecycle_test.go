package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/contract"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

func TestStartBeforeConfigure(t *testing.T) {
	t.Parallel()
	channel := make(chan *protocol.StorageRequest)
	app := &protocol.ApplicationContext{Logger: zap.NewNop(), StorageChannel: channel}
	v := testkit.Configuration(testkit.Config())
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
	case channel <- testkit.FetchOf("group"):
		require.FailNow(t, "a request was received")
	default:
	}
}

func TestStopBeforeStart(t *testing.T) {
	t.Parallel()
	testkit.ForServices(t, func(t *testing.T, s *testkit.Service) {
		s.MustStop()
		s.MustStop()
		require.Error(t, s.Start(), "Start after Stop")
		s.Again()
		require.NoError(t, s.Start())
		s.Fill()
	})
}

func TestSecondStart(t *testing.T) {
	t.Parallel()
	testkit.ForServices(t, func(t *testing.T, s *testkit.Service) {
		require.NoError(t, s.Start())
		s.Fill()
		require.Error(t, s.Start())
		require.Error(t, s.Start())
		s.Holds(true)
	})
}

func TestStartAfterStop(t *testing.T) {
	t.Parallel()
	testkit.ForServices(t, func(t *testing.T, s *testkit.Service) {
		require.NoError(t, s.Start())
		s.Fill()
		s.MustStop()
		s.Deaf()
		require.Error(t, s.Start())
		require.Error(t, s.Start())
		s.Deaf()
		s.MustStop()
		s.Deaf()
	})
}

func TestConfigureAgain(t *testing.T) {
	t.Parallel()
	testkit.ForServices(t, func(t *testing.T, s *testkit.Service) {
		for range 20 {
			require.NoError(t, s.Start())
			s.Holds(false)
			s.Fill()
			s.MustStop()
			s.Deaf()
			s.Again()
			s.Deaf()
		}
	})
}

// TestConfigurationIsReadAgain checks that Configure and Start use the configuration as it is when they are called.
func TestConfigurationIsReadAgain(t *testing.T) {
	t.Parallel()
	v := testkit.Configuration(testkit.Config("group-denylist", "^group$"))
	c := &storage.Coordinator{
		App: &protocol.ApplicationContext{StorageChannel: make(chan *protocol.StorageRequest)}, Viper: v,
	}
	c.Configure()
	require.NoError(t, c.Start())
	s := &testkit.Service{Module: testkit.AsModule{Coordinator: c}, T: t, Store: c.Store, Channel: c.App.StorageChannel}
	s.Send(testkit.EndOf("topic", 0, 1, 100))
	s.Send(testkit.CommitOf("group", "topic", 0, 10, 1, time.Now().UnixMilli()))
	_, there := s.Ask(testkit.FetchOf("group"))
	require.False(t, there)
	s.MustStop()

	v.Set("storage.test.group-denylist", "")
	v.Set("storage.test.intervals", 2)
	v.Set("cluster.third.class-name", "kafka")
	c.Configure()
	require.NoError(t, c.Start())
	s.Fill()
	answer, _ := s.Ask(testkit.FetchOf("group"))
	require.Len(t, answer.(protocol.ConsumerTopics)["topic"][0].Offsets, 2)
	clusters, _ := s.Ask(&protocol.StorageRequest{RequestType: protocol.StorageFetchClusters})
	require.ElementsMatch(t, []string{"local", "remote", "third"}, clusters)
	s.MustStop()
}

// TestStopUnderLoad starts and stops repeatedly while senders send all the time, over the channel, abandoning most replies,
// and over the typed API.
func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	for name, configured := range testkit.Services {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i := range 20 {
				s := configured(t, testkit.Config("queue-depth", i%3, "workers", 1+i%5))
				quit := make(chan struct{})
				var senders sync.WaitGroup
				for sender := range 4 {
					senders.Add(2)
					go func() {
						defer senders.Done()
						hammer(s, sender, quit)
					}()
					go func() {
						defer senders.Done()
						call(s, sender, quit)
					}()
				}
				require.NoError(t, s.Start())
				fillAmongOthers(s, i)
				s.MustStop()
				s.MustStop()
				// Half of the senders are still sending when it starts again.
				if name == "coordinator" {
					s.Again()
					require.NoError(t, s.Start())
					fillAmongOthers(s, i)
					s.MustStop()
				}
				close(quit)
				senders.Wait()
			}
		})
	}
}

// hammer sends requests until quit is closed, and reads one reply in four.
func hammer(s *testkit.Service, sender int, quit chan struct{}) {
	channel, now := s.Channel, time.Now().UnixMilli()
	for i := int64(0); ; i++ {
		topic, group := fmt.Sprint("topic of ", sender), fmt.Sprint("group of ", sender)
		r := testkit.EndOf(topic, 0, 1, i)
		switch i % 4 {
		case 1:
			r = testkit.CommitOf(group, topic, 0, i, i, now)
		case 2:
			r = testkit.FetchOf(group)
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

// call makes typed calls until quit is closed.
func call(s *testkit.Service, sender int, quit chan struct{}) {
	ctx, topic, group := context.Background(), fmt.Sprint("typed topic ", sender), fmt.Sprint("typed group ", sender)
	var into protocol.Group
	for i := int64(1); ; i++ {
		select {
		case <-quit:
			return
		default:
			runtime.Gosched()
		}
		store := s.Store()
		errs := []error{
			store.SetEndOffset(ctx, "local", topic, protocol.EndOffset{Offset: i}),
			store.Commit(ctx, "local", group, protocol.Commit{Topic: topic, Offset: i, Timestamp: time.Now().UnixMilli()}),
			store.Group(ctx, "local", group, &into),
		}
		// The call may come before, during or after a Stop; any other error is a fault.
		for _, err := range errs {
			if err != nil && !errors.Is(err, storage.ErrStopped) && !errors.Is(err, storage.ErrUnknownTopic) &&
				!errors.Is(err, storage.ErrUnknownGroup) {
				s.T.Errorf("a typed call while it stops: %v", err)
				return
			}
		}
	}
}

// fillAmongOthers is fill while others send.
func fillAmongOthers(s *testkit.Service, i int) {
	s.T.Helper()
	topic, group := fmt.Sprint("topic", i), fmt.Sprint("group", i)
	s.Send(testkit.EndOf(topic, 0, 1, 100))
	s.Send(testkit.CommitOf(group, topic, 0, 10, 1, time.Now().UnixMilli()))
	_, there := s.Ask(testkit.FetchOf(group))
	require.True(s.T, there)
}

// TestStartStopAtOnce calls everything from everywhere: whatever the order, nothing panics, hangs or is left running.
func TestStartStopAtOnce(t *testing.T) {
	t.Parallel()
	testkit.ForServices(t, func(t *testing.T, s *testkit.Service) {
		var callers sync.WaitGroup
		for range 4 {
			callers.Add(1)
			go func() {
				defer callers.Done()
				for range 100 {
					_ = s.Start()
					_, _ = s.Store().Clusters(context.Background())
					_ = s.Stop()
					func() {
						// Configure panics while the Coordinator runs, which another goroutine may just have started.
						defer func() { _ = recover() }()
						s.Configure("test", "storage.test")
					}()
				}
			}()
		}
		callers.Wait()
	})
}

// TestClosedStorageChannel closes the application's channel. In a bubble, Wait returns only if no goroutine spins.
func TestClosedStorageChannel(t *testing.T) {
	t.Parallel()
	for name, closeAt := range map[string]func(s *testkit.Service){
		"while it runs": func(s *testkit.Service) {
			require.NoError(s.T, s.Start())
			s.Fill()
			close(s.Channel)
		},
		"before Start": func(s *testkit.Service) {
			close(s.Channel)
			require.NoError(s.T, s.Start())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := testkit.Coordinated(t, testkit.Config())
				closeAt(s)
				synctest.Wait()
				clusters, err := s.Store().Clusters(t.Context())
				require.NoError(t, err, "the typed API needs no channel")
				require.Equal(t, contract.GeneratorClusters, clusters)
				s.MustStop()
				s.MustStop()
			})
		})
	}
}

// TestClosedStorageChannelWithRoom closes a channel that still holds requests: they are carried out.
func TestClosedStorageChannelWithRoom(t *testing.T) {
	t.Parallel()
	c := testkit.NewCoordinator(testkit.Config())
	c.App.StorageChannel = make(chan *protocol.StorageRequest, 3)
	fetch := testkit.FetchOf("group")
	fetch.Reply = make(chan any, 1)
	c.App.StorageChannel <- testkit.EndOf("topic", 0, 1, 100)
	c.App.StorageChannel <- testkit.CommitOf("group", "topic", 0, 10, 1, time.Now().UnixMilli())
	c.App.StorageChannel <- fetch
	close(c.App.StorageChannel)
	require.NoError(t, c.Start())
	require.IsType(t, protocol.ConsumerTopics{}, <-fetch.Reply)
	require.NoError(t, c.Stop())
}

// TestTwoStores runs two independent stores in one process.
func TestTwoStores(t *testing.T) {
	t.Parallel()
	one, two := testkit.Started(t, testkit.Config()), testkit.Started(t, testkit.Config("intervals", 5))
	one.Fill()
	two.Holds(false)
	two.Fill()
	one.MustStop()
	two.Holds(true)
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

// classes counts the classes that tests of this process have registered.
var classes atomic.Int64

func TestModuleErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, errs := range map[string][2]error{"start": {broken, nil}, "stop": {nil, broken}} {
		// A class stays registered, so another run in this process needs another name.
		class := fmt.Sprintf("failing to %s %d", name, classes.Add(1))
		require.NoError(t, storage.Register(class, func(
			app *protocol.ApplicationContext, log *zap.Logger, v *viper.Viper,
		) storage.Module {
			return failing{&storage.InMemoryStorage{App: app, Log: log, Viper: v}, errs[0], errs[1]}
		}))
		c := testkit.NewCoordinator(testkit.Config("class-name", class))
		err := c.Start()
		if name == "stop" {
			require.NoError(t, err)
			err = c.Stop()
		}
		require.ErrorIs(t, err, broken)
		require.NotEqual(t, broken, err, "the error is not wrapped")
		select {
		case c.App.StorageChannel <- testkit.FetchOf("group"):
			require.FailNow(t, "a request was received")
		default:
		}
		require.NoError(t, c.Stop())
	}
}
