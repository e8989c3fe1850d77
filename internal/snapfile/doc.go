// Package snapfile keeps the snapshot of a store under a path: it saves and loads files, keeps the one before, sets damaged ones
// aside and locks the path. [Save] that fails or is killed at any moment leaves a sound file, the newest or the one before.
package snapfile
