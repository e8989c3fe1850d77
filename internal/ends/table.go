// Package ends keeps the end offsets of the topics of one cluster: for every partition the newest, readable without a lock,
// and a bounded history.
package ends

import (
	"strings"
	"sync"
	"unsafe"

	"github.com/lagkeeper/storage/internal/shrink"
)

// MaxPartitions is the largest number of partitions that a topic can have.
const MaxPartitions = 1_048_576

// Options configure a Table.
type Options struct {
	// History is the number of end offsets that are kept per partition.
	History int
	// CurveSegments is the number of segments that the curve of a partition may have; 0 means that none is kept.
	CurveSegments int
	// Created, Deleted, Expired and Reset, if not nil, are called when a topic was created, deleted or expired, and when the
	// end offset of a partition went back. They are called with locks held and must not call the table.
	Created, Deleted, Expired func(*Topic)
	Reset                     func(t *Topic, partition int32)
	// Damaged, if not nil, is called if a panic has interrupted a change of the table or of a topic.
	Damaged func()
	// CountDeletions makes the uid of a topic the number of topics of its name that were deleted before it, so that a topic
	// that is lost and recreated has the same uid.
	CountDeletions bool
	// Grew, if not nil, is called with the number of bytes by which a topic grew, negative if it shrank.
	Grew func(bytes int)
}

// Table holds the topics of one cluster. It is safe for any number of goroutines.
type Table struct {
	options Options

	mu sync.RWMutex
	// topics by name, and the greatest number of them since the map was made; guarded by mu.
	topics map[string]*Topic
	most   int
	// deletions counts the deleted topics by name, if CountDeletions is set; guarded by mu.
	deletions map[string]uint64
	// closed is set when no more topics are added; guarded by mu.
	closed bool
}

// NewTable makes an empty table.
func NewTable(options Options) *Table {
	t := &Table{options: options, topics: make(map[string]*Topic)}
	if options.CountDeletions {
		t.deletions = make(map[string]uint64)
	}
	return t
}

func (t *Table) reset(topic *Topic, partition int32) {
	if t.options.Reset != nil {
		t.options.Reset(topic, partition)
	}
}

// Topic returns the topic of a name, nil if there is none.
func (t *Table) Topic(name string) *Topic {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.topics[name]
}

// Ensure returns the topic of a name, and makes it if there is none; nil if there is none and the table is closed.
func (t *Table) Ensure(name string) *Topic {
	if topic := t.Topic(name); topic != nil {
		return topic
	}
	t.mu.Lock()
	defer t.release()
	topic := t.topics[name]
	if topic == nil && !t.closed {
		topic = t.createLocked(name)
	}
	return topic
}

// Delete removes the topic of a name from the table and marks it as deleted. It returns nil if there is none.
func (t *Table) Delete(name string) *Topic {
	t.mu.Lock()
	defer t.release()
	topic := t.topics[name]
	if topic != nil {
		t.deleteLocked(topic, t.options.Deleted)
	}
	return topic
}

// deleteLocked is Delete for a topic, calls notify, and returns the identity.
func (t *Table) deleteLocked(topic *Topic, notify func(*Topic)) identity {
	delete(t.topics, topic.Name)
	if t.deletions != nil {
		t.deletions[topic.Name] = topic.uid + 1
	}
	// No event of a topic is published after its end.
	topic.mu.Lock()
	defer topic.release()
	topic.deleted.Store(true)
	topic.growLocked(-topic.bytes)
	topic.counted = false
	if notify != nil {
		notify(topic)
	}
	return topic.identity
}

// Replace deletes a topic and adds another of its name, to which an end offset belongs, without storing that. It reports
// whether it did so: if the topic was deleted already, it changes nothing.
func (t *Table) Replace(old *Topic, end *EndOffset) bool {
	t.mu.Lock()
	defer t.release()
	if t.topics[old.Name] != old || t.closed {
		return false
	}
	old.replaced.Store(true)
	identity := t.deleteLocked(old, t.options.Deleted)
	topic := t.createLocked(old.Name)
	topic.mu.Lock()
	defer topic.release()
	topic.identity = identity.follow(end)
	topic.growLocked(topic.identity.bytes())
	return true
}

func (t *Table) createLocked(name string) *Topic {
	topic := &Topic{Name: strings.Clone(name), table: t, uid: t.deletions[name]}
	topic.recountLocked()
	topic.countLocked()
	t.addLocked(topic)
	if t.options.Created != nil {
		t.options.Created(topic)
	}
	return topic
}

// DeleteTopic deletes this topic and no other of its name. It reports whether the topic was there.
func (t *Table) DeleteTopic(topic *Topic) bool {
	t.mu.Lock()
	defer t.release()
	if t.topics[topic.Name] != topic {
		return false
	}
	t.deleteLocked(topic, t.options.Deleted)
	return true
}

// Expire is DeleteTopic for a topic that nobody has polled for too long, if that is still so.
func (t *Table) Expire(topic *Topic, tooLong func(*Topic) bool) bool {
	t.mu.Lock()
	defer t.release()
	if t.topics[topic.Name] != topic || !tooLong(topic) {
		return false
	}
	t.deleteLocked(topic, t.options.Expired)
	return true
}

// Topics appends all topics to dst, in no particular order, and returns the result.
func (t *Table) Topics(dst []*Topic) []*Topic {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, topic := range t.topics {
		dst = append(dst, topic)
	}
	return dst
}

// Close refuses new topics from now on. The others stay until they are deleted.
func (t *Table) Close() {
	t.mu.Lock()
	defer t.release()
	t.closed = true
}

// Shrink gives back what the table keeps after it has held many more topics.
func (t *Table) Shrink() {
	t.mu.Lock()
	defer t.release()
	before := t.bytesLocked()
	if t.topics, t.most = shrink.Map(t.topics, t.most); t.closed && len(t.topics) == 0 {
		t.topics, t.most = nil, 0
	}
	t.grewLocked(before)
}

// addLocked adds a topic to the table.
func (t *Table) addLocked(topic *Topic) {
	before := t.bytesLocked()
	t.topics[topic.Name] = topic
	t.most = max(t.most, len(t.topics))
	t.grewLocked(before)
}

// grewLocked counts by how much the table has grown.
func (t *Table) grewLocked(before int) {
	if bytes := t.bytesLocked(); bytes != before && t.options.Grew != nil {
		t.options.Grew(bytes - before)
	}
}

func (t *Table) bytesLocked() int {
	return shrink.Bytes(t.most, int(unsafe.Sizeof("")+unsafe.Sizeof(&Topic{})))
}

// Bytes estimates what the table takes in addition to its topics.
func (t *Table) Bytes() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.bytesLocked()
}

// Len returns the number of topics.
func (t *Table) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.topics)
}
