// Package channel holds the parts of a Relay: what receives requests from a channel, what builds their answers, and what holds
// the answers that nobody has read.
package channel
