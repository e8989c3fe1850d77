package prometheus

import (
	"cmp"
	"slices"
	"sync"
)

// groupKey names a group.
type groupKey struct{ cluster, group string }

// unweighed is the weight of a group whose series have not been counted.
const unweighed = -1

// member is a group that the store is known to hold.
type member struct {
	groupKey
	// joined orders members by when they were first heard of.
	joined uint64

	// What follows is guarded by roster.mu.

	// weight is how many series the group had when it was last looked at.
	weight int
	// shown tells that the group was exported at the last collection.
	shown bool
}

// roster is the groups that the store is known to hold.
type roster struct {
	mu sync.Mutex
	// members is guarded by mu, as is joined.
	members map[groupKey]*member
	joined  uint64
}

// add takes a group in.
func (r *roster) add(key groupKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addLocked(key)
}

func (r *roster) addLocked(key groupKey) {
	if r.members[key] != nil {
		return
	}
	if r.members == nil {
		r.members = make(map[groupKey]*member)
	}
	r.joined++
	r.members[key] = &member{groupKey: key, joined: r.joined, weight: unweighed}
}

// remove takes a group out.
func (r *roster) remove(key groupKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.members, key)
}

// reweigh makes a group be looked at again, since it holds other topics than before.
func (r *roster) reweigh(key groupKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.members[key]; m != nil {
		m.weight = unweighed
	}
}

// replace makes the roster hold exactly these groups. Those that it holds already keep their place.
func (r *roster) replace(keys []groupKey) {
	// Those that are new take their places by name.
	slices.SortFunc(keys, func(a, b groupKey) int {
		return cmp.Or(cmp.Compare(a.cluster, b.cluster), cmp.Compare(a.group, b.group))
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.members
	r.members = make(map[groupKey]*member, len(keys))
	for _, key := range keys {
		if m := before[key]; m != nil {
			m.weight = unweighed
			r.members[key] = m
		} else {
			r.addLocked(key)
		}
	}
}

// candidate is a member as it was when a collection began.
type candidate struct {
	*member
	weight int
	shown  bool
}

// candidates returns the members in the order in which a collection looks at them: those shown before, then the others,
// each in the order in which they joined.
func (r *roster) candidates() []candidate {
	r.mu.Lock()
	list := make([]candidate, 0, len(r.members))
	for _, m := range r.members {
		list = append(list, candidate{member: m, weight: m.weight, shown: m.shown})
	}
	r.mu.Unlock()
	slices.SortFunc(list, func(a, b candidate) int {
		if a.shown != b.shown {
			if a.shown {
				return -1
			}
			return +1
		}
		return cmp.Compare(a.joined, b.joined)
	})
	return list
}

// settle keeps what a collection found out about its candidates.
func (r *roster) settle(list []candidate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range list {
		c.member.weight, c.member.shown = c.weight, c.shown
	}
}

// holds tells whether the roster has a group.
func (r *roster) holds(key groupKey) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.members[key] != nil
}
