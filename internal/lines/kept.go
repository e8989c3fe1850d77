package lines

import (
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/lagkeeper/storage/protocol"
)

// Kept is the logger of an application behind a goroutine that writes its lines.
type Kept struct {
	kept atomic.Pointer[loggerAndLines]
}

type loggerAndLines struct{ given, lines *zap.Logger }

// Of returns the logger for what an application gave: log, else that of its context, else one that writes nothing.
func (k *Kept) Of(log *zap.Logger, app *protocol.ApplicationContext) *zap.Logger {
	if log == nil && app != nil {
		log = app.Logger
	}
	for {
		kept := k.kept.Load()
		if kept != nil && kept.given == log {
			return kept.lines
		}
		k.kept.CompareAndSwap(kept, &loggerAndLines{given: log, lines: Log(log)})
	}
}

// Flush lets a caller find the lines of its call written. It must be called without a lock: a hook may be waiting for one.
func (k *Kept) Flush() {
	if kept := k.kept.Load(); kept != nil {
		Flush(kept.lines, Patience)
	}
}

// FlushOwn is Flush for what a Coordinator or a module may call with its lock held: then the logger came from there, and is
// flushed there.
func (k *Kept) FlushOwn() {
	if kept := k.kept.Load(); kept != nil && kept.given != kept.lines {
		k.Flush()
	}
}
