package curve

import (
	"math"
	"math/bits"
)

// thin removes segments until no more than want are left, each time the one whose absence adds least to the error of the
// time lags that the curve answers. It never removes the newest, and the oldest only if want is 1.
//
// Visvalingam and Whyatt ("Line generalisation by repeated elimination of the smallest area", The Cartographic Journal
// 30(1), 1993) remove the point that spans the smallest triangle with its neighbours, again and again. The order of
// removal is theirs; the measure is not, as an area of messages × milliseconds is no error of a lag: it favours what is busy
// over what is recent, and it is gone once the point is. Here each gap carries a bound of its own error in ms, the measure
// is the bound that the merged gap would have, relative to how long ago that was: a minute more or less matters to a lag
// of five minutes and not to one of three days. So the curve is dense at its new end and sparse, but true, at the old one.
//
// The bound. Let f be the interpolation across gap A (segments i to j) and gap B (j to k), and F the one across the
// merged gap, from (oᵢ, lastᵢ) to (oₖ, firstₖ). f and F agree at both ends and are straight in between but for the jump of
// f at oⱼ from firstⱼ to lastⱼ, so they differ most at oⱼ:
//
//	|F − f| ≤ |F(oⱼ) − firstⱼ| on A,  |F(oⱼ) − lastⱼ| on B
//
// and with the truth Q within errorA and errorB of f, by the triangle inequality,
//
//	|F − Q| ≤ max(errorA + |F(oⱼ) − firstⱼ|, errorB + |F(oⱼ) − lastⱼ|)
//
// for every offset of the merged gap, if the distances are rounded up since T rounds down: |⌊a⌋ − ⌊b⌋| ≤ ⌈|a − b|⌉.
// Q and F both lie between lastᵢ and firstₖ too, so the merged gap itself is a bound as well, and the smaller one counts.
// Both rest on polls that happened, whatever was thinned away in between.
func (c *Curve) thin(want int) {
	if want <= 1 {
		c.collapse(c.newest.Offset, c.newest.First, c.newest.Last, c.firstSeeded(c.n-1))
		return
	}
	var t thinning
	t.load(c)
	dirty := t.n // the first step that changed
	for t.n >= want {
		j := t.cheapest()
		t.remove(j)
		dirty = min(dirty, j-1)
		if j < int(c.doubtful) {
			c.doubtful--
		}
		c.thinnedSeeded(j)
	}
	c.n = uint8(t.n + 1)
	c.steps = c.steps[:t.at[dirty]]
	for _, s := range t.steps[dirty:t.n] {
		c.appendStep(s)
	}
}

// thinning is a curve unpacked, with what each removal would cost. Segment j lies between steps[j−1] and steps[j].
type thinning struct {
	n     int                     // steps
	steps [MaxSegments]step       // of which n count
	at    [MaxSegments]uint16     // where each step begins in the curve's buffer; not kept up
	ages  [MaxSegments + 1]uint64 // how long before the newest poll each segment was first seen, in ms
	costs [MaxSegments]float64    // of removing segment j, for 0 < j < n
}

// load unpacks the curve.
func (t *thinning) load(c *Curve) {
	t.n = int(c.n) - 1
	t.ages[t.n] = since(c.newest.First, c.newest.Last)
	end := len(c.steps)
	for i := t.n - 1; i >= 0; i-- {
		t.steps[i], end = lastStep(c.steps, end, c.base)
		t.at[i] = uint16(end)
		t.ages[i] = t.ages[i+1] + t.steps[i].gap + t.steps[i].span
	}
	for j := 1; j < t.n; j++ {
		t.costs[j] = t.cost(j)
	}
}

// cost returns the cost of removing segment j: the error bound of the merged gap divided by its age, the age being that of its newer
// end. The newest gap has no age, and is merged only if no other is left.
//
// The cost is a choice and not an answer, so floats suffice. They are converted as if signed, which takes one instruction: between
// times that are 292 million years apart the choice may be poor, but no answer is wrong.
func (t *thinning) cost(j int) float64 {
	a, b := &t.steps[j-1], &t.steps[j]
	age := float64(int64(t.ages[j+1]))
	if age == 0 {
		return math.Inf(1)
	}
	gap := float64(int64(a.gap + b.span + b.gap))
	at := gap * (float64(int64(a.offsets)) / float64(int64(a.offsets+b.offsets)))
	onA := at - float64(int64(a.gap))
	onB := math.Abs(onA-float64(int64(b.span))) + float64(int64(b.bound()))
	bound := math.Abs(onA) + float64(int64(a.bound()))
	if bound < onB { // not max and min, which take care of NaNs; there are none here
		bound = onB
	}
	if bound > gap {
		bound = gap
	}
	return bound / age
}

// cheapest returns the segment to remove, the oldest of several.
func (t *thinning) cheapest() int {
	best := 1
	cost := t.costs[1]
	for j, v := range t.costs[:t.n] {
		if v < cost && j > 0 {
			best, cost = j, v
		}
	}
	return best
}

// remove merges the steps on both sides of segment j.
func (t *thinning) remove(j int) {
	t.steps[j] = merge(t.steps[j-1], t.steps[j])
	copy(t.steps[j-1:t.n-1], t.steps[j:t.n])
	copy(t.ages[j:t.n], t.ages[j+1:t.n+1])
	copy(t.costs[j:t.n-1], t.costs[j+1:t.n])
	t.n--
	for k := max(j-1, 1); k <= j && k < t.n; k++ {
		t.costs[k] = t.cost(k)
	}
}

// merge returns the step over the segment between a and b, with an error bound that covers both. No sum overflows: offsets are from 0
// to MaxInt64, and times lie within 64 bits of each other.
func merge(a, b step) step {
	m := step{span: a.span, offsets: a.offsets + b.offsets, gap: a.gap + b.span + b.gap}
	at, rest := mulDiv(a.offsets, m.gap, m.offsets)
	bound := max(
		saturatingAdd(a.bound(), distance(at, rest, a.gap)),
		saturatingAdd(b.bound(), distance(at, rest, a.gap+b.span)),
	)
	m.tighter = m.gap - min(m.gap, bound)
	return m
}

// distance returns |v − to| rounded up, for the v between whole and whole + 1 that is whole only if rest is 0.
func distance(whole, rest, to uint64) uint64 {
	if whole < to {
		return to - whole
	}
	if rest > 0 {
		whole++ // at most gap, as rest > 0 means v < gap
	}
	return whole - to
}

// mulDiv returns a·b/c rounded down, and the remainder, for a ≤ c and c > 0, exact whatever the size of the product.
func mulDiv(a, b, c uint64) (quotient, rest uint64) {
	hi, lo := bits.Mul64(a, b)
	if hi == 0 {
		return lo / c, lo % c
	}
	// hi < c, which Div64 needs, as a·b ≤ c·b < c·2⁶⁴
	return bits.Div64(hi, lo, c)
}

// saturatingAdd returns a + b, or the greatest uint64 if that is less.
func saturatingAdd(a, b uint64) uint64 {
	sum, carry := bits.Add64(a, b, 0)
	return sum | -carry
}
