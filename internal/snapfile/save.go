package snapfile

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/lagkeeper/storage/internal/snapshot"
)

// The files beside a snapshot. A corrupt file has the suffix ".damaged-<unixms>" behind its name.
const (
	// previousSuffix marks the previous snapshot.
	previousSuffix = ".prev"
	// tempSuffix, and digits, mark a snapshot being written.
	tempSuffix = ".tmp-"
	lockSuffix = ".lock"
	// damagedSuffix, and when it was found, mark a corrupt file.
	damagedSuffix = ".damaged-"
)

// Options are the settings of Save, Load and Verify. The zero value is the usual one.
type Options struct {
	// FS is the file system; nil means OS.
	FS FS
	// UnixMilli names damaged files; nil means the system's clock.
	UnixMilli func() int64
	// Progress is called by Load every few seconds, from another goroutine, with the number of groups that have been read and
	// the number of all; it may be nil.
	Progress func(done, of uint64)
}

// progressInterval is how often Progress is called: often enough that a load does not look stuck.
const progressInterval = 3 * time.Second

func (o Options) fs() FS {
	if o.FS == nil {
		return OS{}
	}
	return o.FS
}

// Save writes a snapshot to path and keeps the one before as path.prev. The caller holds the Lock of the path and makes
// one Save at a time. It needs nothing of the file system but that a rename replaces a name in one step.
//
// The steps, and what a crash after each of them leaves. "Old" is what path was, "older" what path.prev was, "new" what is
// being written:
//
//  1. Refuse if path or path.prev has a version this release does not know, or is no file that can be opened: then
//     nothing is touched.
//  2. Write new to path.tmp-<digits>, sync it, close it.   path old, path.prev older
//  3. Rename path to path.prev.                            no path, path.prev old
//  4. Rename path.tmp-<digits> to path.                    path new, path.prev old
//  5. Sync the directory: new is there to stay.            path new, path.prev old
//
// So there is a sound file at every moment, and it is old or new. That holds for the end of the process and for a power loss
// that keeps any part of what was not synced, since new was synced before anything was renamed: of a power loss that keeps
// step 4 and loses step 3, path is new and path.prev older.
//
// An error of Save says which step failed. One before step 3 leaves path as it was, one in step 4 leaves it as path.prev, which
// Load finds and the next Save keeps; one in step 5 leaves new in path, not known to be durable. Save may simply be called again.
func Save(path string, header snapshot.Header, fill func(*snapshot.Writer) error, opts Options) (snapshot.Summary, error) {
	sum, err := save(opts.fs(), path, header, fill)
	if err != nil {
		return snapshot.Summary{}, fmt.Errorf("save snapshot %s: %w", path, err)
	}
	return sum, nil
}

func save(fsys FS, path string, header snapshot.Header, fill func(*snapshot.Writer) error) (snapshot.Summary, error) {
	// 1. Keep files of a later release.
	if err := refuseForeign(fsys, path, path+previousSuffix); err != nil {
		return snapshot.Summary{}, err
	}
	// 2. Write new.
	temp, sum, err := writeTemp(fsys, path, header, fill)
	if err != nil {
		return snapshot.Summary{}, err
	}
	// 3. Keep old.
	if err := fsys.Rename(path, path+previousSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return snapshot.Summary{}, errors.Join(fmt.Errorf("keep the snapshot before: %w", err), removeIfThere(fsys, temp))
	}
	// 4. Put new in its place.
	if err := fsys.Rename(temp, path); err != nil {
		return snapshot.Summary{}, errors.Join(fmt.Errorf("put it in place: %w", err), removeIfThere(fsys, temp))
	}
	// 5. Make it durable.
	dir := filepath.Dir(path)
	if err := fsys.SyncDir(dir); err != nil {
		return snapshot.Summary{}, fmt.Errorf("sync directory %s, the snapshot is written but may not survive a power loss: %w",
			dir, err)
	}
	return sum, nil
}

// writeTemp writes a whole snapshot beside path. If that fails, or fill panics, nothing is left of it.
func writeTemp(fsys FS, path string, header snapshot.Header, fill func(*snapshot.Writer) error) (temp string, sum snapshot.Summary, err error) {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	file, err := fsys.CreateTemp(dir, base+tempSuffix+"*")
	if err != nil {
		return "", snapshot.Summary{}, fmt.Errorf("create temporary file: %w", err)
	}
	name := file.Name()
	closed, whole := false, false
	defer func() {
		if whole {
			return
		}
		if !closed {
			err = errors.Join(err, file.Close())
		}
		err = errors.Join(err, removeIfThere(fsys, name))
	}()

	w := snapshot.NewWriter(file, header)
	if err := fill(w); err != nil {
		return "", snapshot.Summary{}, err
	}
	if sum, err = w.Close(); err != nil {
		return "", snapshot.Summary{}, err
	}
	// A failed sync is not repeated: the system may have dropped what it could not write.
	if err := file.Sync(); err != nil {
		return "", snapshot.Summary{}, fmt.Errorf("sync %s: %w", name, err)
	}
	closed = true
	if err := file.Close(); err != nil {
		return "", snapshot.Summary{}, fmt.Errorf("close %s: %w", name, err)
	}
	whole = true
	return name, sum, nil
}

func removeIfThere(fsys FS, name string) error {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// refuseForeign returns a *snapshot.VersionError if one of the files has an unknown version in a sound preamble, and an error
// if one exists and cannot be opened. It does not look for other faults.
func refuseForeign(fsys FS, names ...string) error {
	for _, name := range names {
		file, err := fsys.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read its version: %w", err)
		}
		err = snapshot.CheckVersion(file)
		_ = file.Close() // it was only read
		var version *snapshot.VersionError
		if errors.As(err, &version) {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
