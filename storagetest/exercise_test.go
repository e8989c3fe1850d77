package storagetest_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/contract"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/storagetest"
)

// TestExerciseNaive runs the suite against a module that is only the model behind a channel. It shows that the model answers
// as recorded, and that the suite requires nothing that is not in the contract.
func TestExerciseNaive(t *testing.T) {
	storagetest.Exercise(t, func(_ *testing.T, config storagetest.Config) storage.Module {
		return newNaive(config)
	})
}

// naive is a storage module with one goroutine and the model.
type naive struct {
	model *contract.Model
	// cripple, if set, changes each partition of an answer.
	cripple  func(*protocol.ConsumerPartition)
	timeout  time.Duration
	requests chan *protocol.StorageRequest

	mu      sync.Mutex
	started bool // guarded by mu
	stopped bool // guarded by mu

	quit chan struct{} // closed when Stop begins
	done chan struct{} // closed when no request is handled any more
	late sync.WaitGroup
}

func newNaive(config storagetest.Config) *naive {
	seconds, depth := 30, 1
	if value, ok := config.Settings["reply-timeout"].(int); ok {
		seconds = value
	}
	if value, ok := config.Settings["queue-depth"].(int); ok {
		depth = value
	}
	return &naive{
		model:    contract.NewModel(config, nil),
		timeout:  time.Duration(seconds) * time.Second,
		requests: make(chan *protocol.StorageRequest, depth),
		quit:     make(chan struct{}),
		done:     make(chan struct{}),
	}
}

func (n *naive) Configure(string, string) {}

func (n *naive) GetCommunicationChannel() chan *protocol.StorageRequest { return n.requests }

func (n *naive) Start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.started || n.stopped {
		return errors.New("start naive module: it was started or stopped before")
	}
	n.started = true
	go n.run()
	return nil
}

func (n *naive) Stop() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.started && !n.stopped {
		close(n.quit)
		<-n.done
		n.late.Wait()
	}
	n.stopped = true
	return nil
}

func (n *naive) run() {
	defer close(n.done)
	sweep := time.NewTicker(time.Second)
	defer sweep.Stop()
	for {
		select {
		case r := <-n.requests:
			n.handle(r)
		case <-sweep.C:
			n.model.Sweep()
		case <-n.quit:
			for {
				select {
				case r := <-n.requests:
					n.handle(r)
				default:
					return
				}
			}
		}
	}
}

func (n *naive) handle(r *protocol.StorageRequest) {
	if r == nil {
		return
	}
	value, err := n.model.Handle(r)
	if topics, ok := value.(protocol.ConsumerTopics); ok && n.cripple != nil {
		for _, partitions := range topics {
			for _, partition := range partitions {
				n.cripple(partition)
			}
		}
	}
	if r.Reply == nil {
		return
	}
	n.late.Add(1)
	go func() {
		defer n.late.Done()
		defer func() { _ = recover() }()
		defer close(r.Reply)
		if err != nil {
			return
		}
		select {
		case r.Reply <- value:
			return
		default:
		}
		timeout := time.NewTimer(n.timeout)
		defer timeout.Stop()
		select {
		case r.Reply <- value:
		case <-timeout.C:
		case <-n.quit:
		}
	}()
}
