// Package ends keeps the end offsets of the topics of one cluster: for every partition the newest, readable without a
// lock, and a bounded history.
package ends

import (
	"strings"
	"sync"
)

// MaxPartitions is the largest number of partitions that a topic can have.
const MaxPartitions = 1_048_576

// Table holds the topics of one cluster. It is safe for any number of goroutines.
type Table struct {
	history int // how many end offsets are kept per partition

	mu sync.RWMutex
	// topics by name; guarded by mu.
	topics map[string]*Topic
}

// NewTable makes an empty table that keeps history end offsets per partition.
func NewTable(history int) *Table {
	return &Table{history: history, topics: make(map[string]*Topic)}
}

// Topic returns the topic of a name, nil where there is none.
func (t *Table) Topic(name string) *Topic {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.topics[name]
}

// Ensure returns the topic of a name, and makes it where there is none. created says that it did.
func (t *Table) Ensure(name string) (topic *Topic, created bool) {
	if topic := t.Topic(name); topic != nil {
		return topic, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	topic = t.topics[name]
	if topic == nil {
		topic = &Topic{Name: strings.Clone(name), limit: t.history}
		t.topics[topic.Name] = topic
		created = true
	}
	return topic, created
}

// Delete takes the topic of a name out of the table and marks it deleted. It returns nil where there is none.
func (t *Table) Delete(name string) *Topic {
	t.mu.Lock()
	defer t.mu.Unlock()
	topic := t.topics[name]
	if topic != nil {
		delete(t.topics, name)
		topic.deleted.Store(true)
	}
	return topic
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

// Len is how many topics there are.
func (t *Table) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.topics)
}
