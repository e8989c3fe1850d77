package storage

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/lagkeeper/storage/internal/clock"
	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/internal/feed"
	"github.com/lagkeeper/storage/internal/lines"
	"github.com/lagkeeper/storage/protocol"
)

// DB is a store in the memory of the process. It is safe for any number of goroutines. Open makes one; after Close every
// call returns ErrStopped.
type DB struct {
	// session is nil while the DB is not open.
	session atomic.Pointer[session]
	hub     feed.Hub[protocol.Event]
	over    atomic.Bool // from close to open
	panics  atomic.Uint64
	lines   lines.Kept

	mu sync.Mutex // held by open and close
}

// session is a DB from its opening to its closing.
type session struct {
	options Options
	engine  *engine.Engine
	refused atomic.Uint64 // because the store is full
	clock   *clock.Clock
	// persistence is nil if no snapshot path is set.
	persistence *persistence

	stuck stuckGroups
	// replays counts how often a replay was awaited.
	replays atomic.Uint64
	quit    chan struct{}  // closed when what runs by the clock is to end
	timers  sync.WaitGroup // what runs by the clock
}

// Open opens a store: empty, or with what the snapshot at Options.SnapshotPath holds. The error names every fault of the
// options at once, or what the file system had to say.
func Open(options Options) (*DB, error) {
	db := new(DB)
	if err := db.open(options); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return db, nil
}

// open begins a session. The DB must not be open.
func (db *DB) open(options Options) error {
	defer db.lines.FlushOwn()
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := options.Validate(); err != nil {
		return err
	}
	db.hub.Size = eventBytes
	options.Logger = db.lines.Of(options.Logger, nil)
	s := &session{options: options.withDefaults(), clock: clock.Start(), quit: make(chan struct{})}
	s.stuck.log = s.options.Logger
	config := s.options.engine(s.clock, &db.hub)
	config.Stuck = s.stuck.warn
	s.engine = engine.New(config)
	if s.options.SnapshotPath != "" {
		var err error
		if s.persistence, err = openPersistence(&s.options, s.engine); err != nil {
			s.clock.Stop()
			return err
		}
	}
	db.over.Store(false)
	db.session.Store(s)
	db.every(s, s.options.SweepInterval, s.engine.Sweep)
	if s.persistence != nil {
		db.awaitReplay(s)
	}
	if s.persistence != nil && s.options.SnapshotInterval > 0 {
		// save logs and counts its errors, and the next one may succeed.
		db.every(s, s.options.SnapshotInterval, func() { _ = s.persistence.save() })
	}
	return nil
}

// Close closes the store: calls that have begun take effect, later ones return ErrStopped, a snapshot is saved if a path is
// set, and the loops over Watch end. It does nothing when the store is closed. The error is that of the snapshot; the store
// is closed all the same.
func (db *DB) Close() error {
	defer db.lines.FlushOwn()
	db.mu.Lock()
	defer db.mu.Unlock()
	s := db.session.Load()
	if s == nil {
		db.endWatching()
		return nil
	}
	// 1. Refuse what comes later, and wait for what has begun.
	s.engine.Stop()
	db.session.Store(nil)
	// 2. End what runs by the clock, then the clock.
	close(s.quit)
	s.timers.Wait()
	s.clock.Stop()
	// 3. Keep what nobody can change any more.
	var err error
	if p := s.persistence; p != nil {
		err = errors.Join(p.save(), p.close())
	}
	// 4. End the loops of those who watch.
	db.endWatching()
	return err
}

func (db *DB) endWatching() {
	db.over.Store(true)
	db.hub.CloseAll()
}

// every calls do at each interval until the session ends. A panic of do is a bug; it is counted and logged, and the next
// interval comes.
func (db *DB) every(s *session, interval time.Duration, do func()) {
	s.timers.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				db.contained(s.options.Logger, do)
			case <-s.quit:
				return
			}
		}
	})
}

func (db *DB) contained(log *zap.Logger, do func()) {
	defer func() {
		if cause := recover(); cause != nil {
			lines.NewRequests(log).Panicked(&db.panics, nil, fmt.Sprint(cause), debug.Stack())
		}
	}()
	do()
}
