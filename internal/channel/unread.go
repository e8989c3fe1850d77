package channel

import (
	"container/list"
	"reflect"
	"sync"

	"github.com/lagkeeper/storage/protocol"
)

// Unread holds the answers that their requesters have not read, oldest first, limited in number and bytes.
type Unread struct {
	maxCount, maxBytes int

	mu     sync.Mutex // guards what follows
	closed bool
	// answers are *UnreadAnswer.
	answers list.List
	bytes   int

	goroutines sync.WaitGroup // of the answers; Add under mu before closed
	giveUp     chan struct{}  // closed when the goroutines are to end
}

// UnreadAnswer is an answer that waits to be read.
type UnreadAnswer struct {
	*Answer
	Value any
	bytes int
	// Evicted is closed when the answer is to be given up.
	Evicted chan struct{}
	element *list.Element // guarded by Unread.mu; nil when it has left the list
}

// NewUnread returns an Unread that holds at most maxCount answers of maxBytes together; the newest is always held.
func NewUnread(maxCount, maxBytes int) *Unread {
	return &Unread{maxCount: maxCount, maxBytes: maxBytes, giveUp: make(chan struct{})}
}

// Add adds an answer, for which the caller starts a goroutine that calls Done, and evicts the oldest while there are too
// many. The newest stays, whatever its size: its requester may be about to read it. It returns nil when closed.
func (u *Unread) Add(a *Answer, value any) *UnreadAnswer {
	w := &UnreadAnswer{Answer: a, Value: value, bytes: answerBytes(value), Evicted: make(chan struct{})}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return nil
	}
	u.goroutines.Add(1)
	w.element = u.answers.PushBack(w)
	u.bytes += w.bytes
	for u.answers.Len() > 1 && (u.answers.Len() > u.maxCount || u.bytes > u.maxBytes) {
		oldest := u.answers.Front().Value.(*UnreadAnswer)
		u.unlist(oldest)
		close(oldest.Evicted)
	}
	return w
}

// Done is called when the goroutine of an answer ends.
func (u *Unread) Done() { u.goroutines.Done() }

// GivingUp is closed when the goroutines of the answers are to end.
func (u *Unread) GivingUp() <-chan struct{} { return u.giveUp }

// Remove removes an answer that was read or given up.
func (u *Unread) Remove(w *UnreadAnswer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.unlist(w)
}

// unlist expects mu held.
func (u *Unread) unlist(w *UnreadAnswer) {
	if w.element != nil {
		u.answers.Remove(w.element)
		u.bytes -= w.bytes
		w.element = nil
	}
}

// Size returns the number of answers and an estimate of their memory in bytes.
func (u *Unread) Size() (count, bytes int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.answers.Len(), u.bytes
}

// Close ends the goroutines of the answers and waits for them.
func (u *Unread) Close() {
	u.mu.Lock()
	u.closed = true
	u.mu.Unlock()
	close(u.giveUp)
	u.goroutines.Wait()
}

// The memory of the parts of an answer.
var (
	partitionBytes = int(reflect.TypeFor[protocol.ConsumerPartition]().Size()) + 8 + // and the pointer to it
		4*8 + int(reflect.TypeFor[protocol.TimeLag]().Size()) // and what its own pointers point to
	offsetBytes = int(reflect.TypeFor[protocol.ConsumerOffset]().Size()) + int(reflect.TypeFor[protocol.Lag]().Size())
)

// topicBytes is the entry of a topic in the map of an answer, baseBytes the answer itself and the goroutine that holds it.
const topicBytes, baseBytes = 64, 4096

// answerBytes estimates the memory that an answer keeps, without visiting each commit.
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
