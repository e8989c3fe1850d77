package lines

import (
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/lagkeeper/storage/protocol"
)

// Kept is an application's logger behind a goroutine that writes its lines.
type Kept struct {
	kept atomic.Pointer[loggerAndLines]
}

type loggerAndLines struct{ given, lines *zap.Logger }

// Of returns the logger for what an application set: log, or else that of its context, or else one that writes nothing.
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

// Flush makes sure that the lines of a call are written when it returns. It must be called without a lock: a hook may be
// waiting for one.
func (k *Kept) Flush() {
	if kept := k.kept.Load(); kept != nil {
		Flush(kept.lines, Patience)
	}
}

// FlushOwn is Flush for methods that a Coordinator or a module may call with its lock held. If it gave the logger, it flushes
// it itself.
func (k *Kept) FlushOwn() {
	if kept := k.kept.Load(); kept != nil && kept.given != kept.lines {
		k.Flush()
	}
}
