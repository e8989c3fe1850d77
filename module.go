package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/viper"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage/protocol"
)

// Module is one store with its configuration, as the Coordinator sees it. Requests go to the channel of the module, or,
// if the module embeds a Relay and its channel is the Relay's, straight to the Relay. A module may also be a StoreSource and a
// StatsSource, and its Store a Watcher, a Persistent and a ClusterSet: the Coordinator offers what it finds.
type Module interface {
	protocol.Module

	// GetCommunicationChannel returns the channel that the module receives requests from between Start and Stop. It is
	// the same from Configure on.
	GetCommunicationChannel() chan *protocol.StorageRequest
}

// Backend is what a module implements so that NewRelay can make its channel half: the typed API, and fetches in two steps.
// It may also be Remote, a Watcher, a Persistent, a ClusterSet and, or its module in its place, a StatsSource; the Coordinator offers what it finds.
type Backend interface {
	Store

	// Fetch answers a Fetch request of the channel protocol. What it answers is settled when Fetch returns; building it
	// is left to the function it returns, which is called at most once, on any goroutine, and may take its time.
	// An error stands for a Reply that is closed without a value.
	Fetch(ctx context.Context, request *protocol.StorageRequest) (answer func() any, err error)
}

// Remote is a Backend that waits for a server in most calls. A Relay makes calls of it at once if the order of requests allows
// that, and hands it batches.
type Remote interface {
	// InFlight returns the number of calls that a Relay may have under way at once.
	InFlight() int
}

// StoreSource is a module with a typed API; Coordinator.Store offers it.
type StoreSource interface {
	// Store returns the typed API. It is not nil, and stays the same from Configure on.
	Store() Store
}

// Watcher is a Store that yields what changes in it.
type Watcher interface {
	// Watch returns the changes from the call on; DB.Watch says more. It returns ErrStopped while the store does not run.
	Watch(ctx context.Context, filter WatchFilter) (iter.Seq[protocol.Event], error)
}

// StatsSource is a Store, or a module, that counts.
type StatsSource interface {
	// Stats returns what the store holds and has done. It returns ErrStopped while the store does not run.
	Stats() (Stats, error)
}

// ClusterSet is a Store whose clusters can change while it runs. DB documents each method.
type ClusterSet interface {
	AddCluster(name string) error
	RemoveCluster(name string) error
}

// Persistent is a Store whose state survives a restart. DB documents each method.
type Persistent interface {
	Snapshot(ctx context.Context) error
	Restored() Restored
	ReplayDone()
	Export(ctx context.Context, w io.Writer) error
	Import(ctx context.Context, r io.Reader) error
}

// Factory makes an unconfigured module. The viper is the one that the module is to read its configuration from; it is
// never nil.
type Factory = func(app *protocol.ApplicationContext, log *zap.Logger, v *viper.Viper) Module

// DefaultClassName is the class of a module whose configuration names none.
const DefaultClassName = "inmemory"

var registry = struct {
	mu sync.RWMutex
	// factories by class name; guarded by mu.
	factories map[string]Factory
}{factories: map[string]Factory{
	DefaultClassName: func(app *protocol.ApplicationContext, log *zap.Logger, v *viper.Viper) Module {
		return &InMemoryStorage{App: app, Log: log, Viper: v}
	},
}}

// Register makes a class of modules known under a name that a configuration can give as class-name. It returns an error
// for an empty name, a nil factory and a name that is taken.
func Register(className string, factory Factory) error {
	switch {
	case className == "":
		return errors.New("register storage module: class name is empty")
	case factory == nil:
		return fmt.Errorf("register storage module %q: factory is nil", className)
	}
	registry.mu.Lock()
	defer registry.mu.Unlock()
	if registry.factories[className] != nil {
		return fmt.Errorf("register storage module %q: class name is taken", className)
	}
	registry.factories[className] = factory
	return nil
}

// factoryOf returns the factory of a class, or an error that names the known classes.
func factoryOf(className string) (Factory, error) {
	registry.mu.RLock()
	defer registry.mu.RUnlock()
	if factory := registry.factories[className]; factory != nil {
		return factory, nil
	}
	known := make([]string, 0, len(registry.factories))
	for name := range registry.factories {
		known = append(known, name)
	}
	slices.Sort(known)
	return nil, fmt.Errorf("unknown class %q; known are: %s", className, strings.Join(known, ", "))
}
