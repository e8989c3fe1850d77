// Package protocol holds the types that a lag-monitoring application shares with its storage subsystem: the application
// context, the requests and their answers, and the evaluator types that are built from those answers.
//
// Times are Unix milliseconds unless they are of type time.Time or time.Duration. An offset or lag that is not known is nil, below 0,
// or marked by a field beside it. Only CurrentLag is then 0, as it always was: State says how far it can be trusted.
package protocol

import "go.uber.org/zap"

// ApplicationContext is what the subsystems of one application share. The application fills it before it configures the
// subsystems and changes only AppReady afterwards.
type ApplicationContext struct {
	// Logger is the logger from which each subsystem derives its own. nil means that nothing is logged.
	Logger *zap.Logger
	// LogLevel is the level of Logger, adjustable while the application runs. The storage subsystem does not touch it.
	LogLevel *zap.AtomicLevel

	// ConfigurationValid is set by the application once its configuration has been read.
	ConfigurationValid bool

	// EvaluatorChannel takes requests for the status of a group. The storage subsystem does not touch it.
	EvaluatorChannel chan *EvaluatorRequest
	// StorageChannel takes the requests for the storage subsystem. The application makes it, with or without a buffer, before
	// it configures the storage Coordinator; if it is nil, the Coordinator makes one. The sender must not change a request
	// before it has been answered or, if it has no answer, has taken effect. The subsystem never changes a request.
	StorageChannel chan *StorageRequest

	// AppReady is set by the application once all subsystems run.
	AppReady bool
}

// Module is the life cycle of one configured unit of a subsystem.
type Module interface {
	// Configure reads the configuration below configRoot for the module called name. If the configuration is invalid, it
	// panics with a string that says why.
	Configure(name, configRoot string)
	// Start begins the work of the module and returns at once. After an error nothing is left running.
	Start() error
	// Stop ends the work of the module and returns when nothing of it runs any more.
	Stop() error
}

// Coordinator is the life cycle of one subsystem: it configures, starts and stops the modules of its kind.
type Coordinator interface {
	// Configure reads the configuration of the subsystem and creates its modules. If the configuration is invalid, it panics
	// with a string that says why.
	Configure()
	// Start starts the modules and returns at once. After an error nothing is left running.
	Start() error
	// Stop stops the modules and returns when nothing of them runs any more.
	Stop() error
}
