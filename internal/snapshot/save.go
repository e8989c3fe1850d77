package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// What stands next to a snapshot. A damaged file is path or one of these with ".damaged-<unixms>" behind it.
const (
	// previousSuffix marks the snapshot before the newest.
	previousSuffix = ".prev"
	// comingSuffix marks what becomes the one before: a second name of the newest while the next takes its place.
	comingSuffix = ".prev.new"
	// tempSuffix, and digits, mark a snapshot being written.
	tempSuffix = ".tmp-"
	lockSuffix = ".lock"
	// damagedSuffix, and when it was found, mark a file that was not sound.
	damagedSuffix = ".damaged-"
)

// Options are what Save, Load and Verify may be told. The zero value is what a program wants.
type Options struct {
	// FS is the file system; nil means OS.
	FS FS
	// UnixMilli names damaged files; nil means the system's clock.
	UnixMilli func() int64
}

func (o Options) fs() FS {
	if o.FS == nil {
		return OS{}
	}
	return o.FS
}

// Save writes a snapshot to path and keeps the one before as path.prev. The caller holds the Lock of the path and makes
// one Save at a time.
//
// The steps, and what a crash after each of them leaves. "Old" is what path was, "older" what path.prev was, "new" what is
// being written:
//
//  1. Ask whether path or path.prev has a version this package does not know, or is no file that can be opened: then
//     nothing is touched.
//  2. Write new to path.tmp-<digits>, sync it, close it.            path old, path.prev older
//  3. Link path to path.prev.new: old has two names.                path old, path.prev older
//  4. Rename path.tmp-<digits> to path.                             path new, path.prev older, path.prev.new old
//  5. Sync the directory: new is there to stay.                     path new, path.prev older, path.prev.new old
//  6. Rename path.prev.new to path.prev.                            path new, path.prev old
//  7. Sync the directory.
//
// So path is never missing and always sound, and path.prev changes only when new is durable. Load finishes or undoes what a
// crash left. That holds for the end of the process and for a power loss that keeps any part of what was not synced; of a
// power loss that keeps step 4 and loses step 3, which a journal does not do, path.prev is older instead of old. Where the
// file system has no links, step 3 renames path to path.prev and steps 6 and 7 fall away: between 3 and 4 path.prev, which
// is old, is the only one, and sound.
//
// An error of Save says which step failed. One before step 4 leaves path as it was; one in step 5 or later leaves new in
// path, not known to be durable. Save may simply be called again.
func Save(path string, header Header, fill func(*Writer) error, opts Options) (Summary, error) {
	sum, err := save(opts.fs(), path, header, fill)
	if err != nil {
		return Summary{}, fmt.Errorf("save snapshot %s: %w", path, err)
	}
	return sum, nil
}

func save(fsys FS, path string, header Header, fill func(*Writer) error) (Summary, error) {
	// 1. Keep off what a later release wrote.
	if err := refuseFuture(fsys, path, path+previousSuffix); err != nil {
		return Summary{}, err
	}
	// 2. Write new.
	temp, sum, err := writeTemp(fsys, path, header, fill)
	if err != nil {
		return Summary{}, err
	}
	// 3. Keep old.
	linked, err := keepOld(fsys, path)
	if err != nil {
		return Summary{}, errors.Join(err, removeIfThere(fsys, temp))
	}
	// 4. Put new in its place.
	if err := fsys.Rename(temp, path); err != nil {
		return Summary{}, errors.Join(fmt.Errorf("put it in place: %w", err), removeIfThere(fsys, temp))
	}
	// 5. Make it stay.
	dir := filepath.Dir(path)
	if err := fsys.SyncDir(dir); err != nil {
		return Summary{}, fmt.Errorf("sync directory %s, the snapshot is written but may not survive a power loss: %w",
			dir, err)
	}
	if !linked {
		return sum, nil
	}
	// 6. Make old the one before.
	if err := promote(fsys, path); err != nil {
		return Summary{}, fmt.Errorf("the snapshot is written, keep the one before: %w", err)
	}
	// 7. Make that stay.
	if err := fsys.SyncDir(dir); err != nil {
		return Summary{}, fmt.Errorf("sync directory %s, the snapshot is written, the one before may not survive a power "+
			"loss: %w", dir, err)
	}
	return sum, nil
}

// writeTemp writes a whole snapshot next to path. Nothing is left of it where that fails, or where fill panics.
func writeTemp(fsys FS, path string, header Header, fill func(*Writer) error) (temp string, sum Summary, err error) {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	file, err := fsys.CreateTemp(dir, base+tempSuffix+"*")
	if err != nil {
		return "", Summary{}, fmt.Errorf("create temporary file: %w", err)
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

	w := NewWriter(file, header)
	if err := fill(w); err != nil {
		return "", Summary{}, err
	}
	if sum, err = w.Close(); err != nil {
		return "", Summary{}, err
	}
	// A sync that failed is not tried again: the system may have dropped what it could not write.
	if err := file.Sync(); err != nil {
		return "", Summary{}, fmt.Errorf("sync %s: %w", name, err)
	}
	closed = true
	if err := file.Close(); err != nil {
		return "", Summary{}, fmt.Errorf("close %s: %w", name, err)
	}
	whole = true
	return name, sum, nil
}

// keepOld gives path a second name, if there is a path. Where the file system has no links it renames it, and linked is
// false.
func keepOld(fsys FS, path string) (linked bool, err error) {
	// What a Save that failed after its step 3 has left; path has been good since.
	if err := removeIfThere(fsys, path+comingSuffix); err != nil {
		return false, fmt.Errorf("remove what an earlier save has left: %w", err)
	}
	err = fsys.Link(path, path+comingSuffix)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	}
	if err := fsys.Rename(path, path+previousSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("keep the snapshot before: %w", err)
	}
	return false, nil
}

// promote makes path.prev.new the snapshot before the newest.
func promote(fsys FS, path string) error {
	if err := fsys.Rename(path+comingSuffix, path+previousSuffix); err != nil {
		return err
	}
	// Where both names stood for one file already, POSIX renames nothing and leaves both.
	return removeIfThere(fsys, path+comingSuffix)
}

func removeIfThere(fsys FS, name string) error {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// refuseFuture returns a *VersionError if one of the files is sound as far as its version goes and that version is
// unknown, and an error if one is there and cannot be opened. Whatever else is wrong with them is for others to find.
func refuseFuture(fsys FS, names ...string) error {
	for _, name := range names {
		file, err := fsys.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("ask for its version: %w", err)
		}
		preamble := make([]byte, preambleSize)
		n, _ := file.ReadAt(preamble, 0) // what cannot be read is damaged, not of the future
		_, err = parsePreamble(preamble[:n])
		_ = file.Close() // it was only read
		var version *VersionError
		if errors.As(err, &version) {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
