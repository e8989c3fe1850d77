package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestClassify(t *testing.T) {
	rising := []float64{10, 20, 30, 40}
	falling := []float64{40, 30, 20, 10}
	committed := facts{committed: true, samples: enoughSamples}
	pace := paceFor(10 * time.Second)
	for _, c := range []struct {
		name  string
		row   row
		facts facts
		want  state
	}{
		{"nothing committed", row{Members: 1, Moved: -1}, facts{}, stateNoCommit},
		{"nothing to read", row{Members: 1, Moved: time.Hour}, committed, stateCaughtUp},
		{"nothing to read and nobody there", row{Moved: time.Hour}, committed, stateCaughtUp},
		{"nobody there", row{Lag: 5, Moved: time.Hour, Trend: rising}, committed, stateStopped},
		{"nobody in the group, but committing", row{Lag: 5, Moved: 10 * time.Second}, committed, stateOK},
		{"members that do nothing", row{Lag: 5, Members: 2, Moved: time.Hour}, committed, stateStalled},
		{"members that commit seldom", row{Lag: 5, Members: 2, Moved: 20 * time.Second}, committed, stateOK},
		{"lag grows", row{Lag: 40, Members: 1, Trend: rising}, committed, stateBehind},
		{"lag shrinks", row{Lag: 10, Members: 1, Trend: falling}, committed, stateCatchingUp},
		{"lag stays", row{Lag: 10, Members: 1, Trend: []float64{10, 12, 9, 11, 8, 11}}, committed, stateOK},
		{"two polls", row{Lag: 40, Members: 1, Trend: rising}, facts{committed: true, samples: 2}, stateOK},
		{"went back", row{Lag: 40, Members: 1, Trend: rising}, facts{committed: true, rewound: true}, stateRewind},
		{"went back and caught up", row{Members: 1}, facts{committed: true, rewound: true}, stateCaughtUp},
		{"went back and stopped", row{Lag: 4, Moved: time.Hour}, facts{committed: true, rewound: true}, stateStopped},
		{"beyond the end", row{Members: 1}, facts{committed: true, ahead: true}, stateAhead},
		{"from a snapshot", row{Members: 1}, facts{committed: true, restored: true}, stateRestored},
		{"recreated", row{Lag: 5, Moved: time.Hour}, facts{committed: true, reset: true, ahead: true}, stateReset},
		{"beyond the end for good", row{Members: 1}, facts{committed: true, beyond: true}, stateBeyondEnd},
		{"beyond the end on one partition", row{Lag: 5, Moved: time.Hour}, facts{committed: true, beyond: true, reset: true, restored: true}, stateBeyondEnd},
		{"stuck, one partition from a snapshot", row{Lag: 5, Moved: time.Hour}, facts{committed: true, restored: true}, stateStopped},
		{"stalled, one partition from a snapshot", row{Lag: 5, Members: 1, Moved: time.Hour}, facts{committed: true, restored: true}, stateStalled},
		{"reading, one partition from a snapshot", row{Lag: 5, Members: 1}, facts{committed: true, restored: true}, stateRestored},
		{"stuck, one partition ahead", row{Lag: 5, Moved: time.Hour}, facts{committed: true, ahead: true}, stateStopped},
		{"reading, one partition ahead", row{Lag: 5, Members: 1}, facts{committed: true, ahead: true}, stateOK},
	} {
		assert.Equal(t, c.want, classify(c.row, c.facts, pace), c.name)
	}
}

// Harmless states are better off than any that wants somebody to look.
func TestAlarmingStatesComeLast(t *testing.T) {
	for _, harmless := range []state{stateCaughtUp, stateAhead, stateOK, stateCatchingUp, stateNoCommit, stateRestored} {
		for _, alarming := range []state{stateBehind, stateRewind, stateReset, stateBeyondEnd, stateStalled, stateStopped} {
			assert.Less(t, harmless, alarming, "%v and %v", harmless, alarming)
		}
	}
	assert.Equal(t, red, stateStyle(row{State: stateBeyondEnd}))
	rows := []row{{State: stateAhead, Lag: 9}, {State: stateBeyondEnd}, {State: stateCaughtUp}, {State: stateRestored}}
	kept, more := cut(rows, 0, headingLines+2)
	assert.Equal(t, rows[1:2], kept)
	assert.Equal(t, 3, more)
}

func TestDirection(t *testing.T) {
	for _, c := range []struct {
		name  string
		trend []float64
		want  int
	}{
		{"nothing", nil, 0},
		{"one point", []float64{5}, 0},
		{"steady", []float64{5, 5, 5, 5}, 0},
		{"up", []float64{5, 6, 7, 8}, +1},
		{"up on a large lag", []float64{1e6, 1e6 + 1, 1e6 + 2, 1e6 + 3}, +1},
		{"up with a dent", []float64{5, 7, 6, 8, 10}, +1},
		{"one jump at the end", []float64{5, 5, 5, 5, 5, 9}, 0},
		{"zigzag", []float64{5, 9, 5, 9, 5, 9}, 0},
		{"down", []float64{8, 7, 6, 5}, -1},
		{"through zero", []float64{3, 0, 4, 8}, 0},
	} {
		assert.Equal(t, c.want, direction(c.trend), c.name)
	}
}

func TestStateNames(t *testing.T) {
	require.Len(t, stateNames, int(stateStopped)+1)
	for s := stateCaughtUp; s <= stateStopped; s++ {
		assert.NotEmpty(t, s.String())
		assert.NotEmpty(t, stateStyle(row{State: s}))
	}
	text, err := json.Marshal(stateCatchingUp)
	require.NoError(t, err)
	assert.Equal(t, `"CATCHING UP"`, string(text))
}
