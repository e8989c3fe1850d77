package channel

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// TestReceiverHandlesWhatWasSent stops a receiver behind queued requests: all are handled, in their order, and what is sent
// later stays in the channel.
func TestReceiverHandlesWhatWasSent(t *testing.T) {
	t.Parallel()
	for _, capacity := range []int{0, 1, 100} {
		synctest.Test(t, func(t *testing.T) {
			channel := make(chan *protocol.StorageRequest, capacity)
			var got []int32
			r := StartReceiver(channel, Handler{One: func(request *protocol.StorageRequest) { got = append(got, request.Partition) }})
			for n := range int32(50) {
				channel <- &protocol.StorageRequest{Partition: n}
			}
			r.Stop(StopPatience)
			r.Stop(StopPatience)
			require.Len(t, got, 50)
			for n := range got {
				require.EqualValues(t, n, got[n])
			}
			select {
			case channel <- &protocol.StorageRequest{}:
				require.Positive(t, capacity, "a receiver is still there")
			default:
				require.Zero(t, capacity)
			}
		})
	}
}

// TestReceiverStopsWhileSendersWait stops a receiver while senders wait: those before the stop are handled, the others keep
// waiting.
func TestReceiverStopsWhileSendersWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		channel := make(chan *protocol.StorageRequest)
		busy := make(chan struct{})
		var handled atomic.Int32
		r := StartReceiver(channel, Handler{One: func(*protocol.StorageRequest) {
			<-busy
			handled.Add(1)
		}})
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
		go r.Stop(StopPatience)
		synctest.Wait()
		for range 5 {
			send()
		}
		close(busy)
		r.Stop(StopPatience)
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
		r := StartReceiver(closed, Handler{One: func(*protocol.StorageRequest) { handled++ }})
		synctest.Wait()
		r.Stop(StopPatience)
		r.Stop(StopPatience)
		require.Equal(t, 1, handled)
		require.True(t, r.closed.Load())

		later := make(chan *protocol.StorageRequest)
		r = StartReceiver(later, Handler{One: func(*protocol.StorageRequest) {}})
		r.Stop(StopPatience)
		close(later)
		r.Stop(StopPatience)
	})
}

// TestReceiversShareAChannel stops the receivers of one channel one by one, and at once: each ends at its own stop, and until
// the last has ended there is one that receives.
func TestReceiversShareAChannel(t *testing.T) {
	t.Parallel()
	for _, capacity := range []int{0, 3} {
		synctest.Test(t, func(t *testing.T) {
			channel := make(chan *protocol.StorageRequest, capacity)
			var handled atomic.Int32
			var all []*Receiver
			for range 4 {
				all = append(all, StartReceiver(channel, Handler{One: func(*protocol.StorageRequest) { handled.Add(1) }}))
			}
			sent := int32(0)
			for len(all) > 0 {
				for range 20 {
					channel <- &protocol.StorageRequest{}
					sent++
				}
				all[0].Stop(StopPatience)
				all = all[1:]
			}
			require.Equal(t, sent, handled.Load())
		})
		synctest.Test(t, func(t *testing.T) {
			for range 20 {
				channel := make(chan *protocol.StorageRequest, capacity)
				var stops sync.WaitGroup
				for range 4 {
					r := StartReceiver(channel, Handler{One: func(*protocol.StorageRequest) {}})
					for range 2 {
						stops.Add(1)
						go func() {
							defer stops.Done()
							r.Stop(StopPatience)
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

// TestReceiverTakesForeignRequestsForRequests sends requests that resemble the one that stops a receiver.
func TestReceiverTakesForeignRequestsForRequests(t *testing.T) {
	t.Parallel()
	channel := make(chan *protocol.StorageRequest)
	var got []*protocol.StorageRequest
	r := StartReceiver(channel, Handler{One: func(request *protocol.StorageRequest) { got = append(got, request) }})
	forged := &protocol.StorageRequest{RequestType: lastRequest}
	channel <- forged
	channel <- nil
	r.Stop(StopPatience)
	require.Equal(t, []*protocol.StorageRequest{forged, nil}, got)
}

// TestBusyReceiverIsPassed stops a receiver that is busy while another one receives from its channel and takes the last
// request. The other does not pass it on all the time, and the busy one ends without it.
func TestBusyReceiverIsPassed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		channel := make(chan *protocol.StorageRequest)
		busy := make(chan struct{})
		one := StartReceiver(channel, Handler{One: func(*protocol.StorageRequest) { <-busy }})
		channel <- &protocol.StorageRequest{}
		other := StartReceiver(channel, Handler{One: func(*protocol.StorageRequest) {}})
		stopped := make(chan bool)
		go func() { stopped <- one.Stop(time.Hour) }()
		<-time.After(time.Second)
		synctest.Wait()
		require.Positive(t, one.passes.Load())
		require.LessOrEqual(t, one.passes.Load(), uint64(time.Second/passInterval+2))
		close(busy)
		require.True(t, <-stopped)
		require.True(t, other.Stop(time.Hour))
	})
}

// TestStopGivesUp stops a receiver whose handler does not return, and one whose handler makes progress, if slowly.
func TestStopGivesUp(t *testing.T) {
	t.Parallel()
	for _, capacity := range []int{0, 1, 10} {
		synctest.Test(t, func(t *testing.T) {
			channel := make(chan *protocol.StorageRequest, capacity)
			busy := make(chan struct{})
			r := StartReceiver(channel, Handler{One: func(*protocol.StorageRequest) { <-busy }})
			channel <- &protocol.StorageRequest{}
			begun := time.Now()
			require.False(t, r.Stop(3*time.Second))
			require.Less(t, time.Since(begun), 5*time.Second)
			close(busy)
			<-r.done

			slow := make(chan *protocol.StorageRequest, capacity)
			handled := 0
			r = StartReceiver(slow, Handler{One: func(*protocol.StorageRequest) {
				<-time.After(2 * time.Second)
				handled++
			}})
			for range capacity + 1 {
				slow <- &protocol.StorageRequest{}
			}
			require.True(t, r.Stop(3*time.Second))
			require.Equal(t, capacity+1, handled)
		})
	}
}

// TestLoneRequests sends requests one by one and while another is handled: only those for which the receiver has waited are
// lone, and a request that another goroutine takes if it takes no other with it.
func TestLoneRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		channel := make(chan *protocol.StorageRequest)
		busy := make(chan struct{})
		var lone, one []int32
		r := StartReceiver(channel, Handler{
			One: func(request *protocol.StorageRequest) { one = append(one, request.Partition) },
			Lone: func(request *protocol.StorageRequest) {
				lone = append(lone, request.Partition)
				<-busy
			},
		})
		synctest.Wait()
		channel <- &protocol.StorageRequest{Partition: 1}
		var sent sync.WaitGroup
		for n := range int32(2) {
			sent.Go(func() { channel <- &protocol.StorageRequest{Partition: 2 + n} })
			synctest.Wait()
		}
		close(busy)
		sent.Wait()
		synctest.Wait()
		channel <- &protocol.StorageRequest{Partition: 4}
		require.True(t, r.Stop(StopPatience))
		require.Equal(t, []int32{1, 4}, lone)
		require.Equal(t, []int32{2, 3}, one)

		r.many([]protocol.StorageRequest{{Partition: 5}})
		r.many([]protocol.StorageRequest{{Partition: 6}, {Partition: 7}})
		require.Equal(t, []int32{1, 4, 5}, lone)
		require.Equal(t, []int32{2, 3, 6, 7}, one)
	})
}
