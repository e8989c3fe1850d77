package snapfile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lagkeeper/storage/internal/snapshot"
)

// Source is which file a state was loaded from.
type Source int

const (
	// Empty means that there is no sound file.
	Empty Source = iota
	// Newest means the file at the path itself.
	Newest
	// Previous means the file before it.
	Previous
)

// String returns "empty", "newest" or "previous".
func (s Source) String() string {
	switch s {
	case Newest:
		return "newest"
	case Previous:
		return "previous"
	}
	return "empty"
}

// LoadReport is the result of Load.
type LoadReport struct {
	Source Source
	// File is the name of the file that was loaded, "" for none.
	File string
	// Header and Summary are those of the file that was loaded.
	Header  snapshot.Header
	Summary snapshot.Summary
	// Damaged are the corrupt files, the newest first.
	Damaged []Damage
	// Removed are the files that were removed: temporary files of a crash, and all but the newest three corrupt files.
	Removed []string
	// Warnings are failures that do not matter, such as a temporary file that could not be removed.
	Warnings []error
}

// Damage is a corrupt file.
type Damage struct {
	// File is the name that the file had.
	File string
	// SetAside is the name that it has now; "" if giving it one failed, which SetAsideErr then says.
	SetAside    string
	SetAsideErr error
	// Err says what was wrong and where: a *snapshot.CorruptError, or what the disk returned.
	Err error
}

// Load loads the newest sound snapshot of a path: the newest, else the one before, else none, whatever their times say. It calls
// apply, which reads the snapshot, for each that may be sound. The caller holds the Lock of the path.
//
//   - A damaged file, and one that the disk fails to read, is renamed to <its name>.damaged-<unixms>, never over another
//     file, and reported. It is not an error. If that is found out when a part has been read, apply returns the error of the
//     Reader and drops what was taken; it is called again with the one before.
//   - A file of a version this package does not know is neither loaded nor passed over, since what the store saves later
//     would destroy it: Load changes nothing and returns a *snapshot.VersionError. So it does for path.prev, even if path is
//     sound: the next Save would replace it.
//   - A file that is there and cannot be opened, for want of permission or because it is no regular file, is an error for
//     the same reason.
//   - A directory that is not there is an error: nothing could be saved to it.
//   - Any other error of apply is returned.
//
// Temporary files that a crash has left are removed.
func Load(path string, opts Options, apply func(*snapshot.Reader) error) (LoadReport, error) {
	l := loader{fs: opts.fs(), path: path, unixMilli: opts.UnixMilli, progress: opts.Progress}
	if l.unixMilli == nil {
		l.unixMilli = func() int64 { return time.Now().UnixMilli() }
	}
	if err := l.load(apply); err != nil {
		return l.report, fmt.Errorf("load snapshot %s: %w", path, err)
	}
	return l.report, nil
}

// Verify checks one snapshot file from end to end and changes nothing.
func Verify(ctx context.Context, path string, opts Options) (snapshot.Header, snapshot.Summary, error) {
	file, err := opts.fs().Open(path)
	if err != nil {
		return snapshot.Header{}, snapshot.Summary{}, fmt.Errorf("verify snapshot: %w", err)
	}
	r, err := snapshot.NewReader(file, file.Size())
	if err == nil {
		err = r.Read(ctx, nowhere{})
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return snapshot.Header{}, snapshot.Summary{}, fmt.Errorf("verify snapshot %s: %w", path, err)
	}
	return r.Header(), r.Summary(), nil
}

// nowhere is a sink that drops everything.
type nowhere struct{}

func (nowhere) WriteTopic(*snapshot.Topic) error { return nil }
func (nowhere) WriteGroup(*snapshot.Group) error { return nil }

type loader struct {
	fs        FS
	path      string
	unixMilli func() int64
	progress  func(done, of uint64)
	report    LoadReport
}

func (l *loader) load(apply func(*snapshot.Reader) error) error {
	names, err := l.fs.Names(filepath.Dir(l.path))
	if err != nil {
		return fmt.Errorf("list its directory: %w", err)
	}
	previous := l.path + previousSuffix
	if err := refuseForeign(l.fs, l.path, previous); err != nil {
		return err
	}
	l.removeTemps(names)
	for _, candidate := range []struct {
		source Source
		name   string
	}{{Newest, l.path}, {Previous, previous}} {
		found, err := l.try(candidate.source, candidate.name, apply)
		if err != nil {
			return err
		}
		if found {
			break
		}
	}
	l.removeDamaged()
	return nil
}

// try loads one file. It returns false if the file is not there or has been set aside.
func (l *loader) try(source Source, name string, apply func(*snapshot.Reader) error) (found bool, err error) {
	file, err := l.fs.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	r, err := snapshot.NewReader(file, file.Size())
	applied := err == nil
	if applied {
		err = l.apply(r, apply)
	}
	_ = file.Close() // it was only read
	switch {
	case errors.As(err, new(*snapshot.CorruptError)) || errors.As(err, new(*snapshot.ReadError)):
		l.setAside(name, err)
		return false, nil
	case err != nil && applied:
		return false, fmt.Errorf("apply %s: %w", name, err)
	case err != nil:
		return false, err
	}
	l.report.Source, l.report.File = source, name
	l.report.Header, l.report.Summary = r.Header(), r.Summary()
	return true, nil
}

// apply calls apply, and Progress meanwhile.
func (l *loader) apply(r *snapshot.Reader, apply func(*snapshot.Reader) error) error {
	if l.progress == nil {
		return apply(r)
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(done)
	wg.Go(func() {
		ticker := time.NewTicker(progressInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				l.progress(r.Groups(), r.Summary().Groups)
			case <-done:
				return
			}
		}
	})
	return apply(r)
}

// setAside renames a corrupt file to a name that is not in use.
func (l *loader) setAside(name string, why error) {
	damage := Damage{File: name, Err: why}
	aside := name + damagedSuffix + strconv.FormatInt(l.unixMilli(), 10)
	to := aside
	for n := 2; ; n++ {
		there, err := l.fs.Exists(to)
		if err == nil && there {
			to = aside + "-" + strconv.Itoa(n)
			continue
		}
		if err == nil {
			err = l.fs.Rename(name, to)
		}
		if damage.SetAsideErr = err; err == nil {
			damage.SetAside = to
		}
		break
	}
	l.report.Damaged = append(l.report.Damaged, damage)
}

// removeTemps removes the temporary files of a crash. The lock is held, so nobody writes to them.
func (l *loader) removeTemps(names []string) {
	dir, base := filepath.Split(l.path)
	for _, name := range names {
		digits, is := strings.CutPrefix(name, base+tempSuffix)
		if !is || digits == "" || strings.Trim(digits, "0123456789") != "" {
			continue
		}
		if err := removeIfThere(l.fs, dir+name); err != nil {
			l.warn(err)
			continue
		}
		l.report.Removed = append(l.report.Removed, dir+name)
	}
}

// keptDamaged is the number of corrupt files of a path that are kept for investigation.
const keptDamaged = 3

// removeDamaged removes all but the newest corrupt files.
func (l *loader) removeDamaged() {
	dir, base := filepath.Split(l.path)
	names, err := l.fs.Names(filepath.Dir(l.path))
	if err != nil {
		l.warn(err)
		return
	}
	type damaged struct {
		name string
		at   int64
	}
	var all []damaged
	for _, name := range names {
		for _, of := range []string{base, base + previousSuffix} {
			rest, is := strings.CutPrefix(name, of+damagedSuffix)
			digits, _, _ := strings.Cut(rest, "-")
			if at, err := strconv.ParseInt(digits, 10, 64); is && err == nil {
				all = append(all, damaged{name, at})
			}
		}
	}
	slices.SortFunc(all, func(a, b damaged) int { return cmp.Or(cmp.Compare(b.at, a.at), cmp.Compare(b.name, a.name)) })
	for _, d := range all[min(keptDamaged, len(all)):] {
		if err := removeIfThere(l.fs, dir+d.name); err != nil {
			l.warn(err)
			continue
		}
		l.report.Removed = append(l.report.Removed, dir+d.name)
	}
}

func (l *loader) warn(err error) {
	if err != nil {
		l.report.Warnings = append(l.report.Warnings, err)
	}
}
