package state_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

func TestStateNoCommit(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
		s.End(100)
		s.Send(&protocol.StorageRequest{
			RequestType: protocol.StorageSetConsumerOwner, Cluster: "local", Group: "group", Topic: "topic", Owner: "host",
		})
		time.Sleep(30 * time.Second)
		p := s.Is(protocol.PartitionNoCommit)
		require.Equal(t, protocol.Age{Duration: 30 * time.Second}, *p.EndOffsetAge)
		require.Equal(t, "host", p.Owner)
	})
}

// TestStateNoEndOffset has partitions of which the brokers report nothing. internal/engine tests the state NOENDOFFSET.
func TestStateOfUnpolledPartition(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
		s.End(100)
		s.Send(testkit.EndOf("topic", 1, 3, 100))
		s.Commits(10)
		answer, _ := s.Ask(testkit.FetchOf("group"))
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
	testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
		s.End(100)
		s.Commits(90)
		s.Is(protocol.PartitionBehind, 10)
		s.Commits(100)
		p := s.Is(protocol.PartitionCaughtUp, 0)
		require.Equal(t, protocol.TimeLag{Kind: protocol.TimeLagExact}, *p.TimeLag)
		time.Sleep(20 * time.Second)
		s.Commits(107)
		p = s.Is(protocol.PartitionAhead, -7)
		require.Zero(t, p.CurrentLag)
		require.Equal(t, protocol.TimeLag{Kind: protocol.TimeLagExact, Margin: 20 * time.Second}, *p.TimeLag)
		s.End(107)
		s.Is(protocol.PartitionCaughtUp, 0)
		s.End(1000)
		s.Is(protocol.PartitionBehind, 893)
	})
}

// TestStateResetSeen lets the end offset go back, which makes every earlier commit worthless until the next one.
func TestStateResetSeen(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
		s.End(100)
		s.Commits(50)
		s.Is(protocol.PartitionBehind, 50)
		time.Sleep(30 * time.Second)
		s.End(99)
		p := s.Is(protocol.PartitionReset)
		require.EqualValues(t, 49, p.CurrentLag, "the published field is as before")
		require.Zero(t, *p.EndOffsetAge)
		time.Sleep(30 * time.Second)
		s.End(99) // the next poll reports it too
		for range 10 {
			time.Sleep(30 * time.Second)
			s.End(200)
			s.Is(protocol.PartitionReset)
		}
		s.Send(&protocol.StorageRequest{
			RequestType: protocol.StorageSetConsumerOwner, Cluster: "local", Group: "group", Topic: "topic", Owner: "host",
		})
		s.Is(protocol.PartitionReset)
		s.Commits(120)
		s.Is(protocol.PartitionBehind, 80)
		s.Commits(200)
		s.Is(protocol.PartitionCaughtUp, 0)
	})
}

// TestStateResetLate has a commit that arrives out of order after the reset: it does not make the newest one valid.
func TestStateResetLate(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
		now := time.Now().UnixMilli()
		s.End(100)
		s.Send(testkit.CommitOf("group", "topic", 0, 50, 10, now))
		s.End(20)
		s.Send(testkit.CommitOf("group", "topic", 0, 40, 5, now))
		s.Is(protocol.PartitionReset)
		s.Send(testkit.CommitOf("group", "topic", 0, 10, 11, now))
		s.Is(protocol.PartitionBehind, 10)
	})
}

// TestStateResetUnseen has a partition that went back before anybody polled it: a commit above the end offset is explained by
// polling only once.
func TestStateResetUnseen(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
		s.End(80)
		s.Commits(100)
		time.Sleep(time.Minute)
		s.End(90)
		s.Is(protocol.PartitionAhead, -10)
		time.Sleep(time.Second)
		s.End(90)
		s.Is(protocol.PartitionBeyondEnd, -10)
		s.End(100)
		s.Is(protocol.PartitionCaughtUp, 0)
		s.End(99)
		s.Is(protocol.PartitionReset)
	})
}

func TestDifferenceAtTheExtremes(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
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
			s.Send(&protocol.StorageRequest{RequestType: protocol.StorageSetDeleteTopic, Cluster: "local", Topic: "topic"})
			s.End(test.end)
			s.Commits(test.offset)
			p := s.Is(test.state, test.want)
			if p.TimeLag != nil {
				require.GreaterOrEqual(t, p.TimeLag.Lag, time.Duration(0), "case %d", i)
			}
		}
	})
}

func TestEndOffsetAge(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
		s.End(100)
		s.Commits(100)
		require.Zero(t, *s.Look("group").EndOffsetAge)
		time.Sleep(42 * time.Second)
		require.Equal(t, 42*time.Second, s.Look("group").EndOffsetAge.Duration)
		for _, future := range []int64{time.Now().Add(time.Hour).UnixMilli(), math.MaxInt64} {
			r := testkit.EndOf("topic", 0, 1, 100)
			r.Timestamp = future
			s.Send(r)
			require.Zero(t, *s.Look("group").EndOffsetAge)
		}
		r := testkit.EndOf("topic", 0, 1, 100)
		r.Timestamp = 1
		s.Send(r)
		require.Equal(t, time.Duration(time.Now().UnixMilli()-1)*time.Millisecond, s.Look("group").EndOffsetAge.Duration)
		for _, none := range []int64{0, -1, math.MinInt64} {
			r.Timestamp = none
			s.Send(r)
			require.Zero(t, *s.Look("group").EndOffsetAge, "no time stands for now")
		}
	})
}

// TestPartitionJSON pins the keys: those of v1.0.0 as they were, the new ones absent if nothing is known.
func TestPartitionJSON(t *testing.T) {
	testkit.Bubble(t, func(t *testing.T, s *testkit.Service) {
		text := func() string {
			data, err := json.Marshal(s.Look("group"))
			require.NoError(t, err)
			return string(data)
		}
		now := time.Now().UnixMilli()
		stamp, err := json.Marshal(now)
		require.NoError(t, err)
		s.EndWithStart(100, 30)
		s.Send(&protocol.StorageRequest{
			RequestType: protocol.StorageSetConsumerOwner, Cluster: "local", Group: "group", Topic: "topic", ClientID: "c",
		})
		require.Equal(t, `{"offsets":[],"owner":"","client_id":"c","current-lag":0,"state":"NOCOMMIT","end-offset-age-ms":0}`, text())
		s.Send(testkit.CommitOf("group", "topic", 0, 20, 1, now))
		commit := `{"offsets":[null,null,{"offset":20,"timestamp":` + string(stamp) + `,"observedAt":` + string(stamp) + `,"lag":80}],` +
			`"owner":"","client_id":"c","current-lag":`
		require.Equal(t, commit+`70,"state":"BEHIND","lag-difference":70,"end-offset-age-ms":0,`+
			`"time-lag":{"kind":"at-least","lag_ms":0,"margin_ms":0},"lost-messages":10}`, text())
		s.End(50)
		require.Equal(t, commit+`30,"state":"RESET","end-offset-age-ms":0}`, text())
	}, "curve-segments", 8)
}

// TestPartitionJSONUnjudged is an application's own ConsumerPartition, which looks as it did in v1.0.0.
func TestPartitionJSONUnjudged(t *testing.T) {
	t.Parallel()
	data, err := json.Marshal(protocol.ConsumerPartition{Offsets: []*protocol.ConsumerOffset{}})
	require.NoError(t, err)
	require.Equal(t, `{"offsets":[],"owner":"","client_id":"","current-lag":0}`, string(data))
}
