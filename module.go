package storage

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/viper"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage/protocol"
)

// Module is one store with its configuration, as the Coordinator sees it. Requests go to the channel of the module, or,
// where the module embeds a Relay and its channel is the Relay's, straight to the Relay. Where a module has a method
// Store() Store, Coordinator.Store offers it, and so with Watch, Stats and the methods of Persistent.
type Module interface {
	protocol.Module

	// GetCommunicationChannel returns the channel that the module receives requests from between Start and Stop. It is
	// the same from Configure on.
	GetCommunicationChannel() chan *protocol.StorageRequest
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
