// Package lines keeps the application's logger away from everything that the store waits for. A logger is foreign code: its
// hooks may call the store, take long or panic.
package lines

import (
	"runtime"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Patience is how long Flush waits for one call of the logger by default.
const Patience = time.Second

// Log returns a logger with the fields, the level and the options of log, whose lines are written in their order by a
// goroutine of their own. The goroutine ends when nothing is left to write. So a caller may hold a lock while it logs. Panics
// of the logger are recovered from. A logger that Log returned, or that was derived from one, is returned as it is. nil
// stands for a logger that writes nothing.
func Log(log *zap.Logger) *zap.Logger {
	if log == nil {
		return zap.NewNop()
	}
	if _, ok := log.Core().(*core); ok {
		return log
	}
	return log.WithOptions(zap.WrapCore(func(inner zapcore.Core) zapcore.Core {
		return &core{inner: inner, writer: &writer{}}
	}))
}

// Flush returns when the lines that log has accepted so far are written, or when a single call of the logger takes longer
// than patience. It does nothing if its caller is a hook of the logger, since the line of the hook would wait for itself, or
// if Log did not make the logger.
func Flush(log *zap.Logger, patience time.Duration) {
	if c, ok := log.Core().(*core); ok {
		c.writer.flush(patience)
	}
}

// Faults returns the number of lines that were not written because the logger panicked or did not return.
func Faults(log *zap.Logger) uint64 {
	if c, ok := log.Core().(*core); ok {
		return c.writer.faults.Load()
	}
	return 0
}

// core passes lines on to a writer.
type core struct {
	inner  zapcore.Core
	writer *writer
}

// Enabled reports whether lines of a level are written; none are if the logger panics.
func (c *core) Enabled(level zapcore.Level) (enabled bool) {
	defer c.writer.contain()
	return c.inner.Enabled(level)
}

// With returns a core whose lines have more fields.
func (c *core) With(fields []zapcore.Field) zapcore.Core {
	return &core{inner: c.with(fields), writer: c.writer}
}

// with returns the inner core with more fields, or as it is if the logger panics.
func (c *core) with(fields []zapcore.Field) (inner zapcore.Core) {
	inner = c.inner
	defer c.writer.contain()
	return c.inner.With(fields)
}

// Check adds this core to a line that is to be written. Write checks whether each of several inner cores wants it.
func (c *core) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

// Write leaves a line to the writer.
func (c *core) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	c.writer.add(line{core: c.inner, entry: entry, fields: fields})
	if entry.Level >= zapcore.WarnLevel {
		// Warnings are looked for soon, and a busy store would delay the goroutine.
		runtime.Gosched()
	}
	if entry.Level > zapcore.ErrorLevel {
		// The process, or the goroutine, is about to end.
		c.writer.flush(Patience)
	}
	return nil
}

// Sync writes the remaining lines.
func (c *core) Sync() error {
	c.writer.flush(Patience)
	defer c.writer.contain()
	return c.inner.Sync()
}
