package lines

import (
	"bytes"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap/zapcore"
)

// maxQueued limits the lines that wait to be written; the goroutine may have taken as many more. That is enough for a burst
// at debug level, and less than a megabyte.
const maxQueued = 1024

type line struct {
	core   zapcore.Core
	entry  zapcore.Entry
	fields []zapcore.Field
	// depth is 1 for a line that a hook logged, 2 for one that the hook logged on that line, and so on.
	depth int
}

// maxDepth limits the lines of a hook that logs, directly or indirectly, on each line that it gets. With a plain logger the
// stack would overflow.
const maxDepth = 4

// writer writes lines, one after the other, on a goroutine that runs while there are any.
type writer struct {
	faults atomic.Uint64 // lines that were not written

	mu sync.Mutex // guards what follows; never held while a line is written
	// queue holds the lines whose writing has not begun.
	queue   []line
	running bool
	// goroutine is the id of the goroutine that runs; 0 until it has begun.
	goroutine uint64
	// added and written count the lines that were queued and those that are done with.
	added, written uint64
	// progress is closed when a line is done with; nil while nobody waits for it.
	progress chan struct{}
	// stuck is true from when somebody waited in vain for a line until that line is done with.
	stuck bool
	// depth is that of the line that is being written.
	depth int
}

// add queues a line. A line of a hook is queued too, since the hook may have called something that logs with a lock held.
func (w *writer) add(l line) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mine() {
		if l.depth = w.depth + 1; l.depth > maxDepth || len(w.queue) >= maxQueued {
			w.faults.Add(1)
			return
		}
	}
	for len(w.queue) >= maxQueued {
		if w.stuck || !w.wait(Patience) {
			w.faults.Add(1)
			return
		}
	}
	w.queue = append(w.queue, l)
	w.added++
	if !w.running {
		w.running = true
		go w.run()
	}
}

func (w *writer) run() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.goroutine = goroutineID()
	for len(w.queue) > 0 {
		queue := w.queue
		w.queue = nil
		for i := range queue {
			w.depth = queue[i].depth
			w.mu.Unlock()
			w.write(queue[i])
			queue[i] = line{}
			w.mu.Lock()
			w.written++
			w.stuck = false
			if w.progress != nil {
				close(w.progress)
				w.progress = nil
			}
		}
	}
	w.running, w.goroutine = false, 0
}

func (w *writer) write(l line) {
	defer w.contain()
	if checked := l.core.Check(l.entry, nil); checked != nil {
		checked.Write(l.fields...)
	}
}

// contain recovers from a panic of the logger, which can only be counted.
func (w *writer) contain() {
	if recover() != nil {
		w.faults.Add(1)
	}
}

// flush waits for the lines that are queued now.
func (w *writer) flush(patience time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mine() {
		return
	}
	for goal := w.added; w.written < goal; {
		if w.stuck || !w.wait(patience) {
			return
		}
	}
}

// wait returns true when a line is done with, false after patience. It expects mu held, and releases it meanwhile.
func (w *writer) wait(patience time.Duration) bool {
	if w.progress == nil {
		w.progress = make(chan struct{})
	}
	progress, written := w.progress, w.written
	w.mu.Unlock()
	timer := time.NewTimer(patience)
	select {
	case <-progress:
	case <-timer.C:
	}
	timer.Stop()
	w.mu.Lock()
	if w.written == written {
		w.stuck = true
		return false
	}
	return true
}

// mine reports whether the caller is a hook of the line that is being written. It expects mu held.
func (w *writer) mine() bool { return w.goroutine != 0 && w.goroutine == goroutineID() }

// goroutineID returns the number of the calling goroutine in a stack trace. There is no other way to detect that a call comes
// from a hook: a logger has no context to carry that.
func goroutineID() uint64 {
	var trace [64]byte
	text := bytes.TrimPrefix(trace[:runtime.Stack(trace[:], false)], []byte("goroutine "))
	digits, _, _ := bytes.Cut(text, []byte(" "))
	id, _ := strconv.ParseUint(string(digits), 10, 64)
	return id
}
