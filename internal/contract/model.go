package contract

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

const (
	// modelLimit is the greatest partition count that the contract allows for a topic.
	modelLimit = 1_048_576
	// modelName is the length in bytes of the longest name that it allows.
	modelName = 32_767
)

// Model is the contract as plain maps and slices: single-threaded, slow and meant to be obviously right. Tests send it the
// same requests as a module and compare the answers. It keeps nothing that it can compute.
type Model struct {
	intervals   int
	minDistance int64 // milliseconds
	expireGroup int64 // milliseconds
	expireTopic int64 // milliseconds
	// outage is how many milliseconds a cluster must have been without any end offset for that to be an interruption, after
	// which the first round of polls may take some time to come to each topic.
	outage      int64
	allow, deny *regexp.Regexp

	// now is the clock, in Unix milliseconds.
	now      func() int64
	clusters map[string]*modelCluster
}

type modelCluster struct {
	// topics holds, for each topic and partition, what is known of its end.
	topics map[string][]modelEnds
	// ids holds the known ids of topics.
	ids map[string]protocol.TopicID
	// polled is when each topic, and polledAny when any topic, last had an end offset; polledSince is when polls began, or
	// began again after an interruption.
	polled                 map[string]int64
	polledAny, polledSince int64
	groups                 map[string]*modelGroup
}

type modelGroup struct {
	topics map[string][]*modelPartition
	// touched is when each topic was last committed.
	touched map[string]activity
	// last is when the group last committed.
	last activity
}

// activity is when a group or topic was last committed and, if it never was, last given an owner.
type activity struct {
	committed, owned       int64
	hasCommitted, hasOwned bool
}

type modelPartition struct {
	window []protocol.ConsumerOffset
	// incarnation and cuts are those of the partition at the newest commit; observed is when that was received.
	incarnation, cuts int
	observed          int64
	owner, clientID   string
}

// NewModel returns the model of a module with a configuration. A nil clock means time.Now.
func NewModel[C Configuration](of C, clock func() time.Time) *Model {
	config := Config(of)
	if clock == nil {
		clock = time.Now
	}
	m := &Model{
		intervals:   config.int("intervals", 10),
		minDistance: seconds(config.int("min-distance", 0)),
		expireGroup: seconds(config.int("expire-group", 604800)),
		allow:       config.expression("group-allowlist", "group-whitelist"),
		deny:        config.expression("group-denylist", "group-blacklist"),
		now:         func() int64 { return clock().UnixMilli() },
		clusters:    map[string]*modelCluster{},
	}
	m.expireTopic = seconds(config.int("expire-topic", config.int("expire-group", 604800)))
	m.outage = m.expireTopic
	if replay := seconds(config.int("replay-timeout", 600)); replay > 0 {
		m.outage = min(m.outage, replay)
	}
	for _, name := range config.Clusters {
		m.clusters[strings.ToLower(name)] = &modelCluster{
			topics: map[string][]modelEnds{},
			ids:    map[string]protocol.TopicID{},
			polled: map[string]int64{},
			groups: map[string]*modelGroup{},
		}
	}
	return m
}

// Handle carries out one request. A fetch returns its answer, with an error if the channel would close Reply without a value.
// A set returns the error of the typed API.
func (m *Model) Handle(r *protocol.StorageRequest) (any, error) {
	if r.RequestType == protocol.StorageFetchClusters {
		return keys(m.clusters), nil
	}
	c := m.cluster(r.Cluster)
	if c == nil {
		return nil, storage.ErrUnknownCluster
	}
	m.expireGroups(c)
	switch r.RequestType {
	case protocol.StorageSetBrokerOffset:
		return nil, m.setBrokerOffset(c, r)
	case protocol.StorageSetConsumerOffset:
		return nil, m.commit(c, r)
	case protocol.StorageSetConsumerOwner:
		return nil, m.setOwner(c, r)
	case protocol.StorageClearConsumerOwners:
		return nil, clearOwners(c, r)
	case protocol.StorageSetDeleteTopic:
		return nil, deleteTopic(c, r)
	case protocol.StorageSetDeleteGroup:
		return nil, deleteGroup(c, r)
	case protocol.StorageFetchConsumers:
		return keys(c.groups), nil
	case protocol.StorageFetchTopics:
		return keys(c.topics), nil
	case protocol.StorageFetchTopic:
		return fetchTopic(c, r)
	case protocol.StorageFetchConsumersForTopic:
		return groupsOfTopic(c, r.Topic), nil
	case protocol.StorageFetchConsumer:
		return m.fetchGroup(c, r)
	default:
		return nil, storage.ErrInvalid
	}
}

// Sweep does what the sweep of a module does: it removes expired groups, expired topics of the others, and topics that were
// not polled while others of their cluster were, unless polls have only just begun.
func (m *Model) Sweep() {
	for _, c := range m.clusters {
		m.expireGroups(c)
		for name, g := range c.groups {
			for topic, touched := range g.touched {
				if touched.olderThan(m.now() - m.expireTopic) {
					delete(g.topics, topic)
					delete(g.touched, topic)
				}
			}
			if len(g.topics) == 0 {
				delete(c.groups, name)
			}
		}
		if m.now()-c.polledSince < min(30_000, m.outage/20) {
			continue // the first round of polls may not have come to each topic yet
		}
		for topic := range c.topics {
			if c.polledAny-c.polled[topic] > m.expireTopic {
				_ = deleteTopic(c, &protocol.StorageRequest{Topic: topic})
			}
		}
	}
}

// expireGroups removes the expired groups. The model does so before every request, so that an expired group does not exist
// for it.
func (m *Model) expireGroups(c *modelCluster) {
	for name, g := range c.groups {
		if g.last.olderThan(m.now() - m.expireGroup) {
			delete(c.groups, name)
		}
	}
}

func (m *Model) cluster(name string) *modelCluster {
	if c := m.clusters[name]; c != nil {
		return c
	}
	return m.clusters[strings.ToLower(name)]
}

func (m *Model) setBrokerOffset(c *modelCluster, r *protocol.StorageRequest) error {
	count := max(int64(r.TopicPartitionCount), int64(r.Partition)+1)
	if r.Offset < 0 || r.Partition < 0 || count > modelLimit || len(r.Topic) > modelName {
		return storage.ErrInvalid
	}
	// Another id is another topic.
	if known := c.ids[r.Topic]; !known.IsZero() && !r.TopicID.IsZero() && known != r.TopicID {
		_ = deleteTopic(c, r)
	}
	if !r.TopicID.IsZero() {
		c.ids[r.Topic] = r.TopicID
	}
	partitions := c.topics[r.Topic]
	for int64(len(partitions)) < count {
		partitions = append(partitions, modelEnds{})
	}
	if c.polledAny == 0 || m.now()-c.polledAny > m.outage {
		c.polledSince = m.now()
	}
	c.polled[r.Topic], c.polledAny = m.now(), m.now()
	if err := partitions[r.Partition].set(r, m.intervals, m.now()); err != nil {
		return err
	}
	c.topics[r.Topic] = partitions
	return nil
}

// refused reports whether the filters refuse a group.
func (m *Model) refused(group string) bool {
	return m.allow != nil && !m.allow.MatchString(group) || m.deny != nil && m.deny.MatchString(group)
}

func (m *Model) setOwner(c *modelCluster, r *protocol.StorageRequest) error {
	if max(len(r.Group), len(r.Topic), len(r.Owner), len(r.ClientID)) > modelName {
		return storage.ErrInvalid
	}
	if m.refused(r.Group) {
		return storage.ErrFiltered
	}
	if err := checkPartition(c, r); err != nil {
		return err
	}
	p := partitionOf(c, r)
	p.owner, p.clientID = r.Owner, r.ClientID
	g := c.groups[r.Group]
	g.last = g.last.ownedAt(m.now())
	g.touched[r.Topic] = g.touched[r.Topic].ownedAt(m.now())
	return nil
}

// checkPartition reports whether the brokers know the partition of a request.
func checkPartition(c *modelCluster, r *protocol.StorageRequest) error {
	partitions, known := c.topics[r.Topic]
	switch {
	case !known:
		return storage.ErrUnknownTopic
	case r.Partition < 0:
		return storage.ErrInvalid
	case int(r.Partition) >= len(partitions) || len(partitions[r.Partition].history) == 0:
		return storage.ErrUnknownPartition
	}
	return nil
}

// partitionOf returns the group-partition of a request, and creates the group, topic and partitions if needed.
func partitionOf(c *modelCluster, r *protocol.StorageRequest) *modelPartition {
	g := c.groups[r.Group]
	if g == nil {
		g = &modelGroup{topics: map[string][]*modelPartition{}, touched: map[string]activity{}}
		c.groups[r.Group] = g
	}
	partitions := g.topics[r.Topic]
	if int(r.Partition) >= len(partitions) {
		for len(partitions) < len(c.topics[r.Topic]) {
			partitions = append(partitions, &modelPartition{})
		}
	}
	g.topics[r.Topic] = partitions
	return partitions[r.Partition]
}

func clearOwners(c *modelCluster, r *protocol.StorageRequest) error {
	g := c.groups[r.Group]
	if g == nil {
		return storage.ErrUnknownGroup
	}
	for _, partitions := range g.topics {
		for _, p := range partitions {
			p.owner, p.clientID = "", ""
		}
	}
	return nil
}

func deleteTopic(c *modelCluster, r *protocol.StorageRequest) error {
	_, known := c.topics[r.Topic]
	delete(c.topics, r.Topic)
	delete(c.ids, r.Topic)
	for name, g := range c.groups {
		delete(g.topics, r.Topic)
		delete(g.touched, r.Topic)
		if len(g.topics) == 0 {
			delete(c.groups, name)
		}
	}
	if !known {
		return storage.ErrUnknownTopic
	}
	return nil
}

func deleteGroup(c *modelCluster, r *protocol.StorageRequest) error {
	g := c.groups[r.Group]
	if g == nil {
		return storage.ErrUnknownGroup
	}
	if r.Topic == "" {
		delete(c.groups, r.Group)
		return nil
	}
	_, held := g.topics[r.Topic]
	delete(g.topics, r.Topic)
	delete(g.touched, r.Topic)
	if len(g.topics) == 0 {
		delete(c.groups, r.Group)
	}
	if !held {
		return storage.ErrUnknownTopic
	}
	return nil
}

func (a activity) committedAt(when int64) activity {
	if !a.hasCommitted || when > a.committed {
		a.committed, a.hasCommitted = when, true
	}
	return a
}

func (a activity) ownedAt(when int64) activity {
	a.owned, a.hasOwned = when, true
	return a
}

func (a activity) olderThan(limit int64) bool {
	if a.hasCommitted {
		return a.committed < limit
	}
	return a.hasOwned && a.owned < limit
}

func newest[T any](all []T, n int) []T {
	return slices.Clone(all[max(0, len(all)-n):])
}

func keys[V any](m map[string]V) []string {
	names := []string{}
	for name := range m {
		names = append(names, name)
	}
	return names
}

func seconds(n int) int64 {
	return int64(n) * 1000
}
