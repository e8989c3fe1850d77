package redistest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// slots is the number of hash slots of a cluster.
const slots = 16384

// member is a node as another node sees it.
type member struct {
	id     string
	node   int // -1 for an unknown node
	flags  []string
	master string // the id of its master, "-" for a master
	slots  []string
}

func (m member) isMaster() bool { return slices.Contains(m.flags, "master") }

// join forms one cluster of the nodes; the first ones become the masters.
func (s *Servers) join(masters int) {
	s.t.Helper()
	ids := make([]string, len(s.nodes))
	for i := range s.nodes {
		ids[i] = strings.TrimSpace(s.Do(i, "CLUSTER", "MYID"))
		// Different epochs save the nodes a round of agreement.
		s.Do(i, "CLUSTER", "SET-CONFIG-EPOCH", fmt.Sprint(i+1))
		if i < masters {
			s.Do(i, "CLUSTER", "ADDSLOTSRANGE", fmt.Sprint(slots*i/masters), fmt.Sprint(slots*(i+1)/masters-1))
		}
	}
	for _, node := range s.nodes[1:] {
		s.Do(0, "CLUSTER", "MEET", "127.0.0.1", fmt.Sprint(node.port), fmt.Sprint(node.bus))
	}
	for i := masters; i < len(s.nodes); i++ {
		s.until("a replica knows its master", func() bool {
			_, err := s.try(i, "CLUSTER", "REPLICATE", ids[i%masters])
			return err == nil
		})
	}
}

// view returns the cluster as a node sees it.
func (s *Servers) view(i int) ([]member, error) {
	text, err := s.try(i, "CLUSTER", "NODES")
	if err != nil {
		return nil, err
	}
	var members []member
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 8 {
			return nil, fmt.Errorf("node %d: unknown line %q", i, line)
		}
		address, _, _ := strings.Cut(words[1], "@")
		members = append(members, member{
			id: words[0], flags: strings.Split(words[2], ","), master: words[3], slots: words[8:],
			node: slices.IndexFunc(s.nodes, func(n *node) bool { return n.address == address }),
		})
	}
	return members, nil
}

// mustView is the view of the first running node that answers.
func (s *Servers) mustView() (members []member) {
	s.t.Helper()
	s.until("a node answers", func() bool {
		for i := range s.nodes {
			if s.running(i) {
				var err error
				if members, err = s.view(i); err == nil {
					return true
				}
			}
		}
		return false
	})
	return members
}

// noticeAfter sets the time after which the running nodes, but for one, consider a silent node failed.
func (s *Servers) noticeAfter(patience time.Duration, except int) {
	s.t.Helper()
	for i := range s.nodes {
		if i != except && s.running(i) {
			s.Do(i, "CONFIG", "SET", "cluster-node-timeout", fmt.Sprint(patience.Milliseconds()))
		}
	}
}

// Await returns when every node runs and answers, every slot has a master, every master has its replicas, and all nodes agree.
func (s *Servers) Await() {
	s.t.Helper()
	for i := range s.nodes {
		s.until(fmt.Sprintf("node %d is sound", i), func() bool {
			s.mustRun(i)
			return s.sound(i)
		})
	}
	if !s.cluster {
		return
	}
	s.until("all nodes see the same", func() bool {
		first := ""
		for i := range s.nodes {
			members, err := s.view(i)
			seen := map[string]string{}
			for _, m := range members {
				seen[m.id] = fmt.Sprint(m.master, m.slots)
			}
			if i == 0 {
				first = fmt.Sprint(seen)
			}
			if err != nil || fmt.Sprint(seen) != first {
				return false
			}
		}
		return true
	})
}

// sound reports whether a node answers, has its data and, in a cluster, sees no fault.
func (s *Servers) sound(i int) bool {
	info, err := s.try(i, "INFO")
	if err != nil || !strings.Contains(info, "\r\nloading:0\r\n") ||
		strings.Contains(info, "\r\nrole:slave\r\n") && !strings.Contains(info, "\r\nmaster_link_status:up\r\n") {
		return false
	}
	if !s.cluster {
		return true
	}
	state, err := s.try(i, "CLUSTER", "INFO")
	if err != nil || !strings.Contains(state, "cluster_state:ok") {
		return false
	}
	members, err := s.view(i)
	if err != nil || len(members) != len(s.nodes) {
		return false
	}
	replicas := map[string]int{}
	for _, m := range members {
		if m.node < 0 || slices.ContainsFunc(m.flags, func(flag string) bool {
			return strings.HasPrefix(flag, "fail") || flag == "handshake" || flag == "noaddr"
		}) {
			return false
		}
		if !m.isMaster() {
			replicas[m.master]++
		}
	}
	for _, m := range members {
		if m.isMaster() && (len(m.slots) == 0 || replicas[m.id] < s.replicas) {
			return false
		}
	}
	return true
}

// Masters returns the nodes that are masters; without cluster mode, the only one.
func (s *Servers) Masters() []int {
	s.t.Helper()
	if !s.cluster {
		return []int{0}
	}
	var masters []int
	for _, m := range s.mustView() {
		if m.isMaster() && len(m.slots) > 0 {
			masters = append(masters, m.node)
		}
	}
	slices.Sort(masters)
	return masters
}

// manualFailoverTimeout is CLUSTER_MF_TIMEOUT of Redis.
const manualFailoverTimeout = 5 * time.Second

// Failover promotes a replica of a master in its place, as an administrator does before an upgrade: nothing is lost.
func (s *Servers) Failover(master int) {
	s.t.Helper()
	members := s.mustView()
	id := members[slices.IndexFunc(members, func(m member) bool { return m.node == master })].id
	replica := slices.IndexFunc(members, func(m member) bool { return m.master == id })
	if replica < 0 {
		s.t.Fatalf("node %d has no replica", master)
	}
	node := members[replica].node
	// Nodes do not vote twice for replicas of the same master within twice that time.
	s.noticeAfter(alert, -1)
	defer s.noticeAfter(calm, -1)
	var asked time.Time
	s.until("the replica is the master", func() bool {
		// A replica that has not become the master within five seconds gives up, for example if votes were lost; then the command is
		// repeated.
		if time.Since(asked) > manualFailoverTimeout+time.Second {
			s.Do(node, "CLUSTER", "FAILOVER")
			asked = time.Now()
		}
		return !slices.Contains(s.Masters(), master) && slices.Contains(s.Masters(), node)
	})
}

// AwaitFailover returns when other nodes have taken over from a failed master.
func (s *Servers) AwaitFailover(master int) {
	s.t.Helper()
	s.noticeAfter(alert, master)
	defer s.noticeAfter(calm, master)
	s.until("a replica has taken over", func() bool {
		for i := range s.nodes {
			if i == master || !s.running(i) {
				continue
			}
			members, err := s.view(i)
			if err != nil || slices.ContainsFunc(members, func(m member) bool {
				return m.node == master && len(m.slots) > 0 && m.isMaster()
			}) {
				return false
			}
		}
		return true
	})
}

// Master returns the master of a slot.
func (s *Servers) Master(slot int) (node int) {
	s.t.Helper()
	s.until(fmt.Sprintf("slot %d has a master", slot), func() (ok bool) {
		node, ok = s.master(slot)
		return ok
	})
	return node
}

func (s *Servers) master(slot int) (node int, ok bool) {
	s.t.Helper()
	for _, m := range s.mustView() {
		for _, part := range m.slots {
			first, last, isRange := strings.Cut(part, "-")
			if !isRange {
				last = first
			}
			from, err := strconv.Atoi(first)
			if err != nil {
				continue // a slot that is being moved
			}
			to, _ := strconv.Atoi(last)
			if from <= slot && slot <= to {
				return m.node, true
			}
		}
	}
	return 0, false
}

// MoveSlot moves a slot with its keys to another master while clients use it.
func (s *Servers) MoveSlot(slot, to int) {
	s.t.Helper()
	from, number := s.Master(slot), fmt.Sprint(slot)
	ids := make([]string, len(s.nodes))
	for _, m := range s.mustView() {
		ids[m.node] = m.id
	}
	s.Do(to, "CLUSTER", "SETSLOT", number, "IMPORTING", ids[from])
	s.Do(from, "CLUSTER", "SETSLOT", number, "MIGRATING", ids[to])
	for {
		keys := strings.Fields(s.Do(from, "CLUSTER", "GETKEYSINSLOT", number, "10"))
		if len(keys) == 0 {
			break
		}
		target := s.nodes[to]
		s.Do(from, append([]string{"MIGRATE", "127.0.0.1", fmt.Sprint(target.port), "", "0", "60000", "KEYS"}, keys...)...)
	}
	// The new master comes first, so that the slot has a master at any time.
	s.Do(to, "CLUSTER", "SETSLOT", number, "NODE", ids[to])
	for _, master := range s.Masters() {
		if master != to {
			s.Do(master, "CLUSTER", "SETSLOT", number, "NODE", ids[to])
		}
	}
	s.until("the slot has moved", func() bool { return s.Master(slot) == to })
}
