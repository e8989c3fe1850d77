package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/spf13/viper"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage/internal/channel"
	"github.com/lagkeeper/storage/internal/config"
	"github.com/lagkeeper/storage/internal/lines"
	"github.com/lagkeeper/storage/protocol"
)

// InMemoryStorage is the module of class "inmemory": it opens a DB with the configuration below storage.<name> in viper, and
// carries out the requests of the channel on it.
type InMemoryStorage struct {
	// App is the application's context.
	App *protocol.ApplicationContext
	// Log is the logger of the module; nil stands for App.Logger, and if that is nil too nothing is logged.
	Log *zap.Logger
	// Viper holds the configuration; nil stands for the global one.
	Viper *viper.Viper

	db    DB
	lines lines.Kept
	relay currentRelay

	// mu is held throughout Configure, Start and Stop, so that a second Stop returns no sooner than the first.
	mu      sync.Mutex
	state   moduleState // guarded by mu, as all below
	options Options     // as configured, without clusters
}

// keepChannel lets the Relay receive from the channel of another Relay that has stopped, unless that channel is closed or has
// another capacity: senders may have kept it.
func (r *Relay) keepChannel(of *Relay) {
	if of != nil && cap(of.requests) == cap(r.requests) && !of.closed.Load() {
		r.requests = of.requests
	}
}

// moduleState is the state of a module or coordinator in its life cycle.
type moduleState int

const (
	unconfigured moduleState = iota // also after Stop
	configured
	started
)

// notConfigured returns the error of a Start in a state in which there is nothing to start.
func notConfigured(what string, state moduleState) error {
	if state == started {
		return fmt.Errorf("start %s: already running", what)
	}
	return fmt.Errorf("start %s: not configured", what)
}

// loggedError is an error that has been logged already.
type loggedError struct{ error }

func (e loggedError) Unwrap() error { return e.error }

// logStart logs the error of a Start unless it has been logged, and returns it marked as logged.
func logStart(log *zap.Logger, err error) error {
	if err == nil || errors.As(err, new(loggedError)) {
		return err
	}
	log.Error("start failed", zap.Error(err))
	return loggedError{err}
}

// Configure reads the configuration below configRoot. It panics with a string that names every fault, and if the module runs.
func (m *InMemoryStorage) Configure(name, configRoot string) {
	defer m.lines.FlushOwn()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state == started {
		panic(fmt.Sprintf("configure storage module %s: already running", name))
	}
	m.state = unconfigured
	log := m.log()
	log.Info("configuring", zap.String("root", configRoot))
	settings, err := config.ReadModule(viperOrGlobal(m.Viper), configRoot, DefaultClassName)
	for _, warning := range settings.Warnings {
		log.Warn(warning)
	}
	if err != nil {
		panic(fmt.Sprintf("storage configuration: %v", err))
	}
	var relay RelayOptions
	m.options, relay = optionsOf(settings)
	m.options.Logger = log
	next := NewRelay(&m.db, log, relay)
	next.keepChannel(m.relay.Load())
	m.relay.Store(next)
	m.db.over.Store(false)
	m.state = configured
}

func (m *InMemoryStorage) log() *zap.Logger { return m.lines.Of(m.Log, m.App) }

func viperOrGlobal(v *viper.Viper) *viper.Viper {
	if v == nil {
		return viper.GetViper()
	}
	return v
}

// GetCommunicationChannel returns the channel that the module receives requests from between Start and Stop, nil before
// Configure. It stays the same if the module is configured again, unless queue-depth has changed or the channel is closed.
func (m *InMemoryStorage) GetCommunicationChannel() chan *protocol.StorageRequest {
	if relay := m.relay.Load(); relay != nil {
		return relay.GetCommunicationChannel()
	}
	return nil
}

// Store returns the typed API of the module, a *DB. It may be kept: before Start and after Stop its methods return
// ErrStopped.
func (m *InMemoryStorage) Store() Store { return &m.db }

func (m *InMemoryStorage) submitsFor() chan *protocol.StorageRequest {
	if relay := m.relay.Load(); relay != nil {
		return relay.submitsFor()
	}
	return nil
}

func (m *InMemoryStorage) handler() channel.Handler {
	return channel.Handler{One: m.relay.Submit, Lone: m.relay.submitLone, Many: inRuns(&m.db, m.relay.Load), Copies: true}
}

// Submit carries out a request as if it had come over the channel. Before Configure it does nothing.
func (m *InMemoryStorage) Submit(request *protocol.StorageRequest) {
	m.relay.Submit(request)
}

// Stats returns what the store holds and what store and channel have done since Start. It returns ErrStopped while the
// module does not run.
func (m *InMemoryStorage) Stats() (Stats, error) {
	stats, err := m.db.Stats()
	if relay := m.relay.Load(); relay != nil && err == nil {
		stats.Relay = relay.Stats()
	}
	return stats, err
}

// Start begins to take requests, with the clusters that are configured now. If the module has not been configured since it
// was made or stopped, or the clusters are invalid, it returns an error and changes nothing. Errors are logged too.
func (m *InMemoryStorage) Start() error {
	defer m.lines.FlushOwn()
	return logStart(m.log(), m.start())
}

func (m *InMemoryStorage) start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state != configured {
		return notConfigured("storage module", m.state)
	}
	options := m.options
	var err error
	if options.Clusters, err = config.Clusters(viperOrGlobal(m.Viper)); err != nil {
		return err
	}
	m.log().Info("starting", zap.Strings("clusters", options.Clusters))
	if err := m.db.open(context.Background(), options); err != nil {
		return err
	}
	m.relay.Load().Start()
	m.state = started
	return nil
}

// cancelStart ends a Start that is restoring a snapshot, if there is one.
func (m *InMemoryStorage) cancelStart() { m.db.cancelOpen() }

// Stop ends the module: what was sent before takes effect, every accepted Fetch is answered or its Reply closed, and a
// snapshot is saved if one is configured. A Start that is restoring a snapshot returns ErrStopped. If the module does not
// run, Stop does nothing. The error is that of the snapshot; the module has stopped all the same.
func (m *InMemoryStorage) Stop() error {
	defer m.lines.FlushOwn()
	m.cancelStart()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.state == started {
		m.log().Info("stopping")
		// What was sent over the channel or with Submit is handled before the DB is closed.
		m.relay.Load().Stop()
	}
	m.state = unconfigured
	return m.db.Close()
}
