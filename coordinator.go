package storage

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/viper"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage/internal/channel"
	"github.com/lagkeeper/storage/internal/config"
	"github.com/lagkeeper/storage/internal/lines"
	"github.com/lagkeeper/storage/protocol"
)

// Coordinator reads the configuration, makes exactly one Module and passes it the requests that the application sends over
// its StorageChannel.
type Coordinator struct {
	// App is the application's context. Its StorageChannel is made if it is nil.
	App *protocol.ApplicationContext
	// Log is the logger of the subsystem; nil stands for App.Logger, and if that is nil too nothing is logged.
	Log *zap.Logger
	// Viper holds the configuration; nil stands for the global one. Several stores in one process need one each.
	Viper *viper.Viper

	lines lines.Kept

	mu       sync.Mutex
	state    moduleState       // guarded by mu, as all below
	giveUp   chan struct{}     // closed when Stop has given up waiting for a module that does not receive
	receiver *channel.Receiver // of App.StorageChannel

	module atomic.Pointer[Module] // nil before Configure; written under mu
}

// made returns the module, nil before Configure. It does not wait for Start or Stop.
func (c *Coordinator) made() Module {
	if m := c.module.Load(); m != nil {
		return *m
	}
	return nil
}

// Configure makes the module that is configured under the key storage, or an inmemory module named "default" if there is
// none, and configures it. If the configuration is invalid, it panics with a string that says why: more than one module, an
// unknown class, or what the module itself refuses. It also panics while the Coordinator runs.
func (c *Coordinator) Configure() {
	defer c.lines.Flush()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == started {
		panic("configure storage coordinator: already running")
	}
	if c.App == nil {
		panic("configure storage coordinator: App is nil")
	}
	base := c.log()
	base.Info("configuring")
	if c.state == configured {
		// The module that is replaced may have watchers. It has not run, so they have missed nothing; Stop ends their loops.
		_ = c.stopModule()
	}
	c.state = unconfigured
	v := viperOrGlobal(c.Viper)
	name, className, err := config.WhichModule(v, DefaultClassName)
	if err != nil {
		panic(fmt.Sprintf("storage configuration: %v", err))
	}
	root := "storage." + name
	factory, err := factoryOf(className)
	if err != nil {
		panic(fmt.Sprintf("storage configuration: %s.class-name: %v", root, err))
	}
	// The fields type and name are left to the logger of the application.
	log := base.With(zap.String("class", className), zap.String("module", name))
	module := factory(c.App, log, v)
	if module == nil {
		panic(fmt.Sprintf("storage configuration: %s.class-name: the factory of class %q made no module", root, className))
	}
	module.Configure(name, root)
	c.module.Store(&module)
	if c.App.StorageChannel == nil {
		c.App.StorageChannel = make(chan *protocol.StorageRequest)
	}
	c.state = configured
}

// Start starts the module and begins to relay. Unless the Coordinator has been configured since it was made or stopped, it
// returns an error and changes nothing. An error of the module is returned wrapped, and nothing is left running. Errors are
// logged too.
func (c *Coordinator) Start() error {
	defer c.lines.Flush()
	return logStart(c.log(), c.start())
}

func (c *Coordinator) log() *zap.Logger { return c.lines.Of(c.Log, c.App) }

func (c *Coordinator) start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != configured {
		return notConfigured("storage coordinator", c.state)
	}
	c.log().Info("starting")
	if err := c.made().Start(); err != nil {
		return fmt.Errorf("start storage module: %w", err)
	}
	c.giveUp = make(chan struct{})
	c.receiver = channel.StartReceiver(c.App.StorageChannel, forwarder(c.made(), c.giveUp, loser(c.log())))
	if c.receiver.Closed() {
		c.log().Warn("StorageChannel closed: no more requests are received")
	}
	c.state = started
	return nil
}

// submitter is a module that takes requests by call, which is faster than its channel.
type submitter interface {
	// submitsFor returns the channel whose requests are taken.
	submitsFor() chan *protocol.StorageRequest
	// handler returns what handles those requests.
	handler() channel.Handler
}

// patience is how long Stop waits for a module with a channel of its own to receive what was sent before.
const patience = time.Second

// forwarder returns a function that hands requests to a module, and calls lost for those that the module does not take.
func forwarder(module Module, giveUp <-chan struct{}, lost func(*protocol.StorageRequest)) channel.Handler {
	requests := module.GetCommunicationChannel()
	// A module may embed one of ours and put its own channel in front of it.
	if m, ok := module.(submitter); ok && m.submitsFor() == requests {
		return m.handler()
	}
	return channel.Handler{One: func(request *protocol.StorageRequest) {
		defer func() {
			if recover() != nil { // the module has closed its channel
				lost(request)
			}
		}()
		select {
		case requests <- request:
			return
		default:
		}
		select {
		case requests <- request:
		case <-giveUp:
			lost(request)
		}
	}}
}

// loser returns the function for requests that the module does not take: it closes the Reply of a fetch.
func loser(log *zap.Logger) func(*protocol.StorageRequest) {
	requests, count := lines.NewRequests(log), new(atomic.Uint64)
	return func(request *protocol.StorageRequest) {
		requests.Fault(count, "request lost: the module does not take it", request)
		if request != nil && request.Reply != nil && isRead(request.RequestType) {
			channel.CloseReply(request.Reply)
		}
	}
}

// Stop ends the relaying and the module: what was sent before takes effect, and nothing is received any more. It does nothing
// if the Coordinator does not run. An error of the module is returned wrapped.
func (c *Coordinator) Stop() error {
	defer c.lines.Flush()
	if m, ok := c.made().(interface{ cancelStart() }); ok {
		m.cancelStart()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	state := c.state
	c.state = unconfigured
	switch state {
	case unconfigured:
		return nil
	case configured:
		return c.stopModule()
	}
	c.log().Info("stopping")
	// 1. Pass on what was sent, then receive no more.
	giveUp := c.giveUp // the timer may fire late, when another Start has replaced it
	timer := time.AfterFunc(patience, func() { close(giveUp) })
	if !c.receiver.Stop(channel.StopPatience) {
		c.log().Error("stop: request has not returned")
	}
	timer.Stop()
	// 2. Stop the module.
	return c.stopModule()
}

func (c *Coordinator) stopModule() error {
	if err := c.made().Stop(); err != nil {
		return fmt.Errorf("stop storage module: %w", err)
	}
	return nil
}

// backend returns the typed API of the module, nil before Configure or if it has none.
func (c *Coordinator) backend() Store {
	if m, ok := c.made().(StoreSource); ok {
		return m.Store()
	}
	return nil
}

// Store returns the typed API of the module, nil before Configure or if the module has none. It may be kept across Stop,
// Configure and Start, even if another module is configured then: it always uses the current module. Its methods return
// ErrStopped while that does not run. It is also a Watcher, a StatsSource and a Persistent; if the module is not, those
// methods return ErrUnsupported.
func (c *Coordinator) Store() Store {
	if c.backend() == nil {
		return nil
	}
	return liveStore{c}
}

// Watch returns the changes in the store from the call on; see DB.Watch. It returns ErrUnsupported before Configure or if the
// module is no Watcher.
func (c *Coordinator) Watch(ctx context.Context, filter WatchFilter) (iter.Seq[protocol.Event], error) {
	if w, ok := c.backend().(Watcher); ok {
		return w.Watch(ctx, filter)
	}
	return nil, fmt.Errorf("watch store: %w", ErrUnsupported)
}

// Stats returns what the store holds and what it has done since Start. It returns ErrStopped while the module does not run,
// and ErrUnsupported before Configure or if the module is no StatsSource.
func (c *Coordinator) Stats() (Stats, error) {
	if s, ok := c.made().(StatsSource); ok {
		return s.Stats()
	}
	if s, ok := c.backend().(StatsSource); ok {
		return s.Stats()
	}
	return Stats{}, fmt.Errorf("read statistics: %w", ErrUnsupported)
}

// Persistent returns what lets the state of the module survive a restart; it may be kept, as Store may. It returns
// ErrUnsupported before Configure or if the module has none.
func (c *Coordinator) Persistent() (Persistent, error) {
	if _, ok := c.backend().(Persistent); ok {
		return liveStore{c}, nil
	}
	return nil, fmt.Errorf("persist store: %w", ErrUnsupported)
}
