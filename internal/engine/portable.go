package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/internal/window"
	"github.com/lagkeeper/storage/internal/wire"
	"github.com/lagkeeper/storage/protocol"
)

// A module that keeps its groups elsewhere has an engine as its workbench: it puts a group in, lets the engine change it by
// its rules, and takes the bytes of what has changed out again. Such an engine has Config.GroupsElsewhere set. What the bytes
// hold does not depend on how a group lies in memory:
//
//	group      flags (1: has committed), last sign of life varint, refused in a row uvarint
//	topic      uid 8 bytes, flags (1: was committed), last sign of life varint, partition count uvarint
//	owners     number of members uvarint, for each owner and client id with their lengths before them; then pairs of
//	           partition and number of its member, uvarints, ascending by partition
//	partition  incarnation 1 byte, known order + 1 uvarint (0 if none), number of commits uvarint; then for each, oldest
//	           first, as varints: the steps from the one before in offset, order and timestamp, from the third on less the
//	           steps before, as most groups go on at their pace; then the seconds from its timestamp to when it was observed,
//	           less those of the one before, times two, plus 1 if its lag is known; then, if so, the lag less the last known

// GroupRecord is a group in bytes.
type GroupRecord struct {
	Meta   []byte
	Topics []TopicRecord
}

// TopicRecord is one topic of a GroupRecord.
type TopicRecord struct {
	Name         string
	Meta, Owners []byte
	Partitions   []PartitionRecord
}

// UID returns the uid of the topic, 0 if the record is malformed.
func (r *TopicRecord) UID() uint64 {
	meta := wire.Reader{Rest: r.Meta}
	return meta.Fixed()
}

// PartitionRecord is one partition of a TopicRecord.
type PartitionRecord struct {
	Number int32
	Data   []byte
}

// GroupView is a view of a group while nobody changes it.
type GroupView struct{ group *group }

// ViewGroup calls look with a group, expired or not, and reports whether it exists.
func (e *Engine) ViewGroup(c *Cluster, name string, look func(GroupView)) bool {
	hash := c.hash(name)
	s := e.shard(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.find(c, hash, name)
	if g == nil {
		return false
	}
	look(GroupView{g})
	return true
}

// Identity distinguishes a group from earlier ones of the same name.
func (v GroupView) Identity() any { return v.group }

// Bytes returns how much memory the group takes.
func (v GroupView) Bytes() int { return v.group.bytes() }

// Seen returns when the group last committed or, if it never has, last got an owner, in Unix milliseconds.
func (v GroupView) Seen() int64 { return v.group.seen.Load() }

// Stalest returns the time in Unix milliseconds at which the topic that was silent longest was last seen.
func (v GroupView) Stalest() int64 {
	stalest := v.Seen()
	for i := range v.group.topics {
		stalest = min(stalest, v.group.topics[i].seen)
	}
	return stalest
}

// Topics ranges over the topics of the group and their indexes.
func (v GroupView) Topics() iter.Seq2[int, *ends.Topic] {
	return func(yield func(int, *ends.Topic) bool) {
		for i := range v.group.topics {
			if !yield(i, v.group.topics[i].topic) {
				return
			}
		}
	}
}

// Find returns the index of a topic, -1 if the group does not hold it.
func (v GroupView) Find(topic string) int { return v.group.find(topic) }

// AppendMeta appends the bytes of the group, but for its topics.
func (v GroupView) AppendMeta(dst []byte) []byte {
	g := v.group
	dst = binary.AppendVarint(append(dst, flag(g.committed)), g.seen.Load())
	return binary.AppendUvarint(dst, uint64(g.refused))
}

// AppendTopic appends the bytes of the topic at an index, but for its partitions.
func (v GroupView) AppendTopic(dst []byte, index int) []byte {
	t := &v.group.topics[index]
	dst = binary.LittleEndian.AppendUint64(dst, t.topic.UID())
	dst = binary.AppendVarint(append(dst, flag(t.committed)), t.seen)
	return binary.AppendUvarint(dst, uint64(t.count))
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}

// Partitions ranges over the partitions of the topic at an index that have a window.
func (v GroupView) Partitions(index int) iter.Seq[int32] {
	return func(yield func(int32) bool) {
		t := &v.group.topics[index]
		for slot := t.first; slot < t.end(); slot++ {
			if v.group.memory.slots[slot] != 0 && !yield(t.partition(v.group.numbers, slot)) {
				return
			}
		}
	}
}

// AppendOwners appends the bytes of the owners of the topic at an index; nothing if nobody owns a partition.
func (v GroupView) AppendOwners(dst []byte, index int) []byte {
	g, t := v.group, &v.group.topics[index]
	var list []member
	var pairs []byte
	for slot := t.first; slot < t.end(); slot++ {
		who := g.owner(slot)
		if g.memory.slots[slot] == 0 || who == (member{}) {
			continue
		}
		at := slices.Index(list, who)
		if at < 0 {
			at = len(list)
			list = append(list, who)
		}
		pairs = binary.AppendUvarint(pairs, uint64(t.partition(g.numbers, slot)))
		pairs = binary.AppendUvarint(pairs, uint64(at))
	}
	if len(list) == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, who := range list {
		for _, text := range []string{who.owner, who.clientID} {
			dst = append(binary.AppendUvarint(dst, uint64(len(text))), text...)
		}
	}
	return append(dst, pairs...)
}

// AppendPartition appends the bytes of a partition of the topic at an index, and reports whether the group has it.
func (v GroupView) AppendPartition(dst []byte, index int, partition int32) ([]byte, bool) {
	g := v.group
	w, slot := g.windowAt(&g.topics[index], partition)
	if w == nil {
		return dst, false
	}
	known := uint64(0)
	if g.known != nil {
		known = uint64(g.known[slot])
	}
	dst = binary.AppendUvarint(append(dst, incarnationOf(w)), known)
	var few [64]protocol.StoredCommit
	return appendCommits(dst, w.AppendTo(few[:0])), true
}

func appendCommits(dst []byte, commits []protocol.StoredCommit) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(commits)))
	var last, step told
	for i := range commits {
		c := &commits[i]
		next := told{c.Offset, c.Order, c.Timestamp, seconds(c.ObservedTimestamp) - seconds(c.Timestamp), last.lag}
		this := next.minus(last)
		dst = binary.AppendVarint(dst, this.offset-step.offset)
		dst = binary.AppendVarint(dst, this.order-step.order)
		dst = binary.AppendVarint(dst, this.timestamp-step.timestamp)
		if c.LagKnown {
			next.lag = c.Lag
			dst = binary.AppendVarint(dst, 2*this.observed+1)
			dst = binary.AppendVarint(dst, int64(next.lag-last.lag))
		} else {
			dst = binary.AppendVarint(dst, 2*this.observed)
		}
		if last = next; i > 0 {
			step = this
		}
	}
	return dst
}

// told is where a commit stands, or the step to it from the one before. The lag is the last that was known.
type told struct {
	offset, order, timestamp int64
	observed                 int64 // seconds after the timestamp
	lag                      uint64
}

func (t told) minus(u told) told {
	return told{t.offset - u.offset, t.order - u.order, t.timestamp - u.timestamp, t.observed - u.observed, t.lag - u.lag}
}

// seconds returns milliseconds as seconds, rounded down.
func seconds(milliseconds int64) int64 {
	s := milliseconds / 1000
	if milliseconds%1000 < 0 {
		s--
	}
	return s
}

// DropGroup forgets a group that is kept elsewhere.
func (e *Engine) DropGroup(c *Cluster, name string) {
	hash := c.hash(name)
	s := e.shard(hash)
	defer s.drain()
	s.mu.Lock()
	defer s.release()
	if g := s.find(c, hash, name); g != nil {
		s.remove(g)
	}
}

// PutGroup replaces the group of a name by one that is kept elsewhere. A topic that is not in the cluster, or has a greater
// uid there than in the record, was deleted: the group holds it until LoseDeleted. If the bytes are malformed it returns an
// error and leaves the group as it was.
func (e *Engine) PutGroup(c *Cluster, name string, r *GroupRecord) error {
	g := newGroup(c, c.hash(name), name)
	if err := e.decodeGroup(g, r); err != nil {
		return fmt.Errorf("read group %q: %w", name, err)
	}
	now := e.config.Clock.Coarse()
	s := e.shard(g.hash)
	defer s.drain()
	seen := s.arrive(g, true)
	s.mu.Lock()
	defer s.release()
	if s.stopped {
		s.turnAway(g)
		return Stopped
	}
	if len(g.topics) == 0 {
		return nil // the topics have been deleted meanwhile
	}
	if old := s.find(c, g.hash, name); old != nil {
		s.remove(old)
	}
	s.receive(g, seen, now)
	return nil
}

func (e *Engine) decodeGroup(g *group, r *GroupRecord) error {
	meta := wire.Reader{Rest: r.Meta}
	g.committed = meta.Flag()
	g.seen.Store(meta.Varint())
	g.refused = uint8(meta.Number(refusedInRow))
	if meta.Failed {
		return errMalformed
	}
	if len(r.Topics) == 0 {
		return fmt.Errorf("%w: no topics", errMalformed)
	}
	for i := range r.Topics {
		t := &r.Topics[i]
		if g.find(t.Name) >= 0 {
			return fmt.Errorf("%w: topic %q twice", errMalformed, t.Name)
		}
		if err := e.decodeTopic(g, t); err != nil {
			return fmt.Errorf("topic %q: %w", t.Name, err)
		}
	}
	return nil
}

func (e *Engine) decodeTopic(g *group, r *TopicRecord) error {
	meta := wire.Reader{Rest: r.Meta}
	uid, committed, seen := meta.Fixed(), meta.Flag(), meta.Varint()
	count := int32(meta.Number(ends.MaxPartitions))
	if meta.Failed {
		return errMalformed
	}
	topic := g.cluster.topics.Topic(r.Name)
	if topic == nil || topic.UID() > uid {
		topic = ends.Departed(r.Name, uid)
	}
	gt := &g.topics[g.attach(topic)]
	counted := g.withCount(gt, count)
	if counted > maxSlots {
		return fmt.Errorf("%w: %d partitions", errMalformed, counted)
	}
	gt.count, g.counted, gt.committed, gt.seen = count, counted, committed, seen
	var scratch window.Scratch
	for i := range r.Partitions {
		p := &r.Partitions[i]
		if p.Number < 0 || p.Number >= count {
			return fmt.Errorf("%w: partition %d of %d", errMalformed, p.Number, count)
		}
		if err := e.decodePartition(g, gt, p, &scratch); err != nil {
			return fmt.Errorf("partition %d: %w", p.Number, err)
		}
	}
	return g.decodeOwners(gt, r.Owners)
}

func (e *Engine) decodePartition(g *group, gt *groupTopic, r *PartitionRecord, scratch *window.Scratch) error {
	in := wire.Reader{Rest: r.Data}
	incarnation, known := in.Byte(), int64(in.Uvarint())
	var few [64]protocol.StoredCommit
	commits, err := decodeCommits(&in, few[:0])
	if err != nil {
		return err
	}
	commits = commits[max(0, len(commits)-e.config.Intervals):]
	slot, ok := g.slot(gt, r.Number)
	if !ok {
		return fmt.Errorf("%w: no room for it", errMalformed)
	}
	w := g.memory.add(slot, scratch.Plan(commits))
	w.Fill(scratch)
	if known > 0 {
		g.setKnown(slot, known-1)
	}
	setIncarnation(w, incarnation)
	return nil
}

func decodeCommits(in *wire.Reader, dst []protocol.StoredCommit) ([]protocol.StoredCommit, error) {
	var last, step told
	for i := range in.Number(window.MaxCommits) {
		this := told{offset: step.offset + in.Varint(), order: step.order + in.Varint(), timestamp: step.timestamp + in.Varint()}
		observed := in.Varint()
		next := told{
			last.offset + this.offset, last.order + this.order, last.timestamp + this.timestamp, last.observed + observed>>1, last.lag,
		}
		c := protocol.StoredCommit{
			Offset: next.offset, Order: next.order, Timestamp: next.timestamp,
			ObservedTimestamp: (seconds(next.timestamp) + next.observed) * 1000,
		}
		if c.LagKnown = observed&1 != 0; c.LagKnown {
			next.lag += uint64(in.Varint())
			c.Lag = next.lag
		}
		if in.Failed || c.Offset < 0 || c.Order < last.order {
			return nil, errMalformed
		}
		dst = append(dst, c)
		if last = next; i > 0 {
			step = this
		}
	}
	if in.Failed || len(in.Rest) > 0 {
		return nil, errMalformed
	}
	return dst, nil
}

func (g *group) decodeOwners(gt *groupTopic, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	in := wire.Reader{Rest: data}
	list := make([]member, 0, 4)
	for range in.Number(ends.MaxPartitions) {
		who := member{owner: in.Text(MaxName), clientID: in.Text(MaxName)}
		if in.Failed {
			break
		}
		list = append(list, who)
	}
	for !in.Failed && len(in.Rest) > 0 {
		partition, number := int32(in.Number(ends.MaxPartitions)), in.Uvarint()
		slot, ok := gt.at(g.numbers, partition)
		if in.Failed || number >= uint64(len(list)) || !ok || g.memory.slots[slot] == 0 {
			return fmt.Errorf("%w: owners", errMalformed)
		}
		g.setOwner(slot, list[number].owner, list[number].clientID)
	}
	if in.Failed {
		return fmt.Errorf("%w: owners", errMalformed)
	}
	return nil
}

var errMalformed = errors.New("malformed bytes")
