package kafkafeed

// maxNames bounds the groups, and the topics of groups, that are kept for one partition of the log.
const maxNames = 10_000

// names are the groups of one partition of the log and their topics: a log has few, many times each. They are found by the bytes of a
// key, once for each record.
type names struct {
	groups map[string]*groupNames
	topics map[string]string
	count  int // of the groups and of their topics
	// group and topic are those of the newest commit or tombstone of a commit.
	group *groupNames
	topic *topicNames
}

// groupNames is a group, its topics, and what is known of it while records are taken.
type groupNames struct {
	name string
	// next is the group that followed it last: groups commit at fixed intervals, so mostly in the same order.
	next   *groupNames
	topics []*topicNames
	newest int            // index of the topic found last
	byName map[string]int // indexes of the topics; nil while they are few

	round   uint64 // in which wanted and seeds were set
	wanted  bool
	seeds   groupSeeds
	pending *groupCommits // commits that are not stored yet; nil if there are none
}

// topicNames is a topic of a group.
type topicNames struct {
	name string

	round  uint64 // in which wanted and seeds were set
	wanted bool
	seeds  *topicSeeds
}

func newNames() *names {
	return &names{groups: make(map[string]*groupNames), topics: make(map[string]string)}
}

// trim forgets all names if there are too many. No commits may be pending.
func (n *names) trim() {
	if n.count > maxNames {
		*n = *newNames()
	}
}

// find returns the group and the topic of a key.
func (n *names) find(group, topic []byte) (string, string) {
	g := n.groupOf(group)
	n.group, n.topic = g, g.find(topic)
	if n.topic == nil {
		name, known := n.topics[string(topic)]
		if !known {
			name = string(topic)
			n.topics[name] = name
		}
		n.topic = g.add(name)
		n.count++
	}
	return g.name, n.topic.name
}

func (n *names) groupOf(group []byte) *groupNames {
	before := n.group
	if before != nil {
		if before.name == string(group) {
			return before
		}
		if before.next != nil && before.next.name == string(group) {
			return before.next
		}
	}
	g := n.groups[string(group)]
	if g == nil {
		g = n.add(string(group))
	}
	if before != nil {
		before.next = g
	}
	return g
}

func (n *names) add(group string) *groupNames {
	g := &groupNames{name: group}
	n.groups[group] = g
	n.count++
	return g
}

// fewTopics is how many topics of a group are compared one by one.
const fewTopics = 8

// find returns a topic of the group, nil if it is new.
func (g *groupNames) find(topic []byte) *topicNames {
	if g.newest < len(g.topics) && g.topics[g.newest].name == string(topic) {
		return g.topics[g.newest]
	}
	if g.byName != nil {
		if i, ok := g.byName[string(topic)]; ok {
			g.newest = i
			return g.topics[i]
		}
		return nil
	}
	for i, t := range g.topics {
		if t.name == string(topic) {
			g.newest = i
			return t
		}
	}
	return nil
}

func (g *groupNames) add(topic string) *topicNames {
	t := &topicNames{name: topic}
	g.newest = len(g.topics)
	g.topics = append(g.topics, t)
	if g.byName != nil {
		g.byName[topic] = g.newest
	} else if len(g.topics) > fewTopics {
		g.byName = make(map[string]int, 2*fewTopics)
		for i, t := range g.topics {
			g.byName[t.name] = i
		}
	}
	return t
}
