package storage

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// TestReceiverHandlesWhatWasSent stops a receiver behind a queue of requests: all are handled, in their order, and what is
// sent later stays where it is.
func TestReceiverHandlesWhatWasSent(t *testing.T) {
	t.Parallel()
	for _, capacity := range []int{0, 1, 100} {
		synctest.Test(t, func(t *testing.T) {
			channel := make(chan *protocol.StorageRequest, capacity)
			var got []int32
			r := startReceiver(channel, func(request *protocol.StorageRequest) { got = append(got, request.Partition) })
			for n := range int32(50) {
				channel <- &protocol.StorageRequest{Partition: n}
			}
			r.stop()
			r.stop()
			require.Len(t, got, 50)
			for n := range got {
				require.EqualValues(t, n, got[n])
			}
			select {
			case channel <- &protocol.StorageRequest{}:
				require.Positive(t, capacity, "somebody receives still")
			default:
				require.Zero(t, capacity)
			}
		})
	}
}

// TestReceiverStopsWhileSendersWait stops a receiver on whose channel others wait to send: those before the stop are
// handled, the others wait on.
func TestReceiverStopsWhileSendersWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		channel := make(chan *protocol.StorageRequest)
		busy := make(chan struct{})
		var handled atomic.Int32
		r := startReceiver(channel, func(*protocol.StorageRequest) {
			<-busy
			handled.Add(1)
		})
		quit := make(chan struct{})
		var senders sync.WaitGroup
		var sent atomic.Int32
		send := func() {
			senders.Add(1)
			go func() {
				defer senders.Done()
				select {
				case channel <- &protocol.StorageRequest{}:
					sent.Add(1)
				case <-quit:
				}
			}()
			synctest.Wait()
		}
		for range 5 {
			send()
		}
		go r.stop()
		synctest.Wait()
		for range 5 {
			send()
		}
		close(busy)
		r.stop()
		synctest.Wait()
		require.EqualValues(t, 5, sent.Load())
		require.EqualValues(t, 5, handled.Load())
		close(quit)
		senders.Wait()
	})
}

// TestReceiverOfAClosedChannel closes the channel before, while and after the receiver is stopped.
func TestReceiverOfAClosedChannel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		closed := make(chan *protocol.StorageRequest, 1)
		closed <- &protocol.StorageRequest{}
		close(closed)
		handled := 0
		r := startReceiver(closed, func(*protocol.StorageRequest) { handled++ })
		synctest.Wait()
		r.stop()
		r.stop()
		require.Equal(t, 1, handled)

		later := make(chan *protocol.StorageRequest)
		r = startReceiver(later, func(*protocol.StorageRequest) {})
		r.stop()
		close(later)
		r.stop()
	})
}

// TestReceiversShareAChannel stops receivers of one channel one by one, and at once: each ends at its own stop, and until
// the last has ended somebody receives.
func TestReceiversShareAChannel(t *testing.T) {
	t.Parallel()
	for _, capacity := range []int{0, 3} {
		synctest.Test(t, func(t *testing.T) {
			channel := make(chan *protocol.StorageRequest, capacity)
			var handled atomic.Int32
			var all []*receiver
			for range 4 {
				all = append(all, startReceiver(channel, func(*protocol.StorageRequest) { handled.Add(1) }))
			}
			sent := int32(0)
			for len(all) > 0 {
				for range 20 {
					channel <- &protocol.StorageRequest{}
					sent++
				}
				all[0].stop()
				all = all[1:]
			}
			require.Equal(t, sent, handled.Load())
		})
		synctest.Test(t, func(t *testing.T) {
			for range 20 {
				channel := make(chan *protocol.StorageRequest, capacity)
				var stops sync.WaitGroup
				for range 4 {
					r := startReceiver(channel, func(*protocol.StorageRequest) {})
					for range 2 {
						stops.Add(1)
						go func() {
							defer stops.Done()
							r.stop()
						}()
					}
				}
				stops.Wait()
			}
		})
	}
	left := 0
	receivers.Range(func(any, any) bool { left++; return true })
	t.Logf("%d receivers of other tests run", left)
}

// TestReceiverTakesForeignRequestsForRequests sends what only looks like the request that stops a receiver.
func TestReceiverTakesForeignRequestsForRequests(t *testing.T) {
	t.Parallel()
	channel := make(chan *protocol.StorageRequest)
	var got []*protocol.StorageRequest
	r := startReceiver(channel, func(request *protocol.StorageRequest) { got = append(got, request) })
	forged := &protocol.StorageRequest{RequestType: lastRequest}
	channel <- forged
	channel <- nil
	r.stop()
	require.Equal(t, []*protocol.StorageRequest{forged, nil}, got)
}
