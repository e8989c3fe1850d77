package parallel

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// TestDo runs all at once: each waits for the others.
func TestDo(t *testing.T) {
	for _, n := range []int{0, 1, 2, 5} {
		var all sync.WaitGroup
		all.Add(n)
		done := make([]bool, n)
		require.NoError(t, Do(n, func(i int) error {
			all.Done()
			all.Wait()
			done[i] = true
			return nil
		}))
		for _, did := range done {
			require.True(t, did)
		}
	}
}

func TestDoReturnsErrorsAndPanics(t *testing.T) {
	first, second := errors.New("first"), errors.New("second")
	for _, n := range []int{1, 3} {
		err := Do(n, func(i int) error { return [...]error{first, second, nil}[i] })
		require.ErrorIs(t, err, first)
		require.Equal(t, n > 1, errors.Is(err, second))
		require.PanicsWithValue(t, "mine", func() {
			_ = Do(n, func(i int) error {
				if i == n-1 {
					panic("mine")
				}
				return first
			})
		})
	}
}
