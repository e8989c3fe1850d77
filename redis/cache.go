package lagredis

import (
	"container/list"
	"sync"

	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/internal/engine"
)

// group is what the process knows of a group. The engine holds the copy, if there is one.
type group struct {
	// Immutable.
	cluster *engine.Cluster
	name    string
	bucket  int
	key     string

	queue queue[*groupOp]

	// refs, element and bytes are guarded by the cache.
	refs    int
	element *list.Element
	bytes   int

	// The fields below belong to the goroutine that took from the queue.

	// loaded is set while the engine holds the group as it is in Redis at version; version is "" if the group does not exist there.
	loaded  bool
	version string
	// tried is the version of a change whose outcome is not known; triedDelete is set if that change was a deletion.
	tried       string
	triedDelete bool
	identity    any
	topics      map[string]storedTopic
	several     bool // whether the group is in the zset of the stalest
	size        int  // of the copy
	// asked is the number of times feeds had asked for positions when the orders of the copy were made known, 0 for a copy just read.
	asked int64
}

// storedTopic is a topic of a group as it is in Redis.
type storedTopic struct {
	number uint64
	topic  *ends.Topic
	owners bool
}

type groupID struct {
	cluster *engine.Cluster
	name    string
}

// groupCache bounds the memory of the copies of groups.
type groupCache struct {
	mu     sync.Mutex
	groups map[groupID]*group // guarded by mu, as all below
	recent list.List          // of *group, the most recently used in front
	bytes  int
}

func (c *groupCache) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.groups, c.bytes = make(map[groupID]*group), 0
	c.recent.Init()
}

// acquire returns the group of a name, which stays in the cache until it is released.
func (db *DB) acquire(c *engine.Cluster, name string) *group {
	cache := &db.groups
	cache.mu.Lock()
	defer cache.mu.Unlock()
	id := groupID{c, name}
	g := cache.groups[id]
	if g == nil {
		bucket := db.groupBucket(name)
		g = &group{cluster: c, name: name, bucket: bucket, key: db.groupKey(bucket, c.Name, name)}
		g.element = cache.recent.PushFront(g)
		cache.groups[id] = g
		g.bytes = groupOverhead + 2*len(g.key)
		cache.bytes += g.bytes
	} else {
		cache.recent.MoveToFront(g.element)
	}
	g.refs++
	return g
}

// groupOverhead is approximately what a group takes beside its copy, in bytes.
const groupOverhead = 600

// retain keeps an acquired group until it is released once more.
func (db *DB) retain(g *group) {
	db.groups.mu.Lock()
	defer db.groups.mu.Unlock()
	g.refs++
}

// release gives a group back, and drops copies beyond the bound.
func (db *DB) release(g *group) {
	cache := &db.groups
	cache.mu.Lock()
	defer cache.mu.Unlock()
	g.refs--
	for e := cache.recent.Back(); e != nil && cache.bytes > db.options.CacheBytes; {
		old := e.Value.(*group)
		e = e.Prev()
		if old.refs > 0 {
			continue
		}
		cache.recent.Remove(old.element)
		delete(cache.groups, groupID{old.cluster, old.name})
		cache.bytes -= old.bytes
		db.engine.DropGroup(old.cluster, old.name)
	}
}

// resize updates the size of the copy of a group.
func (db *DB) resize(g *group) {
	size := g.size + groupOverhead + 2*len(g.key) + 100*len(g.topics)
	db.groups.mu.Lock()
	defer db.groups.mu.Unlock()
	db.groups.bytes += size - g.bytes
	g.bytes = size
}

// topic is what the process knows of a topic. It stays in memory until a sweep finds that the topic is gone: a group needs the ones
// that it holds.
type topic struct {
	// Immutable.
	cluster *engine.Cluster
	name    string
	bucket  int
	key     string

	queue queue[*topicOp]

	// state is write-locked while the engine's topic may differ from the one in Redis.
	state sync.RWMutex
	// Guarded by state: loaded and version as in group; known is the engine's topic at that version.
	loaded      bool
	version     string
	known       *ends.Topic
	tried       string
	triedDelete bool
}

type topicCache struct {
	mu     sync.Mutex
	topics map[groupID]*topic // guarded by mu
}

func (c *topicCache) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.topics = make(map[groupID]*topic)
}

func (db *DB) topic(c *engine.Cluster, name string) *topic {
	db.topics.mu.Lock()
	defer db.topics.mu.Unlock()
	id := groupID{c, name}
	t := db.topics.topics[id]
	if t == nil {
		bucket := db.topicBucket(name)
		t = &topic{cluster: c, name: name, bucket: bucket, key: db.topicKey(bucket, c.Name, name)}
		db.topics.topics[id] = t
	}
	return t
}
