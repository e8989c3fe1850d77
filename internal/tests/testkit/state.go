package testkit

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// Look returns partition 0 of "topic" in a group, over the channel, and checks that the typed answer is the same.
func (s *Service) Look(group string) *protocol.ConsumerPartition {
	s.T.Helper()
	answer, replied := s.Ask(FetchOf(group))
	require.True(s.T, replied, group)
	p := answer.(protocol.ConsumerTopics)["topic"][0]

	var into protocol.Group
	require.NoError(s.T, s.Store().Group(s.T.Context(), "local", group, &into))
	typed := into.Topics[0].Partitions[0]
	require.Equal(s.T, typed.State, p.State)
	require.Equal(s.T, typed.CurrentLag, p.CurrentLag)
	want := protocol.ConsumerPartition{State: typed.State}
	if typed.DifferenceKnown {
		want.Difference = &typed.Difference
	} else {
		require.Zero(s.T, typed.Difference)
	}
	if typed.EndOffsetAge >= 0 {
		want.EndOffsetAge = &protocol.Age{Duration: typed.EndOffsetAge}
	} else {
		require.EqualValues(s.T, -1, typed.EndOffsetAge)
	}
	if typed.LogStartOffset >= 0 {
		want.LogStartOffset = &typed.LogStartOffset
	} else {
		require.EqualValues(s.T, -1, typed.LogStartOffset)
	}
	if typed.TimeLag.Kind != protocol.TimeLagUnknown {
		want.TimeLag = &typed.TimeLag
	}
	if typed.Lost > 0 {
		want.Lost = &typed.Lost
	}
	require.Equal(s.T, want, protocol.ConsumerPartition{
		State: p.State, Difference: p.Difference, EndOffsetAge: p.EndOffsetAge, LogStartOffset: p.LogStartOffset,
		TimeLag: p.TimeLag, Lost: p.Lost,
	}, "typed and over the channel")
	return p
}

// End stores an end offset of partition 0 of "topic", seen now.
func (s *Service) End(offset int64) { s.EndWithStart(offset, 0) }

// EndWithStart is End with the log start offset of the poll.
func (s *Service) EndWithStart(offset, logStart int64) {
	s.T.Helper()
	r := EndOf("topic", 0, 1, offset)
	r.Timestamp, r.LogStartOffset = time.Now().UnixMilli(), logStart
	s.Send(r)
}

// Commits stores a commit of "group" for partition 0 of "topic", made now.
func (s *Service) Commits(offset int64) {
	s.T.Helper()
	s.Send(CommitOf("group", "topic", 0, offset, 0, time.Now().UnixMilli()))
}

// Is checks the state of "group" and its signed difference; if no difference is given, there must be none.
func (s *Service) Is(state protocol.PartitionState, difference ...int64) *protocol.ConsumerPartition {
	s.T.Helper()
	p := s.Look("group")
	require.Equal(s.T, state, p.State)
	if len(difference) == 0 {
		require.Nil(s.T, p.Difference)
		require.Nil(s.T, p.TimeLag, "time lag of a partition without a difference")
		require.Nil(s.T, p.Lost)
	} else {
		require.NotNil(s.T, p.Difference)
		require.Equal(s.T, difference[0], *p.Difference)
	}
	return p
}

// Bubble runs a test with a store in a bubble, whose clock moves only when the test sleeps. Sleep whole seconds: then the
// store's coarse clock is exact.
func Bubble(t *testing.T, test func(t *testing.T, s *Service), settings ...any) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(t, Started(t, Config(settings...))) })
}
