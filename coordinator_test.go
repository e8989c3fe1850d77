package storage_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// withSettings makes a Coordinator that is not configured yet; settings are pairs of a key and its value.
func withSettings(settings ...any) *storage.Coordinator {
	v := viper.New()
	for i := 0; i < len(settings); i += 2 {
		v.Set(settings[i].(string), settings[i+1])
	}
	return &storage.Coordinator{App: &protocol.ApplicationContext{}, Log: zap.NewNop(), Viper: v}
}

// recording is a module of another kind: it has a channel and records the requests that come through it.
type recording struct {
	name, root string
	viper      *viper.Viper
	channel    chan *protocol.StorageRequest
	startError error
	// deaf keeps it from receiving anything.
	deaf bool

	quit chan struct{} // closed by Stop
	done sync.WaitGroup
	got  []*protocol.StorageRequest
}

func (m *recording) Configure(name, root string)                            { m.name, m.root = name, root }
func (m *recording) GetCommunicationChannel() chan *protocol.StorageRequest { return m.channel }

func (m *recording) Start() error {
	if m.startError != nil {
		return m.startError
	}
	m.quit = make(chan struct{})
	if m.deaf {
		return nil
	}
	m.done.Add(1)
	go func() {
		defer m.done.Done()
		for {
			select {
			case request := <-m.channel:
				m.got = append(m.got, request)
			case <-m.quit:
				return
			}
		}
	}()
	return nil
}

func (m *recording) Stop() error {
	close(m.quit)
	m.done.Wait()
	return nil
}

// recordingModule is the module that the next Coordinator of class "recording" gets, so tests that use it are not parallel.
var recordingModule *recording

func init() {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	must(storage.Register("recording", func(_ *protocol.ApplicationContext, _ *zap.Logger, v *viper.Viper) storage.Module {
		if recordingModule == nil {
			return nil
		}
		recordingModule.viper = v
		return recordingModule
	}))
}

// registrations makes class names that no other run in this process has registered.
var registrations atomic.Int64

func TestRegister(t *testing.T) {
	t.Parallel()
	factory := func(*protocol.ApplicationContext, *zap.Logger, *viper.Viper) storage.Module { return nil }
	require.ErrorContains(t, storage.Register("", factory), "empty")
	require.ErrorContains(t, storage.Register("registered by a test", nil), "nil")
	registered := fmt.Sprintf("registered by a test %d", registrations.Add(1))
	require.NoError(t, storage.Register(registered, factory))
	for _, taken := range []string{registered, storage.DefaultClassName} {
		err := storage.Register(taken, factory)
		require.ErrorContains(t, err, taken)
		require.ErrorContains(t, err, "taken")
	}
}

func TestUnknownClass(t *testing.T) {
	t.Parallel()
	c := withSettings("storage.mine.class-name", "postgres")
	text := panicText(t, c.Configure)
	for _, part := range []string{"storage.mine.class-name", `"postgres"`, "inmemory", "recording", "channel-only"} {
		require.Contains(t, text, part)
	}
	require.Error(t, c.Start())
	require.NoError(t, c.Stop())
	text = panicText(t, withSettings("storage.mine.class-name", []int{1}).Configure)
	require.Contains(t, text, "storage.mine.class-name: [1] is not allowed; allowed is a string")
}

func TestWhichModule(t *testing.T) {
	t.Parallel()
	text := panicText(t, withSettings("storage.one.intervals", 3, "storage.two.class-name", "inmemory").Configure)
	require.Contains(t, text, "only one module")
	require.Contains(t, text, "one, two")
	text = panicText(t, withSettings("storage", "inmemory").Configure)
	require.Contains(t, text, `storage: "inmemory" is not allowed`)

	for name, settings := range map[string][]any{
		"default": nil,
		"mine":    {"storage.mine.intervals", 3},
		"other":   {"storage.other.class-name", ""},
	} {
		core, logs := observer.New(zap.InfoLevel)
		c := withSettings(append(settings, "cluster.local.class-name", "kafka")...)
		c.Log = zap.New(core)
		c.Configure()
		require.NotNil(t, c.App.StorageChannel, "the channel is made if there is none")
		require.NoError(t, c.Start())
		require.NoError(t, c.Stop())
		of := logs.FilterField(zap.String("module", name)).FilterField(zap.String("class", "inmemory"))
		require.NotZero(t, of.Len(), name)
	}
}

func TestConfigureWhatCannotBe(t *testing.T) {
	t.Parallel()
	require.Contains(t, panicText(t, (&storage.Coordinator{}).Configure), "App is nil")
	c := withSettings()
	c.Log = nil
	c.Configure()
	require.NoError(t, c.Start())
	require.Contains(t, panicText(t, c.Configure), "already running")
	require.ErrorIs(t, c.Store().SetEndOffset(t.Context(), "local", "topic", protocol.EndOffset{}), storage.ErrUnknownCluster)
	require.NoError(t, c.Stop())

	// The names below cluster are checked by Start.
	c = withSettings("cluster", "local")
	c.Configure()
	require.ErrorContains(t, c.Start(), `cluster: "local" is not allowed`)
	require.NoError(t, c.Stop())
}

// The tests of class recording are not parallel: see recordingModule.

func TestNoModule(t *testing.T) {
	recordingModule = nil
	text := panicText(t, withSettings("storage.mine.class-name", "recording").Configure)
	require.Contains(t, text, "storage.mine.class-name")
	require.Contains(t, text, `"recording"`)
}

func TestModuleStartError(t *testing.T) {
	broken := errors.New("broken")
	synctest.Test(t, func(t *testing.T) {
		recordingModule = &recording{startError: broken}
		c := withSettings("storage.mine.class-name", "recording")
		c.Configure()
		err := c.Start()
		require.ErrorIs(t, err, broken)
		require.ErrorContains(t, err, "start storage module")
		synctest.Wait()
		select {
		case c.App.StorageChannel <- testkit.FetchOf("group"):
			require.Fail(t, "somebody receives")
		default:
		}
		// It may be tried again.
		recordingModule.startError = nil
		recordingModule.channel = make(chan *protocol.StorageRequest)
		require.NoError(t, c.Start())
		require.NoError(t, c.Stop())
	})
}

// TestForeignModule has a module without Submit, Store, Watch or Stats: it gets every request through its channel, unchanged,
// in the order sent, and before it is stopped.
func TestForeignModule(t *testing.T) {
	for _, capacity := range []int{0, 2} {
		recordingModule = &recording{channel: make(chan *protocol.StorageRequest, capacity)}
		m := recordingModule
		c := withSettings("storage.mine.class-name", "recording")
		c.Configure()
		require.Equal(t, []any{"mine", "storage.mine", c.Viper}, []any{m.name, m.root, m.viper})
		require.NoError(t, c.Start())
		var sent []*protocol.StorageRequest
		for i := range int64(100) {
			r := testkit.CommitOf("group", "topic", 0, i, i, i)
			sent = append(sent, r)
			c.App.StorageChannel <- r
		}
		if capacity > 0 {
			// Requests left in the channel of a module when it stops are up to the module.
			require.Eventually(t, func() bool { return len(m.channel) == 0 }, testkit.Patience, time.Millisecond)
		}
		require.NoError(t, c.Stop())
		require.GreaterOrEqual(t, len(m.got), len(sent)-capacity)
		for i := range m.got {
			require.Same(t, sent[i], m.got[i])
		}
		require.Nil(t, c.Store())
	}
}

// TestDeafModule has a module that receives nothing: Stop gives up on it.
func TestDeafModule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recordingModule = &recording{channel: make(chan *protocol.StorageRequest), deaf: true}
		c := withSettings("storage.mine.class-name", "recording")
		c.Configure()
		require.NoError(t, c.Start())
		c.App.StorageChannel <- testkit.FetchOf("group")
		begun := time.Now()
		require.NoError(t, c.Stop())
		require.LessOrEqual(t, time.Since(begun), 10*time.Second)
	})
}

// TestViper runs one store with a Viper of its own and one with the global Viper at the same time.
func TestViper(t *testing.T) {
	viper.Reset()
	defer viper.Reset()
	viper.Set("storage.global.intervals", 2)
	viper.Set("cluster.Everywhere.class-name", "kafka")
	global := &storage.Coordinator{App: &protocol.ApplicationContext{}}
	own := withSettings("storage.own.intervals", 4, "cluster.here.class-name", "kafka")
	for _, c := range []*storage.Coordinator{global, own} {
		c.Configure()
		require.NoError(t, c.Start())
		defer func() { require.NoError(t, c.Stop()) }()
	}
	for c, want := range map[*storage.Coordinator]struct {
		cluster   string
		intervals int
	}{global: {"everywhere", 2}, own: {"here", 4}} {
		clusters, err := c.Store().Clusters(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{want.cluster}, clusters)
		s := &testkit.Service{Module: testkit.AsModule{Coordinator: c}, T: t, Store: c.Store, Channel: c.App.StorageChannel}
		end, commit, fetch := testkit.EndOf("topic", 0, 1, 100), testkit.CommitOf("group", "topic", 0, 10, 1, time.Now().UnixMilli()), testkit.FetchOf("group")
		for _, r := range []*protocol.StorageRequest{end, commit, fetch} {
			r.Cluster = want.cluster
		}
		s.Send(end)
		s.Send(commit)
		answer, _ := s.Ask(fetch)
		require.Len(t, answer.(protocol.ConsumerTopics)["topic"][0].Offsets, want.intervals)
	}
}

// TestCoordinatorsShareAChannel lets two Coordinators receive from one StorageChannel: each request goes to one of them, and
// each ends when it is stopped, in either order.
func TestCoordinatorsShareAChannel(t *testing.T) {
	t.Parallel()
	for _, atOnce := range []bool{false, true} {
		app := &protocol.ApplicationContext{StorageChannel: make(chan *protocol.StorageRequest)}
		var both []*storage.Coordinator
		for range 2 {
			c := &storage.Coordinator{App: app, Viper: testkit.Configuration(testkit.Config())}
			c.Configure()
			require.NoError(t, c.Start())
			both = append(both, c)
		}
		const sent = 200
		for range sent {
			app.StorageChannel <- testkit.EndOf("topic", 0, 1, 100)
		}
		stored := uint64(0)
		if atOnce {
			var stops sync.WaitGroup
			for _, c := range both {
				stops.Add(1)
				go func() {
					defer stops.Done()
					if err := c.Stop(); err != nil {
						t.Error(err)
					}
				}()
			}
			stops.Wait()
			continue
		}
		for _, c := range both {
			reply := make(chan any, 1)
			app.StorageChannel <- &protocol.StorageRequest{RequestType: protocol.StorageFetchClusters, Reply: reply}
			require.NotNil(t, <-reply)
			require.Eventually(t, func() bool {
				all := uint64(0)
				for _, c := range both {
					stats, err := c.Stats()
					if errors.Is(err, storage.ErrStopped) {
						continue
					}
					require.NoError(t, err)
					all += stats.Requests.SetEndOffset.Done
				}
				stored = max(stored, all)
				return stored == sent
			}, testkit.Patience, time.Millisecond)
			require.NoError(t, c.Stop())
		}
	}
}

// TestCoordinatorWithOffsets checks what its documentation promises, repeatedly, and in a bubble, in which time passes if it
// sleeps. It resets the global viper and so is not parallel.
func TestCoordinatorWithOffsets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 5 {
			begun := time.Now()
			c := storage.CoordinatorWithOffsets()
			require.Equal(t, begun, time.Now(), "it slept")
			ctx, store := t.Context(), c.Store()
			clusters, err := store.Clusters(ctx)
			require.NoError(t, err)
			require.Equal(t, []string{"testcluster"}, clusters)
			ends, err := store.EndOffsets(ctx, "testcluster", "testtopic", nil)
			require.NoError(t, err)
			require.Equal(t, []int64{4321}, ends)
			groups, err := store.Groups(ctx, "testcluster")
			require.NoError(t, err)
			require.Equal(t, []string{"testgroup", "testgroup2"}, slices.Sorted(groups))

			for name, commits := range map[string]int{"testgroup": 10, "testgroup2": 5} {
				reply := make(chan any)
				c.App.StorageChannel <- &protocol.StorageRequest{
					RequestType: protocol.StorageFetchConsumer, Cluster: "testcluster", Group: name, Reply: reply,
				}
				topics := (<-reply).(protocol.ConsumerTopics)
				require.Len(t, topics, 1)
				require.Len(t, topics["testtopic"], 1)
				p := topics["testtopic"][0]
				require.Len(t, p.Offsets, 10)
				for i, commit := range p.Offsets {
					i := i - (10 - commits)
					if i < 0 {
						require.Nil(t, commit)
						continue
					}
					require.Equal(t, protocol.ConsumerOffset{
						Offset: 1000 + 100*int64(i), Order: 10 + int64(i), Timestamp: begun.UnixMilli() - 100_000 + 10_000*int64(i),
						ObservedTimestamp: begun.UnixMilli(), Lag: &protocol.Lag{Value: uint64(3321 - 100*i)},
					}, *commit)
				}
				require.EqualValues(t, 4321-900-100*commits, p.CurrentLag)
				require.Equal(t, protocol.PartitionBehind, p.State)
			}
			require.NoError(t, c.Stop())
			require.NoError(t, c.Stop())
		}
	})
}

// TestWatchersOfAStoreThatNeverRanAreTold checks that the loop of a watcher ends if a store is stopped, or configured again,
// before it was started.
func TestWatchersOfAStoreThatNeverRanAreTold(t *testing.T) {
	t.Parallel()
	v := viper.New()
	c := &storage.Coordinator{App: &protocol.ApplicationContext{}, Viper: v}
	c.Configure()
	first, err := c.Watch(context.Background(), storage.WatchFilter{})
	require.NoError(t, err)
	c.Configure()
	for range first {
		t.Error("an event")
	}
	second, err := c.Watch(context.Background(), storage.WatchFilter{})
	require.NoError(t, err)
	require.NoError(t, c.Stop())
	for range second {
		t.Error("an event")
	}
}
