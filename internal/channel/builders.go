package channel

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/lagkeeper/storage/protocol"
)

// Answer is the answer to a fetch, from when the fetch was accepted until its Reply is closed.
type Answer struct {
	Build func() any
	// Request is a copy: the requester may reuse its own once it has the answer.
	Request protocol.StorageRequest
	taken   atomic.Bool
}

// Take reports whether the caller may use and close the Reply: the first to call it, be it to deliver the answer or to give
// it up.
func (a *Answer) Take() bool { return a.taken.CompareAndSwap(false, true) }

const (
	// maxQueuedAnswers bounds the queue of answers to build, whatever the options say. Each holds a copy of its group.
	maxQueuedAnswers = 1024
	// maxExtraBuilders bounds the extra goroutines while answers wait for other answers.
	maxExtraBuilders = 1024
	// stallAfter is how long no answer must have been completed for the builders to be stalled. An ordinary answer takes
	// microseconds, and a goroutine too many does no harm.
	stallAfter = 10 * time.Millisecond
	// hopelessAfter is the number of stalls in succession after which answers are refused, which takes a second or more. On a busy
	// machine the process may get no processor for longer than that. But then it notices one stall, not many: the next look
	// begins when the last one has ended, and between two of them a goroutine that can run does.
	hopelessAfter = 100
)

// Builders are the goroutines that build answers. There are as many as workers, and more only if all of those are stalled: an
// answer may wait for another of the same Relay, which then must be built first.
type Builders struct {
	workers, depth int
	build          func(*Answer)

	mu      sync.Mutex // guards what follows
	running bool       // until Stop
	// open holds the answers that were accepted and have not been completed.
	open map[*Answer]struct{}
	// entered counts the callers between Enter and Leave.
	entered int
	// queue holds those of them that wait for a goroutine, from index next on.
	queue []*Answer
	next  int
	// alive counts the goroutines, idle those of them that wait for work.
	alive, idle int
	// ended counts the answers that were built, stalls the looks in succession that have found none completed since the last.
	ended  uint64
	stalls int
	// watch fires when it is time to check for a stall; nil while nothing waits.
	watch *time.Timer
	// over is true when nothing is built any more.
	over bool
	gone chan struct{} // closed when the last goroutine has ended, after Stop

	work, room sync.Cond
}

// StartBuilders starts as many goroutines as there are workers. queueDepth is per worker.
func StartBuilders(workers, queueDepth int, build func(*Answer)) *Builders {
	b := &Builders{
		workers: workers, depth: max(min(workers*queueDepth, maxQueuedAnswers), 1), build: build,
		running: true, open: make(map[*Answer]struct{}), gone: make(chan struct{}),
	}
	b.work.L, b.room.L = &b.mu, &b.mu
	b.mu.Lock()
	defer b.mu.Unlock()
	for range workers {
		b.startOne()
	}
	return b
}

// startOne starts a goroutine. It expects mu held.
func (b *Builders) startOne() {
	b.alive++
	go b.run()
}

// Begin accepts an answer unless the builders are stopped. The caller must call Add or Forget with it.
func (b *Builders) Begin(a *Answer) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running {
		b.open[a] = struct{}{}
	}
	return b.running
}

// Enter accepts what may become an answer for Add, unless the builders are stopped. The caller must call Leave afterwards.
func (b *Builders) Enter() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running {
		b.entered++
	}
	return b.running
}

// Leave ends what Enter has accepted.
func (b *Builders) Leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.entered--; !b.running {
		b.work.Broadcast()
	}
}

// Forget withdraws an answer that was begun.
func (b *Builders) Forget(a *Answer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closeOne(a)
}

// closeOne notes that an answer is completed or withdrawn. It expects mu held.
func (b *Builders) closeOne(a *Answer) {
	if delete(b.open, a); !b.running {
		b.work.Broadcast() // it may have been the last
	}
}

// Queued returns the number of answers that wait for a goroutine.
func (b *Builders) Queued() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiting()
}

// waiting is Queued for callers that hold mu.
func (b *Builders) waiting() int { return len(b.queue) - b.next }

// Add leaves an answer to a goroutine, and waits for room in the queue. It reports whether it did: it does not if there is no
// room, no answer has been completed for hopelessAfter looks, and there are as many goroutines as there may be. If Stop has given
// up, an answer that was begun counts as given up, and Add refuses one that was not.
func (b *Builders) Add(a *Answer) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, begun := b.open[a]; !begun {
		if b.over {
			return false
		}
		b.open[a] = struct{}{}
	}
	for !b.over && b.waiting() >= b.depth+b.idle {
		if b.stalls >= hopelessAfter && b.full() {
			b.closeOne(a)
			return false
		}
		b.look()
		b.room.Wait()
	}
	if b.over {
		return true
	}
	b.queue = append(b.queue, a)
	if b.idle >= b.waiting() {
		b.work.Signal()
	} else {
		b.look()
	}
	return true
}

// full reports whether there are as many goroutines as there may be. It expects mu held.
func (b *Builders) full() bool { return b.alive >= b.workers+maxExtraBuilders }

// look arranges for a stall to be noticed. It expects mu held.
func (b *Builders) look() {
	if b.watch == nil {
		ended := b.ended
		b.watch = time.AfterFunc(stallAfter, func() { b.lookedAt(ended) })
	}
}

// lookedAt starts goroutines if no answer was completed since the look, and looks again while answers wait. The first stall starts
// one, each further stall in succession twice as many as the one before: answers that wait for each other are soon built, and a
// process that gets no processor now and then does not get a crowd.
func (b *Builders) lookedAt(ended uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watch = nil
	if b.waiting() == 0 {
		return
	}
	if b.ended == ended {
		for range min(b.waiting(), 1<<min(b.stalls, 10)) {
			if !b.full() {
				b.startOne()
			}
		}
		if b.stalls++; b.stalls >= hopelessAfter && b.full() {
			b.room.Broadcast() // so that senders give up
		}
	}
	b.look()
}

func (b *Builders) run() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		for b.waiting() == 0 {
			// After Stop, what was begun may still be added.
			if b.alive > b.workers || b.over || !b.running && len(b.open)+b.entered == 0 {
				b.end()
				return
			}
			b.idle++
			b.work.Wait()
			b.idle--
		}
		a := b.queue[b.next]
		b.queue[b.next] = nil
		if b.next++; b.next == len(b.queue) {
			b.queue, b.next = b.queue[:0], 0
		}
		b.room.Signal()
		b.mu.Unlock()
		b.build(a)
		b.mu.Lock()
		b.closeOne(a)
		b.ended++
		b.stalls = 0
	}
}

// end notes that a goroutine ends. It expects mu held.
func (b *Builders) end() {
	b.alive--
	if b.alive == 0 {
		b.over = true
		close(b.gone)
	}
}

// Stop accepts nothing more. It returns when everything that was accepted is built, withdrawn or left, or when no answer was completed for
// as long as patience. It returns the answers that it gave up; their goroutines end when their builds return.
func (b *Builders) Stop(patience time.Duration) []*Answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.running = false
	b.work.Broadcast()
	for ended := b.ended; ; ended = b.ended {
		b.mu.Unlock()
		done := closedWithin(b.gone, patience)
		b.mu.Lock()
		if done || b.ended == ended {
			break
		}
	}
	if b.watch != nil {
		b.watch.Stop()
	}
	var left []*Answer
	for a := range b.open {
		left = append(left, a)
	}
	b.over = true
	b.queue, b.next = nil, 0
	b.room.Broadcast()
	b.work.Broadcast()
	return left
}

// closedWithin reports whether done is closed before patience is over.
func closedWithin(done <-chan struct{}, patience time.Duration) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
