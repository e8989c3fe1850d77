package relay_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// TestAnswersThatFetch builds answers that fetch through the same Relay and wait, nested deeper than there are workers, and
// more of them at once.
func TestAnswersThatFetch(t *testing.T) {
	t.Parallel()
	for _, options := range []storage.RelayOptions{{Workers: 1}, {Workers: 1, QueueDepth: 1}, {Workers: 3, QueueDepth: 5}} {
		for _, direct := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				var r *storage.Relay
				r, _ = relayOf(func(request *protocol.StorageRequest) any {
					depth := request.Partition
					if depth == 0 {
						return "ground"
					}
					next := &protocol.StorageRequest{RequestType: protocol.StorageFetchConsumer, Partition: depth - 1, Reply: make(chan any)}
					if direct {
						r.Submit(next)
					} else {
						r.GetCommunicationChannel() <- next
					}
					return <-next.Reply
				}, options)
				var senders sync.WaitGroup
				for range 10 {
					senders.Go(func() {
						reply := make(chan any)
						r.GetCommunicationChannel() <- &protocol.StorageRequest{RequestType: protocol.StorageFetchConsumer, Partition: 20, Reply: reply}
						if value := read(t, reply); value != "ground" {
							t.Errorf("answer %v", value)
						}
					})
				}
				senders.Wait()
				r.Stop()
				require.Zero(t, r.Stats().AbandonedReplies)
				require.Zero(t, r.Stats().RefusedAnswers)
			})
		}
	}
}

// TestAnswersThatNeverReturn hangs more answers than a Relay has goroutines for: other answers are built, what there is no
// room for is refused, and Stop gives up in bounded time, with the Reply of each fetch closed.
func TestAnswersThatNeverReturn(t *testing.T) {
	t.Parallel()
	for _, fetches := range []int{1, 5, 1500} {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			r, logs := relayOf(func(*protocol.StorageRequest) any {
				<-release
				return "late"
			}, storage.RelayOptions{Workers: 2, QueueDepth: 1})
			var replies []chan any
			for range fetches {
				replies = append(replies, fetch(r, "hangs"))
			}
			set := make(chan struct{})
			go func() {
				defer close(set)
				r.GetCommunicationChannel() <- nil
				r.GetCommunicationChannel() <- nil
			}()
			<-set
			begun := time.Now()
			r.Stop()
			require.Less(t, time.Since(begun), 10*time.Second)
			for _, reply := range replies {
				require.Nil(t, read(t, reply))
			}
			stats := r.Stats()
			require.Positive(t, stats.StuckCalls)
			require.EqualValues(t, fetches, stats.StuckCalls+stats.RefusedAnswers)
			require.Equal(t, int(stats.StuckCalls), logs.FilterMessage("stop: answer does not return").Len())
			close(release) // nobody waits for the late answers
			synctest.Wait()
			require.Zero(t, r.Stats().ClosedReplies)
		})
	}
}

// hanging is a store whose methods wait for release or their context.
type hanging struct {
	storage.Backend
	release      chan struct{}
	heedsContext bool
}

func (h hanging) hang(ctx context.Context) error {
	if !h.heedsContext {
		ctx = context.Background()
	}
	select {
	case <-h.release:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h hanging) Commit(ctx context.Context, _, _ string, _ protocol.Commit) error {
	return h.hang(ctx)
}

func (h hanging) Fetch(ctx context.Context, _ *protocol.StorageRequest) (func() any, error) {
	return func() any { return nil }, h.hang(ctx)
}

// TestStoreThatNeverReturns stops a Relay whose store does not return: in bounded time, with the context of the call canceled
// and the Reply closed.
func TestStoreThatNeverReturns(t *testing.T) {
	t.Parallel()
	for _, kind := range []protocol.StorageRequestConstant{protocol.StorageSetConsumerOffset, protocol.StorageFetchConsumer} {
		for _, heedsContext := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				store := hanging{release: make(chan struct{}), heedsContext: heedsContext}
				r := storage.NewRelay(store, nil, storage.RelayOptions{})
				r.Start()
				reply := make(chan any)
				r.GetCommunicationChannel() <- &protocol.StorageRequest{RequestType: kind, Reply: reply}
				begun := time.Now()
				r.Stop()
				require.Less(t, time.Since(begun), 10*time.Second)
				require.Positive(t, r.Stats().StuckCalls)
				if kind == protocol.StorageFetchConsumer {
					require.Nil(t, read(t, reply))
				}
				if heedsContext {
					synctest.Wait() // the bubble fails if a goroutine is left
				} else {
					close(store.release)
				}
			})
		}
	}
}

// TestClosedChannel starts a Relay whose channel is closed: it logs that.
func TestClosedChannel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, logs := relayOf(func(r *protocol.StorageRequest) any { return r.Group }, storage.RelayOptions{})
		r.Stop()
		close(r.GetCommunicationChannel())
		r.Start()
		synctest.Wait()
		require.Equal(t, 1, logs.FilterMessage("module channel closed: no more requests are received").FilterLevelExact(zap.WarnLevel).Len())
		reply := make(chan any)
		r.Submit(&protocol.StorageRequest{RequestType: protocol.StorageFetchConsumer, Group: "group", Reply: reply})
		require.Equal(t, "group", read(t, reply))
		r.Stop()
	})
}

// TestStopWithEverything stops Relays while answers are unread, being built, queued and being sent, again and again: every
// accepted fetch is answered or closed.
func TestStopWithEverything(t *testing.T) {
	t.Parallel()
	r := storage.NewRelay(backend{fetch: func(r *protocol.StorageRequest) (func() any, error) {
		group := r.Group
		return func() any { return group }, nil
	}}, nil, storage.RelayOptions{Workers: 3, QueueDepth: 2, MaxUnread: 5})
	for round := range 50 {
		r.Start()
		var senders sync.WaitGroup
		stop := make(chan struct{})
		for sender := range 4 {
			senders.Go(func() {
				var unread []chan any
				for i := 0; ; i++ {
					reply := make(chan any, i%3)
					request := &protocol.StorageRequest{RequestType: protocol.StorageFetchConsumer, Group: fmt.Sprint(round, sender), Reply: reply}
					select {
					case r.GetCommunicationChannel() <- request:
					case <-stop:
						for _, reply := range unread {
							read(t, reply) // otherwise it would wait for ever
						}
						return
					}
					if i%5 != 0 {
						unread = append(unread, reply)
					}
				}
			})
		}
		for r.Stats().EvictedReplies < uint64(10*(round+1)) {
			<-time.After(time.Millisecond)
		}
		r.Stop()
		close(stop)
		// Requests left in the channel are for the next Start, if there is one.
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			senders.Wait()
		}()
		for done := false; !done; {
			select {
			case request := <-r.GetCommunicationChannel():
				close(request.Reply)
			case <-drained:
				done = true
			}
		}
	}
	stats := r.Stats()
	require.Zero(t, stats.WaitingReplies+stats.WaitingBytes+stats.QueuedAnswers)
	require.Zero(t, stats.Panics+stats.ClosedReplies+stats.StuckCalls)
}
