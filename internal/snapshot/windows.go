package snapshot

import (
	"iter"
	"slices"

	"github.com/lagkeeper/storage/internal/window"
	"github.com/lagkeeper/storage/protocol"
)

// Windows are the partitions that a group has of a topic, as an engine keeps them, so that saving and restoring copies them.
type Windows struct {
	// Run has the windows one behind the other, ascending by partition, and window.Padding bytes behind the last, which may be
	// any. Each has its partition in its tag. It is nil if there are none.
	Run []byte
	// Count is the number of windows, Commits that of the commits in them.
	Count, Commits int
	// Owners has for each window the number of its owner among the members of the group, counted from 1; 0 is none. It is empty
	// if no partition has an owner.
	Owners []uint32
}

// The tag of a window in a snapshot has, from the lowest bit, the number of the partition (20) and its incarnation (8, from bit 24
// on). The bits between mean nothing in a file and are 0.
const (
	numberMask       = MaxPartitions - 1
	incarnationShift = 24
	tagMask          = numberMask | 0xff<<incarnationShift
)

// Tag returns the tag of a window.
func Tag(number int32, incarnation uint8) uint32 {
	return uint32(number) | uint32(incarnation)<<incarnationShift
}

// Untag returns what Tag was made from.
func Untag(tag uint32) (number int32, incarnation uint8) {
	return int32(tag & numberMask), uint8(tag >> incarnationShift)
}

// All ranges over the windows and their indexes.
func (w *Windows) All() iter.Seq2[int, window.Window] {
	return func(yield func(int, window.Window) bool) {
		rest := w.Run
		for i := range w.Count {
			win := window.Window(rest)
			if !yield(i, win) {
				return
			}
			rest = rest[win.Size():]
		}
	}
}

// bytes returns the windows without what is behind them.
func (w *Windows) bytes() []byte {
	if w.Count == 0 {
		return nil
	}
	return w.Run[:len(w.Run)-window.Padding]
}

// Owner returns the owner of a window of one of the topics.
func (g *Group) Owner(w *Windows, i int) Member {
	if len(w.Owners) == 0 || w.Owners[i] == 0 {
		return Member{}
	}
	return g.Members[w.Owners[i]-1]
}

// Unpacked returns the group with Partitions in the place of Windows.
func (g *Group) Unpacked() Group {
	u := *g
	u.Topics, u.Members = slices.Clone(g.Topics), nil
	for i := range u.Topics {
		t := &u.Topics[i]
		w := t.Windows
		t.Windows = Windows{}
		if w.Count == 0 {
			continue
		}
		t.Partitions = make([]GroupPartition, 0, w.Count)
		commits := make([]protocol.StoredCommit, 0, w.Commits)
		for i, win := range w.All() {
			number, incarnation := Untag(win.Tag())
			who, from := g.Owner(&w, i), len(commits)
			commits = win.AppendTo(commits)
			t.Partitions = append(t.Partitions, GroupPartition{
				Number: number, Owner: who.Owner, ClientID: who.ClientID, Incarnation: uint32(incarnation),
				Commits: commits[from:len(commits):len(commits)],
			})
		}
	}
	return u
}
