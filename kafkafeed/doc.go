// Package kafkafeed fills a store with commits and end offsets from an Apache Kafka cluster.
//
// It reads the commits of consumer groups from __consumer_offsets, resolving transactions as Kafka's group coordinator does,
// and fetches end offsets, log start offsets and the members of groups from the brokers. If the log cannot be read, it
// fetches the committed offsets from the coordinators instead.
//
// It commits nothing and creates nothing in Kafka.
package kafkafeed
