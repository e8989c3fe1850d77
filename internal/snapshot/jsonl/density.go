package jsonl

import (
	"errors"
	"fmt"
)

// leastObject is the least number of bytes that an object takes in a line: {"name":""} and a comma. Decoded, an object
// takes a hundred bytes or so; a line of empty ones would take thirty times its length before any of them is refused.
const leastObject = 12

// sparseObjects is the number of objects that a line may have beyond what its length explains: those that hold the others.
const sparseObjects = 16

// maxDepth is how deep objects and arrays may lie in each other: a commit lies seven deep, a name that is not UTF-8 in it one
// more.
const maxDepth = 12

// checkDensity returns an error if a line has more objects and fields than lines that are written have for their length, an
// array that holds anything but objects, or objects deep in each other: so what decoding takes stays in proportion to what
// was read. What is no JSON at all is left to the decoder.
func checkDensity(line []byte) error {
	objects, inString, escaped := 0, false, false
	depth := 0
	var inArray [maxDepth + 1]bool
	// awaits is true if the next value is an element of an array.
	awaits, first := false, false
	for _, b := range line {
		switch {
		case escaped:
			escaped = false
			continue
		case inString:
			escaped = b == '\\'
			inString = b != '"'
			continue
		case b == ' ' || b == '\t' || b == '\r' || b == '\n':
			continue
		}
		if awaits && b != '{' && !(first && b == ']') {
			return errors.New("invalid array element: must be an object")
		}
		awaits, first = false, false
		switch b {
		case '"':
			inString = true
		case '{', '[':
			objects++
			if depth++; depth > maxDepth {
				return fmt.Errorf("invalid nesting: must be at most %d deep", maxDepth)
			}
			inArray[depth] = b == '['
			awaits, first = inArray[depth], inArray[depth]
		case '}', ']':
			depth = max(depth-1, 0)
		case ',':
			objects++
			awaits = inArray[depth]
		}
	}
	// Between two of the bytes that were counted stands a key and its value, a brace, or an element of an array.
	const leastField = leastObject / 3
	if most := len(line)/leastField + sparseObjects; objects > most {
		return fmt.Errorf("line of %d bytes has %d objects, arrays and fields, more than %d", len(line), objects, most)
	}
	return nil
}
