package kafkafeed

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestAtOnceDoesEachOnce(t *testing.T) {
	for workers := 1; workers <= 4; workers++ {
		for n := range 10 {
			done := make([]atomic.Int32, n)
			require.NoError(t, atOnce(workers, n, func(worker, i int) error {
				require.Less(t, worker, workers)
				done[i].Add(1)
				return nil
			}))
			for i := range done {
				require.EqualValues(t, 1, done[i].Load())
			}
		}
	}
	failure := errors.New("failure")
	require.Equal(t, failure, atOnce(3, 10, func(_, i int) error {
		if i == 5 {
			return failure
		}
		return nil
	}))
}

// errorCounter is a hook that is not made for several goroutines.
type errorCounter map[string]int

func (c errorCounter) OnRequestError(request string, _ error) { c[request]++ }

func TestHooksAreCalledOneAfterTheOther(t *testing.T) {
	calls := errorCounter{}
	feed, err := New(openStore(t, ""), "prod", ClientOpts(kgo.SeedBrokers("127.0.0.1:1")), WithHooks(calls))
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				feed.failed(askLog, errors.New("failure"))
			}
		})
	}
	wg.Wait()
	require.Equal(t, errorCounter{askLog: 400}, calls)
}
