package engine

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/protocol"
)

// MaxClusters is the greatest number of clusters at a time.
const MaxClusters = 10_000

// Cluster is one cluster.
type Cluster struct {
	// Name is the name as given, lower the same in lower case.
	Name, lower string
	// seed is random in each engine and cluster, so that nobody can choose names that share a shard or a chain, and the hashes
	// of two clusters are independent. Nothing that is stored may depend on it.
	seed   maphash.Seed
	topics *ends.Table
	// polledAt is when an end offset of any topic was last taken, in Unix milliseconds; 0 before the first.
	polledAt atomic.Int64
	// polledSince is when polls began, or began again after an outage.
	polledSince atomic.Int64
	positions   positions
	// removed is set before the first of its groups is removed: from then on nothing is created in the cluster.
	removed atomic.Bool
}

// clusterSet are the clusters at one moment. It is never changed: adding or removing a cluster makes another set.
type clusterSet struct {
	byName map[string]*Cluster
	all    []*Cluster // ascending by name
	names  []string   // of all
	only   *Cluster   // nil unless there is just one
}

func newClusterSet(all []*Cluster) *clusterSet {
	set := &clusterSet{byName: make(map[string]*Cluster, len(all)), all: all, names: make([]string, len(all))}
	slices.SortFunc(all, func(a, b *Cluster) int { return cmp.Compare(a.Name, b.Name) })
	for i, c := range all {
		set.byName[c.Name], set.names[i] = c, c.Name
	}
	if len(all) == 1 {
		set.only = all[0]
	}
	return set
}

// find returns the cluster of a name, looked up as given and then in lower case; nil if there is none.
func (set *clusterSet) find(name string) *Cluster {
	if c := set.byName[name]; c != nil {
		return c
	}
	return set.byName[strings.ToLower(name)]
}

func (e *Engine) newCluster(name string) *Cluster {
	c := &Cluster{Name: strings.Clone(name), lower: strings.ToLower(name), seed: maphash.MakeSeed()}
	c.topics = ends.NewTable(ends.Options{
		History: e.config.Intervals, CurveSegments: e.config.CurveSegments, Grew: e.room.add, CountDeletions: e.config.GroupsElsewhere,
		Created: func(t *ends.Topic) { e.publish(protocol.EventTopicCreated, c, t, 0) },
		Deleted: func(t *ends.Topic) { e.publish(protocol.EventTopicDeleted, c, t, 0) },
		Expired: func(t *ends.Topic) { e.publish(protocol.EventTopicExpired, c, t, 0) },
		Reset:   func(t *ends.Topic, p int32) { e.publish(protocol.EventIncarnationChanged, c, t, p) },
		Damaged: e.damage,
	})
	return c
}

// Clusters returns the names of the clusters, sorted. The caller must not change the slice.
func (e *Engine) Clusters() []string { return e.clusters.Load().names }

// Cluster returns the cluster of a name, looked up as given and then in lower case; nil if there is none.
func (e *Engine) Cluster(name string) *Cluster {
	set := e.clusters.Load()
	if set.only != nil && set.only.Name == name {
		return set.only
	}
	return set.find(name)
}

// AddCluster adds a cluster, which is empty, unless it exists. It waits for a cluster that is being removed: the events of an
// old cluster of the same name must not come after those of the new one.
func (e *Engine) AddCluster(name string) error {
	if err := checkName("cluster", name); err != nil {
		return err
	}
	e.clusterChange.Lock()
	defer e.clusterChange.Unlock()
	e.changing.RLock()
	defer e.changing.RUnlock()
	if e.stopped.Load() {
		return Stopped
	}
	set := e.clusters.Load()
	if set.byName[name] != nil {
		return nil
	}
	c := e.newCluster(name)
	for _, other := range set.all {
		if other.lower == c.lower {
			return invalidf("cluster %q differs from %q only in case", name, other.Name)
		}
	}
	if len(set.all) >= MaxClusters {
		return invalidf("there are %d clusters: must be at most %d", len(set.all), MaxClusters)
	}
	e.clusters.Store(newClusterSet(append(slices.Clone(set.all), c)))
	return nil
}

// RemoveCluster removes a cluster with everything in it. From then on a look-up does not find it; a caller that has looked it
// up before finds it empty when RemoveCluster has returned, if not sooner.
func (e *Engine) RemoveCluster(name string) Reason {
	e.clusterChange.Lock()
	defer e.clusterChange.Unlock()
	c, why := e.takeCluster(name)
	if why != 0 {
		return why
	}
	// A snapshot from here on is a different one, and so is one after the end.
	e.changes.Add(1)
	defer e.changes.Add(1)
	c.topics.Close()
	// If the engine is stopped meanwhile, the rest stays; but no look-up finds it, and no snapshot contains it.
	if why := e.SyncGroups(c, nil); why != 0 {
		return 0
	}
	if why := e.SyncTopics(c, nil); why != 0 {
		return 0
	}
	c.topics.Shrink()
	for i := range e.shards {
		for from := uint64(1); from != 0; {
			from = e.shards[i].forgetDepartedOf(from, func(d departedGroup) bool { return d.cluster == c })
		}
	}
	return 0
}

// takeCluster removes a cluster from the set.
func (e *Engine) takeCluster(name string) (*Cluster, Reason) {
	e.changing.RLock()
	defer e.changing.RUnlock()
	if e.stopped.Load() {
		return nil, Stopped
	}
	set := e.clusters.Load()
	c := set.find(name)
	if c == nil {
		return nil, UnknownCluster
	}
	e.clusters.Store(newClusterSet(slices.DeleteFunc(slices.Clone(set.all), func(other *Cluster) bool { return other == c })))
	c.removed.Store(true)
	return c, 0
}
