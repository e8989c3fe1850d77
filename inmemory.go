package storage

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/viper"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage/internal/clock"
	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/protocol"
)

// InMemoryStorage is the module of class "inmemory": it keeps everything in the memory of the process. Groups are spread
// over as many shards as there are workers, by a hash of cluster and group.
type InMemoryStorage struct {
	// App is the application's context.
	App *protocol.ApplicationContext
	// Log takes what the module has to say; nil means that nothing is logged.
	Log *zap.Logger
	// Viper holds the configuration; nil stands for the global one.
	Viper *viper.Viper

	store memoryStore
	relay atomic.Pointer[Relay] // nil before Configure

	// mu is held for as long as Configure, Start or Stop takes, so that a second Stop returns no sooner than the first.
	mu     sync.Mutex
	state  moduleState // guarded by mu, as all below
	config *config
	clock  *clock.Clock
	quit   chan struct{} // closed when the sweeper is to end
	done   chan struct{} // closed when the sweeper has ended
}

// moduleState is where in its life a module or a coordinator is.
type moduleState int

const (
	unconfigured moduleState = iota // also after Stop
	configured
	started
)

// Configure reads the configuration under configRoot. It panics with a string that names every fault, and when the module
// runs.
func (m *InMemoryStorage) Configure(name, configRoot string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state == started {
		panic(fmt.Sprintf("storage module %s cannot be configured while it runs", name))
	}
	log := m.log()
	log.Info("configuring", zap.String("name", name))
	m.config = readConfig(viperOrGlobal(m.Viper), configRoot, log)
	m.relay.Store(NewRelay(&m.store, log, RelayOptions{
		Workers: m.config.workers, QueueDepth: m.config.queueDepth, ReplyTimeout: m.config.replyTimeout,
	}))
	m.state = configured
}

func (m *InMemoryStorage) log() *zap.Logger {
	if m.Log == nil {
		return zap.NewNop()
	}
	return m.Log
}

func viperOrGlobal(v *viper.Viper) *viper.Viper {
	if v == nil {
		return viper.GetViper()
	}
	return v
}

// GetCommunicationChannel returns the channel that the module receives requests from between Start and Stop, nil before
// Configure.
func (m *InMemoryStorage) GetCommunicationChannel() chan *protocol.StorageRequest {
	if relay := m.relay.Load(); relay != nil {
		return relay.GetCommunicationChannel()
	}
	return nil
}

// Store returns the typed API of the module. It may be kept: before Start and after Stop its methods return ErrStopped.
func (m *InMemoryStorage) Store() Store { return &m.store }

// Submit does what a request asks without the way through the channel. Before Configure it does nothing.
func (m *InMemoryStorage) Submit(request *protocol.StorageRequest) {
	if relay := m.relay.Load(); relay != nil {
		relay.Submit(request)
	}
}

// Start begins to take requests, with the clusters that are configured now. It returns an error, and changes nothing,
// unless the module has been configured since it was made or stopped, and where the clusters cannot be used.
func (m *InMemoryStorage) Start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != configured {
		return notConfigured("storage module", m.state)
	}
	clusters, err := clusterNames(viperOrGlobal(m.Viper))
	if err != nil {
		return err
	}
	m.log().Info("starting", zap.Strings("clusters", clusters))
	m.clock = clock.Start()
	e := engine.New(m.config.engine(clusters, m.clock))
	m.store.engine.Store(e)
	m.quit, m.done = make(chan struct{}), make(chan struct{})
	go sweep(e, m.config.sweepInterval, m.quit, m.done)
	m.relay.Load().Start()
	m.state = started
	return nil
}

// notConfigured says why something in a state cannot be started.
func notConfigured(what string, state moduleState) error {
	if state == started {
		return fmt.Errorf("start %s: it runs already", what)
	}
	return fmt.Errorf("start %s: it has not been configured", what)
}

// Stop ends the module: what was sent before takes effect, every Fetch accepted is answered or its Reply closed. It does
// nothing when the module does not run. The error is always nil.
func (m *InMemoryStorage) Stop() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != started {
		m.state = unconfigured
		return nil
	}
	m.log().Info("stopping")
	// 1. Handle what was sent, over the channel and by those who submit, then no more.
	m.relay.Load().Stop()
	// 2. Refuse typed calls.
	m.store.engine.Load().Stop()
	// 3. End what runs by the clock, then the clock.
	close(m.quit)
	<-m.done
	m.clock.Stop()
	m.store.engine.Store(nil)
	m.state = unconfigured
	return nil
}

// sweep removes what has expired every now and then, until quit is closed.
func sweep(e *engine.Engine, every time.Duration, quit, done chan struct{}) {
	defer close(done)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			e.Sweep()
		case <-quit:
			return
		}
	}
}
