// Package engine is the state of the in-memory store: commits, end offsets, owners, expiry. It knows nothing of channels,
// configuration files or logging, starts no goroutine, and may be used by any number of them.
//
// End offsets are in one ends.Table per cluster. Groups are in shards: a hash of cluster and group selects the shard, and
// everything about a group happens under the lock of its shard. A commit is judged against the table under that lock. A
// deleted topic is first removed from the table and then from every shard, so that no group can hold on to it.
//
// Locks are taken in this order: Engine.changing, shard, then table or topic. Only a run of commits holds several shards (see
// overlap.go), and it waits for none of them. No lock is held while anything waits for anything else.
package engine
