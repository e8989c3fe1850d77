// Package engine is the state of the in-memory store: who committed what, how far the brokers are, who has expired. It
// knows nothing of channels, configuration files or logging, starts no goroutine, and is safe for any number of them.
//
// End offsets live in one ends.Table per cluster. Groups live in shards: a hash of cluster and group picks the shard, and
// everything about a group happens under the lock of its shard. A commit is judged against the table under that lock, and
// a topic is first taken out of the table and then out of every shard, so that no group can hold on to a topic that is
// gone.
//
// Locks are taken in this order: Engine.changing, shard, then table or topic. No lock is held while anything waits.
package engine
