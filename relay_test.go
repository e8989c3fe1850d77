package storage

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/lagkeeper/storage/protocol"
)

// brokenStore panics in the methods that are marked as broken.
type brokenStore struct{ Store }

func (brokenStore) Commit(_ context.Context, _, group string, _ protocol.Commit) error {
	if group == "broken" {
		panic("commit is broken")
	}
	return nil
}

func (brokenStore) Fetch(_ context.Context, r *protocol.StorageRequest) (func() any, error) {
	switch r.Group {
	case "broken":
		panic("fetch is broken")
	case "broken answer":
		return func() any { panic(errors.New("answer is broken")) }, nil
	case "refused":
		return nil, ErrUnknownGroup
	}
	return func() any { return r.Group }, nil
}

// TestRelayContainsPanics lets a store panic everywhere: the process survives, the Reply is closed, the panic is counted and
// logged with its stack, and later requests are served.
func TestRelayContainsPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		r := NewRelay(brokenStore{}, zap.New(core), RelayOptions{Workers: 2, QueueDepth: 1, ReplyTimeout: time.Second})
		r.Start()
		channel := r.GetCommunicationChannel()
		fetch := func(group string) (any, bool) {
			reply := make(chan any)
			channel <- &protocol.StorageRequest{RequestType: protocol.StorageFetchConsumer, Group: group, Reply: reply}
			value, ok := <-reply
			return value, ok
		}
		broken := []string{"broken", "broken answer", "broken answer", "broken answer", "broken"}
		for i, group := range broken {
			_, ok := fetch(group)
			require.False(t, ok)
			value, _ := fetch("sound")
			require.Equal(t, "sound", value)
			require.EqualValues(t, i+1, r.counts.panics.Load())
		}
		channel <- &protocol.StorageRequest{RequestType: protocol.StorageSetConsumerOffset, Group: "broken"}
		_, ok := fetch("refused")
		require.False(t, ok)
		require.EqualValues(t, len(broken)+1, r.counts.panics.Load())
		r.Stop()

		lines := logs.All()
		require.Len(t, lines, len(broken)+1, "a panic is a bug: each has its line")
		fields := lines[0].ContextMap()
		require.Equal(t, zap.ErrorLevel, lines[0].Level)
		require.Equal(t, "fetch is broken", fields["panic"])
		require.Contains(t, fields["stack"], "brokenStore.Fetch")
		require.Equal(t, "broken", fields["consumer"])
	})
}

// TestRelayContainsPanicsOfItsOwnStore does the same with a DB, whose small answers are built without a worker.
func TestRelayContainsPanicsOfItsOwnStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := new(DB)
		db.session.Store(new(session)) // it has no engine
		r := NewRelay(db, nil, RelayOptions{})
		require.NotNil(t, r.own)
		r.Start()
		for n := range 3 {
			reply := make(chan any)
			r.GetCommunicationChannel() <- &protocol.StorageRequest{RequestType: protocol.StorageFetchConsumer, Reply: reply}
			_, ok := <-reply
			require.False(t, ok)
			require.EqualValues(t, n+1, r.Stats().Panics)
		}
		stopped := time.Now()
		r.Stop()
		require.Zero(t, time.Since(stopped))
	})
}

// TestStopWhileAnswersAreBuilt stops a Relay while many goroutines fetch, with and without a worker: each Reply is answered or
// closed, and Stop gives up nothing.
func TestStopWhileAnswersAreBuilt(t *testing.T) {
	t.Parallel()
	db, err := Open(Options{Clusters: []string{"local"}})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	for p := range int32(10) {
		require.NoError(t, db.SetEndOffset(t.Context(), "local", "topic", protocol.EndOffset{Partition: p, Offset: 1}))
		require.NoError(t, db.Commit(t.Context(), "local", "group", protocol.Commit{Topic: "topic", Partition: p, Timestamp: time.Now().UnixMilli()}))
	}
	for range 20 {
		r := NewRelay(db, nil, RelayOptions{})
		r.Start()
		var requesters sync.WaitGroup
		answered := make(chan struct{}, 8)
		for n := range cap(answered) {
			submit := []func(*protocol.StorageRequest){r.Submit, r.submitLone}[n%2]
			requesters.Go(func() {
				for {
					reply := make(chan any, n/2%2)
					submit(&protocol.StorageRequest{RequestType: protocol.StorageFetchConsumer, Cluster: "local", Group: "group", Reply: reply})
					value, ok := <-reply
					if !ok {
						return
					}
					assert.Len(t, value.(protocol.ConsumerTopics)["topic"], 10)
					select {
					case answered <- struct{}{}:
					default:
					}
				}
			})
		}
		for range cap(answered) {
			<-answered
		}
		r.Stop()
		requesters.Wait()
		require.Zero(t, r.Stats().StuckCalls)
		require.Zero(t, r.Stats().WaitingReplies)
	}
}

// TestRelayAfterStop checks that the Reply of a request that is submitted too late is closed.
func TestRelayAfterStop(t *testing.T) {
	t.Parallel()
	r := NewRelay(brokenStore{}, nil, RelayOptions{Workers: -1, QueueDepth: -1})
	for range 2 {
		reply := make(chan any, 1)
		r.Submit(&protocol.StorageRequest{RequestType: protocol.StorageFetchConsumer, Group: "sound", Reply: reply})
		_, ok := <-reply
		require.False(t, ok, "answered before Start or after Stop")
		r.Start()
		r.Stop()
	}
}
