// Package storage is the storage subsystem of a Kafka lag monitor, to be embedded: it keeps, for every cluster, the end
// offsets of every topic-partition and the last commits of every consumer group, and answers what an evaluator, an HTTP
// API or a notifier asks about them.
//
// # The channel
//
// An application makes a protocol.ApplicationContext with a StorageChannel, a Coordinator, and a configuration in a viper;
// Configure, Start and later Stop are all there is to its life. It sends protocol.StorageRequest values down the channel.
// What one sender sends takes effect in that order. A Fetch is answered on its Reply, which is then closed; a Reply that
// is closed without a value says that there is nothing to tell. Nobody ever waits for a requester that does not read.
//
// # The typed API
//
// Coordinator.Store returns a Store: the same requests as methods with errors that say what the channel can only be silent
// about, batches, iterators, and a fetch that uses the caller's memory again. Both ways can be used at once.
//
// # What more there is
//
// Coordinator.Watch tells of groups and topics that come and go; Coordinator.Stats counts; Coordinator.Persistent saves,
// restores, exports and imports. An answer to a fetch says beside the lag what that lag is worth: protocol.PartitionState,
// and the lag in time with its error bound. Package trend tells rates and directions from it.
//
// # Modules
//
// A Module is one store. The class inmemory is built in; Register adds others. A module on another engine implements the
// interface Store and gets its channel half from NewRelay; package storagetest holds the suite that it then must pass.
//
// Time is in Unix milliseconds everywhere, but for configuration keys, which are in seconds.
package storage
