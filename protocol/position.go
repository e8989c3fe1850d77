package protocol

import (
	"math"
	"unicode/utf16"
)

// Position is how far one partition of __consumer_offsets has been applied.
type Position struct {
	// Partition is the partition of __consumer_offsets.
	Partition int32 `json:"partition"`
	// Offset is the next offset to read of that partition: every record before it has been applied.
	Offset int64 `json:"offset"`
}

// LogPartition names one partition of a commit log, and with it the groups whose commits are in it.
type LogPartition struct {
	// Partition is the partition of __consumer_offsets, from 0 to Count - 1.
	Partition int32 `json:"partition"`
	// Count is the number of partitions of __consumer_offsets; Kafka's default is 50.
	Count int32 `json:"count"`
}

// Holds reports whether the commits of a group are in this partition of the log.
func (l LogPartition) Holds(group string) bool { return LogPartitionOf(group, l.Count) == l.Partition }

// LogPartitionOf returns the partition of __consumer_offsets that holds the commits of a group, if that topic has count
// partitions: the absolute value of Java's hash of the name, modulo count. It returns -1 for a count below 1.
func LogPartitionOf(group string, count int32) int32 {
	if count < 1 {
		return -1
	}
	hash := int32(0)
	var units [2]uint16
	for _, r := range group {
		// Java hashes the UTF-16 form of a string.
		for _, unit := range utf16.AppendRune(units[:0], r) {
			hash = 31*hash + int32(unit)
		}
	}
	switch {
	case hash == math.MinInt32:
		hash = 0 // the absolute value does not fit an int32, and Kafka takes 0
	case hash < 0:
		hash = -hash
	}
	return hash % count
}
