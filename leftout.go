package storage

import (
	"errors"

	"go.uber.org/zap"

	"github.com/lagkeeper/storage/internal/snapshot"
)

// leavingOut is a Sink that leaves out what the format has no room for: one group must not cost the snapshot of all others.
type leavingOut struct {
	snapshot.Sink
	count int
	first error
}

func (l *leavingOut) WriteTopic(t *snapshot.Topic) error { return l.note(l.Sink.WriteTopic(t)) }

func (l *leavingOut) WriteGroup(g *snapshot.Group) error { return l.note(l.Sink.WriteGroup(g)) }

func (l *leavingOut) note(err error) error {
	if !errors.Is(err, snapshot.ErrTooLarge) {
		return err
	}
	if l.count == 0 {
		l.first = err
	}
	l.count++
	return nil
}

// log says what was left out, if anything.
func (l *leavingOut) log(log *zap.Logger, of string) {
	if l.count > 0 {
		log.Warn("left out of the "+of+" what does not fit", zap.Int("records", l.count), zap.NamedError("first", l.first))
	}
}
