package snapfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// maxFileName is the longest name of a file in bytes: 255 on every file system in common use.
	maxFileName = 255
	// longestSuffix is the longest suffix of a file beside a snapshot: that of a corrupt previous one, with the digits of a
	// time in milliseconds and of a number.
	longestSuffix = len(previousSuffix) + len(damagedSuffix) + len("9223372036854775807-1000")
)

// Resolve returns the absolute path of a snapshot without symbolic links, so that neither a change of the working directory
// nor of a link moves it, and two names of one file have one lock. The file may be missing; its directory may not. It
// returns an error matching ErrNameTooLong if the name leaves no room for the suffixes of what stands beside it.
func Resolve(path string) (string, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("resolve snapshot path %s: %w", path, err)
	}
	// A link is followed even if its target does not exist yet. A ring of links ends in an error of the system.
	for {
		dir, err := filepath.EvalSymlinks(filepath.Dir(absolute))
		if err != nil {
			return "", fmt.Errorf("resolve snapshot path %s: %w", path, err)
		}
		absolute = filepath.Join(dir, filepath.Base(absolute))
		info, err := os.Stat(absolute)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("resolve snapshot path %s: %w", path, err)
		}
		if err == nil && !info.Mode().IsRegular() {
			return "", fmt.Errorf("resolve snapshot path %s: not a regular file", path)
		}
		to, err := os.Readlink(absolute)
		if err != nil {
			break // no link
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(dir, to)
		}
		absolute = to
	}
	if name := filepath.Base(absolute); len(name) > maxFileName-longestSuffix {
		return "", fmt.Errorf("resolve snapshot path: %w: %d bytes, at most %d leave room for suffixes",
			ErrNameTooLong, len(name), maxFileName-longestSuffix)
	}
	return absolute, nil
}
