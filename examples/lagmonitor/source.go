package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/kafkafeed"
)

// askLog is the feed's name for reading the log. In poll mode its failure is not a fault: the feed gives the reason.
const askLog = "read of __consumer_offsets"

// source is one cluster: its feed, and the outcome of its polls.
type source struct {
	name    string
	feed    *kafkafeed.Feed
	explain func(error) error
	polled  chan struct{} // holds one token if a poll ended since it was last taken
	all     chan<- struct{}

	mu      sync.Mutex
	current map[string]error // what failed since the previous poll, by the kind of request; guarded by mu, like the fields below
	failed  map[string]error // what failed in the newest poll
	polls   int
}

// newSource returns the source of a cluster. all gets a token for each poll; several sources share it.
func newSource(store storage.Store, cluster clusterConfig, interval time.Duration, window int, log kgo.Logger, all chan<- struct{}) (*source, error) {
	s := &source{name: cluster.name, explain: cluster.kafka.explain, polled: make(chan struct{}, 1), all: all, current: make(map[string]error)}
	opts := []kafkafeed.Opt{kafkafeed.ClientOpts(cluster.client...), kafkafeed.Interval(interval), kafkafeed.WithMode(cluster.mode),
		kafkafeed.Window(window), kafkafeed.WithHooks(s), kafkafeed.WithLogger(log)}
	// Other monitors may fill the same store.
	if sharer, ok := store.(storage.LogSharer); ok && sharer.LogPartitions() > 0 {
		opts = append(opts, kafkafeed.SharedStore())
	}
	var err error
	s.feed, err = kafkafeed.New(store, cluster.name, opts...)
	return s, err
}

// OnRequestError implements kafkafeed.HookRequestError.
func (s *source) OnRequestError(request string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current[request] = err
}

// OnPoll implements kafkafeed.HookPoll.
func (s *source) OnPoll(_ time.Duration, err error) {
	s.mu.Lock()
	if err != nil && len(s.current) == 0 {
		s.current["poll"] = err
	}
	s.failed, s.current = s.current, make(map[string]error)
	s.polls++
	s.mu.Unlock()
	notify(s.polled)
	notify(s.all)
}

// notify leaves a token, unless there is one.
func notify(tokens chan<- struct{}) {
	select {
	case tokens <- struct{}{}:
	default:
	}
}

// clusterState is the state of a cluster, shown above its groups.
type clusterState struct {
	Cluster string         `json:"cluster"`
	Mode    kafkafeed.Mode `json:"mode"`
	// Reason says why the feed polls although it may read the log.
	Reason string `json:"reason,omitempty"`
	// Ready reports whether the shown data is complete.
	Ready bool `json:"ready"`
	// Read is the part of the log that has been read, from 0 to 1; null if the log is not read.
	Read *float64 `json:"log_read"`
	// LastPoll is in Unix milliseconds, null before the first successful poll.
	LastPoll *int64 `json:"last_poll"`
	PollMs   int64  `json:"poll_ms"`
	// Missing lists what could not be fetched, one sentence each.
	Missing []string `json:"missing"`
}

// state returns the current state of the source.
func (s *source) state() clusterState {
	status := s.feed.Status()
	state := clusterState{Cluster: s.name, Mode: status.Mode, Ready: status.Ready, PollMs: status.PollDuration.Milliseconds(), Missing: []string{}}
	if status.Mode == kafkafeed.ModePoll {
		state.Reason = status.Reason
	}
	if at := status.LastPoll; !at.IsZero() {
		ms := at.UnixMilli()
		state.LastPoll = &ms
	}
	var read, end int64
	for _, log := range status.Logs {
		read, end = read+min(log.Next, log.End), end+log.End
	}
	if len(status.Logs) > 0 {
		part := 1.0
		if end > 0 {
			part = float64(read) / float64(end)
		}
		state.Read = &part
	}
	s.mu.Lock()
	failed := maps.Clone(s.failed)
	s.mu.Unlock()
	if status.Mode == kafkafeed.ModePoll {
		delete(failed, askLog)
	}
	state.Missing = append(state.Missing, s.failures(failed)...)
	for _, request := range status.Refused {
		if failed[request] == nil && request != askLog {
			state.Missing = append(state.Missing, request+": not allowed")
		}
	}
	if !state.Ready && len(state.Missing) == 0 {
		state.Missing = append(state.Missing, "the store is being filled")
	}
	return state
}

// failures returns a sentence for each reason, with all requests that failed for it.
func (s *source) failures(failed map[string]error) (sentences []string) {
	requests := make(map[string][]string)
	var reasons []string
	for _, request := range slices.Sorted(maps.Keys(failed)) {
		reason := oneLine(s.explain(failed[request]))
		if requests[reason] == nil {
			reasons = append(reasons, reason)
		}
		requests[reason] = append(requests[reason], request)
	}
	for _, reason := range reasons {
		sentences = append(sentences, strings.Join(requests[reason], ", ")+": "+reason)
	}
	return sentences
}

// patience is the number of polls in a row that may fail before settle gives up waiting.
const patience = 3

// settle waits until the answers of the store are complete, or will not be: polls fail and no log is read.
func (s *source) settle(ctx context.Context) error {
	ready := s.feed.Ready()
	failures, read := 0, int64(-1)
	for left := -1; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ready:
			ready, left = nil, 2 // the poll that ends next may have begun earlier
		case <-s.polled:
			if left--; left == 0 {
				return nil
			}
			if left > 0 {
				continue
			}
			before := read
			read = 0
			for _, log := range s.feed.Status().Logs {
				read += log.Next
			}
			s.mu.Lock()
			if failures++; len(s.failed) == 0 || read > max(before, 0) {
				failures = 0
			}
			s.mu.Unlock()
			if failures >= patience {
				return nil
			}
		}
	}
}

// known reports whether a poll has succeeded yet.
func (s *source) known() bool { return !s.feed.Status().LastPoll.IsZero() }

// oneLine returns the text of an error on one line; each of several joined errors becomes a sentence.
func oneLine(err error) string {
	var lines []string
	for line := range splitLines(err.Error()) {
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return "failed"
	}
	if more := len(lines) - 1; more > 0 {
		return fmt.Sprintf("%s (and %d more)", lines[0], more)
	}
	return lines[0]
}

// feedLog turns what a feed logs, up to a level, into events.
type feedLog struct {
	events *eventLog
	level  kgo.LogLevel
}

func (l feedLog) Level() kgo.LogLevel { return l.level }

func (l feedLog) Log(level kgo.LogLevel, message string, pairs ...any) {
	if level > l.Level() {
		return
	}
	text := message
	for i := 0; i+1 < len(pairs); i += 2 {
		value := pairs[i+1]
		if err, ok := value.(error); ok {
			if errors.Is(err, context.Canceled) {
				return
			}
			value = oneLine(err)
		}
		text += fmt.Sprintf(" %v=%v", pairs[i], value)
	}
	l.events.add(time.Now(), "%s", text)
}
