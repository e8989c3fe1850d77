package snapshottest

import (
	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/window"
)

// Packed returns the group in the form in which a snapshot has it. Deletions stay as they are.
func Packed(g *snapshot.Group) snapshot.Group {
	packed := *g
	if g.IsDeletion() {
		return packed
	}
	packed.Topics, packed.Members = nil, nil
	numbers := map[snapshot.Member]uint32{{}: 0}
	for i := range g.Topics {
		t := g.Topics[i]
		partitions := t.Partitions
		t.Partitions = nil
		owned := false
		for j := range partitions {
			p := &partitions[j]
			who := snapshot.Member{Owner: p.Owner, ClientID: p.ClientID}
			number, known := numbers[who]
			if !known {
				packed.Members = append(packed.Members, who)
				number = uint32(len(packed.Members))
				numbers[who] = number
			}
			owned = owned || number > 0
			t.Windows.Owners = append(t.Windows.Owners, number)
			t.Windows.Run = append(t.Windows.Run, Window(p)...)
			t.Windows.Count++
			t.Windows.Commits += len(p.Commits)
		}
		if !owned {
			t.Windows.Owners = nil
		}
		if t.Windows.Count > 0 {
			t.Windows.Run = append(t.Windows.Run, make([]byte, window.Padding)...)
		}
		packed.Topics = append(packed.Topics, t)
	}
	return packed
}

// Window returns the window of a partition as a snapshot has it.
func Window(p *snapshot.GroupPartition) window.Window {
	var scratch window.Scratch
	size := scratch.Plan(p.Commits)
	w := make(window.Window, size+window.Padding)
	window.Init(w, size)
	w.Fill(&scratch)
	w.SetTag(snapshot.Tag(p.Number, uint8(p.Incarnation)))
	if padded := w.Padded(); padded > size {
		to := make(window.Window, padded+window.Padding)
		w.MoveTo(to, padded)
		w, size = to, padded
	}
	return w[:size]
}

// Packing is an Output that packs groups for another.
type Packing struct{ snapshot.Output }

// WriteGroup writes the group packed.
func (p Packing) WriteGroup(g *snapshot.Group) error {
	packed := Packed(g)
	return p.Output.WriteGroup(&packed)
}
