package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/trend"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGreatestTimeLag(t *testing.T) {
	exact := &protocol.TimeLag{Kind: protocol.TimeLagExact, Margin: 2 * time.Second}
	between := func(ms, margin time.Duration) *protocol.TimeLag {
		return &protocol.TimeLag{Kind: protocol.TimeLagInterpolated, Lag: ms * time.Millisecond, Margin: margin * time.Millisecond}
	}
	atLeast := &protocol.TimeLag{Kind: protocol.TimeLagAtLeast, Lag: 9 * time.Second}
	for _, c := range []struct {
		name string
		lags []*protocol.TimeLag
		want timeLag
	}{
		{"none", nil, timeLag{}},
		{"unknown", []*protocol.TimeLag{nil, {}}, timeLag{}},
		{"caught up", []*protocol.TimeLag{exact}, timeLag{Known: true, Error: 2 * time.Second}},
		{"one", []*protocol.TimeLag{between(5000, 1000)}, timeLag{Known: true, Value: 5 * time.Second, Error: time.Second}},
		{
			"a lesser one may be the greatest in truth",
			[]*protocol.TimeLag{between(5000, 1000), between(4000, 5000), exact},
			timeLag{Known: true, Value: 5 * time.Second, Error: 4 * time.Second},
		},
		{"at least", []*protocol.TimeLag{atLeast, between(5000, 1000)}, timeLag{Known: true, Value: 9 * time.Second, AtLeast: true}},
		{"one unknown", []*protocol.TimeLag{between(5000, 1000), nil}, timeLag{Known: true, Value: 5 * time.Second, AtLeast: true}},
	} {
		var g greatest
		for _, lag := range c.lags {
			g.add(lag)
		}
		assert.Equal(t, c.want, g.result(), c.name)
	}
}

// partitionAt is a partition with a commit every second: each reads and is written a number of messages.
func partitionAt(read, written int64, lag uint64) *protocol.ConsumerPartition {
	p := &protocol.ConsumerPartition{State: protocol.PartitionBehind, CurrentLag: lag, EndOffsetAge: new(protocol.Age)}
	for i := range int64(5) {
		before := lag + uint64((4-i)*(read-written)) // as things went
		p.Offsets = append(p.Offsets, commitAt(1000+i*1000, 1000+i*read, before))
		p.BrokerOffsets = append(p.BrokerOffsets, 1000+i*read+int64(before))
	}
	if lag == 0 {
		p.State = protocol.PartitionCaughtUp
	}
	return p
}

func TestRates(t *testing.T) {
	now := time.Unix(5, 0)
	sum := func(partitions ...*protocol.ConsumerPartition) rates {
		var s rateSum
		for _, p := range partitions {
			s.add(p, now)
		}
		return s.result(true)
	}
	caught := trend.Duration{Known: true}
	assert.Equal(t, rates{CatchUp: caught}, sum(), "nothing to catch up with")
	assert.Equal(t, rates{In: rate(10), Out: rate(10), CatchUp: caught}, sum(partitionAt(10, 10, 0)))
	assert.Equal(t, rates{In: rate(10), Out: rate(15), CatchUp: trend.Duration{Length: 20 * time.Second, Known: true}}, sum(partitionAt(15, 10, 100)))
	assert.Equal(t, rates{In: rate(10), Out: rate(10), Never: true}, sum(partitionAt(10, 10, 100)))
	assert.Equal(t, rates{In: rate(20), Out: rate(25), Never: true}, sum(partitionAt(15, 10, 100), partitionAt(10, 10, 100)), "the worst counts")
	assert.Equal(t, rates{In: rate(20), Out: rate(30), CatchUp: trend.Duration{Length: 40 * time.Second, Known: true}},
		sum(partitionAt(15, 10, 100), partitionAt(15, 10, 200)))

	young := partitionAt(15, 10, 100)
	young.Offsets = young.Offsets[4:]
	assert.Equal(t, rates{}, sum(young), "one poll says nothing")
	young.EndOffsetAge = nil
	assert.Equal(t, rates{}, sum(young))
	var s rateSum
	s.add(partitionAt(15, 10, 100), now)
	assert.False(t, s.result(false).CatchUp.Known, "some other partition is not known")
}

func TestOnlyALastingLagNeverGoes(t *testing.T) {
	never := row{Rates: rates{Never: true}}
	for s, want := range map[state]string{
		stateOK: "-", stateCatchingUp: "-", stateRewind: "-", stateBehind: "never", stateStopped: "never", stateStalled: "never",
	} {
		never.State = s
		assert.Equal(t, want, catchUpCell(never), s)
	}
}

// What is not known is null, never 0.
func TestDocumentRows(t *testing.T) {
	var got []map[string]any
	text, err := json.Marshal(makeDocument(testTable, nil).Rows)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &got))
	unknown := got[2]
	for _, key := range []string{
		"lag", "time_lag_ms", "time_lag_error_ms", "in_per_second", "out_per_second", "catch_up_ms", "committed_ago_ms",
	} {
		assert.Contains(t, unknown, key)
		assert.Nil(t, unknown[key], key)
	}
	assert.NotContains(t, unknown, "lost_messages")
	assert.EqualValues(t, 0, got[0]["time_lag_ms"])
	assert.EqualValues(t, 10_800_000, got[1]["time_lag_ms"])
	assert.Equal(t, true, got[1]["time_lag_at_least"])
	assert.Nil(t, got[1]["time_lag_error_ms"], "a lower bound has none")
	assert.Equal(t, true, got[1]["never_catches_up"])
	assert.EqualValues(t, 65_000, got[3]["time_lag_ms"])
	assert.EqualValues(t, 1500, got[3]["time_lag_error_ms"])
	assert.EqualValues(t, 1234, got[3]["out_per_second"])
	assert.EqualValues(t, 400, got[3]["catch_up_ms"])
}
