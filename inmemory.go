package storage

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/viper"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage/internal/clock"
	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/internal/feed"
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
	hub   feed.Hub[protocol.Event]
	over  atomic.Bool // from Stop to Configure
	// persistence is nil before Start and where no snapshot-path is configured.
	persistence atomic.Pointer[persistence]

	// mu is held for as long as Configure, Start or Stop takes, so that a second Stop returns no sooner than the first.
	mu     sync.Mutex
	state  moduleState // guarded by mu, as all below
	clock  *clock.Clock
	quit   chan struct{}  // closed when what runs by the clock is to end
	timers sync.WaitGroup // what runs by the clock

	config atomic.Pointer[config] // written under mu
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
	m.state = unconfigured
	log := m.log()
	log.Info("configuring", zap.String("module", name))
	c := readConfig(viperOrGlobal(m.Viper), configRoot, log)
	m.config.Store(c)
	m.relay.Store(NewRelay(&m.store, log, RelayOptions{
		Workers: c.workers, QueueDepth: c.queueDepth, ReplyTimeout: c.replyTimeout,
	}))
	m.over.Store(false)
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

func (m *InMemoryStorage) submitsFor() chan *protocol.StorageRequest {
	if relay := m.relay.Load(); relay != nil {
		return relay.submitsFor()
	}
	return nil
}

// Submit does what a request asks without the way through the channel. Before Configure it does nothing.
func (m *InMemoryStorage) Submit(request *protocol.StorageRequest) {
	if relay := m.relay.Load(); relay != nil {
		relay.Submit(request)
	}
}

// Stats tells what the store holds and what it has done since Start. It is the zero value while the module does not run.
func (m *InMemoryStorage) Stats() Stats {
	e, relay := m.store.engine.Load(), m.relay.Load()
	if e == nil || relay == nil {
		return Stats{}
	}
	stats := statsOf(e, relay)
	stats.Running = true
	if p := m.persistence.Load(); p != nil {
		stats.Snapshots = p.stats()
	}
	return stats
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
	c := m.config.Load()
	clock := clock.Start()
	e := engine.New(c.engine(clusters, clock, &m.hub))
	var p *persistence
	if c.snapshotPath != "" {
		if p, err = openPersistence(c.snapshotPath, m.log(), e); err != nil {
			clock.Stop()
			return err
		}
	}
	m.clock = clock
	m.persistence.Store(p)
	m.store.engine.Store(e)
	m.quit = make(chan struct{})
	m.every(c.sweepInterval, e.Sweep)
	if p != nil && c.snapshotInterval > 0 {
		// save logs and counts its errors, and the next one may succeed.
		m.every(c.snapshotInterval, func() { _ = p.save(c.intervals) })
	}
	m.relay.Load().Start()
	m.state = started
	return nil
}

func (m *InMemoryStorage) endWatching() {
	m.over.Store(true)
	m.hub.CloseAll()
}

// contained calls do and ends a panic of it, which is a bug, with a line in the log.
func (m *InMemoryStorage) contained(do func()) {
	defer func() {
		if cause := recover(); cause != nil {
			m.relay.Load().log.panicked(&m.relay.Load().counts.panics, nil, fmt.Sprint(cause), debug.Stack())
		}
	}()
	do()
}

// every calls do every now and then, until quit is closed.
func (m *InMemoryStorage) every(interval time.Duration, do func()) {
	quit := m.quit
	m.timers.Add(1)
	go func() {
		defer m.timers.Done()
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				m.contained(do)
			case <-quit:
				return
			}
		}
	}()
}

func (m *InMemoryStorage) intervals() int { return m.config.Load().intervals }

// persistent returns what keeps the snapshots.
func (m *InMemoryStorage) persistent(ctx context.Context) (*persistence, error) {
	if _, err := m.store.running(ctx); err != nil {
		return nil, err
	}
	if p := m.persistence.Load(); p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("no snapshot-path is configured: %w", ErrUnsupported)
}

// notConfigured says why something in a state cannot be started.
func notConfigured(what string, state moduleState) error {
	if state == started {
		return fmt.Errorf("start %s: it runs already", what)
	}
	return fmt.Errorf("start %s: it has not been configured", what)
}

// Stop ends the module: what was sent before takes effect, every Fetch accepted is answered or its Reply closed, and a
// snapshot is saved where one is configured. It does nothing when the module does not run. The error is that of the
// snapshot; the module has stopped all the same.
func (m *InMemoryStorage) Stop() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != started {
		m.state = unconfigured
		m.endWatching()
		return nil
	}
	m.log().Info("stopping")
	// 1. Handle what was sent, over the channel and by those who submit, then no more.
	m.relay.Load().Stop()
	// 2. Refuse typed calls.
	m.store.engine.Load().Stop()
	m.store.engine.Store(nil)
	// 3. End what runs by the clock, then the clock.
	close(m.quit)
	m.timers.Wait()
	m.clock.Stop()
	// 4. Keep what nobody can change any more.
	var err error
	if p := m.persistence.Swap(nil); p != nil {
		err = errors.Join(p.save(m.intervals()), p.close())
	}
	// 5. Tell those who watch that it is over.
	m.endWatching()
	m.state = unconfigured
	return err
}
