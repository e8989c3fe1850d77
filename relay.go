package storage

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/lagkeeper/storage/protocol"
)

// RelayOptions are the settings of a Relay; each is the configuration key of the same name.
type RelayOptions struct {
	// Workers is how many goroutines build answers, at least 1.
	Workers int
	// QueueDepth is the capacity of the request channel and, per worker, of the queue of answers to build.
	QueueDepth int
	// ReplyTimeout is for how long an answer that nobody reads stays deliverable.
	ReplyTimeout time.Duration
}

// Relay is the channel half of a module: it takes requests of the channel protocol and lets a Store do what they ask. A
// module on any engine embeds one.
//
// A Set takes effect, and what a Fetch answers is settled, before the next request is looked at: so requests take effect
// in the order in which they were sent. Only building an answer, which takes far longer than settling it, is left to the
// workers, and delivering one waits for nobody: an answer that its requester does not take at once is left with a
// goroutine of its own until it is taken, ReplyTimeout has passed or the Relay stops.
type Relay struct {
	store   Backend
	options RelayOptions
	log     *requestLog

	requests chan *protocol.StorageRequest
	receiver *receiver // of requests; nil before Start

	mu      sync.RWMutex
	running bool        // guarded by mu
	answers chan answer // guarded by mu; sent to under its read lock, closed under its write lock

	workers sync.WaitGroup // building answers
	waiters sync.WaitGroup // holding answers that nobody has taken
	giveUp  chan struct{}  // closed when the waiters are to end

	counts relayCounts
}

// answer is an answer to be built and delivered.
type answer struct {
	build func() any
	// request is a copy: the requester may use its own again once it has the answer.
	request protocol.StorageRequest
}

type relayCounts struct {
	panics, abandoned, waiting, nilRequests, nilReplies, closedReplies, unknownTypes atomic.Uint64
}

// maxQueuedAnswers bounds the queue of answers to build, whatever the options say.
const maxQueuedAnswers = 1 << 16

// NewRelay makes a Relay for a store. log may be nil. Options out of range are brought into it.
func NewRelay(store Backend, log *zap.Logger, options RelayOptions) *Relay {
	options.Workers = max(options.Workers, 1)
	options.QueueDepth = max(options.QueueDepth, 0)
	return &Relay{
		store: store, options: options, log: newRequestLog(log),
		requests: make(chan *protocol.StorageRequest, options.QueueDepth),
	}
}

// GetCommunicationChannel returns the channel that the Relay receives from between Start and Stop.
func (r *Relay) GetCommunicationChannel() chan *protocol.StorageRequest { return r.requests }

func (r *Relay) submitsFor() chan *protocol.StorageRequest { return r.requests }

// Start begins to receive. It must not be called again before Stop.
func (r *Relay) Start() {
	r.giveUp = make(chan struct{})
	r.mu.Lock()
	r.answers = make(chan answer, min(r.options.Workers*r.options.QueueDepth, maxQueuedAnswers))
	r.running = true
	r.mu.Unlock()
	for range r.options.Workers {
		r.workers.Add(1)
		go r.work()
	}
	r.receiver = startReceiver(r.requests, r.Submit)
}

// Stop ends the Relay. Everything sent before takes effect, and every Fetch accepted is answered or has its Reply closed.
// Nothing of the Relay runs any more when it returns. It does nothing when the Relay does not run; it must not be called
// while Start or another Stop runs.
func (r *Relay) Stop() {
	if r.receiver == nil {
		return
	}
	// 1. Receive what was sent before, then no more.
	r.receiver.stop()
	r.receiver = nil
	// 2. Take no more answers from those who call Submit.
	r.mu.Lock()
	r.running = false
	close(r.answers)
	r.mu.Unlock()
	// 3. Let the workers build what was accepted.
	r.workers.Wait()
	// 4. Offer each answer that nobody has taken one last time.
	close(r.giveUp)
	r.waiters.Wait()
}

// Submit does what a request asks, as if it had come over the channel, without the way through it. It waits for no
// requester, may be called from any number of goroutines, and does nothing but close the Reply when the Relay is stopped.
func (r *Relay) Submit(request *protocol.StorageRequest) {
	defer r.contain(request)
	if request == nil {
		r.log.fault(&r.counts.nilRequests, "nil request", nil)
		return
	}
	var err error
	ctx := context.Background()
	switch request.RequestType {
	case protocol.StorageSetConsumerOffset:
		err = r.store.Commit(ctx, request.Cluster, request.Group, protocol.Commit{
			Topic: request.Topic, Partition: request.Partition,
			Offset: request.Offset, Order: request.Order, Timestamp: request.Timestamp,
		})
	case protocol.StorageSetBrokerOffset:
		err = r.store.SetEndOffset(ctx, request.Cluster, request.Topic, protocol.EndOffset{
			Partition: request.Partition, TopicPartitionCount: request.TopicPartitionCount,
			Offset: request.Offset, Timestamp: request.Timestamp, LogStartOffset: request.LogStartOffset,
			TopicID: request.TopicID,
		})
	case protocol.StorageSetConsumerOwner:
		err = r.store.SetOwner(ctx, request.Cluster, request.Group, protocol.PartitionOwner{
			Topic: request.Topic, Partition: request.Partition, Owner: request.Owner, ClientID: request.ClientID,
		})
	case protocol.StorageClearConsumerOwners:
		err = r.store.ClearOwners(ctx, request.Cluster, request.Group)
	case protocol.StorageSetDeleteTopic:
		err = r.store.DeleteTopic(ctx, request.Cluster, request.Topic)
	case protocol.StorageSetDeleteGroup:
		if request.Topic == "" {
			err = r.store.DeleteGroup(ctx, request.Cluster, request.Group)
		} else {
			err = r.store.DeleteGroupTopic(ctx, request.Cluster, request.Group, request.Topic)
		}
	case protocol.StorageFetchClusters, protocol.StorageFetchConsumers, protocol.StorageFetchTopics,
		protocol.StorageFetchConsumer, protocol.StorageFetchTopic, protocol.StorageFetchConsumersForTopic:
		r.fetch(ctx, request)
		return
	default:
		r.log.unknown(&r.counts.unknownTypes, request)
		r.closeReply(request.Reply)
		return
	}
	if err != nil {
		r.log.dropped(request, err)
	} else {
		r.log.done(request)
	}
}

// fetch settles an answer and leaves it to a worker to build it.
func (r *Relay) fetch(ctx context.Context, request *protocol.StorageRequest) {
	if request.Reply == nil {
		r.log.fault(&r.counts.nilReplies, "fetch without a reply channel", request)
		return
	}
	build, err := r.store.Fetch(ctx, request)
	if err != nil {
		r.log.dropped(request, err)
		r.closeReply(request.Reply)
		return
	}
	r.log.done(request)
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !r.running {
		r.closeReply(request.Reply)
		return
	}
	r.answers <- answer{build: build, request: *request}
}

func (r *Relay) work() {
	defer r.workers.Done()
	for a := range r.answers {
		r.answer(a)
	}
}

func (r *Relay) answer(a answer) {
	defer r.contain(&a.request)
	value := a.build()
	if r.offer(&a.request, value) {
		return
	}
	r.counts.waiting.Add(1)
	r.waiters.Add(1)
	go r.wait(a.request, value)
}

// offer delivers an answer and closes the Reply, if that does not mean to wait. It says whether that is done with.
func (r *Relay) offer(request *protocol.StorageRequest, value any) (done bool) {
	defer r.forgive(request, &done)
	select {
	case request.Reply <- value:
		close(request.Reply)
		return true
	default:
		return false
	}
}

// wait holds an answer until its requester takes it.
func (r *Relay) wait(request protocol.StorageRequest, value any) {
	defer r.waiters.Done()
	defer r.counts.waiting.Add(^uint64(0))
	timeout := time.NewTimer(r.options.ReplyTimeout)
	defer timeout.Stop()
	if !r.hold(&request, value, timeout.C) && !r.offer(&request, value) {
		r.counts.abandoned.Add(1)
		r.log.abandoned(&request)
		r.closeReply(request.Reply)
	}
}

// hold is offer with waiting, until the time is over or the Relay stops.
func (r *Relay) hold(request *protocol.StorageRequest, value any, timeout <-chan time.Time) (done bool) {
	defer r.forgive(request, &done)
	select {
	case request.Reply <- value:
		close(request.Reply)
		return true
	case <-timeout:
	case <-r.giveUp:
	}
	return false
}

// forgive ends the panic that comes of a Reply that its requester has closed, or used for two requests.
func (r *Relay) forgive(request *protocol.StorageRequest, done *bool) {
	if recover() != nil {
		*done = true
		r.log.fault(&r.counts.closedReplies, "reply channel was closed by its requester", request)
	}
}

// contain ends a panic of whoever defers it: it is logged with its stack and counted, and the Reply of the request closed.
func (r *Relay) contain(request *protocol.StorageRequest) {
	cause := recover()
	if cause == nil {
		return
	}
	r.log.panicked(&r.counts.panics, request, fmt.Sprint(cause), debug.Stack())
	if request != nil {
		r.closeReply(request.Reply)
	}
}

// closeReply closes a Reply, which may be nil or, by a fault of the requester, closed already.
func (r *Relay) closeReply(reply chan interface{}) {
	if reply == nil {
		return
	}
	defer func() { _ = recover() }()
	close(reply)
}
