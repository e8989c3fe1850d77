// Package storage is the store of a Kafka lag monitor, to be embedded: it keeps, for every cluster, the end offsets of every
// topic-partition and the last commits of every consumer group, and answers how far each group is behind.
//
// # Open
//
// Open makes a DB, the store in the memory of the process. Its methods are the interface Store: writers for end offsets,
// commits and owners, readers for groups, topics and lists, batches, and errors that say why something was refused. An
// answer says beside the lag what that lag is worth: protocol.PartitionState, and the lag in time with its margin. Watch
// yields what changes, Stats counts, and with Options.SnapshotPath the state survives a restart. Package status judges a
// group, package trend works out rates and directions.
//
// # The channel
//
// Applications of the published API make a protocol.ApplicationContext with a StorageChannel, a Coordinator, and a
// configuration in viper; Configure, Start and later Stop are all there is to its life. They send protocol.StorageRequest
// values down the channel. What one sender sends takes effect in that order. A Fetch is answered on its Reply, which is
// then closed; a Reply that is closed without a value says that there is nothing to answer. Nobody waits for a requester
// that does not read. Coordinator.Store is the typed API of the same store.
//
// # Modules
//
// A Module is one store. The class inmemory is built in; Register adds others. A module on another engine implements
// Backend, and as many of Watcher, StatsSource and Persistent as it can, and gets its channel half from NewRelay; package
// storagetest holds the suite that it then must pass.
//
// Time is in Unix milliseconds, except for configuration keys, which are in seconds, and where a time.Time or time.Duration says
// so itself.
package storage
