package storage

import (
	"errors"

	"go.uber.org/zap"

	"github.com/lagkeeper/storage/internal/engine"
)

// outcome is errorOf for what may be refused because the store is full, of which the log tells now and then.
func (db *DB) outcome(why engine.Reason) error {
	if why == engine.Full {
		db.warnFull()
	}
	return errorOf(why)
}

// outcomes is outcome for a batch.
func (db *DB) outcomes(batch batchErrors) error {
	for i := range batch {
		if errors.Is(batch[i].Err, ErrFull) {
			db.warnFull()
		}
	}
	return batch.err()
}

func (db *DB) warnFull() {
	s := db.session.Load()
	if s == nil {
		return
	}
	if n := s.refused.Add(1); worthALine(n) {
		s.options.Logger.Warn("the store is full: new groups, topics and partitions are refused until there is room",
			zap.Int64("max_memory", s.options.MaxMemory), zap.Int64("bytes", s.engine.Used()), zap.Uint64("count", n))
	}
}
