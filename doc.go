// Package storage is the embedded store of a Kafka lag monitor: for every cluster it keeps the end offsets of every
// topic-partition and the last commits of every consumer group, and answers how far each group is behind.
//
// # Open
//
// Open makes a DB, the store in the memory of the process. Its methods are the interface Store: writers for end offsets,
// commits and owners, readers for groups, topics and lists, batches, and errors that say why something was refused. An answer
// says how far each lag can be trusted: protocol.PartitionState, and the lag in time with its margin. Watch yields changes,
// Stats returns statistics, and with Options.SnapshotPath the state survives a restart. Package status judges a group,
// package trend computes rates and directions.
//
// # The channel
//
// Applications of the published API make a protocol.ApplicationContext with a StorageChannel, a Coordinator, and a
// configuration in viper, and call Configure, Start and later Stop. They send protocol.StorageRequest values over the
// channel; those of one sender take effect in the order sent. A Fetch is answered on its Reply, which is then closed; a Reply
// that is closed without a value means that there is nothing to answer. A requester that does not read holds up nobody.
// Coordinator.Store is the typed API of the same store.
//
// # Modules
//
// A Module is one store. The class inmemory is built in; Register adds others. A module on another engine implements Backend,
// and as many of Watcher, StatsSource and Persistent as it can, and gets its channel half from NewRelay. Package storagetest
// holds the suite that it has to pass.
//
// Times are Unix milliseconds unless they are of type time.Time or time.Duration. Configuration keys are in seconds.
package storage
