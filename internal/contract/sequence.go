package contract

import (
	"errors"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// mode is one of the ways to carry out a whole sequence of requests.
type mode struct {
	name string
	// run carries out the requests in order and returns one answer for each.
	run func(t testing.TB, s *subject, requests []*protocol.StorageRequest) []answer
	// needsStore is true if only a module with a typed API supports the mode.
	needsStore bool
	// typed is true if every request returns its error.
	typed bool
}

// modes are the ways to carry out a sequence of requests. All give the same answers.
var modes = []mode{
	{name: "sequential", run: sequentially(overChannel)},
	{name: "pipelined", run: pipelined},
	{name: "typed", run: sequentially(overStore), needsStore: true, typed: true},
	{name: "typed fetch", run: sequentially(overFetch), needsStore: true, typed: true},
	{name: "batched", run: batched, needsStore: true, typed: true},
	{name: "in runs", run: inRuns, needsStore: true, typed: true},
	{name: "mixed", run: mixed, needsStore: true},
}

// modeNamed returns a mode by its name.
func modeNamed(name string) mode {
	for _, m := range modes {
		if m.name == name {
			return m
		}
	}
	panic("no mode named " + name)
}

// sequentially makes each request when the one before has been answered.
func sequentially(
	ask func(testing.TB, *subject, *protocol.StorageRequest) answer,
) func(testing.TB, *subject, []*protocol.StorageRequest) []answer {
	return func(t testing.TB, s *subject, requests []*protocol.StorageRequest) []answer {
		t.Helper()
		answers := make([]answer, len(requests))
		for i, r := range requests {
			answers[i] = ask(t, s, r)
		}
		return answers
	}
}

// pipelined sends all requests before it reads the first reply. Requests of one sender take effect in the order sent, so the
// answers are the same: a fetch that was sent before a set does not see it.
func pipelined(t testing.TB, s *subject, requests []*protocol.StorageRequest) []answer {
	t.Helper()
	sent := make([]protocol.StorageRequest, len(requests))
	kept := make([]protocol.StorageRequest, len(requests))
	for i, r := range requests {
		sent[i] = *r
		if isFetch(r) {
			sent[i].Reply = make(chan any, i%2)
		}
		kept[i] = sent[i]
		send(t, s.channel, &sent[i])
	}
	answers := make([]answer, len(requests))
	for i := range sent {
		if sent[i].Reply != nil {
			answers[i] = await(t, sent[i].Reply)
		}
	}
	require.Equal(t, kept, sent, "requests were changed")
	return answers
}

// mixed alternates between the channel and the typed API. A typed call need not see a request that the channel has only
// received, so a fetch over the channel comes between.
func mixed(t testing.TB, s *subject, requests []*protocol.StorageRequest) []answer {
	t.Helper()
	answers := make([]answer, len(requests))
	for i, r := range requests {
		if i/3%2 == 0 {
			answers[i] = overStore(t, s, r)
			continue
		}
		answers[i] = overChannel(t, s, r)
		if answers[i].replied {
			continue
		}
		settle(t, s, r)
	}
	return answers
}

// settle returns when all requests for the group and topic of a request have been carried out.
func settle(t testing.TB, s *subject, r *protocol.StorageRequest) {
	t.Helper()
	overChannel(t, s, &protocol.StorageRequest{
		RequestType: protocol.StorageFetchConsumer, Cluster: r.Cluster, Group: r.Group,
	})
	overChannel(t, s, &protocol.StorageRequest{
		RequestType: protocol.StorageFetchConsumersForTopic, Cluster: r.Cluster, Topic: r.Topic,
	})
}

// checkSequence carries out requests against a started module and against the model, in the named mode, and fails the test at
// the first answer that differs. Both must have the same clock.
func checkSequence(t testing.TB, s *subject, model *Model, how mode, requests []*protocol.StorageRequest) {
	t.Helper()
	want := make([]answer, len(requests))
	for i, r := range requests {
		value, err := model.Handle(r)
		want[i] = answer{value: value, replied: isFetch(r) && err == nil, err: err}
	}
	got := how.run(t, s, requests)
	for i, r := range requests {
		if wantText, gotText := text(want[i], true), text(got[i], true); wantText != gotText {
			require.FailNowf(t, "wrong answer", "%s\nrequest %d of %d: %s\n%s",
				history(requests[:i], r), i, len(requests), describe(r), difference(wantText, gotText))
		}
		if how.typed && !sameReason(r, want[i].err, got[i].err) {
			require.FailNowf(t, "wrong error", "%s\nrequest %d of %d: %s\nwant: %v\ngot:  %v",
				history(requests[:i], r), i, len(requests), describe(r), want[i].err, got[i].err)
		}
	}
}

// sameReason compares the error of the model with that of the typed API. The contract has one reason for a partition that is
// out of range; two of the typed API fit it.
func sameReason(r *protocol.StorageRequest, want, got error) bool {
	want, got = reason(want), reason(got)
	if errors.Is(want, got) {
		return true
	}
	outOfRange := r.Partition < 0 || int64(r.Partition) >= modelLimit
	return outOfRange && errors.Is(got, storage.ErrInvalid) &&
		(errors.Is(want, storage.ErrUnknownPartition) || errors.Is(want, storage.ErrUnknownTopic))
}

// history returns the last fifty requests before r that concern the same things.
func history(before []*protocol.StorageRequest, r *protocol.StorageRequest) string {
	var lines []string
	for i, earlier := range before {
		if earlier.Cluster != r.Cluster || isFetch(earlier) {
			continue
		}
		if r.Group == "" || earlier.Group == "" || earlier.Group == r.Group {
			lines = append(lines, strconv.Itoa(i)+": "+describe(earlier))
		}
	}
	all := "requests before:\n"
	for _, line := range lines[max(0, len(lines)-50):] {
		all += line + "\n"
	}
	return all
}
