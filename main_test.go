package storage_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/storagetest"
)

// TestMain fails the whole run where a test leaves a goroutine behind.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// patience bounds what must not wait for ever. It measures nothing.
const patience = 2 * time.Minute

// service is a Coordinator or a bare module, and the channel that its senders use.
type service struct {
	protocol.Module
	t       *testing.T
	channel chan *protocol.StorageRequest
	store   func() storage.Store
	// again configures it as it was.
	again func()
}

// bare makes a configured module without a Coordinator.
func bare(t *testing.T, config storagetest.Config) *service {
	t.Helper()
	m := inMemory(t, config).(*storage.InMemoryStorage)
	s := &service{Module: m, t: t, store: m.Store, channel: m.GetCommunicationChannel()}
	s.again = func() {
		m.Configure("test", "storage.test")
		s.channel = m.GetCommunicationChannel()
	}
	return s
}

// coordinator makes a configured Coordinator.
func coordinator(t *testing.T, config storagetest.Config) *service {
	t.Helper()
	c := newCoordinator(config)
	return &service{Module: asModule{c}, t: t, store: c.Store, channel: c.App.StorageChannel, again: c.Configure}
}

// services are both, by their names.
var services = map[string]func(*testing.T, storagetest.Config) *service{"module": bare, "coordinator": coordinator}

// forServices runs a test for each kind of service, configured but not started.
func forServices(t *testing.T, run func(t *testing.T, s *service)) {
	t.Helper()
	for name, configured := range services {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := configured(t, extremeConfig("queue-depth", 0))
			t.Cleanup(func() { s.stop() })
			run(t, s)
		})
	}
}

// started makes a service and starts it; it is stopped when the test ends.
func started(t *testing.T, config storagetest.Config) *service {
	t.Helper()
	s := coordinator(t, config)
	require.NoError(t, s.Start())
	t.Cleanup(func() { s.stop() })
	return s
}

func (s *service) stop() {
	s.t.Helper()
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop() }()
	select {
	case err := <-stopped:
		require.NoError(s.t, err)
	case <-time.After(patience):
		require.FailNow(s.t, "Stop does not return")
	}
}

func (s *service) send(r *protocol.StorageRequest) {
	s.t.Helper()
	select {
	case s.channel <- r:
	case <-time.After(patience):
		require.FailNow(s.t, "nobody takes a request")
	}
}

// ask sends a fetch and returns its answer; replied is false where there was none.
func (s *service) ask(r *protocol.StorageRequest) (answer any, replied bool) {
	s.t.Helper()
	request := *r
	request.Reply = make(chan any)
	s.send(&request)
	select {
	case answer, replied = <-request.Reply:
		return answer, replied
	case <-time.After(patience):
		require.FailNow(s.t, "no answer comes")
		return nil, false
	}
}

// fill stores a topic and a group.
func (s *service) fill() {
	s.t.Helper()
	s.send(endOf("topic", 0, 1, 100))
	s.send(commitOf("group", "topic", 0, 10, 1, time.Now().UnixMilli()))
	s.holds(true)
}

// holds checks whether what fill stored is there.
func (s *service) holds(want bool) {
	s.t.Helper()
	_, there := s.ask(fetchOf("group"))
	require.Equal(s.t, want, there)
	topics, _ := s.ask(&protocol.StorageRequest{RequestType: protocol.StorageFetchTopics, Cluster: "local"})
	if want {
		require.Equal(s.t, []string{"topic"}, topics)
	} else {
		require.Equal(s.t, []string{}, topics)
	}
}

// deaf checks that nothing is received and typed calls are refused.
func (s *service) deaf() {
	s.t.Helper()
	for range 100 {
		select {
		case s.channel <- fetchOf("group"):
			require.FailNow(s.t, "a request was received")
		default:
		}
	}
	_, err := s.store().Clusters(context.Background())
	require.ErrorIs(s.t, err, storage.ErrStopped)
}
