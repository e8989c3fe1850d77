//go:build !unix

package snapfile

// syncDir does nothing: Windows does not sync directories, NTFS journals a rename by itself.
func syncDir(string) error { return nil }
