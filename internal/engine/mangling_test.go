package engine

import (
	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/window"
)

// mangling is an Output for packed groups that changes bits of their windows, as long as they stay windows: of forms and with commits
// that no engine makes.
type mangling struct {
	snapshot.Output
	h *hostile
}

func (m mangling) WriteGroup(g *snapshot.Group) error {
	for i := range g.Topics {
		t := &g.Topics[i]
		w := &t.Windows
		for flips := m.h.below(8); flips > 0 && w.Count > 0; flips-- {
			at, bit := (m.h.below(256)<<8|m.h.below(256))%len(w.Run), byte(1)<<m.h.below(8)
			w.Run[at] ^= bit
			if !sound(t) {
				w.Run[at] ^= bit
			}
		}
		w.Commits = 0
		for _, win := range w.All() {
			w.Commits += win.Len()
		}
	}
	return m.Output.WriteGroup(g)
}

// sound reports whether the windows of a topic are what a reader takes.
func sound(t *snapshot.GroupTopic) bool {
	run, count := t.Windows.Run, 0
	for number := int32(-1); len(run) > window.Padding; count++ {
		size, err := window.Check(run)
		if err != nil {
			return false
		}
		tag := window.Window(run).Tag()
		next, incarnation := snapshot.Untag(tag)
		if next <= number || next >= t.PartitionCount || tag != snapshot.Tag(next, incarnation) {
			return false
		}
		number, run = next, run[size:]
	}
	return count == t.Windows.Count
}
