package engine

import (
	"sync"
	"sync/atomic"

	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/internal/parallel"
	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/protocol"
)

// Version changes whenever the state does.
func (e *Engine) Version() (version uint64) {
	version = e.loaded.Load() + e.changes.Load() + e.sweptTopics.Load()
	for _, request := range []protocol.StorageRequestConstant{
		protocol.StorageSetBrokerOffset, protocol.StorageSetDeleteTopic, protocol.StorageSetDeleteGroup,
		protocol.StorageClearConsumerOwners,
	} {
		version += e.requests[request][0].Load()
	}
	for i := range e.shards {
		s := &e.shards[i]
		version += s.version()
	}
	return version
}

func (s *shard) version() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts.commits[0] + s.counts.owners[0] + s.counts.expired + s.counts.swept + s.counts.loaded
}

// Save writes everything to outs, each of which is used by a goroutine of its own, while requests go on. Each group is
// written as it is at one moment; a shard is held only while one group is copied, and never while an Output writes. Save
// works on a stopped engine too. It returns ErrDamaged, possibly after it has written everything, if what it wrote may be
// half-changed.
func (e *Engine) Save(outs ...snapshot.Output) error {
	if e.Damaged() {
		return ErrDamaged
	}
	if err := e.save(outs); err != nil {
		return err
	}
	if e.Damaged() {
		return ErrDamaged // damaged meanwhile
	}
	return nil
}

func (e *Engine) save(outs []snapshot.Output) error {
	written := &writtenTopics{topics: make(map[*ends.Topic]bool)}
	savers := make([]saver, len(outs))
	for i := range savers {
		savers[i] = saver{engine: e, out: outs[i], written: written}
	}
	clusters := e.clusters.Load().all
	for _, c := range clusters {
		topics := c.topics.Topics(nil)
		for _, t := range topics {
			written.topics[t] = true
		}
		if err := each(savers, len(topics), func(w *saver, i int) error { return w.topic(c, topics[i]) }); err != nil {
			return err
		}
	}
	for i := range savers {
		if err := savers[i].out.Flush(); err != nil {
			return err
		}
	}
	var groups []*group
	for i := range e.shards {
		s := &e.shards[i]
		// Deletions are written before the groups, since one may come back meanwhile, and after them, since one may depart.
		from, err := savers[0].departed(s, 1)
		if err != nil {
			return err
		}
		for _, c := range clusters {
			groups, _ = s.appendList(groups[:0], groupsIn(c)) // of a stopped engine too
			if err := each(savers, len(groups), func(w *saver, i int) error { return w.group(s, groups[i]) }); err != nil {
				return err
			}
		}
		if _, err := savers[0].departed(s, from); err != nil {
			return err
		}
	}
	return nil
}

// each calls do with each number below n, on as many goroutines as there are savers.
func each(savers []saver, n int, do func(w *saver, i int) error) error {
	if n == 0 {
		return nil
	}
	var next atomic.Int64
	return parallel.Do(min(n, len(savers)), func(k int) error {
		for {
			i := int(next.Add(1)) - 1
			if i >= n {
				return nil
			}
			if err := do(&savers[k], i); err != nil {
				next.Store(int64(n)) // the others need not continue
				return err
			}
		}
	})
}

// saver holds the memory that saving needs: that of the largest group and the largest topic.
type saver struct {
	engine      *Engine
	out         snapshot.Output
	written     *writtenTopics
	topicRecord snapshot.Topic
	groupRecord snapshot.Group
	packer      packer
}

// writtenTopics holds the topics that precede every group that is written from now on.
type writtenTopics struct {
	mu     sync.RWMutex
	topics map[*ends.Topic]bool
}

func (w *writtenTopics) has(t *ends.Topic) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.topics[t]
}

func (w *saver) topic(c *Cluster, t *ends.Topic) error {
	t.Save(&w.topicRecord)
	w.topicRecord.Cluster = c.Name
	return w.out.WriteTopic(&w.topicRecord)
}

func (w *saver) group(s *shard, g *group) error {
	k := captures.Get().(*Capture)
	defer k.Release()
	k.intervals = w.engine.config.Intervals
	r := &w.groupRecord
	r.Cluster, r.Name = g.cluster.Name, g.name
	for {
		deleted, there := w.copyGroup(s, g, k)
		if !there {
			return nil
		}
		wrote, err := w.topicsOf(g.cluster, k)
		if err != nil {
			return err
		}
		if wrote {
			continue
		}
		w.packer.pack(k, r)
		if err := w.out.WriteGroup(r); err != nil || deleted == nil {
			return err
		}
		return w.out.WriteGroup(deleted)
	}
}

// topicsOf writes the topics of a captured group that have not been written, and reports whether there were any: then the
// group has to be captured again. A topic that was created after the topics had been written comes before the first group
// that holds it, as it was before that group was captured. So no commit in a snapshot is older than the end offsets in it.
func (w *saver) topicsOf(c *Cluster, k *Capture) (wrote bool, err error) {
	for i := range k.held {
		if t := k.held[i].topic; !w.written.has(t) {
			if err := w.late(c, t); err != nil {
				return false, err
			}
			wrote = true
		}
	}
	return wrote, nil
}

// late writes a topic, unless another saver has done so meanwhile. No other saver writes a group that holds it before it is
// written.
func (w *saver) late(c *Cluster, t *ends.Topic) error {
	w.written.mu.Lock()
	defer w.written.mu.Unlock()
	if w.written.topics[t] {
		return nil
	}
	w.written.topics[t] = true
	if err := w.topic(c, t); err != nil {
		return err
	}
	return w.out.Flush()
}

// copyGroup copies a group, and what was deleted of it. It returns false if the group no longer exists.
func (w *saver) copyGroup(s *shard, g *group, k *Capture) (deleted *snapshot.Group, there bool) {
	fits := false
	for tries := 0; !fits; tries++ {
		if deleted, there, fits = w.tryCopyGroup(s, g, k, tries); !there {
			return nil, false
		}
		if !fits {
			s.drain()
		}
	}
	k.unfold()
	return deleted, true
}

func (w *saver) tryCopyGroup(s *shard, g *group, k *Capture, tries int) (deleted *snapshot.Group, there, fits bool) {
	k.grow()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(g.cluster, g.hash, g.name) != g {
		return nil, false, false
	}
	if s.leaving != nil || !k.take(g, tries) {
		return nil, true, false
	}
	r := &w.groupRecord
	r.LastCommit, r.LastOwner = snapshot.Never, g.seen.Load()
	if g.committed {
		r.LastCommit, r.LastOwner = r.LastOwner, snapshot.Never
	}
	// Deletions before this moment belong to the copy: a partition may come back before the rest is written.
	if x := s.departures.byGroup[departedGroup{g.cluster, g.name}]; x != nil {
		record := x.record()
		deleted = &record
	}
	return deleted, true, true
}

// departed writes deletions from a number on, some at a time, and returns the number to continue from.
func (w *saver) departed(s *shard, from uint64) (next uint64, err error) {
	for {
		var records []snapshot.Group
		var more bool
		s.drain()
		if records, from, more = s.departedRecords(from); len(records) > 0 {
			for i := range records {
				if err := w.out.WriteGroup(&records[i]); err != nil {
					return 0, err
				}
			}
		}
		if !more {
			return from, nil
		}
	}
}

// departedBatch is the number of deleted partitions that are copied while a shard is held.
const departedBatch = 512

// departedRecords copies some deletions, from a number on. It returns the number to continue from and whether there are more.
func (s *shard) departedRecords(from uint64) (records []snapshot.Group, next uint64, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving != nil {
		return nil, from, true // a record that has been written cannot be extended
	}
	d := &s.departures
	at := d.from(from)
	for room := departedBatch; at < len(d.queue) && room > 0; at++ {
		room--
		if x := d.queue[at].departure; x != nil && !x.group.cluster.removed.Load() {
			records = append(records, x.record())
			room -= x.size()
		}
	}
	if at < len(d.queue) {
		return records, d.queue[at].number, true
	}
	return records, d.next + 1, false
}
