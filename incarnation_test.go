package storage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

func TestLostMessages(t *testing.T) {
	bubble(t, func(t *testing.T, s *service) {
		lost := func(want uint64) {
			t.Helper()
			p := s.look("group")
			if want == 0 {
				require.Nil(t, p.Lost)
			} else {
				require.NotNil(t, p.Lost)
				require.Equal(t, want, *p.Lost)
			}
		}
		s.end(100)
		s.commits(20)
		lost(0)
		s.endWithStart(100, 20)
		lost(0)
		s.endWithStart(100, 50)
		lost(30)
		s.end(110) // a sender that does not know takes nothing back
		lost(30)
		s.commits(49)
		lost(1)
		s.commits(50)
		lost(0)
		s.endWithStart(110, 110)
		lost(60)

		require.NoError(t, s.store().SetEndOffset(t.Context(), "local", "topic",
			protocol.EndOffset{TopicPartitionCount: 1, Offset: 120, LogStartOffset: 115}))
		lost(65)
		require.NoError(t, s.store().SetEndOffsetBatch(t.Context(), "local", "topic",
			[]protocol.EndOffset{{TopicPartitionCount: 1, Offset: 120, LogStartOffset: 117}}))
		lost(67)
	})
}

// TestLostMessagesOfAnotherIncarnation recreates a topic, whose log starts at 0 again: that is what 0 means then, and
// nobody says otherwise.
func TestLostMessagesOfAnotherIncarnation(t *testing.T) {
	bubble(t, func(t *testing.T, s *service) {
		s.endWithStart(1000, 500)
		s.commits(900)
		s.end(10)
		s.commits(4)
		require.Nil(t, s.is(protocol.PartitionBehind, 6).Lost)
		s.endWithStart(12, 5)
		require.EqualValues(t, 1, *s.is(protocol.PartitionBehind, 7).Lost)
		s.endWithStart(11, 6) // back again, and the log start with it
		s.commits(4)
		require.EqualValues(t, 2, *s.is(protocol.PartitionBehind, 5).Lost)
	})
}

// TestTimeLagOfAnotherIncarnation recreates a topic: nothing of the old curve plays a part in what is told of the new one.
func TestTimeLagOfAnotherIncarnation(t *testing.T) {
	bubble(t, func(t *testing.T, s *service) {
		for offset := int64(0); offset <= 1000; offset += 100 {
			s.end(offset)
			time.Sleep(30 * time.Second)
		}
		s.commits(450)
		p := s.is(protocol.PartitionBehind, 550)
		// The end was 400 at 120 s and 500 at 150 s; it is 330 s now.
		require.Equal(t, protocol.TimeLag{Kind: protocol.TimeLagInterpolated, Milliseconds: 195_000, Error: 30_000}, *p.TimeLag)

		s.end(600) // recreated, and it has grown since
		s.is(protocol.PartitionReset)
		s.commits(450)
		time.Sleep(10 * time.Second)
		p = s.is(protocol.PartitionBehind, 150)
		require.Equal(t, protocol.TimeLag{Kind: protocol.TimeLagAtLeast, Milliseconds: 10_000}, *p.TimeLag)
		time.Sleep(20 * time.Second)
		s.end(700)
		s.commits(650)
		p = s.is(protocol.PartitionBehind, 50)
		require.Equal(t, protocol.TimeLag{Kind: protocol.TimeLagInterpolated, Milliseconds: 15_000, Error: 30_000}, *p.TimeLag)
	})
}

// TestTimeLagAcrossANegativeEndOffset sends -1, with which Kafka says "unknown": it is dropped and changes nothing.
func TestTimeLagAcrossANegativeEndOffset(t *testing.T) {
	bubble(t, func(t *testing.T, s *service) {
		for offset := int64(0); offset <= 1000; offset += 100 {
			s.end(offset)
			time.Sleep(30 * time.Second)
		}
		s.end(-1)
		s.commits(450)
		time.Sleep(30 * time.Second)
		s.end(2000)
		p := s.is(protocol.PartitionBehind, 1550)
		// The end was 400 at 120 s and 500 at 150 s; it is 360 s now.
		require.Equal(t, protocol.TimeLag{Kind: protocol.TimeLagInterpolated, Milliseconds: 225_000, Error: 30_000}, *p.TimeLag)
	})
}

// TestTimeLagCases are the cases that the issue names, at their numbers.
func TestTimeLagCases(t *testing.T) {
	poll := func(s *service, times int, step int64) (end int64) {
		for range times {
			end += step
			s.end(end)
			time.Sleep(30 * time.Second)
		}
		return end
	}
	lag := func(t *testing.T, s *service) protocol.TimeLag {
		t.Helper()
		p := s.look("group")
		require.NotNil(t, p.TimeLag)
		return *p.TimeLag
	}
	t.Run("steady, 300 s behind", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *service) {
			end := poll(s, 100, 3000) // 100 a second
			s.commits(end + 3000 - 30_000)
			got := lag(t, s)
			require.Equal(t, protocol.TimeLagInterpolated, got.Kind)
			require.InDelta(t, 300_000, got.Milliseconds, 30_000)
			require.LessOrEqual(t, got.Error, int64(30_000))
		})
	})
	t.Run("idle for an hour", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *service) {
			end := poll(s, 20, 3000)
			for range 119 { // the 20th poll was the first of this hour
				s.end(end)
				time.Sleep(30 * time.Second)
			}
			s.end(end)
			s.commits(end - 1500)
			got := lag(t, s)
			require.Equal(t, protocol.TimeLagInterpolated, got.Kind)
			require.InDelta(t, 3_615_000, got.Milliseconds, 1)
			require.LessOrEqual(t, got.Error, int64(30_000))
			s.commits(end - 1)
			require.InDelta(t, 3_600_000, lag(t, s).Milliseconds, 100)
			s.commits(end)
			require.Equal(t, protocol.TimeLag{Kind: protocol.TimeLagExact}, lag(t, s))
		})
	})
	t.Run("started while the producer is idle", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *service) {
			for range 10 {
				s.end(5000)
				time.Sleep(30 * time.Second)
			}
			s.commits(4000)
			require.Equal(t, protocol.TimeLag{Kind: protocol.TimeLagAtLeast, Milliseconds: 300_000}, lag(t, s))
		})
	})
	t.Run("replay from far before", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *service) {
			s.end(1_000_000)
			time.Sleep(30 * time.Second)
			poll(s, 0, 0)
			s.end(1_003_000)
			s.commits(10)
			require.Equal(t, protocol.TimeLag{Kind: protocol.TimeLagAtLeast, Milliseconds: 30_000}, lag(t, s))
		})
	})
	t.Run("turned off", func(t *testing.T) {
		bubble(t, func(t *testing.T, s *service) {
			end := poll(s, 10, 100)
			for _, commit := range []int64{0, 450, end, end + 1} {
				s.commits(commit)
				require.Nil(t, s.look("group").TimeLag)
			}
		}, "curve-segments", 0)
	})
}

// TestIncarnationCounterWraps pins what the eight bits of the counter mean: a partition that goes back exactly 256 times
// while a group commits nothing looks to that group as if it never had. Polled every 30 s, that takes a partition that
// flaps for two hours and a group that is silent for as long, and it ends with the next commit or the next step back; while
// it lasts the group is judged by the offsets as they are.
func TestIncarnationCounterWraps(t *testing.T) {
	bubble(t, func(t *testing.T, s *service) {
		s.end(1000)
		s.commits(500)
		for back := 1; back <= 255; back++ {
			time.Sleep(15 * time.Second)
			s.end(2000)
			time.Sleep(15 * time.Second)
			s.end(1000)
			s.is(protocol.PartitionReset)
		}
		s.end(900)
		s.is(protocol.PartitionBehind, 400)
		p := s.look("group")
		require.Equal(t, protocol.TimeLagAtLeast, p.TimeLag.Kind, "the curve has no old incarnation in it")
		s.end(899)
		s.is(protocol.PartitionReset)
		for range 255 {
			s.end(2000)
			s.end(400)
		}
		s.is(protocol.PartitionBeyondEnd, -100)
		s.commits(100)
		s.is(protocol.PartitionBehind, 300)
	})
}
