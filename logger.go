package storage

import (
	"errors"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/lagkeeper/storage/protocol"
)

// loggerOf returns the logger that an application gave: log, else that of its context, else one that writes nothing.
func loggerOf(log *zap.Logger, app *protocol.ApplicationContext) *zap.Logger {
	if log == nil && app != nil {
		log = app.Logger
	}
	return withoutPanics(log)
}

// withoutPanics returns a logger that loses the lines whose core or hooks panic: what an application logs with must not end
// it. nil gives one that writes nothing.
func withoutPanics(log *zap.Logger) *zap.Logger {
	if log == nil {
		return zap.NewNop()
	}
	if _, ok := log.Core().(containedCore); ok {
		return log
	}
	return log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core { return containedCore{core} }))
}

// containedCore ends the panics of a core.
type containedCore struct{ core zapcore.Core }

var errLoggerPanicked = errors.New("logger panicked")

func (c containedCore) Enabled(level zapcore.Level) bool {
	defer func() { _ = recover() }()
	return c.core.Enabled(level)
}

func (c containedCore) With(fields []zapcore.Field) (core zapcore.Core) {
	defer func() {
		if recover() != nil {
			core = c
		}
	}()
	return containedCore{c.core.With(fields)}
}

func (c containedCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) (_ *zapcore.CheckedEntry) {
	inner := c.check(entry)
	if inner == nil {
		return checked
	}
	return checked.AddCore(entry, containedEntry{c, inner})
}

func (c containedCore) check(entry zapcore.Entry) *zapcore.CheckedEntry {
	defer func() { _ = recover() }()
	return c.core.Check(entry, nil)
}

func (c containedCore) Write(entry zapcore.Entry, fields []zapcore.Field) (err error) {
	defer func() {
		if recover() != nil {
			err = errLoggerPanicked
		}
	}()
	return c.core.Write(entry, fields)
}

func (c containedCore) Sync() (err error) {
	defer func() {
		if recover() != nil {
			err = errLoggerPanicked
		}
	}()
	return c.core.Sync()
}

// containedEntry writes a line where the core that was asked decided to write it.
type containedEntry struct {
	containedCore
	checked *zapcore.CheckedEntry
}

func (e containedEntry) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	defer func() { _ = recover() }()
	// Logger adds caller and stack after it has asked.
	e.checked.Entry = entry
	e.checked.Write(fields...)
	return nil
}

// loggedError is an error that stands in the log already.
type loggedError struct{ error }

func (e loggedError) Unwrap() error { return e.error }

// logStart logs the error of a Start, unless that has been done, and returns it marked.
func logStart(log *zap.Logger, err error) error {
	if err == nil || errors.As(err, new(loggedError)) {
		return err
	}
	log.Error("start failed", zap.Error(err))
	return loggedError{err}
}
