package engine

import (
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lagkeeper/storage/internal/ends"
	"github.com/lagkeeper/storage/internal/feed"
	"github.com/lagkeeper/storage/protocol"
)

// Clock gives the engine the time in Unix milliseconds.
type Clock interface {
	// Coarse is cheap and may be slightly late.
	Coarse() int64
	// Now is exact.
	Now() int64
	// Read returns the exact time, and the milliseconds on the monotonic clock since some fixed moment.
	Read() (now, elapsed int64)
}

// Config configures an Engine. It never changes afterwards.
type Config struct {
	// Clusters are the names of the initial clusters.
	Clusters []string
	// Shards is the number of shards that the groups are spread over, at most MaxShards.
	Shards int
	// Intervals is the number of commits and end offsets that are kept per partition, at most window.MaxCommits.
	Intervals int
	// ExpireGroup and ExpireTopic are in milliseconds, at most 1<<60.
	ExpireGroup, ExpireTopic int64
	// MinDistance is in milliseconds.
	MinDistance int64
	// Accept reports whether the filters accept a group; nil accepts all.
	Accept func(group string) bool
	// CurveSegments is the number of segments that the curve of end offsets of a partition may have; 0 turns time lag off.
	CurveSegments int
	// MaxMemory is the number of bytes, as Stats counts them, from which new groups, topics and partitions are refused; 0 is
	// no limit.
	MaxMemory int64
	// Clock is the source of time.
	Clock Clock
	// Hub receives the events.
	Hub *feed.Hub[protocol.Event]
	// Remember is true if deletions are remembered for a replay after a restart.
	Remember bool
	// ReplayTimeout is the number of milliseconds after which a restored topic that nobody has polled is swept; 0 is never.
	ReplayTimeout int64
	// GroupsElsewhere is true if the groups are kept elsewhere and are put in one at a time: a topic that is deleted stays in
	// each until LoseDeleted removes it.
	GroupsElsewhere bool
	// Stuck, if not nil, is called for each group whose fresh commits are refused repeatedly because of their orders. It is
	// called without a lock, by the sender of the commit.
	Stuck func(cluster, group string)
}

// Engine is the state of a store. Make it with New.
type Engine struct {
	config   Config
	clusters atomic.Pointer[clusterSet]
	// clusterChange is held while a cluster is added or removed.
	clusterChange sync.Mutex

	room    room
	shards  []shard
	expiry  expiryTime
	stopped atomic.Bool
	damaged atomic.Bool // see damage.go
	// changing is held for reading while topics are created, deleted or loaded, and for writing by Stop.
	changing sync.RWMutex
	sweeps   atomic.Uint64
	// trimFrom is the index of the shard from which on the next sweep gives memory back.
	trimFrom atomic.Int64
	loaded   atomic.Uint64 // topics
	// changes counts changes of the state that are no requests of the channel.
	changes     atomic.Uint64
	sweptTopics atomic.Uint64
	// replay numbers the replays, from 1: ReplayDone begins the next. Restored state waits in the replay in which it was
	// restored.
	replay atomic.Uint32
	// requests counts, by type and outcome, the requests that no shard counts.
	requests [protocol.StorageRequestTypes][Reasons]atomic.Uint64
}

// New makes an empty engine.
func New(config Config) *Engine {
	e := &Engine{config: config, shards: make([]shard, min(config.Shards, MaxShards))}
	e.room.limit = config.MaxMemory
	var clusters []*Cluster
	for _, name := range slices.Compact(slices.Sorted(slices.Values(config.Clusters))) {
		clusters = append(clusters, e.newCluster(name))
	}
	e.clusters.Store(newClusterSet(clusters))
	e.expiry.start(config.Clock, min(config.ExpireGroup, config.ExpireTopic))
	e.replay.Store(1)
	for i := range e.shards {
		s := &e.shards[i]
		s.init(config.Hub, &e.room)
		s.remembers, s.shards, s.damage = config.Remember, config.Shards, e.damage
	}
	return e
}

// publish publishes an event of a topic.
func (e *Engine) publish(kind protocol.EventKind, c *Cluster, t *ends.Topic, partition int32) {
	if e.config.Hub.Watched() {
		e.config.Hub.Publish(protocol.Event{
			Kind: kind, Time: time.UnixMilli(e.config.Clock.Coarse()), Cluster: c.Name, Topic: t.Name, Partition: partition,
		})
	}
}

// Stop makes every later call fail with Stopped. When it returns, no call changes a group any more, and none that stores an end
// offset succeeds.
func (e *Engine) Stop() {
	e.changing.Lock()
	e.stopped.Store(true)
	e.changing.Unlock()
	for i := range e.shards {
		s := &e.shards[i]
		s.mu.Lock()
		s.stopped = true
		s.mu.Unlock()
	}
}

// hash spreads the groups of a cluster over the shards.
func (c *Cluster) hash(group string) uint64 { return maphash.String(c.seed, group) }

func (e *Engine) shard(hash uint64) *shard { return &e.shards[e.shardIndex(hash)] }

func (e *Engine) shardIndex(hash uint64) uint64 { return hash >> 32 * uint64(len(e.shards)) >> 32 }

// SetEndOffset stores the end offset of a partition.
func (e *Engine) SetEndOffset(c *Cluster, topic string, end *protocol.EndOffset) Reason {
	if e.stopped.Load() {
		return Stopped
	}
	if !validEndOffset(end) || len(topic) > MaxName {
		return Invalid
	}
	now := e.config.Clock.Coarse()
	if end.Timestamp <= 0 || end.Timestamp > now {
		now = e.config.Clock.Now()
	}
	t := e.ensureTopic(c, topic)
	if t == nil {
		return e.noTopic(c, now)
	}
	_, why := e.setEndOffset(c, t, end, now)
	return why
}

// ensureTopic returns the topic of a name, and makes it if there is none. It returns nil if there is no room for it, the cluster
// has been removed or the engine is stopped.
func (e *Engine) ensureTopic(c *Cluster, name string) *ends.Topic {
	if t := c.topics.Topic(name); t != nil || e.room.full() {
		return t
	}
	return e.createTopic(c, name)
}

// createTopic is ensureTopic whether or not there is room.
func (e *Engine) createTopic(c *Cluster, name string) *ends.Topic {
	e.changing.RLock()
	defer e.changing.RUnlock()
	if e.stopped.Load() {
		return nil
	}
	return c.topics.Ensure(name)
}

// noTopic returns why there is no topic.
func (e *Engine) noTopic(c *Cluster, now int64) Reason {
	switch {
	case e.stopped.Load():
		return Stopped
	case c.removed.Load():
		return UnknownCluster
	}
	return e.refuse(now)
}

// setEndOffset stores an end offset in a topic, or in the topic that replaces it, and returns that. now is the exact time if
// the end offset has no time or a later one: nothing can have been seen later than now, so the sender's clock is ahead.
func (e *Engine) setEndOffset(c *Cluster, t *ends.Topic, end *protocol.EndOffset, now int64) (*ends.Topic, Reason) {
	if before := c.polledAt.Load(); before != now {
		e.notePolled(c, before, now)
	}
	seen := end.Timestamp
	if seen <= 0 || seen > now {
		seen = now
	}
	in := ends.EndOffset{
		Number: end.Partition, Count: end.TopicPartitionCount, Offset: end.Offset, Seen: seen, Dated: end.Timestamp > 0,
		LogStart: end.LogStartOffset, ID: end.TopicID, KnownOnly: e.room.full(),
	}
	for {
		t.Polled(now)
		switch t.Set(in) {
		case ends.Stale:
			return t, Stale
		case ends.NoRoom:
			return t, e.refuse(now)
		case ends.Replaced:
			if c.removed.Load() {
				return t, UnknownCluster
			}
			// The topic was known under another id.
			in.KnownOnly = false
			if why := e.replaceTopic(c, t, &in); why != 0 {
				return t, why
			}
			next := e.createTopic(c, t.Name)
			if next == nil {
				return t, e.noTopic(c, now)
			}
			t = next
		default:
			if e.stopped.Load() {
				return t, Stopped // what is saved after Stop may be without it
			}
			return t, 0
		}
	}
}

// replaceTopic deletes a topic and makes another of its name.
func (e *Engine) replaceTopic(c *Cluster, t *ends.Topic, end *ends.EndOffset) Reason {
	e.changing.RLock()
	defer e.changing.RUnlock()
	if e.stopped.Load() {
		return Stopped
	}
	if c.topics.Replace(t, end) {
		e.forgetTopic(t)
	}
	return 0
}

// forgetTopic removes a topic that has left its table from every group.
func (e *Engine) forgetTopic(t *ends.Topic) {
	if e.config.GroupsElsewhere {
		return
	}
	now := e.config.Clock.Coarse()
	for i := range e.shards {
		e.shards[i].forgetTopic(t, now)
	}
}

// SetEndOffsets stores the end offsets of many partitions of one topic. It calls refused for each that is not stored.
func (e *Engine) SetEndOffsets(c *Cluster, topic string, all []protocol.EndOffset, refused func(i int, why Reason)) {
	var t *ends.Topic
	now := e.config.Clock.Now()
	for i := range all {
		why := Reason(0)
		switch {
		case e.stopped.Load():
			why = Stopped
		case !validEndOffset(&all[i]) || len(topic) > MaxName:
			why = Invalid
		default:
			if t == nil || t.Deleted() {
				t = e.ensureTopic(c, topic)
			}
			if t == nil {
				why = e.noTopic(c, now)
			} else {
				t, why = e.setEndOffset(c, t, &all[i], now)
			}
		}
		e.Count(protocol.StorageSetBrokerOffset, why)
		if why != 0 {
			refused(i, why)
		}
	}
}

func validEndOffset(end *protocol.EndOffset) bool {
	return end.Offset >= 0 && end.Partition >= 0 && end.Partition < ends.MaxPartitions && end.TopicPartitionCount <= ends.MaxPartitions
}

// EndOffsets appends the newest end offset of every partition of a topic to dst, -1 if none is known.
func (e *Engine) EndOffsets(c *Cluster, topic string, dst []int64) ([]int64, Reason) {
	if e.stopped.Load() {
		return dst, Stopped
	}
	t := c.topics.Topic(topic)
	if t == nil {
		return dst, UnknownTopic
	}
	return t.AppendNewest(dst), 0
}

// DeleteTopic removes a topic from the brokers and from every group.
func (e *Engine) DeleteTopic(c *Cluster, topic string) Reason {
	e.changing.RLock()
	defer e.changing.RUnlock()
	if e.stopped.Load() {
		return Stopped
	}
	t := c.topics.Delete(topic)
	if t == nil {
		return UnknownTopic
	}
	e.forgetTopic(t)
	return 0
}
