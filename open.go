package storage

import (
	"context"
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

// DB is a store in the memory of the process. Store documents the methods that every store has. A DB may be used by any number of
// goroutines. After Close every call returns ErrStopped.
type DB struct {
	// session is nil while the DB is not open.
	session atomic.Pointer[session]
	hub     feed.Hub[protocol.Event]
	over    atomic.Bool // true from close to open
	panics  atomic.Uint64
	lines   lines.Kept

	mu sync.Mutex // held by open and close
	// opening cancels an open that is restoring a snapshot; nil if there is none.
	opening atomic.Pointer[context.CancelCauseFunc]
}

// session is a DB from its opening to its closing.
type session struct {
	options Options
	engine  *engine.Engine
	refused atomic.Uint64 // requests refused because the store is full
	clock   *clock.Clock
	// persistence is nil if no snapshot path is set.
	persistence *persistence

	stuck stuckGroups
	// replays counts the replays that were awaited; see awaitReplay.
	replays atomic.Uint64
	quit    chan struct{}  // closed when the timers are to end
	timers  sync.WaitGroup // the goroutines that run at intervals
}

// Open opens a store: empty, or with the snapshot at Options.SnapshotPath. The error names every fault of the options at
// once, or is that of the file system.
func Open(options Options) (*DB, error) { return OpenContext(context.Background(), options) }

// OpenContext is Open, and returns the context's error if the context is done before the snapshot is restored. That takes
// seconds for millions of partitions. Once the store is open, the context has no effect on it.
func OpenContext(ctx context.Context, options Options) (*DB, error) {
	db := new(DB)
	if err := db.open(ctx, options); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return db, nil
}

// open begins a session. The DB must not be open.
func (db *DB) open(ctx context.Context, options Options) error {
	defer db.lines.FlushOwn()
	db.mu.Lock()
	defer db.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	db.opening.Store(&cancel)
	defer db.opening.Store(nil)
	if err := options.Validate(); err != nil {
		return err
	}
	if db.hub.Size == nil { // a call of the session before may still be reading it
		db.hub.Size = eventBytes
	}
	options.Logger = db.lines.Of(options.Logger, nil)
	s := &session{options: options.withDefaults(), clock: clock.Start(), quit: make(chan struct{})}
	s.stuck.log = s.options.Logger
	config := s.options.engine(s.clock, &db.hub)
	config.Stuck = s.stuck.warn
	if s.options.SnapshotPath == "" {
		s.engine = engine.New(config)
	} else {
		var err error
		if s.persistence, err = openPersistence(ctx, &s.options, func() *engine.Engine { return engine.New(config) }); err != nil {
			s.clock.Stop()
			return err
		}
		s.engine = s.persistence.engine
	}
	db.over.Store(false)
	db.session.Store(s)
	db.every(s, s.options.SweepInterval, s.engine.Sweep)
	if s.persistence != nil {
		db.awaitReplay(s)
	}
	if s.persistence != nil && s.options.SnapshotInterval > 0 {
		// save has logged and counted its error, and the next one may succeed.
		db.every(s, s.options.SnapshotInterval, func() { _ = s.persistence.save() })
	}
	return nil
}

// Close closes the store: calls that have begun take effect, later ones return ErrStopped, a snapshot is saved if a path is
// set, and loops over Watch end. If the store is closed already it does nothing. The error is that of the snapshot; the store
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
	// 1. Refuse later calls, and wait for those that have begun.
	s.engine.Stop()
	db.session.Store(nil)
	// 2. End the timers, then the clock.
	close(s.quit)
	s.timers.Wait()
	s.clock.Stop()
	// 3. Save the state, which cannot change any more.
	var err error
	if p := s.persistence; p != nil {
		err = errors.Join(p.save(), p.close())
	}
	// 4. End the loops of watchers.
	db.endWatching()
	return err
}

// cancelOpen ends an open that is restoring a snapshot with ErrStopped, if there is one.
func (db *DB) cancelOpen() {
	if cancel := db.opening.Load(); cancel != nil {
		(*cancel)(ErrStopped)
	}
}

func (db *DB) endWatching() {
	db.over.Store(true)
	db.hub.CloseAll()
}

// every calls do at each interval until the session ends. A panic of do is a bug; it is counted and logged, and do is called
// again at the next interval.
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

// AddCluster adds a cluster while the store runs, as if Options.Clusters had named it; it is empty at first. If the cluster
// exists, it does nothing. It returns ErrInvalid for a name that is longer than 32,767 bytes or differs from another only in
// case, and for the 10,001st cluster. It waits for a RemoveCluster that runs.
//
// A snapshot contains the cluster, but Open restores it only if Options.Clusters names it, and a Coordinator or module that
// is started again has only its configured clusters. An application that learns of clusters at run time must keep their names
// itself.
func (db *DB) AddCluster(name string) error {
	s := db.session.Load()
	if s == nil {
		return fmt.Errorf("add cluster: %w", ErrStopped)
	}
	if err := s.engine.AddCluster(name); err != nil {
		return fmt.Errorf("add cluster: %w", fromEngine(err))
	}
	return nil
}

// RemoveCluster removes a cluster with its groups, topics and positions, and what is remembered of its deletions. From then
// on requests for it return ErrUnknownCluster. Groups and topics go one after the other, each as if it were deleted, so that
// nobody waits for long; all have gone when RemoveCluster returns. It returns ErrUnknownCluster if there is no such cluster.
func (db *DB) RemoveCluster(name string) error {
	s := db.session.Load()
	if s == nil {
		return fmt.Errorf("remove cluster: %w", ErrStopped)
	}
	if why := s.engine.RemoveCluster(name); why != 0 {
		return fmt.Errorf("remove cluster: %w", errorOf(why))
	}
	return nil
}
