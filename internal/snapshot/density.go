package snapshot

import "fmt"

// leastObject is the least number of bytes that an object takes in a line: {"name":""} and a comma. Decoded, an object
// takes a hundred bytes or so; a line of empty ones would take thirty times its length before any of them is refused.
const leastObject = 12

// sparseObjects is how many objects a line may have beyond what its length explains: those that hold the others.
const sparseObjects = 16

// checkDensity returns an error if a line has more objects, or more elements of arrays, than lines that are written have for
// their length: so what decoding takes stays in proportion to what was read.
func checkDensity(line []byte) error {
	objects, inString, escaped := 0, false, false
	for _, b := range line {
		switch {
		case escaped:
			escaped = false
		case inString && b == '\\':
			escaped = true
		case b == '"':
			inString = !inString
		case !inString && (b == '{' || b == '[' || b == ','):
			objects++
		}
	}
	// Between two of the bytes that were counted stands a key and its value, a brace, or an element of an array.
	const leastField = leastObject / 3
	if most := len(line)/leastField + sparseObjects; objects > most {
		return fmt.Errorf("line of %d bytes has %d objects, arrays and fields, more than %d", len(line), objects, most)
	}
	return nil
}
