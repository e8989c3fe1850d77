package main

import (
	"encoding/json"
	"io"
	"math"
	"strings"
	"time"
)

// document is a table for machines.
type document struct {
	Cluster string        `json:"cluster"`
	Time    time.Time     `json:"time"`
	Groups  int           `json:"groups"`
	Topics  int           `json:"topics"`
	Rows    []documentRow `json:"rows"`
	// Events are what happened since the last document.
	Events []event `json:"events"`
}

// documentRow is a row for machines. What is not known is null.
type documentRow struct {
	Group      string  `json:"group"`
	Topic      string  `json:"topic"`
	Partitions int     `json:"partitions"`
	Members    int     `json:"members"`
	Lag        *uint64 `json:"lag"`
	// LagAtLeast says that there are partitions whose lag is not known and not in Lag.
	LagAtLeast bool `json:"lag_at_least"`
	// TimeLagMs is the lag in time, in milliseconds: a lower bound where TimeLagAtLeast is set, and wrong by no more than
	// TimeLagErrorMs otherwise.
	TimeLagMs      *int64 `json:"time_lag_ms"`
	TimeLagErrorMs *int64 `json:"time_lag_error_ms"`
	TimeLagAtLeast bool   `json:"time_lag_at_least"`
	// InPerSecond and OutPerSecond are messages per second, written and committed.
	InPerSecond  *float64 `json:"in_per_second"`
	OutPerSecond *float64 `json:"out_per_second"`
	// CatchUpMs is the time until everything is read at these rates, in milliseconds. NeverCatchesUp says that there is no
	// such time.
	CatchUpMs      *int64 `json:"catch_up_ms"`
	NeverCatchesUp bool   `json:"never_catches_up"`
	// LostMessages were deleted before the group could read them; left out where none are known.
	LostMessages uint64 `json:"lost_messages,omitempty"`
	// BeyondEndMessages are by how much the group stands above the ends of partitions for good; left out if it does not.
	BeyondEndMessages uint64 `json:"beyond_end_messages,omitempty"`
	// Trend is the lag over the window, oldest first.
	Trend []uint64 `json:"trend"`
	// CommittedAgoMs is how long ago a commit last moved, in milliseconds.
	CommittedAgoMs *int64 `json:"committed_ago_ms"`
	// CommittedAtLeast says that the commit has not moved since the monitor started.
	CommittedAtLeast bool  `json:"committed_at_least"`
	State            state `json:"state"`
}

// makeDocument turns a table into a document.
func makeDocument(t table, events []event) document {
	d := document{
		Cluster: t.Cluster,
		Time:    t.At.UTC(),
		Groups:  t.Groups,
		Topics:  t.Topics,
		Rows:    make([]documentRow, 0, len(t.Rows)),
		Events:  make([]event, 0, len(events)),
	}
	for _, e := range events {
		d.Events = append(d.Events, event{e.At.UTC(), e.Text})
	}
	for _, r := range t.Rows {
		row := documentRow{
			Group:            r.Group,
			Topic:            r.Topic,
			Partitions:       r.Partitions,
			Members:          r.Members,
			LagAtLeast:       r.LagAtLeast,
			Trend:            make([]uint64, 0, len(r.Trend)),
			CommittedAtLeast: r.MovedAtLeast,
			State:            r.State,
		}
		row.NeverCatchesUp = neverCatchesUp(r)
		row.LostMessages, row.BeyondEndMessages = r.Lost, r.BeyondEnd
		if r.LagKnown {
			row.Lag = &r.Lag
		}
		if r.Moved >= 0 {
			row.CommittedAgoMs = ptr(r.Moved.Milliseconds())
		}
		if l := r.TimeLag; l.Known {
			row.TimeLagMs, row.TimeLagAtLeast = ptr(l.Value.Milliseconds()), l.AtLeast
			if !l.AtLeast {
				row.TimeLagErrorMs = ptr(l.Error.Milliseconds())
			}
		}
		if r.Rates.In.Known {
			row.InPerSecond = &r.Rates.In.PerSecond
		}
		if r.Rates.Out.Known {
			row.OutPerSecond = &r.Rates.Out.PerSecond
		}
		if r.Rates.CatchUp.Known {
			row.CatchUpMs = ptr(r.Rates.CatchUp.Length.Milliseconds())
		}
		for _, lag := range r.Trend {
			row.Trend = append(row.Trend, uint64(math.Round(lag)))
		}
		d.Rows = append(d.Rows, row)
	}
	return d
}

func ptr[T any](value T) *T { return &value }

// jsonDisplay prints one document a poll, each on a line of its own.
type jsonDisplay struct{ out io.Writer }

func (d *jsonDisplay) show(t table, events *eventLog) error {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(makeDocument(t, events.take())); err != nil {
		return err
	}
	_, err := io.WriteString(d.out, b.String())
	return err
}

func (d *jsonDisplay) redraws() bool { return false }
func (d *jsonDisplay) close() error  { return nil }
