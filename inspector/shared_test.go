package inspector

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is shared is made once for each reading, and is bounded in number and in bytes.
func TestSharedIsBounded(t *testing.T) {
	t.Parallel()
	var s shared[*body]
	made := 0
	ask := func(sequence uint64, asked string, size int) {
		_, err := s.of(sequence, asked, func() (*body, error) {
			made++
			return newBody("text/plain", make([]byte, size)), nil
		})
		require.NoError(t, err)
	}
	ask(0, "page", 1)
	ask(0, "page", 1)
	ask(1, "page", 1)
	ask(1, "page", 1)
	assert.Equal(t, 2, made)
	for i := range 10 * maxShared {
		ask(1, fmt.Sprint(i), 1)
		assert.LessOrEqual(t, len(s.made), maxShared)
	}
	const large = 1 << 20
	for i := range 100 {
		ask(2, fmt.Sprint(i), large)
		assert.LessOrEqual(t, len(s.made)*large, maxSharedBytes+large)
	}
	want := errors.New("fails")
	_, err := s.of(3, "page", func() (*body, error) { return nil, want })
	assert.Equal(t, want, err)
	made = 0
	ask(3, "page", 1)
	assert.Equal(t, 1, made, "an error is not kept")
}
