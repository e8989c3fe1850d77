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
	// opening cancels an open that restores a snapshot; nil if there is none.
	opening atomic.Pointer[context.CancelCauseFunc]
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
func Open(options Options) (*DB, error) { return OpenContext(context.Background(), options) }

// OpenContext is Open that ends with the context's error if the context is done before the snapshot is restored, which takes
// seconds for millions of partitions. Once the store is open the context has no bearing on it.
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
	db.hub.Size = eventBytes
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

// cancelOpen ends an open that restores a snapshot with ErrStopped, if there is one.
func (db *DB) cancelOpen() {
	if cancel := db.opening.Load(); cancel != nil {
		(*cancel)(ErrStopped)
	}
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

// AddCluster adds a cluster while the store runs, as if Options.Clusters had named it; it is empty at first. It does nothing
// if the cluster is there. It returns ErrInvalid for a name that is longer than 32,767 bytes or differs from that of another
// cluster only in case, and for the 10,001st cluster. It waits for a RemoveCluster that runs.
//
// A snapshot contains the cluster, but Open restores it only if Options.Clusters names it: an application that learns of its
// clusters while it runs keeps their names itself. Nor does a Coordinator or a module that is started again know it.
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
// on it is ErrUnknownCluster. Groups and topics go one after the other, each as if it were deleted, so that nobody waits for
// long; all have gone when RemoveCluster returns. It returns ErrUnknownCluster.
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
