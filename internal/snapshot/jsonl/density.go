package jsonl

import (
	"errors"
	"fmt"
)

// leastObject is the least number of bytes that an object takes in a line: {"name":""} and a comma. Decoded, an object
// takes a hundred bytes or so; a line of empty ones would take thirty times its length before any of them is refused.
const leastObject = 12

// sparseObjects is the number of objects that a line may have beyond its length: those that contain the others.
const sparseObjects = 16

// maxDepth is how deeply objects and arrays may be nested: a commit is seven deep, a name in it that is not UTF-8 one more.
const maxDepth = 12

// checkDensity returns an error if a line has more objects and fields than written lines of its length have, an array with
// anything but objects, or deeply nested objects. So the memory of decoding stays in proportion to the bytes read. Invalid
// JSON is left to the decoder.
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
	// Between two counted bytes there is a key and its value, a brace, or an element of an array.
	const leastField = leastObject / 3
	if most := len(line)/leastField + sparseObjects; objects > most {
		return fmt.Errorf("line of %d bytes has %d objects, arrays and fields, more than %d", len(line), objects, most)
	}
	return nil
}
