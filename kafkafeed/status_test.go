package kafkafeed

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// All counters are present from 0, and a partition that is read again does not hide how far it is behind.
func TestStatusFromTheStart(t *testing.T) {
	s := newState("prod")
	status := s.get()
	require.Len(t, status.Records, len(Kinds()))
	require.Len(t, status.Errors, len(requests))
	for request, n := range status.Errors {
		require.Zero(t, n, request)
	}
	s.setLog(LogStatus{Partition: 1, Next: 10, End: 10})
	s.setEnd(1, 50)
	s.setLog(LogStatus{Partition: 1, Next: 20, End: 20})
	require.Equal(t, []LogStatus{{Partition: 1, Next: 20, End: 50}}, s.get().Logs)
	s.setEnd(1, 20)
	require.Equal(t, int64(20), s.get().Logs[0].End, "a truncated log")
}
