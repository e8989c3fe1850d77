package engine

import (
	"slices"

	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/window"
)

// packer makes snapshot records from captured groups: it copies the windows that live one behind the other, in the order of their
// partitions. It holds the memory of the largest.
type packer struct {
	run     []byte
	owners  []uint32
	members []snapshot.Member
	// numbers has for each member of the captured group the number that it has in the record, 0 for none yet.
	numbers []uint32
}

// pack adds the topics and partitions that were captured to a record.
func (p *packer) pack(k *Capture, r *snapshot.Group) {
	// Room for all first, since the topics share two arrays.
	p.run = slices.Grow(p.run[:0], len(k.blocks)+len(k.topics)*window.Padding)
	p.owners, p.members = slices.Grow(p.owners[:0], len(k.owners)), p.members[:0]
	p.numbers = slices.Grow(p.numbers[:0], len(k.members))[:len(k.members)]
	clear(p.numbers)
	r.Topics = r.Topics[:0]
	for i := range k.topics {
		t := &k.topics[i]
		r.Topics = append(r.Topics, snapshot.GroupTopic{
			Name: t.topic.Name, PartitionCount: int32(t.count), LastCommit: k.held[i].seen, Windows: p.windows(k, t),
		})
	}
	r.Members = p.members
}

func (p *packer) windows(k *Capture, t *capturedTopic) (all snapshot.Windows) {
	run, at := p.run[:cap(p.run)], len(p.run)
	start, firstOwner, owned := at, len(p.owners), false
	for slot := t.first; slot < t.end(); slot++ {
		w := k.windowOf(slot)
		if w == nil {
			continue
		}
		size := w.Size()
		if padded := w.Padded(); padded > size {
			run = padWindow(run, at, w, padded)
			size = padded
		} else {
			copy(run[at:], w[:size])
		}
		window.Window(run[at:]).SetTag(snapshot.Tag(t.partition(k.numbers, slot), incarnationOf(w)))
		at += size
		all.Count++
		all.Commits += w.Len()
		if len(k.owners) > 0 {
			member := p.member(k, k.owners[slot])
			owned = owned || member > 0
			p.owners = append(p.owners, member)
		}
	}
	p.run = run[:at]
	if all.Count > 0 {
		p.run = append(p.run, noWindow[:]...)
		all.Run = p.run[start:len(p.run):len(p.run)]
	}
	if owned {
		all.Owners = p.owners[firstOwner:len(p.owners):len(p.owners)]
	}
	return all
}

// noWindow is what is behind the windows of a topic.
var noWindow [window.Padding]byte

// padWindow puts a window of another size at the end of run, and returns that with as much room behind as there was.
func padWindow(run []byte, at int, w window.Window, size int) []byte {
	run = slices.Insert(run, at, make([]byte, size)...)
	w.MoveTo(run[at:], size)
	return run[:cap(run)]
}

// member returns the number in the record of a member of the captured group.
func (p *packer) member(k *Capture, number uint32) uint32 {
	if number == 0 {
		return 0
	}
	if p.numbers[number-1] == 0 {
		who := k.members[number-1]
		p.members = append(p.members, snapshot.Member{Owner: who.owner, ClientID: who.clientID})
		p.numbers[number-1] = uint32(len(p.members))
	}
	return p.numbers[number-1]
}
