// Package snapshot is the codec of snapshots, the whole state of a store in one file: docs/format/snapshot.md.
//
// It knows nothing of the engine. The state of a store is described in model.go as plain structs: one [Header], then any
// number of [Topic] and [Group]. A [Writer] makes a file of those structs, a [Reader] returns them.
//
// Times are Unix milliseconds unless a name says otherwise. "Never" and "unknown" are values of their own, see [Never] and
// protocol.StoredCommit.LagKnown.
package snapshot
