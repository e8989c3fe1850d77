package storage_test

import (
	"encoding/json"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// look returns partition 0 of "topic" in a group, over the channel, and checks that the typed API tells the same.
func (s *service) look(group string) *protocol.ConsumerPartition {
	s.t.Helper()
	answer, replied := s.ask(fetchOf(group))
	require.True(s.t, replied, group)
	p := answer.(protocol.ConsumerTopics)["topic"][0]

	var into protocol.Group
	require.NoError(s.t, s.store().Group(s.t.Context(), "local", group, &into))
	typed := into.Topics[0].Partitions[0]
	require.Equal(s.t, typed.State, p.State)
	require.Equal(s.t, typed.CurrentLag, p.CurrentLag)
	want := protocol.ConsumerPartition{State: typed.State}
	if typed.DifferenceKnown {
		want.Difference = &typed.Difference
	} else {
		require.Zero(s.t, typed.Difference)
	}
	if typed.EndOffsetAge >= 0 {
		want.EndOffsetAge = &typed.EndOffsetAge
	} else {
		require.EqualValues(s.t, -1, typed.EndOffsetAge)
	}
	if typed.LogStartOffset >= 0 {
		want.LogStartOffset = &typed.LogStartOffset
	} else {
		require.EqualValues(s.t, -1, typed.LogStartOffset)
	}
	if typed.TimeLag.Kind != protocol.TimeLagUnknown {
		want.TimeLag = &typed.TimeLag
	}
	if typed.Lost > 0 {
		want.Lost = &typed.Lost
	}
	require.Equal(s.t, want, protocol.ConsumerPartition{
		State: p.State, Difference: p.Difference, EndOffsetAge: p.EndOffsetAge, LogStartOffset: p.LogStartOffset,
		TimeLag: p.TimeLag, Lost: p.Lost,
	}, "typed and over the channel")
	return p
}

// end stores an end offset of partition 0 of "topic", seen now.
func (s *service) end(offset int64) { s.endWithStart(offset, 0) }

func (s *service) endWithStart(offset, logStart int64) {
	s.t.Helper()
	r := endOf("topic", 0, 1, offset)
	r.Timestamp, r.LogStartOffset = time.Now().UnixMilli(), logStart
	s.send(r)
}

// commits stores a commit of "group" for partition 0 of "topic", made now.
func (s *service) commits(offset int64) {
	s.t.Helper()
	s.send(commitOf("group", "topic", 0, offset, 0, time.Now().UnixMilli()))
}

// is checks the state of "group" and its signed difference; no difference means that there is to be none.
func (s *service) is(state protocol.PartitionState, difference ...int64) *protocol.ConsumerPartition {
	s.t.Helper()
	p := s.look("group")
	require.Equal(s.t, state.String(), p.State.String())
	if len(difference) == 0 {
		require.Nil(s.t, p.Difference)
		require.Nil(s.t, p.TimeLag, "time lag of a partition without a difference")
		require.Nil(s.t, p.Lost)
	} else {
		require.NotNil(s.t, p.Difference)
		require.Equal(s.t, difference[0], *p.Difference)
	}
	return p
}

// bubble runs a test with a store in a bubble, whose clock moves only when the test sleeps. Sleep whole seconds: then the
// store's coarse clock is exact.
func bubble(t *testing.T, test func(t *testing.T, s *service), settings ...any) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(t, started(t, extremeConfig(settings...))) })
}

func TestStateNoCommit(t *testing.T) {
	bubble(t, func(t *testing.T, s *service) {
		s.end(100)
		s.send(&protocol.StorageRequest{
			RequestType: protocol.StorageSetConsumerOwner, Cluster: "local", Group: "group", Topic: "topic", Owner: "host",
		})
		time.Sleep(30 * time.Second)
		p := s.is(protocol.PartitionNoCommit)
		require.EqualValues(t, 30_000, *p.EndOffsetAge)
		require.Equal(t, "host", p.Owner)
	})
}

// TestStateNoEndOffset looks at partitions that the brokers do not tell of. internal/engine has the state NOENDOFFSET.
func TestStateOfUnpolledPartition(t *testing.T) {
	bubble(t, func(t *testing.T, s *service) {
		s.end(100)
		s.send(endOf("topic", 1, 3, 100))
		s.commits(10)
		answer, _ := s.ask(fetchOf("group"))
		partitions := answer.(protocol.ConsumerTopics)["topic"]
		require.Len(t, partitions, 3)
		require.Equal(t, protocol.PartitionBehind, partitions[0].State)
		require.Equal(t, protocol.PartitionNoCommit, partitions[1].State)
		require.NotNil(t, partitions[1].EndOffsetAge)
		require.Equal(t, protocol.PartitionNoCommit, partitions[2].State)
		require.Nil(t, partitions[2].EndOffsetAge)
	})
}

func TestStateAndDifference(t *testing.T) {
	bubble(t, func(t *testing.T, s *service) {
		s.end(100)
		s.commits(90)
		s.is(protocol.PartitionBehind, 10)
		s.commits(100)
		p := s.is(protocol.PartitionCaughtUp, 0)
		require.Equal(t, protocol.TimeLag{Kind: protocol.TimeLagExact}, *p.TimeLag)
		time.Sleep(20 * time.Second)
		s.commits(107)
		p = s.is(protocol.PartitionAhead, -7)
		require.Zero(t, p.CurrentLag)
		require.Equal(t, protocol.TimeLag{Kind: protocol.TimeLagExact, Error: 20_000}, *p.TimeLag)
		s.end(107)
		s.is(protocol.PartitionCaughtUp, 0)
		s.end(1000)
		s.is(protocol.PartitionBehind, 893)
	})
}

// TestStateResetSeen lets the end offset go back, which makes every commit from before worthless until the next.
func TestStateResetSeen(t *testing.T) {
	bubble(t, func(t *testing.T, s *service) {
		s.end(100)
		s.commits(50)
		s.is(protocol.PartitionBehind, 50)
		time.Sleep(30 * time.Second)
		s.end(99)
		p := s.is(protocol.PartitionReset)
		require.EqualValues(t, 49, p.CurrentLag, "the old field answers as before")
		require.Zero(t, *p.EndOffsetAge)
		time.Sleep(30 * time.Second)
		s.end(99) // the next poll says so too
		for range 10 {
			time.Sleep(30 * time.Second)
			s.end(200)
			s.is(protocol.PartitionReset)
		}
		s.send(&protocol.StorageRequest{
			RequestType: protocol.StorageSetConsumerOwner, Cluster: "local", Group: "group", Topic: "topic", Owner: "host",
		})
		s.is(protocol.PartitionReset)
		s.commits(120)
		s.is(protocol.PartitionBehind, 80)
		s.commits(200)
		s.is(protocol.PartitionCaughtUp, 0)
	})
}

// TestStateResetLate is a commit that arrives out of order after the reset: it does not make the newest one good.
func TestStateResetLate(t *testing.T) {
	bubble(t, func(t *testing.T, s *service) {
		now := time.Now().UnixMilli()
		s.end(100)
		s.send(commitOf("group", "topic", 0, 50, 10, now))
		s.end(20)
		s.send(commitOf("group", "topic", 0, 40, 5, now))
		s.is(protocol.PartitionReset)
		s.send(commitOf("group", "topic", 0, 10, 11, now))
		s.is(protocol.PartitionBehind, 10)
	})
}

// TestStateResetUnseen is a partition that went back before anybody polled it: polling explains a commit above the end
// offset once.
func TestStateResetUnseen(t *testing.T) {
	bubble(t, func(t *testing.T, s *service) {
		s.end(80)
		s.commits(100)
		time.Sleep(time.Minute)
		s.end(90)
		s.is(protocol.PartitionAhead, -10)
		time.Sleep(time.Second)
		s.end(90)
		s.is(protocol.PartitionBeyondEnd, -10)
		s.end(100)
		s.is(protocol.PartitionCaughtUp, 0)
		s.end(99)
		s.is(protocol.PartitionReset)
	})
}

func TestDifferenceAtTheExtremes(t *testing.T) {
	bubble(t, func(t *testing.T, s *service) {
		for i, test := range []struct {
			end, offset, want int64
			state             protocol.PartitionState
		}{
			{math.MaxInt64, 0, math.MaxInt64, protocol.PartitionBehind},
			{math.MaxInt64, 1, math.MaxInt64 - 1, protocol.PartitionBehind},
			{0, math.MaxInt64, -math.MaxInt64, protocol.PartitionAhead},
			{1, math.MaxInt64, -math.MaxInt64 + 1, protocol.PartitionAhead},
			{0, 0, 0, protocol.PartitionCaughtUp},
			{math.MaxInt64, math.MaxInt64, 0, protocol.PartitionCaughtUp},
		} {
			s.send(&protocol.StorageRequest{RequestType: protocol.StorageSetDeleteTopic, Cluster: "local", Topic: "topic"})
			s.end(test.end)
			s.commits(test.offset)
			p := s.is(test.state, test.want)
			if p.TimeLag != nil {
				require.GreaterOrEqual(t, p.TimeLag.Milliseconds, int64(0), "case %d", i)
			}
		}
	})
}

func TestEndOffsetAge(t *testing.T) {
	bubble(t, func(t *testing.T, s *service) {
		s.end(100)
		s.commits(100)
		require.Zero(t, *s.look("group").EndOffsetAge)
		time.Sleep(42 * time.Second)
		require.EqualValues(t, 42_000, *s.look("group").EndOffsetAge)
		for _, future := range []int64{time.Now().Add(time.Hour).UnixMilli(), math.MaxInt64} {
			r := endOf("topic", 0, 1, 100)
			r.Timestamp = future
			s.send(r)
			require.Zero(t, *s.look("group").EndOffsetAge)
		}
		r := endOf("topic", 0, 1, 100)
		r.Timestamp = 1
		s.send(r)
		require.Equal(t, time.Now().UnixMilli()-1, *s.look("group").EndOffsetAge)
		for _, none := range []int64{0, -1, math.MinInt64} {
			r.Timestamp = none
			s.send(r)
			require.Zero(t, *s.look("group").EndOffsetAge, "no time stands for now")
		}
	})
}

// TestPartitionJSON pins the keys: those of v1.0.0 as they were, the new ones absent where nothing is known.
func TestPartitionJSON(t *testing.T) {
	bubble(t, func(t *testing.T, s *service) {
		text := func() string {
			data, err := json.Marshal(s.look("group"))
			require.NoError(t, err)
			return string(data)
		}
		now := time.Now().UnixMilli()
		stamp, err := json.Marshal(now)
		require.NoError(t, err)
		s.endWithStart(100, 30)
		s.send(&protocol.StorageRequest{
			RequestType: protocol.StorageSetConsumerOwner, Cluster: "local", Group: "group", Topic: "topic", ClientID: "c",
		})
		require.Equal(t, `{"offsets":[],"owner":"","client_id":"c","current-lag":0,"state":"NOCOMMIT","end-offset-age":0}`, text())
		s.send(commitOf("group", "topic", 0, 20, 1, now))
		commit := `{"offsets":[null,null,{"offset":20,"timestamp":` + string(stamp) + `,"observedAt":` + string(stamp) + `,"lag":80}],` +
			`"owner":"","client_id":"c","current-lag":`
		require.Equal(t, commit+`70,"state":"BEHIND","lag-difference":70,"end-offset-age":0,`+
			`"time-lag":{"kind":"at-least","milliseconds":0,"error":0},"lost-messages":10}`, text())
		s.end(50)
		require.Equal(t, commit+`30,"state":"RESET","end-offset-age":0}`, text())
	}, "curve-segments", 8)
}

// TestPartitionJSONUnjudged is what an application's own ConsumerPartition looks like, as it did in v1.0.0.
func TestPartitionJSONUnjudged(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(protocol.ConsumerPartition{Offsets: []*protocol.ConsumerOffset{}})
	require.NoError(t, err)
	require.Equal(t, `{"offsets":[],"owner":"","client_id":"","current-lag":0}`, string(data))
}
