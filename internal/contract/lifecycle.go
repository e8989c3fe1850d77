package contract

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage/protocol"
)

// exerciseLifecycle covers Start and Stop of a module. Cases that need a second Configure are left to the module's own tests:
// the suite does not know under which name the factory configured it.
func exerciseLifecycle(t *testing.T, factory Factory) {
	t.Run("Stop before Start", func(t *testing.T) {
		t.Parallel()
		s := prepare(t, factory, worldConfig)
		stop(t, s.module)
		stop(t, s.module)
	})
	t.Run("Stop twice, and more often at once", func(t *testing.T) {
		t.Parallel()
		s := start(t, factory, worldConfig)
		errs := make(chan error)
		for range 4 {
			go func() { errs <- s.module.Stop() }()
		}
		for range 4 {
			require.NoError(t, <-errs)
		}
		stop(t, s.module)
	})
	t.Run("a second Start errs and changes nothing", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, factory, worldConfig, ways[0])
		populate(w)
		before := w.state()
		require.Error(t, w.module.Start())
		require.Error(t, w.module.Start())
		require.Equal(t, before, w.state())
	})
	t.Run("Start after Stop errs and starts nothing", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, factory, worldConfig.with("queue-depth", 0), ways[0])
		populate(w)
		stop(t, w.module)
		require.Error(t, w.module.Start())
		nothingReceived(t, w.channel)
		stop(t, w.module)
	})
	t.Run("nothing is received after Stop", func(t *testing.T) {
		t.Parallel()
		s := start(t, factory, worldConfig.with("queue-depth", 0))
		stop(t, s.module)
		nothingReceived(t, s.channel)
	})
	t.Run("what was sent before Stop is carried out", func(t *testing.T) {
		t.Parallel()
		for _, depth := range []int{0, 1, 64} {
			w := newWorld(t, factory, worldConfig.with("queue-depth", depth), ways[0])
			populate(w)
			want := w.do(request(protocol.StorageFetchConsumer, "local", "group", ""))
			var sent []protocol.StorageRequest
			for range 64 {
				r := request(protocol.StorageFetchConsumer, "local", "group", "")
				r.Reply = make(chan any, 1)
				sent = append(sent, r)
			}
			for i := range sent {
				send(t, w.channel, &sent[i])
			}
			stop(t, w.module)
			for _, r := range sent {
				require.Equal(t, text(want, true), text(await(t, r.Reply), true))
			}
		}
	})
	t.Run("Stop under load", func(t *testing.T) {
		t.Parallel()
		for i := range repetitions {
			stopUnderLoad(t, factory, worldConfig.with("queue-depth", i%3))
		}
	})
}

// stopUnderLoad stops a module while senders send, and checks that every fetch that was sent before is answered or closed.
func stopUnderLoad(t *testing.T, factory Factory, config Config) {
	t.Helper()
	s := start(t, factory, config)
	quit := make(chan struct{})
	var senders sync.WaitGroup
	var mu sync.Mutex
	var accepted []chan any
	// enough is closed when the senders have sent enough.
	enough := make(chan struct{})
	for sender := range 4 {
		senders.Add(1)
		go func() {
			defer senders.Done()
			w := &world{base: endOf("", "", 0, 0, 0).Timestamp}
			for i := int64(1); ; i++ {
				r := endOf("local", "topic", 0, 1, i)
				switch (i + int64(sender)) % 4 {
				case 0:
					r = w.commitOf("group", "topic", 0, i, 0, i)
				case 1:
					r = request(protocol.StorageFetchConsumer, "local", "group", "")
					r.Reply = make(chan any)
				case 2:
					r = request(protocol.StorageFetchConsumers, "local", "", "")
					r.Reply = make(chan any, 1)
				}
				select {
				case s.channel <- &r:
				case <-quit:
					return
				}
				if r.Reply != nil {
					mu.Lock()
					accepted = append(accepted, r.Reply)
					if len(accepted) == 20 {
						close(enough)
					}
					mu.Unlock()
				}
			}
		}()
	}
	<-enough
	mu.Lock()
	before := accepted[:len(accepted):len(accepted)]
	mu.Unlock()
	stop(t, s.module)
	for _, reply := range before {
		await(t, reply)
	}
	close(quit)
	senders.Wait()
}

// nothingReceived checks that nobody receives from a full channel.
func nothingReceived(t *testing.T, channel chan *protocol.StorageRequest) {
	t.Helper()
	if channel == nil || cap(channel) > 0 {
		return
	}
	for range 100 {
		r := request(protocol.StorageFetchClusters, "", "", "")
		select {
		case channel <- &r:
			require.FailNow(t, "a request was received after Stop")
		default:
		}
	}
}
