// Package published is a small lag monitor written for the published API as it is: a list of coordinators that share one
// application context. Nothing in it but the two import paths below tells which library it runs on. docs/migrating.md
// shows parts of it.
package published

import (
	"fmt"

	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// App is the whole application: its context and the subsystems in the order in which they start.
type App struct {
	Context      *protocol.ApplicationContext
	coordinators []protocol.Coordinator
}

// New makes the application, with nothing configured yet.
func New(log *zap.Logger) *App {
	level := zap.NewAtomicLevel()
	context := &protocol.ApplicationContext{
		Logger:           log,
		LogLevel:         &level,
		EvaluatorChannel: make(chan *protocol.EvaluatorRequest),
		StorageChannel:   make(chan *protocol.StorageRequest),
	}
	return &App{
		Context: context,
		coordinators: []protocol.Coordinator{
			&storage.Coordinator{App: context, Log: log.With(zap.String("coordinator", "storage"))},
			&Evaluator{App: context, Log: log.With(zap.String("coordinator", "evaluator"))},
		},
	}
}

// Start configures every subsystem, then starts them in order. After an error nothing is left running.
func (a *App) Start() error {
	if err := a.configure(); err != nil {
		return err
	}
	for started, coordinator := range a.coordinators {
		if err := coordinator.Start(); err != nil {
			stop(a.coordinators[:started])
			return fmt.Errorf("start: %w", err)
		}
	}
	a.Context.AppReady = true
	return nil
}

// Stop stops every subsystem, the last started first.
func (a *App) Stop() {
	a.Context.AppReady = false
	stop(a.coordinators)
}

// configure turns the panic with which a coordinator refuses its configuration into an error.
func (a *App) configure() (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("configure: %v", fault)
		}
	}()
	for _, coordinator := range a.coordinators {
		coordinator.Configure()
	}
	a.Context.ConfigurationValid = true
	return nil
}

func stop(coordinators []protocol.Coordinator) {
	for i := len(coordinators) - 1; i >= 0; i-- {
		_ = coordinators[i].Stop() // nothing is left to be done about it
	}
}
