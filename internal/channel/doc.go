// Package channel holds the parts of a Relay: a receiver of requests, builders of answers, and the answers that nobody has
// read.
package channel
