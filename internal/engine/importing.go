package engine

import (
	"fmt"

	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/internal/snapshot"
	"github.com/lagkeeper/storage/internal/window"
)

// Import takes the records of an import: it is a snapshot.Sink. Each record is checked and built aside when it arrives, so
// that an error can name its line; nothing changes before Apply. It needs no more memory than what the records become.
type Import struct {
	engine  *Engine
	builder builder
	topics  []importedTopic
	groups  []*group
	// names holds the names so far: a record that occurs twice is an error.
	names map[importedName]bool
	// clusters are the names of the clusters that have groups in the import.
	clusters map[string]bool
}

type importedTopic struct {
	cluster *Cluster
	topic   *ends.Topic
}

type importedName struct {
	group         bool
	cluster, name string
}

// Import begins an import.
func (e *Engine) Import() *Import {
	return &Import{engine: e, builder: builder{engine: e}, names: make(map[importedName]bool), clusters: make(map[string]bool)}
}

// invalidError is an Invalid with a text of its own.
type invalidError struct{ text string }

func (e *invalidError) Error() string { return e.text }

func (e *invalidError) Unwrap() error { return Invalid }

func invalidf(format string, args ...any) error { return &invalidError{fmt.Sprintf(format, args...)} }

// begin checks the names of a record, and that it is the first with them.
func (im *Import) begin(what string, group bool, cluster, name string) error {
	for _, of := range [...]struct{ what, name string }{{"cluster", cluster}, {what, name}} {
		if err := checkName(of.what, of.name); err != nil {
			return err
		}
	}
	key := importedName{group, cluster, name}
	if c := im.engine.Cluster(cluster); c != nil {
		key.cluster = c.Name
	}
	if im.names[key] {
		return invalidf("duplicate %s %q", what, name)
	}
	im.names[key] = true
	return nil
}

func checkName(what, name string) error {
	if len(name) > MaxName {
		return invalidf("invalid %s: %d bytes, must be at most %d", what, len(name), MaxName)
	}
	return nil
}

// WriteTopic takes a topic.
func (im *Import) WriteTopic(r *snapshot.Topic) error {
	if err := im.begin("topic", false, r.Cluster, r.Name); err != nil {
		return err
	}
	for i := range r.Partitions {
		if err := ends.Check(&r.Partitions[i]); err != nil {
			return invalidf("topic %q: partition %d: %v", r.Name, r.Partitions[i].Number, err)
		}
	}
	c := im.engine.Cluster(r.Cluster)
	if c == nil {
		return nil
	}
	t, err := im.engine.buildTopic(c, r, im.engine.config.Clock.Now())
	if err != nil {
		return err
	}
	im.topics = append(im.topics, importedTopic{c, t})
	return nil
}

// WriteGroup takes a group.
func (im *Import) WriteGroup(r *snapshot.Group) error {
	if err := im.begin("group", true, r.Cluster, r.Name); err != nil {
		return err
	}
	for i := range r.Topics {
		t := &r.Topics[i]
		if err := checkName("topic", t.Name); err != nil {
			return fmt.Errorf("group %q: %w", r.Name, err)
		}
		for j := range t.Partitions {
			if err := checkWindow(&t.Partitions[j]); err != nil {
				return fmt.Errorf("group %q: topic %q: partition %d: %w", r.Name, t.Name, t.Partitions[j].Number, err)
			}
		}
	}
	im.clusters[r.Cluster] = true
	c := im.engine.Cluster(r.Cluster)
	if c == nil {
		return nil
	}
	g, err := im.builder.group(c, r, im.engine.config.Clock.Now())
	if err != nil || !im.engine.admits(r) {
		return err
	}
	im.groups = append(im.groups, g)
	return nil
}

// checkWindow reports what makes the commits of a record invalid for a window.
func checkWindow(p *snapshot.GroupPartition) error {
	if err := checkName("owner", p.Owner); err != nil {
		return err
	}
	if err := checkName("client id", p.ClientID); err != nil {
		return err
	}
	if p.Incarnation >= 1<<(32-incarnationShift) {
		return invalidf("invalid incarnation %d: must be between 0 and %d", p.Incarnation, 1<<(32-incarnationShift)-1)
	}
	if len(p.Commits) > window.MaxCommits {
		return invalidf("%d commits: must be at most %d", len(p.Commits), window.MaxCommits)
	}
	before := int64(0)
	for i := range p.Commits {
		switch c := &p.Commits[i]; {
		case c.Offset < 0:
			return invalidf("invalid commit %d: must be at least 0", c.Offset)
		case c.Order < 0:
			return invalidf("invalid order %d: must be at least 0", c.Order)
		case c.Order < before:
			return invalidf("invalid order %d: follows order %d, must ascend", c.Order, before)
		default:
			before = c.Order
		}
	}
	return nil
}

// Apply replaces existing topics and groups by the imported ones of the same names, each at once, topics first. It returns
// Stopped and changes nothing if the engine is stopped, and Full if there is no room for everything; Stop waits for it.
func (im *Import) Apply(positions []snapshot.Position) error {
	e := im.engine
	e.changing.RLock()
	defer e.changing.RUnlock()
	if e.stopped.Load() {
		return Stopped
	}
	if needed := im.needs(); needed > 0 && !e.room.fits(needed) {
		return fmt.Errorf("%d bytes in addition to %d, the limit is %d: %w", needed, e.room.used.Load(), e.room.limit, Full)
	}
	for i := range positions {
		im.clusters[positions[i].Cluster] = true
	}
	// Before the groups: a snapshot that is taken meanwhile must not claim more than it contains.
	e.ImportPositions(positions, im.clusters)
	now := e.config.Clock.Now()
	for _, t := range im.topics {
		if replaced := t.cluster.topics.Put(t.topic, now); replaced != nil {
			e.forgetTopic(replaced)
		}
		e.loaded.Add(1)
	}
	for _, g := range im.groups {
		// Only a stopped shard refuses, and Stop stops none as long as changing is held.
		e.place(g, now, false)
	}
	return nil
}

// needs returns how many more bytes the store takes once everything is in place.
func (im *Import) needs() (bytes int) {
	for _, t := range im.topics {
		_, size := t.topic.Size()
		bytes += size
		if known := t.cluster.topics.Topic(t.topic.Name); known != nil {
			_, size := known.Size()
			bytes -= size
		}
	}
	for _, g := range im.groups {
		bytes += g.bytes() - im.engine.sizeOf(g)
	}
	return bytes
}

// sizeOf returns the bytes of the group with the same name, 0 if there is none.
func (e *Engine) sizeOf(other *group) int {
	s := e.shard(other.hash)
	s.mu.Lock()
	defer s.release()
	if g := s.find(other.cluster, other.hash, other.name); g != nil {
		return g.accounted
	}
	return 0
}
