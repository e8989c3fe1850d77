package testkit

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// The random tests use a seed that they print when they fail; set seedVariable to it to repeat the failure, and
// requestsVariable to run longer.
const (
	seedVariable     = "STORAGE_TEST_SEED"
	requestsVariable = "STORAGE_TEST_REQUESTS"
)

// Seed returns the seed of this run.
func Seed(t *testing.T) uint64 {
	t.Helper()
	chosen := rand.Uint64()
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		chosen, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, seedVariable)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to see this again: %s=%d go test -run '%s'", seedVariable, chosen, t.Name())
		}
	})
	return chosen
}

// Length returns the number of requests of a random run.
func Length(t *testing.T, otherwise int) int {
	t.Helper()
	text := os.Getenv(requestsVariable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, requestsVariable)
	return n
}
