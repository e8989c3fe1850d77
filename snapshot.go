package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/lagkeeper/storage/internal/engine"
	"github.com/lagkeeper/storage/internal/snapfile"
	"github.com/lagkeeper/storage/internal/snapshot"
)

// persistence keeps the snapshot of an engine.
type persistence struct {
	path      string
	intervals int
	log       *zap.Logger
	lock      *snapfile.FileLock

	restored Restored

	// logDamaged logs once that the state is damaged.
	logDamaged sync.Once

	// mu is held while a snapshot is made.
	mu      sync.Mutex
	closed  bool
	engine  *engine.Engine
	version uint64 // of the engine when the newest snapshot was begun
	// sequence counts the snapshots of the path.
	sequence uint64
	// saved is replaced under mu and read without it: a reader does not wait for a snapshot.
	saved atomic.Pointer[SnapshotStats]

	// replay guards what follows.
	replay sync.Mutex
	// replaying is true until ReplayDone. Until then every snapshot is dated watermark, in Unix milliseconds; 0 is before
	// everything.
	replaying bool
	watermark int64
	// moved is true from ReplayDone until a snapshot has the new watermark.
	moved bool
}

// openPersistence locks the path of the snapshot and loads the newest sound snapshot into an engine, which newEngine makes.
func openPersistence(ctx context.Context, options *Options, newEngine func() *engine.Engine) (_ *persistence, err error) {
	log := options.Logger
	path, err := snapfile.Resolve(options.SnapshotPath)
	if err != nil {
		return nil, fmt.Errorf("restore snapshot: %w", err)
	}
	lock, err := snapfile.Lock(path)
	if err != nil {
		return nil, fmt.Errorf("restore snapshot: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Unlock())
		}
	}()
	e, loaded := newEngine(), engine.Loaded{}
	report, err := snapfile.Load(path, snapfile.Options{Progress: restoring(log, path)}, func(r *snapshot.Reader) error {
		loaders := make([]*engine.Loader, cores())
		sinks := make([]snapshot.Sink, len(loaders))
		for i := range sinks {
			loaders[i] = e.Loader()
			sinks[i] = loaders[i]
		}
		if err := r.Read(ctx, sinks...); err != nil {
			e.Abandon()
			e = newEngine()
			return err
		}
		for _, loader := range loaders {
			loaded.Add(loader.Loaded)
		}
		return nil
	})
	for _, damage := range report.Damaged {
		log.Error("corrupt snapshot", zap.String("file", damage.File), zap.String("set_aside", damage.SetAside),
			zap.Error(damage.Err), zap.NamedError("set_aside_error", damage.SetAsideErr))
	}
	for _, removed := range report.Removed {
		log.Info("removed old snapshot file", zap.String("file", removed))
	}
	for _, warning := range report.Warnings {
		log.Warn("snapshot directory", zap.Error(warning))
	}
	if err != nil {
		return nil, fmt.Errorf("restore snapshot: %w", err)
	}
	p := &persistence{path: path, intervals: options.Intervals, log: log, lock: lock, engine: e, version: e.Version(), sequence: report.Header.Sequence,
		replaying: true}
	p.restored = Restored{
		File: report.File, Groups: int(report.Summary.Groups) - loaded.Departed, Topics: int(report.Summary.Topics),
		Skipped: loaded.Skipped, Full: loaded.Full,
	}
	for _, damage := range report.Damaged {
		p.restored.Damaged = append(p.restored.Damaged, DamagedSnapshot{damage.File, damage.SetAside, damage.Err})
	}
	if loaded.Full > 0 {
		log.Warn("store full: snapshot loaded in part", zap.Int("left_out", loaded.Full),
			zap.Int64("max_memory", options.MaxMemory), zap.Int64("bytes", e.Used()))
	}
	if report.File != "" {
		e.RestorePositions(report.Header.Positions)
		// The clock may have been set back since.
		p.watermark = min(report.Header.TakenAt, time.Now().UnixMilli())
		if p.watermark != 0 {
			p.restored.Watermark = time.UnixMilli(p.watermark)
		}
		log.Info("restored", zap.String("file", report.File), zap.Time("watermark", p.restored.Watermark),
			zap.Int("groups", p.restored.Groups), zap.Int("skipped", loaded.Skipped))
	}
	return p, nil
}

// restoring returns the function that logs the progress of a restore.
func restoring(log *zap.Logger, path string) func(done, of uint64) {
	return func(done, of uint64) {
		log.Info("restoring", zap.String("snapshot", path), zap.Uint64("groups", done), zap.Uint64("of", of))
	}
}

// cores is the number of goroutines that restore and save a snapshot.
func cores() int { return runtime.GOMAXPROCS(0) }

// save makes a snapshot unless nothing has changed since the newest. It logs the outcome after it has released its locks.
func (p *persistence) save() error {
	did, err := p.saveQuietly()
	if did.relocked {
		p.log.Error("lock file of the snapshot was removed or replaced: locked again", zap.String("snapshot", p.path))
	}
	did.leftOut.log(p.log, "snapshot")
	switch {
	case errors.Is(err, ErrDamaged):
		p.logDamaged.Do(func() {
			p.log.Error("state damaged by a panic: no more snapshots are saved; reopen the store to continue from the newest",
				zap.String("snapshot", p.path), zap.Error(err))
		})
	case err != nil && !errors.Is(err, ErrStopped):
		p.log.Error("snapshot failed", zap.Error(err))
	case did.saved:
		saved := p.stats()
		p.log.Debug("snapshot saved", zap.Uint64("bytes", saved.Bytes), zap.Duration("took", saved.Duration))
	}
	if err != nil {
		return fmt.Errorf("save snapshot: %w", err)
	}
	return nil
}

// saving is the outcome of saveQuietly: there is more to log than an error.
type saving struct {
	saved    bool // a snapshot was made
	relocked bool // the lock had been lost
	leftOut  leavingOut
}

// saveQuietly is save without logging.
func (p *persistence) saveQuietly() (did saving, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return did, ErrStopped
	}
	version := p.engine.Version()
	begun := time.Now()
	takenAt, moves := p.takenAt(begun)
	if version == p.version && !moves && !p.engine.Damaged() {
		return did, nil
	}
	saved := p.stats()
	defer func() {
		if err != nil {
			saved.Failed++
		}
		p.saved.Store(&saved)
	}()
	if did.relocked, err = p.keepLocked(); err != nil {
		return did, err
	}
	header := snapshot.Header{TakenAt: takenAt, Intervals: p.intervals, Sequence: p.sequence + 1, Positions: p.engine.SavedPositions()}
	summary, err := snapfile.Save(p.path, header, func(w *snapshot.Writer) error {
		lenient := make([]leavingOut, cores())
		outs := make([]snapshot.Output, len(lenient))
		for i := range outs {
			lenient[i].Output = w.Blocks()
			outs[i] = &lenient[i]
		}
		err := p.engine.Save(outs...)
		for i := range lenient {
			did.leftOut.count += lenient[i].count
			did.leftOut.first = cmp.Or(did.leftOut.first, lenient[i].first)
		}
		return err
	}, snapfile.Options{})
	if err != nil {
		return did, fromEngine(err)
	}
	if moves {
		p.markSaved()
	}
	p.sequence++
	p.version = version
	saved.Saved++
	saved.Last, saved.Duration, saved.Bytes = begun, time.Since(begun), summary.Bytes
	saved.LeftOut = did.leftOut.count
	did.saved = true
	return did, nil
}

// keepLocked makes sure that the path is still locked. If somebody has removed the lock file, the path is locked again unless
// another process has locked it since: otherwise two stores would save to one path.
func (p *persistence) keepLocked() (relocked bool, err error) {
	err = p.lock.Check()
	if !errors.Is(err, snapfile.ErrLockLost) {
		return false, err
	}
	lock, err := snapfile.Lock(p.path)
	if err != nil {
		return false, err
	}
	_ = p.lock.Unlock() // of a file that no longer has a name
	p.lock = lock
	return true, nil
}

// takenAt returns the time that a snapshot begun now is dated, and whether it is the first with that watermark.
func (p *persistence) takenAt(now time.Time) (milliseconds int64, moves bool) {
	p.replay.Lock()
	defer p.replay.Unlock()
	if p.replaying {
		return p.watermark, false
	}
	return now.UnixMilli(), p.moved
}

func (p *persistence) replayDone() {
	p.replay.Lock()
	defer p.replay.Unlock()
	p.moved = p.moved || p.replaying
	p.replaying = false
}

// markSaved notes that a snapshot with the new watermark exists.
func (p *persistence) markSaved() {
	p.replay.Lock()
	defer p.replay.Unlock()
	p.moved = false
}

func (p *persistence) stats() SnapshotStats {
	if saved := p.saved.Load(); saved != nil {
		return *saved
	}
	return SnapshotStats{}
}

// close unlocks the path. A later save does nothing.
func (p *persistence) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	return p.lock.Unlock()
}
