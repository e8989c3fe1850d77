package jsonl

import (
	"errors"
	"fmt"
)

// ErrLineTooLong is returned, inside a *LineError, when a line is longer than the limit.
var ErrLineTooLong = errors.New("line is too long")

// LineError is returned when a line is refused.
type LineError struct {
	// Line is the number of the line, from 1.
	Line int
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns the fault of the line.
func (e *LineError) Unwrap() error { return e.Err }
