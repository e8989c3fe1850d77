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

// Module is one store with its configuration, as the Coordinator sees it. Requests go to the channel of the module or, if the
// module embeds a Relay and its channel is the Relay's, straight to the Relay. A module may also be a StoreSource and a
// StatsSource, and its Store a Watcher, a Persistent and a ClusterSet: the Coordinator offers these too.
type Module interface {
	protocol.Module

	// GetCommunicationChannel returns the channel that the module receives requests from between Start and Stop. It stays the
	// same from Configure on.
	GetCommunicationChannel() chan *protocol.StorageRequest
}

// Backend is what a module implements to get its channel half from NewRelay: the typed API, and fetches in two steps. It may
// also be Remote or Overlapping, a Watcher, a Persistent and a ClusterSet. The StatsSource may be the Backend or its module.
type Backend interface {
	Store

	// Fetch answers a Fetch request of the channel protocol. The content of the answer is settled when Fetch returns; the
	// function that it returns builds the answer. That is called at most once, on any goroutine, and may take its time. After
	// an error the Reply is closed without a value.
	Fetch(ctx context.Context, request *protocol.StorageRequest) (answer func() any, err error)
}

// Remote is a Backend whose calls mostly wait for a server. A Relay makes several calls of it at once if the order of
// requests allows that, and passes commits in batches.
type Remote interface {
	// InFlight returns the number of calls that a Relay may make at once.
	InFlight() int
}

// Overlapping is a Backend that stores commits of several groups faster together than one by one, because it waits for memory
// for all of them at once. A Relay passes it the successive commits that have been sent when it is done with those before; it
// waits for no more. DB is one.
type Overlapping interface {
	// CommitEach stores the commits of requests of type StorageSetConsumerOffset in their order, as Commit would one by one,
	// and appends to outcomes what Commit would have returned for each. If it panics, the length of outcomes says at which
	// request: those behind it are passed again, without it.
	CommitEach(ctx context.Context, requests []protocol.StorageRequest, outcomes *[]error)
}

// StoreSource is a module with a typed API; Coordinator.Store offers it.
type StoreSource interface {
	// Store returns the typed API. It is not nil, and stays the same from Configure on.
	Store() Store
}

// Watcher is a Store that yields its changes.
type Watcher interface {
	// Watch returns the changes from the call on; see DB.Watch. It returns ErrStopped while the store does not run.
	Watch(ctx context.Context, filter WatchFilter) (iter.Seq[protocol.Event], error)
}

// StatsSource is a Store, or a module, that has statistics.
type StatsSource interface {
	// Stats returns what the store holds and has done. It returns ErrStopped while the store does not run.
	Stats() (Stats, error)
}

// LogSharer is a Store that several processes fill, and that shares the partitions of the commit log among them.
type LogSharer interface {
	// LogPartitions returns the number of partitions that the log must have to be shared. It is 0 while the store does not run, and
	// for the Store of a Coordinator whose module shares nothing.
	LogPartitions() int
	// Share makes the caller one of those that share the log. It calls changed with all log partitions that the caller is to read,
	// ascending, whenever they change; there are none at first and in the end. Once changed has returned, another process may read
	// those that are no longer among them; one that is new among them has to be read from its position. Share returns the
	// context's error when the context is done, ErrStopped when the store is stopped, and ErrUnsupported for the Store of a
	// Coordinator whose module shares nothing.
	Share(ctx context.Context, changed func(logPartitions []int32)) error
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

// Factory makes an unconfigured module, which reads its configuration from the given Viper. That is never nil.
type Factory = func(app *protocol.ApplicationContext, log *zap.Logger, v *viper.Viper) Module

// DefaultClassName is the class of a module whose configuration names no class.
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

// Register adds a class of modules under a name that can be used as class-name in a configuration. It returns an error if the
// name is empty or taken, or the factory nil.
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
