package lagredis

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage/protocol"
)

const (
	// pollInterval is the interval at which the events of all buckets are read while there are watchers.
	pollInterval = 200 * time.Millisecond
	// mostRead bounds the events that one read of a stream returns.
	mostRead = 1000
)

// streamReader reads the streams of all buckets, each from where it stopped.
type streamReader struct {
	db      *DB
	keys    []string
	at      []place // the position in each stream
	failing bool    // whether the last read failed
}

// place is the position of the reader in a stream.
type place struct {
	// id is the id of the last event read; number is how many events had been added to the stream up to it.
	id     string
	number int64
}

// streamState is the state of a stream. A missing stream is one to which nothing was added.
type streamState struct {
	last          string // id
	added, length int64
}

// stateOf parses the answer to XINFO STREAM.
func stateOf(result rueidis.RedisResult) (streamState, error) {
	fields, err := result.AsMap()
	if fault, ok := rueidis.IsRedisErr(err); ok && strings.Contains(fault.Error(), "no such key") {
		return streamState{last: "0-0"}, nil
	}
	if err != nil {
		return streamState{}, err
	}
	var s streamState
	last, added, length := fields["last-generated-id"], fields["entries-added"], fields["length"]
	var faults [3]error
	s.last, faults[0] = last.ToString()
	s.added, faults[1] = added.AsInt64()
	s.length, faults[2] = length.AsInt64()
	return s, errors.Join(faults[:]...)
}

// compareIDs compares the ids of two events: milliseconds, a hyphen and a number.
func compareIDs(a, b string) int {
	number := func(text string) uint64 {
		n, _ := strconv.ParseUint(text, 10, 64) // the server generated it
		return n
	}
	a1, a2, _ := strings.Cut(a, "-")
	b1, b2, _ := strings.Cut(b, "-")
	return cmp.Or(cmp.Compare(number(a1), number(b1)), cmp.Compare(number(a2), number(b2)))
}

// begin records where the streams end now.
func (r *streamReader) begin(ctx context.Context) error {
	r.keys, r.at = nil, nil
	for bucket := range r.db.options.Buckets {
		r.keys = append(r.keys, r.db.groupEventsKey(bucket), r.db.topicEventsKey(bucket))
	}
	commands := make(rueidis.Commands, len(r.keys))
	for i, key := range r.keys {
		commands[i] = r.db.client.B().XinfoStream().Key(key).Build()
	}
	for _, result := range r.db.doMulti(ctx, commands...) {
		s, err := stateOf(result)
		if err != nil {
			return err
		}
		r.at = append(r.at, place{s.last, s.added})
	}
	return nil
}

func (r *streamReader) run(ctx context.Context) {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		err := r.read(ctx)
		if errors.Is(err, context.Canceled) {
			continue
		}
		switch {
		case err != nil && !r.failing:
			r.db.log.Warn("events not read", zap.Error(err))
		case err == nil && r.failing:
			r.db.log.Info("events are read again")
		}
		r.failing = err != nil
	}
}

// read passes on the events that have arrived.
func (r *streamReader) read(ctx context.Context) error {
	commands := make(rueidis.Commands, 0, 2*len(r.keys))
	for i, key := range r.keys {
		commands = append(commands, r.db.client.B().XinfoStream().Key(key).Build(),
			r.db.client.B().Xrange().Key(key).Start("("+r.at[i].id).End("+").Count(mostRead).Build())
	}
	var all []protocol.Event
	var faults []error
	missed := uint64(0)
	results := r.db.doMulti(ctx, commands...)
	for i := range r.keys {
		s, fault := stateOf(results[2*i])
		entries, err := results[2*i+1].AsXRange()
		if err = cmp.Or(fault, err); err != nil {
			faults = append(faults, err)
			continue
		}
		if compareIDs(s.last, r.at[i].id) < 0 {
			// A failover has lost events that were read. Those that come now may have lower ids.
			r.at[i] = place{s.last, s.added}
			continue
		}
		if gone := s.added - s.length; gone > r.at[i].number {
			missed += uint64(gone - r.at[i].number)
			r.at[i].number = gone
		}
		for _, entry := range entries {
			r.at[i] = place{entry.ID, r.at[i].number + 1}
			var event protocol.Event
			if err := json.Unmarshal([]byte(entry.FieldValues[fieldEvent]), &event); err != nil {
				faults = append(faults, fmt.Errorf("read event %s: %w", entry.ID, err))
				continue
			}
			all = append(all, event)
		}
	}
	// The events of one group or topic are in one stream and stay in order.
	slices.SortStableFunc(all, func(a, b protocol.Event) int { return a.Time.Compare(b.Time) })
	for _, event := range all {
		r.db.watching.hub.Publish(event)
	}
	if missed > 0 {
		// A watcher that now reads everything again sees a state newer than all events it has received.
		r.db.watching.hub.Lose(missed)
	}
	return errors.Join(faults...)
}
