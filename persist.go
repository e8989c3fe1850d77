package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/snapshot/jsonl"
)

// Restored describes what a store was opened with.
type Restored struct {
	// File is the snapshot that was loaded, "" if the store began empty.
	File string
	// Watermark is the time from which the application must read __consumer_offsets again: all earlier commits are in the
	// snapshot. It is zero, which means that no commit can be assumed to be known, if the store began empty, or had begun
	// empty and ReplayDone has not been called since. It is never later than now.
	Watermark time.Time
	// Groups and Topics are the numbers in the snapshot, Skipped the number of both that the current configuration left out.
	Groups, Topics, Skipped int
	// Full is the number of Skipped that did not fit into Options.MaxMemory.
	Full int
	// Damaged are the corrupt snapshots, which were set aside.
	Damaged []DamagedSnapshot
}

// DamagedSnapshot is a corrupt snapshot file.
type DamagedSnapshot struct {
	// File is the name that the file had, SetAside the name that it has now; SetAside is "" if it could not be renamed.
	File, SetAside string
	// Err says what was wrong and where.
	Err error
}

// SnapshotStats counts snapshots.
type SnapshotStats struct {
	// Saved and Failed count the snapshots that were made and those that could not be.
	Saved, Failed uint64
	// Last is when the newest was begun; zero if there is none since Start.
	Last time.Time
	// Duration is how long the newest took, Bytes its size.
	Duration time.Duration
	Bytes    uint64
	// LeftOut is the number of groups and topics that are missing from the newest because they are too large for the format.
	LeftOut int
}

// persistence returns what keeps the snapshots, nil if no path is set or the store is closed.
func (db *DB) persistence() *persistence {
	if s := db.session.Load(); s != nil {
		return s.persistence
	}
	return nil
}

// Snapshot saves a snapshot now, unless nothing has changed since the newest. It returns ErrUnsupported if no snapshot path
// is set, ErrStopped if the store is closed, or the error of the file system.
func (db *DB) Snapshot(ctx context.Context) error {
	defer db.lines.Flush()
	if _, err := db.running(ctx); err != nil {
		return fmt.Errorf("save snapshot: %w", err)
	}
	p := db.persistence()
	if p == nil {
		return fmt.Errorf("save snapshot: no snapshot path is set: %w", ErrUnsupported)
	}
	return p.save()
}

// Restored returns what the store was opened with; the zero value if no snapshot path is set.
func (db *DB) Restored() Restored {
	if p := db.persistence(); p != nil {
		return p.restored
	}
	return Restored{}
}

// Export writes the whole state as JSON lines, in the format of docs/format/jsonl.md, while requests go on; each group is
// written as it is at one moment. It returns ErrStopped while the store does not run, the context's error or that of w.
func (db *DB) Export(ctx context.Context, w io.Writer) error {
	s, err := db.running(ctx)
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	header := snapshot.Header{
		TakenAt: time.Now().UnixMilli(), Intervals: s.options.Intervals, Positions: s.engine.SavedPositions(),
	}
	var lenient leavingOut
	_, err = jsonl.Write(w, header, func(out snapshot.Output) error {
		lenient.Output = exporting{withContext{ctx, out}, out}
		return s.engine.Save(&lenient)
	})
	lenient.log(s.options.Logger, "export")
	if err != nil {
		return fmt.Errorf("export: %w", fromEngine(err))
	}
	return nil
}

// Import reads what Export has written. A group or topic replaces the one of its name; what the configuration excludes is
// left out. What was imported is RESTORED until it is confirmed, as after a start: by a poll or commit, by ReplayDone, or
// when Options.ReplayTimeout has passed. A cluster without groups takes the positions of the file; in others a log partition
// keeps the lower of its own position and that of the file, and has none if either is missing. Everything is read and
// checked before anything changes. Import returns ErrStopped while the store does not run, the context's error, or an error
// that names the line that could not be read.
func (db *DB) Import(ctx context.Context, r io.Reader) error {
	defer db.lines.Flush()
	s, err := db.running(ctx)
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	imported := s.engine.Import()
	begin := func(snapshot.Header) error { return nil }
	report, err := jsonl.Read(r, 0, begin, withContext{ctx, imported})
	if err != nil {
		return fmt.Errorf("import: %w", fromEngine(err))
	}
	if !report.Complete {
		s.options.Logger.Warn("import has no end line: written by hand, or incomplete")
	}
	// Imported state waits to be confirmed, as after a start.
	db.awaitImport(s)
	if err := imported.Apply(report.Header.Positions); err != nil {
		return fmt.Errorf("import: %w", fromEngine(err))
	}
	return nil
}

// withContext is a Sink that fails when its context is done.
type withContext struct {
	ctx context.Context
	snapshot.Sink
}

func (c withContext) WriteTopic(t *snapshot.Topic) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	return c.Sink.WriteTopic(t)
}

func (c withContext) WriteGroup(g *snapshot.Group) error {
	if err := c.ctx.Err(); err != nil || g.IsDeletion() {
		// Deletions matter only to a replay.
		return err
	}
	return c.Sink.WriteGroup(g)
}

// exporting is an Output that passes every record to a Sink first.
type exporting struct {
	snapshot.Sink
	out snapshot.Output
}

func (e exporting) Flush() error { return e.out.Flush() }

// ReplayDone says that the application has read __consumer_offsets from Restored().Watermark, or from its Positions, to the
// end, or is not going to. Commits that came from the snapshot and were not received again are confirmed by it: those groups
// have not committed since. Until then every snapshot keeps the old watermark, because commits made since may be neither in
// the snapshot nor, after another restart, in what the application would read. Call it after every start, even if the store
// began empty, and after an Import; Options.ReplayTimeout applies if it is not called.
func (db *DB) ReplayDone() {
	if s := db.session.Load(); s != nil {
		s.replayDone()
	}
}

func (s *session) replayDone() {
	s.engine.ReplayDone()
	if s.persistence != nil {
		s.persistence.replayDone()
	}
}

// awaitImport begins to wait anew, unless the session has ended.
func (db *DB) awaitImport(s *session) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.session.Load() == s {
		db.awaitReplay(s)
	}
}

// awaitReplay ends the replay when ReplayTimeout has passed, unless another wait has begun by then.
func (db *DB) awaitReplay(s *session) {
	if s.options.ReplayTimeout < 0 {
		return
	}
	number := s.replays.Add(1)
	s.timers.Go(func() {
		timer := time.NewTimer(s.options.ReplayTimeout)
		defer timer.Stop()
		select {
		case <-timer.C:
			if s.replays.Load() == number {
				db.contained(s.options.Logger, s.replayDone)
			}
		case <-s.quit:
		}
	})
}

// leavingOut is an Output that leaves out records that are too large for the format: one group must not prevent the snapshot
// of all others.
type leavingOut struct {
	snapshot.Output
	count int
	first error
}

func (l *leavingOut) WriteTopic(t *snapshot.Topic) error { return l.note(l.Output.WriteTopic(t)) }

func (l *leavingOut) WriteGroup(g *snapshot.Group) error { return l.note(l.Output.WriteGroup(g)) }

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

// log logs what was left out, if anything.
func (l *leavingOut) log(log *zap.Logger, of string) {
	if l.count > 0 {
		log.Warn("records left out of the "+of+": too large", zap.Int("records", l.count), zap.NamedError("first", l.first))
	}
}
