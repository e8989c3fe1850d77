// Package kafkafeed fills a store of commits and end offsets from an Apache Kafka cluster.
//
// It reads what consumer groups commit from __consumer_offsets, resolving transactions as Kafka's group coordinator does, and
// asks the brokers for end offsets, log start offsets and the members of groups. Where the log cannot be read, it asks
// the coordinators for the committed offsets instead.
//
// It commits nothing and creates nothing in Kafka.
package kafkafeed
