package ends

import "github.com/lagkeeper/storage/internal/curve"

// Image is what is known of the end offsets of some topics at the moments at which they were added, copied in the form in
// which it is kept: taking one costs little more than copying that memory, and nothing for unknown partitions. It is decoded
// when it is read.
type Image struct {
	pages   []imagePage
	newest  []int64
	rings   []uint32
	details []detail
	// older are the differences between end offsets.
	older []byte

	lags  []curve.Frozen
	steps []byte
	// segments is the scratch memory of Recent.
	segments []curve.Segment
}

// imagePage is a page in an Image.
type imagePage struct {
	first, length int32
	// rings is where the page begins in newest, rings and details; from and through say where its differences are.
	rings, from, through int
	stride, width        int
}

// Reset empties the image and keeps its memory.
func (m *Image) Reset() {
	*m = Image{
		pages: m.pages[:0], newest: m.newest[:0], rings: m.rings[:0], details: m.details[:0], older: m.older[:0],
		lags: m.lags[:0], steps: m.steps[:0], segments: m.segments[:0],
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
	to := imagePage{
		first: p.first, length: int32(length), rings: len(m.rings), from: len(m.older),
		stride: p.older.stride, width: p.older.width,
	}
	for i := range p.partitions[:length] {
		m.newest = append(m.newest, p.partitions[i].newest.Load())
		m.rings = append(m.rings, p.partitions[i].ring.Load())
	}
	m.details = append(m.details, p.details[:length]...)
	m.older = append(m.older, p.older.bytes[:length*to.stride*to.width]...)
	to.through = len(m.older)
	m.pages = append(m.pages, to)
}

// Lags adds the lags of commits on a topic to an Image.
type Lags struct {
	image  *Image
	index  *index
	recent bool
	// page is that of the partition before, whose neighbour is usually the next.
	page *page
}

// Lags begins to add the lags of commits on the topic of a Reading, with which end offsets were seen of late if recent is set.
func (m *Image) Lags(r Reading, recent bool) Lags {
	return Lags{image: m, index: r.index, recent: recent}
}

// Add copies what it takes to tell how long ago the message at which a commit on a partition stands was the newest. The lags are
// read back by their numbers, from 0.
func (l *Lags) Add(number int32, commit int64) {
	m := l.image
	m.lags = append(m.lags, curve.Frozen{})
	p := l.page
	if p == nil || uint32(number-p.first) >= uint32(len(p.partitions)) {
		if p, _ = l.index.find(number); p == nil {
			return
		}
		l.page = p
	}
	if p.curves.Len() == 0 {
		return
	}
	at := int(number - p.first)
	newest, d := p.partitions[at].newest.Load(), &p.details[at]
	// This is View.Position.
	position := max(commit, min(d.logStart, newest))
	m.steps = p.curves.Freeze(at, newest, d.seen, position, l.recent, &m.lags[len(m.lags)-1], m.steps)
}

// TimeLag returns what Lags noted.
func (m *Image) TimeLag(lag int, now int64) curve.Estimate { return m.lags[lag].Lag(m.steps, now) }

// Recent returns the newest segments of the curve behind a lag that Lags kept, newest first. It is good until
// the next call.
func (m *Image) Recent(lag int) []curve.Segment {
	m.segments = m.lags[lag].AppendRecent(m.segments[:0], m.steps)
	return m.segments
}

// Sizes returns the number of partitions of a topic that have an end offset, and the number of all their end offsets.
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

// Cursor reads the partitions of a topic in an Image, one after the other.
type Cursor struct {
	image *Image
	topic ImageTopic
}

// Cursor begins at the first partition of a topic.
func (m *Image) Cursor(t ImageTopic) Cursor { return Cursor{image: m, topic: t} }

// Next sets v to what is known of a partition, whose number is above that of the call before, and appends its end offsets to dst,
// oldest first.
func (c *Cursor) Next(number int32, v *View, dst []int64) []int64 {
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
		newest := m.newest[p.rings+int(at)]
		older := older{bytes: m.older[p.from:p.through], stride: p.stride, width: p.width}
		*v = viewOf(r, newest, &m.details[p.rings+int(at)])
		return older.appendTo(dst, int(at), r, newest)
	}
	*v = View{}
	return dst
}
