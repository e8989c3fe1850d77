package ends

import "github.com/lagkeeper/storage/internal/curve"

// Image is what is known of the end offsets of some topics at the moments at which they were added, copied as it lies there:
// taking one costs little more than to copy that memory, and nothing for a partition of which nothing is known. What it means
// is worked out when it is looked at.
type Image struct {
	pages     []imagePage
	rings     []uint32
	details   []detail
	histories []int64

	lags  []curve.Frozen
	steps []byte
	// segments is where Recent works.
	segments []curve.Segment
}

// imagePage is a page in an Image.
type imagePage struct {
	first, length int32
	stride        int
	// rings is where the page begins in rings and details, histories where it begins there.
	rings, histories int
}

// Reset empties the image and keeps its memory.
func (m *Image) Reset() {
	*m = Image{
		pages: m.pages[:0], rings: m.rings[:0], details: m.details[:0], histories: m.histories[:0], lags: m.lags[:0],
		steps: m.steps[:0], segments: m.segments[:0],
	}
}

// ImageTopic is a topic in an Image.
type ImageTopic struct{ from, through int }

// Add copies the partitions below count.
func (m *Image) Add(r Reading, count int32) ImageTopic {
	t := ImageTopic{from: len(m.pages)}
	if r.index != nil {
		for _, p := range r.index.pages {
			if p.first >= count {
				break
			}
			m.addPage(p, min(len(p.partitions), int(count-p.first)))
		}
	}
	t.through = len(m.pages)
	return t
}

func (m *Image) addPage(p *page, length int) {
	m.pages = append(m.pages, imagePage{
		first: p.first, length: int32(length), stride: p.stride, rings: len(m.rings), histories: len(m.histories),
	})
	for i := range p.partitions[:length] {
		m.rings = append(m.rings, p.partitions[i].ring.Load())
	}
	m.details = append(m.details, p.details[:length]...)
	m.histories = append(m.histories, p.histories[:length*p.stride]...)
}

// AddLag copies what it takes to tell how long ago the message at which a commit stands was the newest, and if recent is set,
// which end offsets were seen of late. The lags are asked for again by their numbers, from 0.
func (m *Image) AddLag(r Reading, number int32, commit int64, recent bool) {
	frozen := curve.Frozen{}
	if p, at := r.index.find(number); p != nil && len(p.curves) > 0 {
		view := viewOf(p.partitions[at].load(), p.partitions[at].newest.Load(), &p.details[at])
		frozen, m.steps = p.curves[at].Freeze(view.Position(commit), recent, m.steps)
	}
	m.lags = append(m.lags, frozen)
}

// TimeLag answers what was asked with AddLag.
func (m *Image) TimeLag(lag int, now int64) curve.Estimate { return m.lags[lag].Lag(m.steps, now) }

// Recent returns the newest segments of the curve behind a lag that AddLag was told to keep, newest first. It is good until
// the next call.
func (m *Image) Recent(lag int) []curve.Segment {
	m.segments = m.lags[lag].AppendRecent(m.segments[:0], m.steps)
	return m.segments
}

// Sizes returns the number of partitions of a topic that have an end offset, and that of all their end offsets.
func (m *Image) Sizes(t ImageTopic) (partitions, endOffsets int) {
	for i := t.from; i < t.through; i++ {
		p := &m.pages[i]
		for _, r := range m.rings[p.rings : p.rings+int(p.length)] {
			if n := int(r & ringMask); n > 0 {
				partitions++
				endOffsets += n
			}
		}
	}
	return partitions, endOffsets
}

// Cursor looks at the partitions of a topic in an Image, one after the other.
type Cursor struct {
	image *Image
	topic ImageTopic
}

// Cursor begins with the first partition of a topic.
func (m *Image) Cursor(t ImageTopic) Cursor { return Cursor{image: m, topic: t} }

// Next returns what is known of a partition, whose number is above that of the call before, and appends its end offsets to
// dst, oldest first.
func (c *Cursor) Next(number int32, dst []int64) (View, []int64) {
	m := c.image
	for c.topic.from < c.topic.through {
		p := &m.pages[c.topic.from]
		at := number - p.first
		if at < 0 {
			break
		}
		if at >= p.length {
			c.topic.from++
			continue
		}
		r := unpack(m.rings[p.rings+int(at)])
		if r.count == 0 {
			break
		}
		from := p.histories + int(at)*p.stride
		dst = appendHistory(dst, m.histories[from:from+p.stride], r)
		return viewOf(r, dst[len(dst)-1], &m.details[p.rings+int(at)]), dst
	}
	return View{}, dst
}
