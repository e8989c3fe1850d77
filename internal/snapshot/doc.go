// Package snapshot keeps the state of a store in a file, and as JSON lines.
//
// It knows nothing of the engine. What a store's state is stands in model.go as plain structs: one [Header], then any
// number of [Topic] and [Group]. Everything else moves those structs:
//
//   - [Writer] and [Reader]: the binary format, docs/format/snapshot.md. A Reader hands nothing out before the whole file
//     has been checked and decoded once.
//   - [JSONWriter], [WriteJSONLines] and [ReadJSONLines]: the same as JSON lines, docs/format/jsonl.md.
//   - [Save], [Load], [Verify] and [Lock]: the file layer. A Save that fails or is killed at any moment leaves a sound
//     file, the newest or the one before.
//
// Times are Unix milliseconds unless a name says otherwise. "Never" and "unknown" are values of their own, see [Never] and
// protocol.StoredCommit.LagKnown.
package snapshot
