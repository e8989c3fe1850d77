package storage

import (
	"fmt"
	"slices"

	"github.com/lagkeeper/storage/internal/engine"
)

// BatchError is returned by the batches of a Store when some of what they were given was not stored. It unwraps to the
// reasons, each once.
type BatchError struct {
	// Refused are those that were not stored, in the order of the batch.
	Refused []Refusal
}

// Refusal is one element of a batch that was not stored.
type Refusal struct {
	// Index is its place in the batch.
	Index int
	// Err says why.
	Err error
}

// Error names the first refusal and how many there are.
func (b *BatchError) Error() string {
	if len(b.Refused) == 0 {
		return "store batch: nothing refused"
	}
	return fmt.Sprintf("store batch: %d refused, the first at index %d: %v", len(b.Refused), b.Refused[0].Index, b.Refused[0].Err)
}

// Unwrap returns the reasons, each once.
func (b *BatchError) Unwrap() []error {
	var reasons []error
	for _, refusal := range b.Refused {
		if !slices.Contains(reasons, refusal.Err) {
			reasons = append(reasons, refusal.Err)
		}
	}
	return reasons
}

// batchErrors gathers refusals.
type batchErrors []Refusal

func (b *batchErrors) add(index int, why engine.Reason) {
	*b = append(*b, Refusal{Index: index, Err: errorOf(why)})
}

func (b batchErrors) err() error {
	if len(b) == 0 {
		return nil
	}
	return &BatchError{Refused: b}
}
