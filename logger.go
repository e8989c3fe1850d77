package storage

import (
	"errors"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/lagkeeper/storage/internal/lines"
	"github.com/lagkeeper/storage/protocol"
)

// keptLogger is the logger of an application behind a goroutine that writes its lines: see package lines.
type keptLogger struct {
	kept atomic.Pointer[loggerAndLines]
}

type loggerAndLines struct{ given, lines *zap.Logger }

// of returns the logger for what an application gave: log, else that of its context, else one that writes nothing.
func (k *keptLogger) of(log *zap.Logger, app *protocol.ApplicationContext) *zap.Logger {
	if log == nil && app != nil {
		log = app.Logger
	}
	for {
		kept := k.kept.Load()
		if kept != nil && kept.given == log {
			return kept.lines
		}
		k.kept.CompareAndSwap(kept, &loggerAndLines{given: log, lines: lines.Log(log)})
	}
}

// flush lets a caller find the lines of its call written. It must be called without a lock: a hook may be waiting for one.
func (k *keptLogger) flush() {
	if kept := k.kept.Load(); kept != nil {
		lines.Flush(kept.lines, lines.Patience)
	}
}

// flushOwn is flush for what a Coordinator or a module may call with its lock held: then the logger came from there, and is
// flushed there.
func (k *keptLogger) flushOwn() {
	if kept := k.kept.Load(); kept != nil && kept.given != kept.lines {
		k.flush()
	}
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
