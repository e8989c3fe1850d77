package ends

import (
	"unsafe"

	"github.com/lagkeeper/storage/protocol"
)

// The memory of a topic is counted where it changes, since a topic may have a million partitions and its size is read often.

// Size returns the number of partitions of the topic that have an end offset, and of the bytes that the topic takes.
func (t *Topic) Size() (partitions, bytes int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.known, t.bytes
}

// growLocked counts bytes that the topic takes or, if negative, gives back.
func (t *Topic) growLocked(bytes int) {
	if bytes == 0 {
		return
	}
	t.bytes += bytes
	if grew := t.table.options.Grew; grew != nil && t.counted {
		grew(bytes)
	}
}

// recountLocked counts everything anew.
func (t *Topic) recountLocked() {
	known, bytes := t.measureLocked()
	t.known = known
	t.growLocked(bytes - t.bytes)
}

// countLocked begins to count the topic's bytes for the table.
func (t *Topic) countLocked() {
	bytes := t.bytes
	t.bytes, t.counted = 0, true
	t.growLocked(bytes)
}

// measureLocked counts everything that growLocked should have counted.
func (t *Topic) measureLocked() (partitions, bytes int) {
	bytes = int(unsafe.Sizeof(*t)) + len(t.Name) + t.identity.bytes()
	for number := range t.dips {
		bytes += t.dipBytesLocked(number)
	}
	x := t.index.Load()
	if x == nil {
		return 0, bytes
	}
	bytes += x.bytes()
	for _, p := range x.pages {
		bytes += p.bytes()
		for i := range p.partitions {
			if p.partitions[i].ring.Load()&ringMask != 0 {
				partitions++
			}
		}
	}
	return partitions, bytes
}

// bytes returns the memory of the index without its pages.
func (x *index) bytes() int {
	if x == nil {
		return 0
	}
	if &x.pages[0] == &x.only[0] {
		return int(unsafe.Sizeof(*x))
	}
	return int(unsafe.Sizeof(*x)) + cap(x.pages)*int(unsafe.Sizeof(x.pages[0]))
}

func (p *page) bytes() int {
	if p == nil {
		return 0
	}
	return int(unsafe.Sizeof(*p)) + cap(p.partitions)*int(unsafe.Sizeof(partition{})) + cap(p.older.bytes) +
		cap(p.details)*int(unsafe.Sizeof(detail{})) + p.curves.Size()
}

func (i *identity) bytes() int { return cap(i.former) * int(unsafe.Sizeof(protocol.TopicID{})) }

// dipBytesLocked returns what the dip of a partition takes, 0 if there is none.
func (t *Topic) dipBytesLocked(number int32) int {
	d, ok := t.dips[number]
	if !ok {
		return 0
	}
	return int(unsafe.Sizeof(number)+unsafe.Sizeof(d)) + 1 + d.curve.Buffer()
}

// variableLocked returns the memory that a change of a partition may change: the curves of its page, and its dip.
func (t *Topic) variableLocked(p *page, at int) (bytes int) {
	bytes = p.curves.Size()
	if t.dips != nil {
		bytes += t.dipBytesLocked(p.first + int32(at))
	}
	return bytes
}
