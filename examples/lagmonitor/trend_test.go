package main

import (
	"testing"
	"time"

	"github.com/lagkeeper/storage/protocol"
	"github.com/stretchr/testify/assert"
)

// commitAt is a commit with the lag that the store took.
func commitAt(at, offset int64, lag uint64) *protocol.ConsumerOffset {
	return &protocol.ConsumerOffset{Offset: offset, Timestamp: at, Lag: &protocol.Lag{Value: lag}}
}

func TestLagSeries(t *testing.T) {
	unknown := commitAt(1500, 15, 0)
	unknown.Lag = nil
	for _, c := range []struct {
		name      string
		partition protocol.ConsumerPartition
		want      []lagAt
	}{
		{"never committed", protocol.ConsumerPartition{BrokerOffsets: []int64{5}}, nil},
		{
			"committed at the last poll",
			protocol.ConsumerPartition{
				Offsets:       []*protocol.ConsumerOffset{nil, commitAt(1000, 10, 5), commitAt(2000, 20, 3)},
				BrokerOffsets: []int64{15, 23},
			},
			[]lagAt{{1000, 5}, {2000, 3}},
		},
		{
			"two polls since",
			protocol.ConsumerPartition{
				Offsets:       []*protocol.ConsumerOffset{commitAt(2000, 20, 3)},
				BrokerOffsets: []int64{15, 23, 30, 40},
			},
			[]lagAt{{2000, 3}, {3000, 10}, {4000, 20}},
		},
		{
			"idle producer since",
			protocol.ConsumerPartition{
				Offsets:       []*protocol.ConsumerOffset{commitAt(2000, 20, 3)},
				BrokerOffsets: []int64{23, 23, 23},
			},
			[]lagAt{{2000, 3}, {3000, 3}, {4000, 3}},
		},
		{
			"more polls since than the history holds",
			protocol.ConsumerPartition{
				Offsets:       []*protocol.ConsumerOffset{commitAt(2000, 20, 3)},
				BrokerOffsets: []int64{50, 60},
			},
			[]lagAt{{2000, 3}, {3000, 30}, {4000, 40}},
		},
		{
			"the end offset went back",
			protocol.ConsumerPartition{
				Offsets:       []*protocol.ConsumerOffset{commitAt(2000, 20, 3)},
				BrokerOffsets: []int64{5, 6},
			},
			[]lagAt{{2000, 3}, {4000, 0}},
		},
		{
			"half of it deleted since",
			protocol.ConsumerPartition{
				Offsets:        []*protocol.ConsumerOffset{commitAt(2000, 20, 3)},
				BrokerOffsets:  []int64{23, 30, 40},
				LogStartOffset: ptr(int64(35)),
			},
			[]lagAt{{2000, 3}, {3000, 0}, {4000, 5}},
		},
		{
			"lag not known",
			protocol.ConsumerPartition{
				Offsets:       []*protocol.ConsumerOffset{unknown},
				BrokerOffsets: []int64{20, 30},
			},
			[]lagAt{{4000, 15}},
		},
	} {
		assert.Equal(t, c.want, lagSeries(&c.partition, 4000), c.name)
	}
}

func TestSumSeries(t *testing.T) {
	assert.Nil(t, sumSeries(nil, 3))
	assert.Nil(t, sumSeries([][]lagAt{nil, {}}, 3))
	assert.Equal(t, []float64{7}, sumSeries([][]lagAt{{{1000, 7}}}, 3), "a single moment")
	assert.Equal(t, []float64{0, 5, 10}, sumSeries([][]lagAt{{{1000, 0}, {3000, 10}}}, 3))
	assert.Equal(t, []float64{4, 9, 17}, sumSeries([][]lagAt{
		{{1000, 0}, {3000, 10}},
		{{1000, 4}, {2000, 4}, {3000, 7}},
	}, 3))
	assert.Equal(t, []float64{6, 6, 8}, sumSeries([][]lagAt{
		{{1000, 1}, {3000, 1}},
		{{2000, 5}, {3000, 7}}, // a partition that came later stands still before
	}, 3))
}

func TestLastMove(t *testing.T) {
	for _, c := range []struct {
		name   string
		window []*protocol.ConsumerOffset
		at     int64
		exact  bool
	}{
		{"first sight", []*protocol.ConsumerOffset{nil, commitAt(1000, 10, 0)}, 1000, false},
		{"moved", []*protocol.ConsumerOffset{nil, commitAt(1000, 10, 0), commitAt(2000, 11, 0)}, 2000, true},
		{"confirmed", []*protocol.ConsumerOffset{commitAt(1000, 10, 0), commitAt(2000, 11, 0), commitAt(3000, 11, 0)}, 2000, true},
		{"only confirmed", []*protocol.ConsumerOffset{commitAt(1000, 10, 0), commitAt(2000, 10, 0)}, 1000, false},
	} {
		at, exact := lastMove(c.window)
		assert.Equal(t, c.at, at, c.name)
		assert.Equal(t, c.exact, exact, c.name)
	}
}

func TestMakeRow(t *testing.T) {
	now := time.UnixMilli(10_000)
	partitions := protocol.ConsumerPartitions{
		{
			Offsets:       []*protocol.ConsumerOffset{commitAt(8000, 30, 0), commitAt(9000, 20, 10)},
			BrokerOffsets: []int64{30, 35}, CurrentLag: 15, Owner: "host", ClientID: "a", State: protocol.PartitionBehind,
			TimeLag: &protocol.TimeLag{Kind: protocol.TimeLagInterpolated, Lag: 4 * time.Second, Margin: time.Second},
		},
		{BrokerOffsets: []int64{7}, Owner: "host", ClientID: "b", State: protocol.PartitionNoCommit},
		nil,
	}
	r := makeRow("g", "t", partitions, []int64{35, 7, -1, 0}, now, paceFor(time.Second))
	assert.Equal(t, 4, r.Partitions)
	assert.Equal(t, 2, r.Members)
	assert.EqualValues(t, 15, r.Lag)
	assert.True(t, r.LagKnown)
	assert.True(t, r.LagAtLeast, "partition 1 has messages and no commit")
	assert.Equal(t, timeLag{Known: true, Value: 4 * time.Second, AtLeast: true}, r.TimeLag)
	assert.False(t, r.Rates.CatchUp.Known)
	assert.Equal(t, time.Second, r.Moved)
	assert.Equal(t, stateRewind, r.State)

	r = makeRow("g", "t", partitions[:1], []int64{5}, now, paceFor(time.Second))
	assert.False(t, r.LagAtLeast)
	assert.Equal(t, timeLag{Known: true, Value: 4 * time.Second, Error: time.Second}, r.TimeLag)

	emptied := protocol.ConsumerPartition{BrokerOffsets: []int64{7}, State: protocol.PartitionNoCommit, LogStartOffset: ptr(int64(7))}
	r = makeRow("g", "t", protocol.ConsumerPartitions{partitions[0], &emptied}, []int64{35, 7}, now, paceFor(time.Second))
	assert.False(t, r.LagAtLeast, "retention has emptied partition 1")
	assert.False(t, r.TimeLag.AtLeast)
	emptied.LogStartOffset = ptr(int64(6))
	r = makeRow("g", "t", protocol.ConsumerPartitions{partitions[0], &emptied}, []int64{35, 7}, now, paceFor(time.Second))
	assert.True(t, r.LagAtLeast, "one message is left")

	// What the store does not stand by has no number.
	for stored, want := range map[protocol.PartitionState]state{
		protocol.PartitionAhead: stateAhead, protocol.PartitionReset: stateReset, protocol.PartitionRestored: stateRestored,
		protocol.PartitionBeyondEnd: stateBeyondEnd,
	} {
		odd := *partitions[0]
		odd.State = stored
		if stored == protocol.PartitionAhead {
			odd.CurrentLag = 0
		}
		r = makeRow("g", "t", protocol.ConsumerPartitions{&odd}, []int64{35}, now, paceFor(time.Second))
		assert.Equal(t, want, r.State)
		assert.Equal(t, stored == protocol.PartitionAhead, r.LagKnown)
		assert.Equal(t, stored == protocol.PartitionAhead, r.TimeLag.Known)
		assert.Equal(t, stored == protocol.PartitionAhead, r.Rates.In.Known || r.Rates.Out.Known || len(r.Trend) > 0)
		assert.Equal(t, time.Second, r.Moved)

		r = makeRow("g", "t", protocol.ConsumerPartitions{&odd, partitions[0]}, []int64{35, 35}, now, paceFor(time.Second))
		switch stored {
		case protocol.PartitionReset, protocol.PartitionBeyondEnd:
			assert.Equal(t, want, r.State, "one partition is enough to alarm")
		default:
			assert.Equal(t, stateRewind, r.State, "what is harmless hides nothing")
		}
		assert.Equal(t, stored != protocol.PartitionAhead, r.LagAtLeast)
		assert.Equal(t, stored != protocol.PartitionAhead, r.TimeLag.AtLeast)
	}

	r = makeRow("g", "t", partitions[1:2], []int64{7}, now, paceFor(time.Second))
	assert.Equal(t, stateNoCommit, r.State)
	assert.EqualValues(t, -1, r.Moved)
}
