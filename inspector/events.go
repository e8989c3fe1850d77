package inspector

import (
	"context"
	"sync"
	"time"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

// eventLog remembers the newest changes of a store.
type eventLog struct {
	limit int
	now   func() time.Time

	mu sync.Mutex
	// changes are the newest, oldest first; guarded by mu, as all below.
	changes []Change
	// sequence is that of the newest change.
	sequence uint64
	// added is closed and replaced when a change is added.
	added chan struct{}
}

func newEventLog(limit int, now func() time.Time) *eventLog {
	return &eventLog{limit: limit, now: now, added: make(chan struct{})}
}

// add numbers a change and remembers it. Its number is the time in microseconds: a count would tell those who see some groups
// only how much else happens, and would begin anew with the process, so that a browser that was connected before would wait
// for a number that is far away.
func (l *eventLog) add(event protocol.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sequence = max(l.sequence+1, uint64(max(0, l.now().UnixMicro())))
	l.changes = append(l.changes, Change{l.sequence, event})
	if len(l.changes) > 2*l.limit {
		l.changes = append(l.changes[:0:0], l.changes[len(l.changes)-l.limit:]...)
	}
	close(l.added)
	l.added = make(chan struct{})
}

// after returns the changes after a sequence number, oldest first, and a channel that is closed at the next.
func (l *eventLog) after(sequence uint64) ([]Change, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	from := max(0, len(l.changes)-l.limit)
	for from < len(l.changes) && l.changes[from].Sequence <= sequence {
		from++
	}
	return append([]Change(nil), l.changes[from:]...), l.added
}

// again is how long the log waits before it watches a store again that ended the watching, as one does that was stopped.
const again = time.Second

// follow adds what a source yields until quit is closed.
func (l *eventLog) follow(source storage.Watcher, quit <-chan struct{}) {
	ctx := untilClosed{context.Background(), quit}
	for {
		if events, err := source.Watch(ctx, storage.WatchFilter{}); err == nil {
			for event := range events {
				l.add(event)
			}
		}
		timer := time.NewTimer(again)
		select {
		case <-timer.C:
		case <-quit:
			timer.Stop()
			return
		}
	}
}
