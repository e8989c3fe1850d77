package storage

import (
	"container/list"
	"reflect"
	"sync"

	"github.com/lagkeeper/storage/protocol"
)

// unread holds the answers that their requesters have not read, oldest first, and no more than a number and bytes of them.
type unread struct {
	maxCount, maxBytes int

	mu     sync.Mutex // guards what follows
	closed bool
	// answers are *unreadAnswer.
	answers list.List
	bytes   int

	goroutines sync.WaitGroup // of the answers; Add under mu before closed
	giveUp     chan struct{}  // closed when they are to end
}

// unreadAnswer is an answer that waits to be read.
type unreadAnswer struct {
	*answer
	value any
	bytes int
	// evicted is closed when the answer has to go.
	evicted chan struct{}
	element *list.Element // guarded by unread.mu; nil when it is in the list no longer
}

func newUnread(maxCount, maxBytes int) *unread {
	return &unread{maxCount: maxCount, maxBytes: maxBytes, giveUp: make(chan struct{})}
}

// add takes an answer in, and lets the oldest go as long as there are too many. The newest stays, whatever its size: its
// requester may be about to read it. It returns nil when closed.
func (u *unread) add(a *answer, value any) *unreadAnswer {
	w := &unreadAnswer{answer: a, value: value, bytes: answerBytes(value), evicted: make(chan struct{})}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return nil
	}
	u.goroutines.Add(1)
	w.element = u.answers.PushBack(w)
	u.bytes += w.bytes
	for u.answers.Len() > 1 && (u.answers.Len() > u.maxCount || u.bytes > u.maxBytes) {
		oldest := u.answers.Front().Value.(*unreadAnswer)
		u.unlist(oldest)
		close(oldest.evicted)
	}
	return w
}

// remove lets an answer go that was read or given up.
func (u *unread) remove(w *unreadAnswer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.unlist(w)
}

// unlist expects mu held.
func (u *unread) unlist(w *unreadAnswer) {
	if w.element != nil {
		u.answers.Remove(w.element)
		u.bytes -= w.bytes
		w.element = nil
	}
}

func (u *unread) size() (count, bytes int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.answers.Len(), u.bytes
}

// close ends the goroutines of the answers and waits for them.
func (u *unread) close() {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	close(u.giveUp)
	u.goroutines.Wait()
}

// What the parts of an answer take.
var (
	partitionBytes = int(reflect.TypeFor[protocol.ConsumerPartition]().Size()) + 8 + // and the pointer to it
		4*8 + int(reflect.TypeFor[protocol.TimeLag]().Size()) // and what its own pointers point to
	offsetBytes = int(reflect.TypeFor[protocol.ConsumerOffset]().Size()) + int(reflect.TypeFor[protocol.Lag]().Size())
)

// topicBytes stands for the entry of a topic in the map of an answer, baseBytes for the answer itself and the goroutine that
// holds it.
const topicBytes, baseBytes = 64, 4096

// answerBytes estimates the memory that an answer keeps, without looking at each commit.
func answerBytes(value any) int {
	bytes := baseBytes
	switch value := value.(type) {
	case protocol.ConsumerTopics:
		for topic, partitions := range value {
			bytes += topicBytes + len(topic)
			for _, p := range partitions {
				bytes += partitionBytes
				if p != nil {
					bytes += 8*(len(p.BrokerOffsets)+len(p.Offsets)) + len(p.Offsets)*offsetBytes + len(p.Owner) + len(p.ClientID)
				}
			}
		}
	case []string:
		bytes += 16 * len(value)
		for _, name := range value {
			bytes += len(name)
		}
	case []int64:
		bytes += 8 * len(value)
	case []byte:
		bytes += len(value)
	case string:
		bytes += len(value)
	}
	return bytes
}
