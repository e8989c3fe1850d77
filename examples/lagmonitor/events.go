package main

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// eventLog keeps the most recent events, which are shown below the table.
type eventLog struct {
	mu     sync.Mutex
	events []event // guarded by mu; oldest first
	unread int     // guarded by mu; how many of the newest events have not been taken
}

// event is one thing that happened.
type event struct {
	At   time.Time `json:"time"`
	Text string    `json:"text"`
}

// keptEvents is the number of events that are kept.
const keptEvents = 200

// add adds an event. It replaces the previous event if both have the same text.
func (l *eventLog) add(at time.Time, format string, args ...any) {
	e := event{at, fmt.Sprintf(format, args...)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.events); n > 0 && l.events[n-1].Text == e.Text {
		l.events[n-1].At = at
		return
	}
	l.events = append(l.events, e)
	l.unread++
	if drop := len(l.events) - keptEvents; drop > 0 {
		l.events = append(l.events[:0], l.events[drop:]...)
	}
	l.unread = min(l.unread, keptEvents)
}

// all returns the kept events, oldest first.
func (l *eventLog) all() []event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]event(nil), l.events...)
}

// take returns the events that have not been taken yet, oldest first.
func (l *eventLog) take() []event {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := len(l.events) - l.unread
	l.unread = 0
	return append([]event(nil), l.events[from:]...)
}

// logger returns a logger whose warnings and errors become events, because log lines must not be written across a table.
func (l *eventLog) logger() *zap.Logger {
	return zap.New(&eventCore{log: l})
}

// eventCore is the zap core behind eventLog.logger.
type eventCore struct {
	log    *eventLog
	fields []zapcore.Field
}

// Enabled implements zapcore.Core.
func (c *eventCore) Enabled(level zapcore.Level) bool { return level >= zapcore.WarnLevel }

// With implements zapcore.Core.
func (c *eventCore) With(fields []zapcore.Field) zapcore.Core {
	return &eventCore{c.log, append(slices.Clip(c.fields), fields...)}
}

// Check implements zapcore.Core.
func (c *eventCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(entry.Level) {
		return checked.AddCore(entry, c)
	}
	return checked
}

// Write implements zapcore.Core.
func (c *eventCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	values := zapcore.NewMapObjectEncoder()
	for _, field := range append(slices.Clip(c.fields), fields...) {
		field.AddTo(values)
	}
	text := entry.Message
	for _, key := range slices.Sorted(maps.Keys(values.Fields)) {
		text += fmt.Sprintf(" %s=%v", key, values.Fields[key])
	}
	c.log.add(entry.Time, "%s: %s", entry.Level.CapitalString(), text)
	return nil
}

// Sync implements zapcore.Core.
func (c *eventCore) Sync() error { return nil }
