package storage

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/lagkeeper/storage/internal/channel"
	"github.com/lagkeeper/storage/internal/lines"
	"github.com/lagkeeper/storage/protocol"
)

// Relay is the channel half of a module: it receives requests of the channel protocol and calls a Backend. A module on any
// engine embeds one.
//
// A Set takes effect, and the content of the answer to a Fetch is settled, before the next request is handled. So requests
// take effect in the order in which they were sent. Building a large answer takes far longer than settling it and is left to the
// workers. Delivering it waits for nobody: an answer that its requester does not take at once is left to a goroutine of its
// own until it is taken, ReplyTimeout has passed, newer answers need its place, or the Relay stops.
type Relay struct {
	store   Backend
	own     *DB // the store if it is a DB, which never blocks
	options RelayOptions
	log     *lines.Requests

	requests chan *protocol.StorageRequest
	receiver *channel.Receiver // of requests; nil before Start

	closed atomic.Bool // whether requests was closed when the Relay was stopped

	run    atomic.Pointer[relayRun] // nil before Start
	counts relayCounts
}

// relayRun is a Relay from Start to Stop.
type relayRun struct {
	ctx      context.Context // done when Stop has given up waiting
	cancel   context.CancelFunc
	builders *channel.Builders
	delivery channel.Delivery
}

// context returns the context of calls of the store.
func (run *relayRun) context() context.Context {
	if run == nil {
		return context.Background()
	}
	return run.ctx
}

// NewRelay makes a Relay for a store. log may be nil.
func NewRelay(store Backend, log *zap.Logger, options RelayOptions) *Relay {
	options = options.withDefaults()
	own, _ := store.(*DB)
	return &Relay{
		store: store, own: own, options: options, log: lines.NewRequests(log),
		requests: make(chan *protocol.StorageRequest, options.QueueDepth),
	}
}

// GetCommunicationChannel returns the channel that the Relay receives from between Start and Stop.
func (r *Relay) GetCommunicationChannel() chan *protocol.StorageRequest { return r.requests }

// currentRelay is the Relay that a module has now, nil before Configure. A module that is configured again gets another.
type currentRelay struct{ atomic.Pointer[Relay] }

// Submit does nothing if there is no Relay.
func (c *currentRelay) Submit(request *protocol.StorageRequest) {
	if r := c.Load(); r != nil {
		r.Submit(request)
	}
}

func (c *currentRelay) submitLone(request *protocol.StorageRequest) {
	if r := c.Load(); r != nil {
		r.submitLone(request)
	}
}

func (r *Relay) submitsFor() chan *protocol.StorageRequest { return r.requests }

// Start begins to receive. It must not be called again before Stop. If the channel is closed, a warning is logged and only
// Submit has an effect.
func (r *Relay) Start() {
	defer r.log.FlushOwn()
	run := &relayRun{delivery: channel.Delivery{
		Unread:  channel.NewUnread(r.options.MaxUnread, r.options.MaxUnreadBytes),
		Timeout: r.options.ReplyTimeout, Log: r.log, Counts: &r.counts.delivery,
	}}
	run.ctx, run.cancel = context.WithCancel(context.Background())
	run.builders = channel.StartBuilders(r.options.Workers, r.options.QueueDepth, func(a *channel.Answer) { r.answer(run, a) })
	r.run.Store(run)
	if r.receiver = channel.StartReceiver(r.requests, r.handler()); r.receiver.Closed() {
		r.log.Warn("module channel closed: no more requests are received")
	}
}

// Stop ends the Relay. Everything sent before takes effect, and every accepted Fetch is answered or has its Reply closed.
// Nothing of the Relay runs any more when it returns, except calls of the store that have made no progress for seconds: their
// contexts are canceled, the Replies of their requests closed, and they are logged and counted. If the Relay does not run,
// Stop does nothing; it must not be called while Start or another Stop runs.
func (r *Relay) Stop() {
	if r.receiver == nil {
		return
	}
	defer r.log.FlushOwn()
	run := r.run.Load()
	// 1. Receive what was sent before, then nothing more.
	if !r.receiver.Stop(channel.StopPatience) {
		r.log.Stuck(&r.counts.stuck, "request does not return", nil)
	}
	r.closed.Store(r.receiver.Closed())
	r.receiver = nil
	// 2. Take no more answers from those who call Submit, and let the workers build what was accepted.
	for _, a := range run.builders.Stop(channel.StopPatience) {
		if a.Take() {
			r.log.Stuck(&r.counts.stuck, "answer does not return", &a.Request)
			channel.CloseReply(a.Request.Reply)
		}
	}
	run.cancel()
	// 3. Offer each answer that nobody has taken one last time.
	run.delivery.Unread.Close()
}

// Submit carries out a request as if it had come over the channel. It waits for no requester and may be called from any
// number of goroutines. If the Relay is stopped, it only closes the Reply.
func (r *Relay) Submit(request *protocol.StorageRequest) { r.submit(request, 0) }

// submitLone is Submit for a request behind which no other is known to wait. A worker is not worth waking for its answer: on an idle
// machine that takes longer than building ten partitions, and the worker has to get what was settled from another core's cache.
func (r *Relay) submitLone(request *protocol.StorageRequest) { r.submit(request, mostAtOnce) }

// mostAtOnce is the number of partitions and commits of an answer that takes some 40 µs to build.
const mostAtOnce = 1500

// submit is Submit, but builds answers of up to so many partitions and commits at once.
func (r *Relay) submit(request *protocol.StorageRequest, atOnce int) {
	defer r.contain(request)
	if request == nil {
		r.log.Fault(&r.counts.nilRequests, "nil request", nil)
		return
	}
	run := r.run.Load()
	ctx := run.context()
	var err error
	switch request.RequestType {
	case protocol.StorageSetConsumerOffset:
		err = r.store.Commit(ctx, request.Cluster, request.Group, commitOf(request))
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
		r.fetch(ctx, run, request, atOnce)
		return
	default:
		r.log.Unknown(&r.counts.unknownTypes, request)
		channel.CloseReply(request.Reply)
		return
	}
	r.logOutcome(request, err)
}

func (r *Relay) logOutcome(request *protocol.StorageRequest, err error) {
	if err != nil {
		r.log.Dropped(request, err)
	} else {
		r.log.Done(request)
	}
}

// handler returns what carries out the requests of a channel.
func (r *Relay) handler() channel.Handler {
	h := channel.Handler{One: r.Submit, Lone: r.submitLone, Copies: true}
	switch store := r.store.(type) {
	case Remote:
		h.Slow, h.Many = true, func(requests []protocol.StorageRequest) { channel.AtOnce(requests, store.InFlight(), r.submitChain) }
	case Overlapping:
		h.Many = inRuns(store, func() *Relay { return r })
	}
	return h
}

// inRuns returns a function that lets a Relay carry out requests, with the successive commits of a store in runs.
func inRuns(store Overlapping, relay func() *Relay) func([]protocol.StorageRequest) {
	outcomes := new([]error)
	return func(requests []protocol.StorageRequest) { relay().commitRuns(store, requests, outcomes) }
}

// commitRuns carries out requests one after the other, successive commits together.
func (r *Relay) commitRuns(store Overlapping, requests []protocol.StorageRequest, outcomes *[]error) {
	for len(requests) > 0 {
		n := 0
		for n < len(requests) && requests[n].RequestType == protocol.StorageSetConsumerOffset {
			n++
		}
		if n < 2 {
			n = 1
			r.Submit(&requests[0])
		} else {
			n = r.commitRun(store, requests[:n], outcomes)
		}
		requests = requests[n:]
	}
}

// commitRun stores commits, and returns how many were dealt with: fewer than there are if one panicked.
func (r *Relay) commitRun(store Overlapping, requests []protocol.StorageRequest, outcomes *[]error) (n int) {
	*outcomes = (*outcomes)[:0]
	defer func() {
		cause := recover()
		known := (*outcomes)[:min(len(*outcomes), len(requests))]
		for i, err := range known {
			r.logOutcome(&requests[i], err)
		}
		if cause != nil {
			n = min(len(known)+1, len(requests))
			r.panicked(&requests[n-1], cause)
		}
	}()
	store.CommitEach(r.run.Load().context(), requests, outcomes)
	return len(requests)
}

// submitChain carries out requests about one group or one topic, successive commits in one call.
func (r *Relay) submitChain(chain []*protocol.StorageRequest) {
	for len(chain) > 0 {
		n := 0
		for n < len(chain) && chain[n].RequestType == protocol.StorageSetConsumerOffset {
			n++
		}
		if n < 2 {
			n = 1
			r.Submit(chain[0])
		} else {
			r.commitMany(chain[:n])
		}
		chain = chain[n:]
	}
}

// commitMany stores commits of one group.
func (r *Relay) commitMany(requests []*protocol.StorageRequest) {
	defer r.contain(requests[0])
	commits := make([]protocol.Commit, len(requests))
	for i, request := range requests {
		commits[i] = commitOf(request)
	}
	err := r.store.CommitBatch(r.run.Load().context(), requests[0].Cluster, requests[0].Group, commits)
	outcomes := make([]error, len(requests))
	var batch *BatchError
	if errors.As(err, &batch) {
		for _, refusal := range batch.Refused {
			outcomes[refusal.Index] = refusal.Err
		}
	} else {
		for i := range outcomes {
			outcomes[i] = err
		}
	}
	for i, request := range requests {
		r.logOutcome(request, outcomes[i])
	}
}

func commitOf(request *protocol.StorageRequest) protocol.Commit {
	return protocol.Commit{
		Topic: request.Topic, Partition: request.Partition,
		Offset: request.Offset, Order: request.Order, Timestamp: request.Timestamp,
	}
}

// fetch settles an answer and leaves it to a worker to build it.
func (r *Relay) fetch(ctx context.Context, run *relayRun, request *protocol.StorageRequest, atOnce int) {
	if request.Reply == nil {
		r.log.Fault(&r.counts.nilReplies, "fetch without a reply channel", request)
		return
	}
	if run != nil && r.own != nil {
		r.fetchOwn(ctx, run, *request, atOnce)
		return
	}
	a := &channel.Answer{Request: *request}
	if run == nil || !run.builders.Begin(a) {
		channel.CloseReply(request.Reply)
		return
	}
	settled := false
	defer func() {
		if !settled {
			// The store returned an error or panicked.
			run.builders.Forget(a)
			r.close(a)
		}
	}()
	var err error
	if a.Build, err = r.store.Fetch(ctx, &a.Request); err != nil {
		r.log.Dropped(request, err)
		return
	}
	settled = r.add(run, a)
}

// fetchOwn is fetch for a DB. An answer of at most the given size is built and offered at once.
func (r *Relay) fetchOwn(ctx context.Context, run *relayRun, request protocol.StorageRequest, atOnce int) {
	if !run.builders.Enter() {
		channel.CloseReply(request.Reply)
		return
	}
	defer run.builders.Leave()
	defer r.contain(&request)
	ready, build, err := r.own.settle(ctx, &request, atOnce)
	if err != nil {
		r.log.Dropped(&request, err)
		channel.CloseReply(request.Reply)
		return
	}
	if build == nil {
		if run.delivery.Offer(&request, ready) {
			r.log.Done(&request)
			return
		}
		build = func() any { return ready }
	}
	a := &channel.Answer{Build: build, Request: request}
	if !r.add(run, a) {
		r.close(a)
	}
}

// add leaves an answer to a worker, and reports whether it did.
func (r *Relay) add(run *relayRun, a *channel.Answer) bool {
	if !run.builders.Add(a) {
		r.log.Fault(&r.counts.refused, "answer refused: no answer gets done", &a.Request)
		return false
	}
	r.log.Done(&a.Request)
	return true
}

// answer builds an answer and delivers it.
func (r *Relay) answer(run *relayRun, a *channel.Answer) {
	defer r.contain(&a.Request)
	built := false
	defer func() {
		if !built {
			a.Take() // contain closes the Reply
		}
	}()
	value := a.Build()
	built = true
	if a.Take() {
		run.delivery.Deliver(a, value)
	}
}

// close closes the Reply of an answer, unless Stop has done so.
func (r *Relay) close(a *channel.Answer) {
	if a.Take() {
		channel.CloseReply(a.Request.Reply)
	}
}

// contain recovers from a panic in the function that defers it: the panic is logged with its stack and counted, and the Reply
// of the request closed.
func (r *Relay) contain(request *protocol.StorageRequest) {
	if cause := recover(); cause != nil {
		r.panicked(request, cause)
	}
}

func (r *Relay) panicked(request *protocol.StorageRequest, cause any) {
	r.log.Panicked(&r.counts.panics, request, fmt.Sprint(cause), debug.Stack())
	if request != nil {
		channel.CloseReply(request.Reply)
	}
}
