package channel

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// A queue handles requests in the order pushed, each once and as it was when it was pushed, whether or not it had to wait for
// room. Everything is handled before close returns.
func TestQueue(t *testing.T) {
	t.Parallel()
	for _, stall := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var got []int32
			most, busy := 0, make(chan struct{})
			q := startQueue(func(requests []protocol.StorageRequest) {
				<-busy
				most = max(most, len(requests))
				for i := range requests {
					got = append(got, requests[i].Partition)
				}
			})
			if !stall {
				close(busy)
			}
			const total = 5*queueLength + 7
			pushed := make(chan struct{})
			go func() {
				defer close(pushed)
				request := new(protocol.StorageRequest) // the same again and again, as a sender may reuse it
				for n := range int32(total) {
					request.Partition = n
					q.push(request)
				}
			}()
			synctest.Wait()
			if stall {
				select {
				case <-pushed:
					require.Fail(t, "push did not wait for room")
				default:
				}
				require.False(t, q.empty())
				close(busy)
			}
			<-pushed
			q.close()
			require.True(t, q.empty())
			require.Len(t, got, total)
			for n := range got {
				require.EqualValues(t, n, got[n])
			}
			require.LessOrEqual(t, most, queueLength)
			for i := range q.ring {
				require.Nil(t, q.ring[i].Reply)
			}
		})
	}
}

// A sender in a rush gets a queue, whose requests are handled before the receiver stops. A crowd of senders, and a handler
// that keeps requests, get none.
func TestWhoGetsAQueue(t *testing.T) {
	t.Parallel()
	receive := func(waiting, waitedFor int, handler Handler) *Receiver {
		// A buffered channel stands for senders that wait. No goroutine runs: the test does what run does.
		r := &Receiver{channel: make(chan *protocol.StorageRequest, 64), handle: handler, parallel: handler.Copies}
		for range 200 {
			for range waiting {
				r.channel <- &protocol.StorageRequest{}
			}
			for range waiting {
				request, open := r.next()
				require.True(t, open)
				r.pass(request)
			}
			for range waitedFor {
				r.judge(false)
				r.pass(&protocol.StorageRequest{})
			}
		}
		return r
	}
	for name, c := range map[string]struct {
		waiting, waitedFor int
		copies, queued     bool
	}{
		"one sender in a rush": {1, 1, true, true},
		"now and then":         {1, 3, true, false},
		"a crowd":              {20, 1, true, false},
		"requests are kept":    {1, 1, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				handled := 0
				r := receive(c.waiting, c.waitedFor, Handler{Copies: c.copies, One: func(*protocol.StorageRequest) { handled++ }})
				require.Equal(t, c.queued, r.queue != nil)
				if r.queue != nil {
					r.queue.close()
				}
				require.Equal(t, 200*(c.waiting+c.waitedFor), handled)
			})
		})
	}
}
