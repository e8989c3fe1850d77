package inspector

import (
	"github.com/lagkeeper/storage"
)

// Store is what a store holds and what it has done since it was opened; storage.Stats says more of each number.
type Store struct {
	// Requests are by type. An element of a batch counts as a request.
	Requests map[string]StoreRequests `json:"requests"`

	Clusters        int `json:"clusters"`
	Groups          int `json:"groups"`
	GroupTopics     int `json:"group_topics"`
	GroupPartitions int `json:"group_partitions"`
	Topics          int `json:"topics"`
	Partitions      int `json:"partitions"`
	MemoryBytes     int `json:"memory_bytes"`

	Sweeps              uint64 `json:"sweeps"`
	ExpiredGroups       uint64 `json:"expired_groups"`
	ExpiredTopics       uint64 `json:"expired_topics"`
	SweptTopics         uint64 `json:"swept_topics"`
	RememberedDeletions int    `json:"remembered_deletions"`
	StuckGroups         uint64 `json:"stuck_groups"`

	Snapshots StoreSnapshots `json:"snapshots"`
	Watchers  StoreWatchers  `json:"watchers"`
	Relay     StoreRelay     `json:"relay"`

	// Remote is null for a store that keeps its state in the process.
	Remote *StoreRemote `json:"remote"`

	Panics   uint64 `json:"panics"`
	Damaged  bool   `json:"damaged"`
	LostLogs uint64 `json:"lost_log_lines"`
}

// StoreRequests is what became of the requests of one type.
type StoreRequests struct {
	Done uint64 `json:"done"`
	// Dropped are by reason.
	Dropped map[storage.Reason]uint64 `json:"dropped"`
}

// StoreSnapshots counts snapshots.
type StoreSnapshots struct {
	Saved  uint64 `json:"saved"`
	Failed uint64 `json:"failed"`
	// LastMs is when the newest was begun, null if there is none.
	LastMs     *int64 `json:"last_ms"`
	DurationMs int64  `json:"duration_ms"`
	Bytes      uint64 `json:"bytes"`
	LeftOut    int    `json:"left_out"`
}

// StoreWatchers counts those who watch the store.
type StoreWatchers struct {
	Now          int    `json:"now"`
	UnreadEvents int    `json:"unread_events"`
	UnreadBytes  int    `json:"unread_bytes"`
	Missed       uint64 `json:"missed"`
	Refused      uint64 `json:"refused"`
}

// StoreRelay is what the channel half has done.
type StoreRelay struct {
	QueuedRequests   int    `json:"queued_requests"`
	QueuedAnswers    int    `json:"queued_answers"`
	WaitingReplies   int    `json:"waiting_replies"`
	WaitingBytes     int    `json:"waiting_bytes"`
	AbandonedReplies uint64 `json:"abandoned_replies"`
	TimedOutReplies  uint64 `json:"timed_out_replies"`
	EvictedReplies   uint64 `json:"evicted_replies"`
	RefusedAnswers   uint64 `json:"refused_answers"`
	StuckCalls       uint64 `json:"stuck_calls"`
	Panics           uint64 `json:"panics"`
	NilRequests      uint64 `json:"nil_requests"`
	NilReplies       uint64 `json:"nil_replies"`
	ClosedReplies    uint64 `json:"closed_replies"`
	UnknownTypes     uint64 `json:"unknown_types"`
}

// StoreRemote is what a store whose state is on servers has to do with them.
type StoreRemote struct {
	Calls         int    `json:"calls"`
	MostCalls     int    `json:"calls_limit"`
	HeldBuckets   int    `json:"held_buckets"`
	RoundTrips    uint64 `json:"round_trips"`
	Connections   uint64 `json:"connections"`
	Conflicts     uint64 `json:"conflicts"`
	Retries       uint64 `json:"retries"`
	Unavailable   uint64 `json:"unavailable"`
	EarlierStates uint64 `json:"earlier_states"`
	ReplicaReads  uint64 `json:"replica_reads"`
	ReplicaMisses uint64 `json:"replica_misses"`
}

// Dropped is the number of requests that were dropped, for whatever reason.
func (s *Store) Dropped() (total uint64) {
	for _, requests := range s.Requests {
		for _, n := range requests.Dropped {
			total += n
		}
	}
	return total
}

func storeOf(in *storage.Stats) *Store {
	r := &in.Requests
	out := &Store{
		Requests: map[string]StoreRequests{
			"set_end_offset": requestsOf(r.SetEndOffset), "commit": requestsOf(r.Commit), "set_owner": requestsOf(r.SetOwner),
			"clear_owners": requestsOf(r.ClearOwners), "delete_topic": requestsOf(r.DeleteTopic), "delete_group": requestsOf(r.DeleteGroup),
			"fetch_clusters": requestsOf(r.FetchClusters), "fetch_groups": requestsOf(r.FetchGroups), "fetch_topics": requestsOf(r.FetchTopics),
			"fetch_group": requestsOf(r.FetchGroup), "fetch_topic": requestsOf(r.FetchTopic),
			"fetch_groups_of_topic": requestsOf(r.FetchGroupsOfTopic),
		},
		Clusters: in.Clusters, Groups: in.Groups, GroupTopics: in.GroupTopics, GroupPartitions: in.GroupPartitions,
		Topics: in.Topics, Partitions: in.Partitions, MemoryBytes: in.Bytes,
		Sweeps: in.Sweeps, ExpiredGroups: in.ExpiredGroups, ExpiredTopics: in.ExpiredTopics, SweptTopics: in.SweptTopics,
		RememberedDeletions: in.RememberedDeletions, StuckGroups: in.StuckGroups,
		Snapshots: StoreSnapshots{
			Saved: in.Snapshots.Saved, Failed: in.Snapshots.Failed, DurationMs: in.Snapshots.Duration.Milliseconds(),
			Bytes: in.Snapshots.Bytes, LeftOut: in.Snapshots.LeftOut,
		},
		Watchers: StoreWatchers(in.Watchers), Relay: StoreRelay(in.Relay),
		Panics: in.Panics, Damaged: in.Damaged, LostLogs: in.LostLines,
	}
	if in.Remote.MostCalls > 0 {
		remote := StoreRemote(in.Remote)
		out.Remote = &remote
	}
	if last := in.Snapshots.Last; !last.IsZero() {
		ms := millis(last)
		out.Snapshots.LastMs = &ms
	}
	return out
}

func requestsOf(in storage.RequestCount) StoreRequests {
	out := StoreRequests{Done: in.Done, Dropped: in.Dropped}
	if out.Dropped == nil {
		out.Dropped = map[storage.Reason]uint64{}
	}
	return out
}

// storeState is the answer of api/v1/store.
type storeState struct {
	// Store is null if the source has no statistics.
	Store     *Store `json:"store"`
	Inspector Self   `json:"inspector"`
}

func (h *Handler) storeState() storeState {
	out := storeState{Inspector: h.self()}
	if s, ok := h.source.(storage.StatsSource); ok {
		if stats, err := s.Stats(); err == nil {
			out.Store = storeOf(&stats)
		}
	}
	return out
}

func (h *Handler) self() Self {
	c := h.collector
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Self{
		Readings: c.readings, Listeners: len(h.listeners), HistoryBytes: c.history.bytes(), HistoryLimit: c.history.limit,
		HistorySeries: len(c.history.series), HistoryLeftOut: c.history.leftOut,
	}
	if c.current != nil {
		s.ReadingTookMs = c.current.took.Milliseconds()
	}
	return s
}
