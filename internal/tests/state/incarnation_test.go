package state_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

func TestLostMessages(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
		lost := func(want uint64) {
			t.Helper()
			p := s.Look("group")
			if want == 0 {
				require.Nil(t, p.Lost)
			} else {
				require.NotNil(t, p.Lost)
				require.Equal(t, want, *p.Lost)
			}
		}
		s.End(100)
		s.Commits(20)
		lost(0)
		s.EndWithStart(100, 20)
		lost(0)
		s.EndWithStart(100, 50)
		lost(30)
		s.End(110) // a sender that does not know takes nothing back
		lost(30)
		s.Commits(49)
		lost(1)
		s.Commits(50)
		lost(0)
		s.EndWithStart(110, 110)
		lost(60)

		require.NoError(t, s.Store().SetEndOffset(t.Context(), "local", "topic",
			protocol.EndOffset{TopicPartitionCount: 1, Offset: 120, LogStartOffset: 115}))
		lost(65)
		require.NoError(t, s.Store().SetEndOffsetBatch(t.Context(), "local", "topic",
			[]protocol.EndOffset{{TopicPartitionCount: 1, Offset: 120, LogStartOffset: 117}}))
		lost(67)
	})
}

// TestLostMessagesOfAnotherIncarnation recreates a topic, whose log starts at 0 again: that is what an unset log start means
// then.
func TestLostMessagesOfAnotherIncarnation(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
		s.EndWithStart(1000, 500)
		s.Commits(900)
		s.End(10)
		s.Commits(4)
		require.Nil(t, s.Is(protocol.PartitionBehind, 6).Lost)
		s.EndWithStart(12, 5)
		require.EqualValues(t, 1, *s.Is(protocol.PartitionBehind, 7).Lost)
		s.EndWithStart(11, 6) // back again, with the log start
		s.Commits(4)
		require.EqualValues(t, 2, *s.Is(protocol.PartitionBehind, 5).Lost)
	})
}

// TestTimeLagOfAnotherIncarnation recreates a topic: nothing of the old curve affects the lag in time of the new one.
func TestTimeLagOfAnotherIncarnation(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
		for offset := int64(0); offset <= 1000; offset += 100 {
			s.End(offset)
			time.Sleep(30 * time.Second)
		}
		s.Commits(450)
		p := s.Is(protocol.PartitionBehind, 550)
		// The end was 400 at 120 s and 500 at 150 s; it is 330 s now.
		require.Equal(t, protocol.TimeLag{Kind: protocol.TimeLagInterpolated, Lag: 195 * time.Second, Margin: 30 * time.Second}, *p.TimeLag)

		s.End(600) // recreated, and it has grown since
		s.Is(protocol.PartitionReset)
		s.Commits(450)
		time.Sleep(10 * time.Second)
		p = s.Is(protocol.PartitionBehind, 150)
		require.Equal(t, protocol.TimeLag{Kind: protocol.TimeLagAtLeast, Lag: 10 * time.Second}, *p.TimeLag)
		time.Sleep(20 * time.Second)
		s.End(700)
		s.Commits(650)
		p = s.Is(protocol.PartitionBehind, 50)
		require.Equal(t, protocol.TimeLag{Kind: protocol.TimeLagInterpolated, Lag: 15 * time.Second, Margin: 30 * time.Second}, *p.TimeLag)
	})
}

// TestTimeLagAcrossANegativeEndOffset stores -1, which is Kafka's "unknown": it is dropped and changes nothing.
func TestTimeLagAcrossANegativeEndOffset(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
		for offset := int64(0); offset <= 1000; offset += 100 {
			s.End(offset)
			time.Sleep(30 * time.Second)
		}
		s.End(-1)
		s.Commits(450)
		time.Sleep(30 * time.Second)
		s.End(2000)
		p := s.Is(protocol.PartitionBehind, 1550)
		// The end was 400 at 120 s and 500 at 150 s; it is 360 s now.
		require.Equal(t, protocol.TimeLag{Kind: protocol.TimeLagInterpolated, Lag: 225 * time.Second, Margin: 30 * time.Second}, *p.TimeLag)
	})
}

// TestTimeLagCases are fixed cases with their numbers.
func TestTimeLagCases(t *testing.T) {
	poll := func(s *testkit.Service, times int, step int64) (end int64) {
		for range times {
			end += step
			s.End(end)
			time.Sleep(30 * time.Second)
		}
		return end
	}
	lag := func(t *testing.T, s *testkit.Service) protocol.TimeLag {
		t.Helper()
		p := s.Look("group")
		require.NotNil(t, p.TimeLag)
		return *p.TimeLag
	}
	t.Run("steady, 300 s behind", func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
			end := poll(s, 100, 3000) // 100 a second
			s.Commits(end + 3000 - 30_000)
			got := lag(t, s)
			require.Equal(t, protocol.TimeLagInterpolated, got.Kind)
			require.InDelta(t, 5*time.Minute, got.Lag, float64(30*time.Second))
			require.LessOrEqual(t, got.Margin, 30*time.Second)
		})
	})
	t.Run("idle for an hour", func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
			end := poll(s, 20, 3000)
			for range 119 { // the 20th poll was the first of this hour
				s.End(end)
				time.Sleep(30 * time.Second)
			}
			s.End(end)
			s.Commits(end - 1500)
			got := lag(t, s)
			require.Equal(t, protocol.TimeLagInterpolated, got.Kind)
			require.InDelta(t, time.Hour+15*time.Second, got.Lag, float64(time.Millisecond))
			require.LessOrEqual(t, got.Margin, 30*time.Second)
			s.Commits(end - 1)
			require.InDelta(t, time.Hour, lag(t, s).Lag, float64(100*time.Millisecond))
			s.Commits(end)
			require.Equal(t, protocol.TimeLag{Kind: protocol.TimeLagExact}, lag(t, s))
		})
	})
	t.Run("started while the producer is idle", func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
			for range 10 {
				s.End(5000)
				time.Sleep(30 * time.Second)
			}
			s.Commits(4000)
			require.Equal(t, protocol.TimeLag{Kind: protocol.TimeLagAtLeast, Lag: 300 * time.Second}, lag(t, s))
		})
	})
	t.Run("replay from far before", func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
			s.End(1_000_000)
			time.Sleep(30 * time.Second)
			poll(s, 0, 0)
			s.End(1_003_000)
			s.Commits(10)
			require.Equal(t, protocol.TimeLag{Kind: protocol.TimeLagAtLeast, Lag: 30 * time.Second}, lag(t, s))
		})
	})
	t.Run("turned off", func(t *testing.T) {
		testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
			end := poll(s, 10, 100)
			for _, commit := range []int64{0, 450, end, end + 1} {
				s.Commits(commit)
				require.Nil(t, s.Look("group").TimeLag)
			}
		}, "curve-segments", 0)
	})
}

// TestIncarnationCounterWraps pins what the eight bits of the counter mean: a partition that goes back exactly 256 times
// while a group commits nothing looks to that group as if it never had. Polled every 30 s, that takes a partition that flaps
// for two hours and a group that is silent for as long. It ends with the next commit or the next step back; meanwhile the
// group is judged by its offsets.
func TestIncarnationCounterWraps(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
		s.End(1000)
		s.Commits(500)
		for back := 1; back <= 255; back++ {
			time.Sleep(15 * time.Second)
			s.End(2000)
			time.Sleep(15 * time.Second)
			s.End(1000)
			s.Is(protocol.PartitionReset)
		}
		s.End(900)
		s.Is(protocol.PartitionBehind, 400)
		p := s.Look("group")
		require.Equal(t, protocol.TimeLagAtLeast, p.TimeLag.Kind, "the curve has no old incarnation in it")
		s.End(899)
		s.Is(protocol.PartitionReset)
		for range 255 {
			s.End(2000)
			s.End(400)
		}
		s.Is(protocol.PartitionBeyondEnd, -100)
		s.Commits(100)
		s.Is(protocol.PartitionBehind, 300)
	})
}
