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

// Restored is what a store began with.
type Restored struct {
	// File is the snapshot that was loaded, "" if the store began empty.
	File string
	// Watermark is the moment from which on the application reads __consumer_offsets again: what was committed before is
	// in the snapshot. Zero if the store began empty, or had begun empty and ReplayDone was not called since: nothing
	// can be taken for known. It is never later than now.
	Watermark time.Time
	// Groups and Topics are the numbers that the snapshot held, Skipped the number of them that today's configuration left out.
	Groups, Topics, Skipped int
	// Full is the number of Skipped that did not fit into Options.MaxMemory.
	Full int
	// Damaged are the snapshots that were not sound and were set aside.
	Damaged []DamagedSnapshot
}

// DamagedSnapshot is a snapshot file that was not sound.
type DamagedSnapshot struct {
	// File is the name that the file had, SetAside the one it has now; SetAside is "" if it could not be renamed.
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
	// LeftOut is the number of groups and topics that the newest lacks because the format has no room for them.
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
// is set, ErrStopped while the store is closed, and what the file system had to say.
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

// Restored returns what the store began with; it is the zero value if no snapshot-path is configured.
func (db *DB) Restored() Restored {
	if p := db.persistence(); p != nil {
		return p.restored
	}
	return Restored{}
}

// Export writes everything that the store holds as JSON lines, in the format of docs/format/jsonl.md, while requests go
// on; each group is written as it is at one moment. It returns ErrStopped while the module does not run, the context's
// error and that of w.
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

// Import reads what Export has written. A group or topic replaces the one of its name; what the configuration does not let
// in is left out. What came is RESTORED until it is confirmed, as after a start: by what is received, by ReplayDone, or when
// Options.ReplayTimeout has passed. The positions become those that both what was there and what came contain. Everything is
// read and checked before anything is changed. It returns ErrStopped while the module does
// not run, the context's error, and one that names the line that could not be read.
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
	// What came waits for being confirmed, as after a start.
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
		// What was deleted matters to a replay alone.
		return err
	}
	return c.Sink.WriteGroup(g)
}

// exporting is an Output whose records a Sink takes first.
type exporting struct {
	snapshot.Sink
	out snapshot.Output
}

func (e exporting) Flush() error { return e.out.Flush() }

// ReplayDone says that the application has read __consumer_offsets from Restored().Watermark, or from its Positions, to the
// end, or does not mean to. A commit that came from the snapshot and was not received again is confirmed by it: the group
// stands where it stood. Until then every snapshot keeps the watermark, since what was committed in between may be in neither
// the snapshot nor, after another restart, in what the application would read. An application calls it after every start,
// also if the store began empty, and after an Import; Options.ReplayTimeout stands in for one that does not.
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

// awaitImport begins to wait anew, unless the session is over.
func (db *DB) awaitImport(s *session) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.session.Load() == s {
		db.awaitReplay(s)
	}
}

// awaitReplay takes the replay for done when ReplayTimeout is over, unless it is begun anew before.
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

// leavingOut is an Output that leaves out what the format has no room for: one group must not cost the snapshot of all others.
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

// log says what was left out, if anything.
func (l *leavingOut) log(log *zap.Logger, of string) {
	if l.count > 0 {
		log.Warn("records left out of the "+of+": too large", zap.Int("records", l.count), zap.NamedError("first", l.first))
	}
}
