package contract

import (
	"bufio"
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// recorded are requests and answers of the original, one sequence a line.
//
//go:embed testdata/traces.jsonl.gz
var recorded []byte

// Trace is a recorded sequence of requests with their answers.
type Trace struct {
	Name     string         `json:"name"`
	Settings map[string]any `json:"config"`
	Clusters []string       `json:"clusters"`
	Steps    []TraceStep    `json:"steps"`
}

// TraceStep is one request of a trace. Timestamps, here and in Want, are milliseconds since the start of the trace.
type TraceStep struct {
	Op             string `json:"op"`
	Cluster        string `json:"cluster"`
	Group          string `json:"group"`
	Topic          string `json:"topic"`
	Partition      int32  `json:"partition"`
	PartitionCount int32  `json:"partition_count"`
	Offset         int64  `json:"offset"`
	Order          int64  `json:"order"`
	Timestamp      int64  `json:"timestamp"`
	Owner          string `json:"owner"`
	ClientID       string `json:"client_id"`

	// Want is the answer of a fetch; NoReply is set instead if Reply was closed without a value.
	Want    json.RawMessage `json:"want"`
	NoReply bool            `json:"no_reply"`
}

// tracePartition is a group-partition in the format of traces.
type tracePartition struct {
	Offsets []*struct {
		Offset    int64   `json:"offset"`
		Order     int64   `json:"order"`
		Timestamp int64   `json:"timestamp"`
		Lag       *uint64 `json:"lag"`
	} `json:"offsets"`
	BrokerOffsets []int64 `json:"broker_offsets"`
	Owner         string  `json:"owner"`
	ClientID      string  `json:"client_id"`
	CurrentLag    uint64  `json:"current_lag"`
}

// Traces returns the recorded traces.
func Traces() ([]Trace, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(recorded))
	if err != nil {
		return nil, fmt.Errorf("read traces: %w", err)
	}
	var traces []Trace
	decoder := json.NewDecoder(bufio.NewReader(unzipped))
	decoder.DisallowUnknownFields()
	for {
		var trace Trace
		err := decoder.Decode(&trace)
		if errors.Is(err, io.EOF) {
			return traces, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read trace %d: %w", len(traces), err)
		}
		for key, value := range trace.Settings {
			// A configuration file has whole numbers; JSON has only numbers.
			if number, ok := value.(float64); ok {
				trace.Settings[key] = int(number)
			}
		}
		traces = append(traces, trace)
	}
}

// traceOps are the request types by their names in traces.
var traceOps = func() map[string]protocol.StorageRequestConstant {
	ops := map[string]protocol.StorageRequestConstant{}
	for kind := range protocol.StorageRequestConstant(protocol.StorageRequestTypes) {
		ops[kind.String()[len("Storage"):]] = kind
	}
	return ops
}()

// Request returns the request of a step of a trace that starts at a time in Unix milliseconds.
func (s *TraceStep) Request(start int64) (*protocol.StorageRequest, error) {
	kind, known := traceOps[s.Op]
	if !known {
		return nil, fmt.Errorf("read trace: unknown request %q", s.Op)
	}
	return &protocol.StorageRequest{
		RequestType: kind, Cluster: s.Cluster, Group: s.Group, Topic: s.Topic, Partition: s.Partition,
		TopicPartitionCount: s.PartitionCount, Offset: s.Offset, Order: s.Order, Timestamp: start + s.Timestamp,
		Owner: s.Owner, ClientID: s.ClientID,
	}, nil
}

// answer returns the expected answer of the step, with relative timestamps.
func (s *TraceStep) answer() (answer, error) {
	if s.NoReply || s.Want == nil {
		return answer{}, nil
	}
	switch s.Op {
	case "FetchConsumer":
		var want map[string][]tracePartition
		err := json.Unmarshal(s.Want, &want)
		return answer{value: traceGroup(want), replied: true}, err
	case "FetchTopic":
		want := []int64{}
		err := json.Unmarshal(s.Want, &want)
		return answer{value: want, replied: true}, err
	default:
		want := []string{}
		err := json.Unmarshal(s.Want, &want)
		return answer{value: want, replied: true}, err
	}
}

func traceGroup(want map[string][]tracePartition) protocol.ConsumerTopics {
	topics := protocol.ConsumerTopics{}
	for topic, partitions := range want {
		topics[topic] = protocol.ConsumerPartitions{}
		for _, p := range partitions {
			offsets := []*protocol.ConsumerOffset{}
			for _, commit := range p.Offsets {
				if commit == nil {
					offsets = append(offsets, nil)
					continue
				}
				offset := &protocol.ConsumerOffset{
					Offset: commit.Offset, Order: commit.Order, Timestamp: commit.Timestamp,
				}
				if commit.Lag != nil {
					offset.Lag = &protocol.Lag{Value: *commit.Lag}
				}
				offsets = append(offsets, offset)
			}
			topics[topic] = append(topics[topic], &protocol.ConsumerPartition{
				Offsets: offsets, BrokerOffsets: append([]int64{}, p.BrokerOffsets...),
				Owner: p.Owner, ClientID: p.ClientID, CurrentLag: p.CurrentLag,
			})
		}
	}
	return topics
}

// replayable is a trace with the expected answer of each step as text.
type replayable struct {
	Trace
	wanted []string
}

// replayables are the recorded traces.
var replayables = sync.OnceValues(func() ([]replayable, error) {
	traces, err := Traces()
	if err != nil {
		return nil, err
	}
	var all []replayable
	for _, trace := range traces {
		r := replayable{Trace: trace}
		for i := range trace.Steps {
			want, err := trace.Steps[i].answer()
			if err != nil {
				return nil, fmt.Errorf("read step %d of %s: %w", i, trace.Name, err)
			}
			r.wanted = append(r.wanted, text(want, false))
		}
		all = append(all, r)
	}
	return all, nil
})

// exerciseTraces replays every trace in every mode, with one worker and with the default.
func exerciseTraces(t *testing.T, factory Factory) {
	traces, err := replayables()
	require.NoError(t, err)
	require.Len(t, traces, 150)
	for _, how := range modes {
		for _, workers := range []string{"1", "default"} {
			if how.name == "mixed" && workers == "1" {
				continue // it takes far longer than the others and covers nothing more
			}
			t.Run(how.name+"/workers="+workers, func(t *testing.T) {
				t.Parallel()
				for _, trace := range traces {
					config := Config{Settings: trace.Settings, Clusters: trace.Clusters}
					if workers == "1" {
						config = config.with("workers", 1)
					}
					replay(t, prepare(t, factory, config), how, trace)
				}
			})
		}
	}
}

// replay starts a module, replays a trace on it and stops it.
func replay(t *testing.T, s *subject, how mode, trace replayable) {
	t.Helper()
	require.NoError(t, s.module.Start())
	defer stop(t, s.module)
	s.open()
	if how.needsStore && s.store == nil {
		t.Skip("the module has no typed API")
	}

	start := time.Now().UnixMilli()
	requests := make([]*protocol.StorageRequest, len(trace.Steps))
	for i := range trace.Steps {
		var err error
		requests[i], err = trace.Steps[i].Request(start)
		require.NoError(t, err)
	}
	for i, got := range how.run(t, s, requests) {
		shift(got, -start)
		if got := text(got, false); got != trace.wanted[i] {
			require.FailNowf(t, "wrong answer", "%s, %s\nrequest %d: %s\n%s",
				trace.Name, history(requests[:i], requests[i]), i, describe(requests[i]), difference(trace.wanted[i], got))
		}
	}
}

// shift adds to the timestamps of an answer.
func shift(got answer, by int64) {
	topics, _ := got.value.(protocol.ConsumerTopics)
	for _, partitions := range topics {
		for _, p := range partitions {
			for _, commit := range p.Offsets {
				if commit != nil {
					commit.Timestamp += by
				}
			}
		}
	}
}
