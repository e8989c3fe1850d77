package ends

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/lagkeeper/storage/internal/wire"
	"github.com/lagkeeper/storage/protocol"
)

// A topic that is kept elsewhere, in bytes:
//
//	topic      uid 8 bytes, partition count uvarint, last poll varint; id 16 bytes, when it was last seen varint, number of
//	           former ids uvarint and these; the strange id 16 bytes, its partition and how often it came uvarints
//	partition  incarnation, same, cut, stale 1 byte each, identified 1 byte; last seen, log start varints, since uvarint;
//	           number of end offsets uvarint, then each less the one before as varints, oldest first; the curve and the dip
//	           as a snapshot keeps them

// AppendMeta appends the bytes of the topic, but for its partitions.
func (t *Topic) AppendMeta(dst []byte) []byte {
	t.mu.RLock()
	defer t.mu.RUnlock()
	dst = binary.LittleEndian.AppendUint64(dst, t.uid)
	dst = binary.AppendUvarint(dst, uint64(t.Count()))
	dst = binary.AppendVarint(dst, t.polledAt.Load())
	i := &t.identity
	dst = binary.AppendVarint(append(dst, i.id[:]...), i.seen)
	dst = binary.AppendUvarint(dst, uint64(len(i.former)))
	for _, id := range i.former {
		dst = append(dst, id[:]...)
	}
	dst = binary.AppendUvarint(append(dst, i.strange[:]...), uint64(i.strangeFrom))
	return binary.AppendUvarint(dst, uint64(i.stranger))
}

// Known ranges over the partitions that have an end offset.
func (t *Topic) Known() iter.Seq[int32] {
	return func(yield func(int32) bool) {
		x := t.index.Load()
		if x == nil {
			return
		}
		for _, p := range x.pages {
			for i := range p.partitions {
				if p.partitions[i].load().count > 0 && !yield(p.first+int32(i)) {
					return
				}
			}
		}
	}
}

// AppendPartition appends the bytes of a partition, and reports whether it has an end offset.
func (t *Topic) AppendPartition(dst []byte, number int32) ([]byte, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	p, at := t.index.Load().find(number)
	if p == nil {
		return dst, false
	}
	r := p.partitions[at].load()
	if r.count == 0 {
		return dst, false
	}
	d := &p.details[at]
	identified := byte(0)
	if d.identified {
		identified = 1
	}
	dst = append(dst, r.incarnation, d.same, d.cut, d.stale, identified)
	dst = binary.AppendVarint(dst, d.seen)
	dst = binary.AppendVarint(dst, d.logStart)
	dst = binary.AppendUvarint(dst, uint64(d.since))
	dst = binary.AppendUvarint(dst, uint64(r.count))
	before := int64(0)
	for _, offset := range p.appendHistory(nil, at, r) {
		dst = binary.AppendVarint(dst, offset-before)
		before = offset
	}
	var tail []byte
	if p.curves.Len() > 0 {
		c := p.curve(at)
		tail = c.AppendBinary(nil)
	}
	if dip, ok := t.dips[number]; ok {
		tail = dip.appendTo(tail)
	}
	return append(dst, tail...), true
}

// Departed returns a topic that was deleted.
func Departed(name string, uid uint64) *Topic {
	t := &Topic{Name: strings.Clone(name), uid: uid}
	t.deleted.Store(true)
	return t
}

// Deletions returns how many topics of a name are known to have been deleted.
func (t *Table) Deletions(name string) uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.deletions[name]
}

// SetDeletions sets how many topics of a name were deleted, as known elsewhere.
func (t *Table) SetDeletions(name string, n uint64) {
	t.mu.Lock()
	defer t.release()
	if n == 0 {
		delete(t.deletions, name)
	} else {
		t.deletions[name] = n
	}
}

// Remember adds a topic of which only the uid is known, unless there is one of its name. It publishes nothing.
func (t *Table) Remember(name string, uid uint64) {
	t.mu.Lock()
	defer t.release()
	if t.topics[name] == nil && !t.closed {
		topic := &Topic{Name: strings.Clone(name), table: t, uid: uid}
		topic.recountLocked()
		topic.countLocked()
		t.addLocked(topic)
	}
}

// Recall puts a topic that is kept elsewhere into the table, in the place of the one of its name. Groups that hold that one
// keep it, unless it was deleted since, which the uid shows. If the bytes are malformed it returns an error and changes
// nothing.
func (t *Table) Recall(name string, meta []byte, partitions iter.Seq2[int32, []byte]) error {
	built := &Topic{Name: strings.Clone(name), table: t}
	if err := built.decode(meta, partitions); err != nil {
		return fmt.Errorf("read topic %q: %w", name, err)
	}
	built.recountLocked()
	t.mu.Lock()
	defer t.release()
	topic := t.topics[name]
	if topic != nil && topic.uid < built.uid {
		t.deleteLocked(topic, nil)
		topic = nil
	}
	if topic == nil {
		t.addLocked(built)
		built.countLocked()
		return nil
	}
	topic.mu.Lock()
	defer topic.release()
	topic.count.Store(built.count.Load())
	topic.index.Store(built.index.Load())
	topic.polledAt.Store(built.polledAt.Load())
	topic.dips, topic.identity = built.dips, built.identity
	topic.recountLocked()
	return nil
}

// Forget deletes the topic of a name that was deleted elsewhere, and publishes nothing.
func (t *Table) Forget(name string) {
	t.mu.Lock()
	defer t.release()
	if topic := t.topics[name]; topic != nil {
		t.deleteLocked(topic, nil)
	}
}

var errMalformed = errors.New("malformed bytes")

func (t *Topic) decode(meta []byte, partitions iter.Seq2[int32, []byte]) error {
	in := wire.Reader{Rest: meta}
	t.uid = in.Fixed()
	t.count.Store(int32(in.Number(MaxPartitions)))
	t.polledAt.Store(in.Varint())
	i := &t.identity
	i.id = protocol.TopicID(in.Take(16))
	i.seen = in.Varint()
	for range in.Number(maxFormer) {
		i.former = append(i.former, protocol.TopicID(in.Take(16)))
	}
	i.strange = protocol.TopicID(in.Take(16))
	i.strangeFrom, i.stranger = int32(in.Number(MaxPartitions)), uint8(in.Number(255))
	if in.Failed || len(in.Rest) > 0 {
		return errMalformed
	}
	for number, data := range partitions {
		if number < 0 || number >= t.Count() {
			return fmt.Errorf("%w: partition %d of %d", errMalformed, number, t.Count())
		}
		if err := t.decodePartition(number, data); err != nil {
			return fmt.Errorf("partition %d: %w", number, err)
		}
	}
	return nil
}

func (t *Topic) decodePartition(number int32, data []byte) error {
	in := wire.Reader{Rest: data}
	incarnation := in.Byte()
	d := detail{same: in.Byte(), cut: in.Byte(), stale: in.Byte(), identified: in.Flag()}
	d.seen, d.logStart, d.since = in.Varint(), in.Varint(), uint32(in.Number(maxSince))
	count := in.Number(ringMask)
	if in.Failed || count == 0 || d.cut > d.same || d.logStart < 0 {
		return errMalformed
	}
	page, at := t.reachLocked(number)
	offset := int64(0)
	for range count {
		offset += in.Varint()
		if in.Failed || offset < 0 {
			return errMalformed
		}
		ring := page.partitions[at].load()
		ring.incarnation = incarnation
		page.push(at, ring, offset, t.table.options.History)
	}
	page.details[at] = d
	c, dip, dipped, err := decode(in.Rest)
	if err != nil {
		return err
	}
	page.putRestored(at, &c, t.table.options.CurveSegments)
	if dipped {
		t.rememberDipLocked(number, dip)
	}
	return nil
}
