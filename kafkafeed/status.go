package kafkafeed

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Status is what a Feed is doing. It is a copy.
type Status struct {
	// Cluster is the name of the cluster in the store.
	Cluster string
	// Mode is the current mode: ModeAuto until the feed has chosen, then ModeLog or ModePoll.
	Mode Mode
	// Reason says why the feed polls although its mode allows the log; "" otherwise.
	Reason string
	// Ready reports whether the answers of the store are complete.
	Ready bool
	// Logs are the partitions of __consumer_offsets being read, by number; none in poll mode.
	Logs []LogStatus
	// Records counts the records read, by kind. Every kind is present from the start.
	Records map[Kind]uint64
	// Refused are the requests that the brokers refused, sorted: the feed lacks the rights for them.
	Refused []string
	// Errors counts failed requests by kind. Every kind is present from the start.
	Errors map[string]uint64
	// LastError is the newest error, nil if there was none.
	LastError error
	// Early is the number of commits that wait for the end offset of their partition. EarlyDropped is the number of those that were
	// dropped because none came: their topic was deleted, or is excluded.
	Early        int
	EarlyDropped uint64
	// OpenPartitions is the number of partitions that had open transactions at the last poll; 0 with LastStableOffset and
	// HighWatermark, since the feed then fetches only one end.
	OpenPartitions int
	// LastPoll is the start of the newest complete poll of end offsets, PollDuration its duration. A poll without the end of a log
	// partition is not complete.
	LastPoll     time.Time
	PollDuration time.Duration
}

// LogStatus is the progress of reading one partition of __consumer_offsets.
type LogStatus struct {
	Partition int32
	// Next is the offset of the next record to read. Position is where reading starts after a restart: lower than Next while
	// transactions are open.
	Next, Position int64
	// End is the newest known end of the partition. It is beyond Next if the feed is behind or cannot read.
	End int64
	// OpenTransactions and PendingCommits are the numbers of transactions and commits that wait for a marker.
	OpenTransactions, PendingCommits int
	// Time is the time of the newest record read; zero if there was none.
	Time time.Time
}

// state is the source of Status.
type state struct {
	mu      sync.Mutex
	status  Status // guarded by mu, less its maps and slices, which follow
	logs    map[int32]LogStatus
	records map[Kind]uint64
	refused map[string]bool
	errors  map[string]uint64
	texts   map[string]string // the newest error of each kind of request that currently fails
}

func newState(cluster string) *state {
	s := &state{status: Status{Cluster: cluster, Mode: ModeAuto}, logs: make(map[int32]LogStatus),
		records: make(map[Kind]uint64), refused: make(map[string]bool), errors: make(map[string]uint64),
		texts: make(map[string]string)}
	// A rate needs the 0 before the first 1.
	for _, kind := range Kinds() {
		s.records[kind] = 0
	}
	for _, request := range requests {
		s.errors[request] = 0
	}
	return s
}

func (s *state) get() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := s.status
	status.Records, status.Errors = maps.Clone(s.records), maps.Clone(s.errors)
	status.Refused = slices.Sorted(maps.Keys(s.refused))
	for _, partition := range slices.Sorted(maps.Keys(s.logs)) {
		status.Logs = append(status.Logs, s.logs[partition])
	}
	return status
}

func (s *state) change(f func(*Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.status)
}

func (s *state) setLog(log LogStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The end in the newest fetch may be beyond the records read so far.
	log.End = max(log.End, s.logs[log.Partition].End)
	s.logs[log.Partition] = log
}

func (s *state) setEnd(partition int32, end int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if log, ok := s.logs[partition]; ok {
		log.End = end
		s.logs[partition] = log
	}
}

// raiseEnds records the ends found by a poll. Records read meanwhile may be beyond them.
func (s *state) raiseEnds(ends map[int32]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for partition, end := range ends {
		if log, ok := s.logs[partition]; ok {
			log.End = max(log.End, end)
			s.logs[partition] = log
		}
	}
}

// logEnds returns the newest known ends of the log partitions that are read.
func (s *state) logEnds() map[int32]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	ends := make(map[int32]int64, len(s.logs))
	for partition := range s.logs {
		ends[partition] = s.logs[partition].End
	}
	return ends
}

func (s *state) dropLog(partition int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.logs, partition)
}

func (s *state) clearLogs() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.logs)
}

func (s *state) count(records map[Kind]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for kind, n := range records {
		s.records[kind] += uint64(n)
	}
}

// failed records a failed request and reports whether the previous one failed in the same way.
func (s *state) failed(request string, err error, refused bool) (again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errors[request]++
	s.status.LastError = err
	if refused {
		s.refused[request] = true
	}
	again = s.texts[request] == err.Error()
	s.texts[request] = err.Error()
	return again
}

// allowed records that a request was answered completely.
func (s *state) allowed(request string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.refused, request)
	delete(s.texts, request)
}

type noLogger struct{}

func (noLogger) Level() kgo.LogLevel              { return kgo.LogLevelNone }
func (noLogger) Log(kgo.LogLevel, string, ...any) {}
