package testkit

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/storagetest"
)

// Patience limits what must not wait for ever. It measures nothing.
const Patience = 10 * time.Minute

// Service is a Coordinator or a bare module, and the channel that its senders use.
type Service struct {
	protocol.Module
	T       *testing.T
	Channel chan *protocol.StorageRequest
	Store   func() storage.Store
	// Again configures the service as before.
	Again func()
}

// Bare makes a configured module without a Coordinator.
func Bare(t *testing.T, config storagetest.Config) *Service {
	t.Helper()
	m := InMemory(t, config).(*storage.InMemoryStorage)
	s := &Service{Module: m, T: t, Store: m.Store, Channel: m.GetCommunicationChannel()}
	s.Again = func() {
		m.Configure("test", "storage.test")
		s.Channel = m.GetCommunicationChannel()
	}
	return s
}

// Coordinated makes a configured Coordinator.
func Coordinated(t *testing.T, config storagetest.Config) *Service {
	t.Helper()
	c := NewCoordinator(config)
	return &Service{Module: AsModule{c}, T: t, Store: c.Store, Channel: c.App.StorageChannel, Again: c.Configure}
}

// Services are both kinds, by name.
var Services = map[string]func(*testing.T, storagetest.Config) *Service{"module": Bare, "coordinator": Coordinated}

// ForServices runs a test for each kind of service, configured but not started.
func ForServices(t *testing.T, run func(t *testing.T, s *Service)) {
	t.Helper()
	for name, configured := range Services {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := configured(t, Config("queue-depth", 0))
			t.Cleanup(func() { s.MustStop() })
			run(t, s)
		})
	}
}

// Started makes a service and starts it; the end of the test stops it.
func Started(t *testing.T, config storagetest.Config) *Service {
	t.Helper()
	s := Coordinated(t, config)
	require.NoError(t, s.Start())
	t.Cleanup(func() { s.MustStop() })
	return s
}

// MustStop stops it, and fails the test if that does not return or returns an error.
func (s *Service) MustStop() {
	s.T.Helper()
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop() }()
	select {
	case err := <-stopped:
		require.NoError(s.T, err)
	case <-time.After(Patience):
		require.FailNow(s.T, "Stop does not return")
	}
}

// Send puts a request into the channel.
func (s *Service) Send(r *protocol.StorageRequest) {
	s.T.Helper()
	select {
	case s.Channel <- r:
	case <-time.After(Patience):
		require.FailNow(s.T, "nobody receives the request")
	}
}

// Ask sends a fetch and returns its answer; replied is false if there was none.
func (s *Service) Ask(r *protocol.StorageRequest) (answer any, replied bool) {
	s.T.Helper()
	request := *r
	request.Reply = make(chan any)
	s.Send(&request)
	select {
	case answer, replied = <-request.Reply:
		return answer, replied
	case <-time.After(Patience):
		require.FailNow(s.T, "no answer")
		return nil, false
	}
}

// Fill stores a topic and a group.
func (s *Service) Fill() {
	s.T.Helper()
	s.Send(EndOf("topic", 0, 1, 100))
	s.Send(CommitOf("group", "topic", 0, 10, 1, time.Now().UnixMilli()))
	s.Holds(true)
}

// Holds checks whether what Fill stored is there.
func (s *Service) Holds(want bool) {
	s.T.Helper()
	_, there := s.Ask(FetchOf("group"))
	require.Equal(s.T, want, there)
	topics, _ := s.Ask(&protocol.StorageRequest{RequestType: protocol.StorageFetchTopics, Cluster: "local"})
	if want {
		require.Equal(s.T, []string{"topic"}, topics)
	} else {
		require.Equal(s.T, []string{}, topics)
	}
}

// Deaf checks that nothing is received and typed calls are refused.
func (s *Service) Deaf() {
	s.T.Helper()
	for range 100 {
		select {
		case s.Channel <- FetchOf("group"):
			require.FailNow(s.T, "a request was received")
		default:
		}
	}
	_, err := s.Store().Clusters(context.Background())
	require.ErrorIs(s.T, err, storage.ErrStopped)
}

// Stats returns the statistics of a Coordinator.
func (s *Service) Stats() storage.Stats {
	s.T.Helper()
	stats, err := s.Module.(AsModule).Stats()
	require.NoError(s.T, err)
	return stats
}
