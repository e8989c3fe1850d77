package engine

import (
	"math"
	"slices"
)

// layout says which slots of a group belong to the partitions of one of its topics: slots first to first+length-1. In a dense
// topic a partition has the slot first + its number. A sparse topic has slots only for partitions with a window, ascending by
// the numbers that group.numbers holds for them; unused slots at the end are vacant.
type layout struct {
	first, length uint32
	sparse        bool
}

const (
	// vacant is the number of a slot without a partition in a sparse topic.
	vacant = math.MaxInt32
	// alwaysDense is the number of slots up to which a topic is dense whatever it holds.
	alwaysDense = 128
	// denseSpread is the number of slots per window up to which a topic stays dense, backSpread that at which it becomes dense
	// again.
	denseSpread, backSpread = 4, 2
	// mostSparse limits the windows of a sparse topic: a new one may have to move all others.
	mostSparse = 1 << 14
)

// at returns the slot of a partition. ok is false if it has none.
func (l *layout) at(numbers []int32, partition int32) (slot uint32, ok bool) {
	if l.sparse {
		return l.search(numbers, partition)
	}
	return l.first + uint32(partition), uint32(partition) < l.length
}

// search is at for a sparse topic; if the partition has no slot, it returns the slot that it would get.
func (l *layout) search(numbers []int32, partition int32) (slot uint32, ok bool) {
	i, ok := slices.BinarySearch(numbers[l.first:l.first+l.length], partition)
	return l.first + uint32(i), ok
}

// partition returns the partition of a slot, which must not be vacant.
func (l *layout) partition(numbers []int32, slot uint32) int32 {
	if l.sparse {
		return numbers[slot]
	}
	return int32(slot - l.first)
}

// end returns the slot after the last.
func (l *layout) end() uint32 { return l.first + l.length }

// slot returns the slot of a partition, and makes it if there is none. The topic must have the partition. ok is false if the
// group has no room for it, or for a window that grows. A new slot must get a window.
func (g *group) slot(gt *groupTopic, partition int32) (slot uint32, ok bool) {
	if g.memory.full() {
		return 0, false
	}
	grown := gt.count
	if partition >= grown {
		grown = max(gt.topic.Count(), partition+1)
		if g.withCount(gt, grown) > maxSlots {
			return 0, false
		}
	}
	// This is layout.at for a dense topic: a commit need not read numbers.
	slot = gt.first + uint32(partition)
	if gt.sparse || uint32(partition) >= gt.length {
		if slot, ok = gt.at(g.numbers, partition); !ok {
			if slot, ok = g.newSlot(gt, partition); !ok {
				return 0, false
			}
		}
	}
	if grown != gt.count {
		g.counted, gt.count = g.withCount(gt, grown), grown
	}
	return slot, true
}

// layAll makes the slots of the partitions of the given numbers, which ascend, for a topic without slots. It reports false if the
// group has no room for them.
func (g *group) layAll(gt *groupTopic, numbers []int32) bool {
	held := uint32(len(numbers))
	span := uint32(numbers[held-1]) + 1
	sparse := span > max(alwaysDense, denseSpread*held) && held <= mostSparse
	length := held
	if !sparse {
		length = max(span, min(uint32(gt.count), alwaysDense))
	}
	length, ok := g.affords(length, length)
	if !ok {
		return false
	}
	g.lay(gt, sparse, length)
	if sparse {
		copy(g.numbers[gt.first:], numbers)
	}
	return true
}

// newSlot makes the slot of a partition that has none.
func (g *group) newSlot(gt *groupTopic, partition int32) (slot uint32, ok bool) {
	held, span, spread := uint32(0), uint32(partition)+1, uint32(denseSpread)
	if gt.sparse {
		behind, _ := gt.search(g.numbers, vacant)
		held, spread = behind-gt.first, backSpread
		if held > 0 {
			span = max(span, uint32(g.numbers[behind-1])+1)
		}
	} else if span > alwaysDense {
		held = uint32(g.windows(gt))
	}
	if span > max(alwaysDense, spread*(held+1)) && held < mostSparse {
		return g.insertSlot(gt, partition, held)
	}
	// Most groups commit all partitions of a topic, but a topic with a million partitions gets its slots one by one.
	count := uint32(max(gt.count, gt.topic.Count()))
	length := max(span, min(count, max(2*gt.length, alwaysDense)))
	if !gt.sparse {
		length = max(length, gt.length+gt.length/4)
	}
	if length, ok = g.affords(length, span); !ok {
		return 0, false
	}
	if gt.sparse {
		g.lay(gt, false, length)
	} else {
		g.extend(gt, length)
	}
	return gt.at(g.numbers, partition)
}

// insertSlot makes the slot of a partition in a topic of held windows that is sparse, or becomes so.
func (g *group) insertSlot(gt *groupTopic, partition int32, held uint32) (slot uint32, ok bool) {
	if !gt.sparse || held == gt.length {
		length, ok := g.affords(held+1+held/4, held+1)
		if !ok {
			return 0, false
		}
		if gt.sparse {
			g.extend(gt, length)
		} else {
			g.lay(gt, true, length)
		}
	}
	slot, _ = gt.search(g.numbers, partition)
	for i := gt.first + held; i > slot; i-- {
		g.moveSlot(i-1, i)
	}
	g.clearSlot(slot)
	g.numbers[slot] = partition
	return slot, true
}

// closeSlot removes the slot of a partition that lost its window from a sparse topic.
func (g *group) closeSlot(gt *groupTopic, slot uint32) {
	last := gt.end() - 1
	for ; slot < last && g.numbers[slot+1] != vacant; slot++ {
		g.moveSlot(slot+1, slot)
	}
	g.clearSlot(slot)
	g.numbers[slot] = vacant
	g.packs++
}

// affords returns how many of length slots there is room for behind the existing ones: all, or else least. ok is false if
// there is no room even for those.
func (g *group) affords(length, least uint32) (_ uint32, ok bool) {
	if len(g.memory.slots)+int(length) <= maxSlots {
		return length, true
	}
	g.packSlots()
	return least, len(g.memory.slots)+int(least) <= maxSlots
}

// withCount returns counted as it would be if a topic had another count.
func (g *group) withCount(gt *groupTopic, count int32) int64 {
	return g.counted - int64(gt.count) + int64(count)
}

// extend gives a topic length slots and leaves it dense or sparse as it is.
func (g *group) extend(gt *groupTopic, length uint32) {
	if int(gt.end()) != len(g.memory.slots) {
		g.lay(gt, gt.sparse, length)
		return
	}
	end := gt.end()
	g.addSlots(length - gt.length)
	gt.length = length
	if gt.sparse {
		fill(g.numbers[end:], vacant)
	}
}

// lay gives a topic length slots behind all others, dense or sparse.
func (g *group) lay(gt *groupTopic, sparse bool, length uint32) {
	old, numbers := gt.layout, g.numbers
	gt.layout = layout{first: uint32(len(g.memory.slots)), length: length, sparse: sparse}
	if !g.anySparse() {
		g.numbers = nil
	} else if numbers == nil {
		g.numbers = make([]int32, len(g.memory.slots))
	}
	g.addSlots(length)
	if sparse {
		fill(g.numbers[gt.first:], vacant)
	}
	to := gt.first
	for from := old.first; from < old.end(); from++ {
		if g.memory.slots[from] != 0 {
			partition := old.partition(numbers, from)
			if !sparse {
				to = gt.first + uint32(partition)
			}
			g.moveSlot(from, to)
			if sparse {
				g.numbers[to] = partition
			}
			to++
		}
		g.clearSlot(from)
	}
	g.holes += int(old.length)
	if g.holes > len(g.memory.slots)/2 {
		g.packSlots()
	}
}

func (g *group) anySparse() bool {
	return slices.ContainsFunc(g.topics, func(gt groupTopic) bool { return gt.sparse })
}

func fill(numbers []int32, with int32) {
	for i := range numbers {
		numbers[i] = with
	}
}

func (g *group) addSlots(n uint32) {
	g.memory.slots = enlarge(g.memory.slots, n)
	if g.owners != nil {
		g.owners = enlarge(g.owners, n)
	}
	if g.known != nil {
		g.known = enlarge(g.known, n)
	}
	if g.numbers != nil {
		g.numbers = enlarge(g.numbers, n)
	}
	g.layouts++
}

func enlarge[T any](s []T, n uint32) []T { return append(s, make([]T, n)...) }

// clearSlot leaves a slot without a window, an owner and a known order.
func (g *group) clearSlot(slot uint32) {
	g.memory.slots[slot] = 0
	if g.owners != nil {
		g.owners[slot] = 0
	}
	if g.known != nil {
		g.known[slot] = 0
	}
}

// moveSlot copies everything about a slot to another and updates its window.
func (g *group) moveSlot(from, to uint32) {
	g.copySlot(from, to, g.memory.slots, g.owners, g.known, g.numbers)
}

// copySlot copies everything about a slot to another of the given arrays and updates its window.
func (g *group) copySlot(from, to uint32, slots []reference, owners []uint32, known []int64, numbers []int32) {
	r := g.memory.slots[from]
	slots[to] = r
	if r != 0 {
		setSlot(g.memory.window(r), to)
	}
	if owners != nil {
		owners[to] = g.owners[from]
	}
	if known != nil {
		known[to] = g.known[from]
	}
	if numbers != nil {
		numbers[to] = g.numbers[from]
	}
}

// packSlots closes the holes.
func (g *group) packSlots() {
	slots := make([]reference, len(g.memory.slots)-g.holes)
	var owners []uint32
	if g.owners != nil {
		owners = make([]uint32, len(slots))
	}
	var known []int64
	if g.known != nil {
		known = make([]int64, len(slots))
	}
	var numbers []int32
	if g.anySparse() {
		numbers = make([]int32, len(slots))
	}
	next := uint32(0)
	for i := range g.topics {
		gt := &g.topics[i]
		first := next
		for from := gt.first; from < gt.end(); from++ {
			g.copySlot(from, next, slots, owners, known, numbers)
			next++
		}
		gt.first = first
	}
	g.memory.slots, g.owners, g.known, g.numbers = slots, owners, known, numbers
	g.packs++
	g.layouts++
	g.holes = 0
}
