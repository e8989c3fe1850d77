package kafkafeed

import (
	"hash/crc32"
	"slices"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lagkeeper/storage/protocol"
)

// simulated is a __consumer_offsets that a test writes, with the coordinators that keep their groups in it. A fake answers for it. Its
// cleaner works like Kafka's, but runs when the test decides.
type simulated struct {
	orders kadm.TopicID

	mu         sync.Mutex
	partitions []*simulatedLog   // guarded by mu, as all below
	converted  map[string]bool   // groups of the new protocol
	kinds      map[string]string // groups of another kind
	perFetch   int               // records per fetch
	grown      chan struct{}     // closed and replaced with each record
}

// simulatedLog is a partition of the log.
type simulatedLog struct {
	model   coordinator // every record ever written
	records []logRecord // the records that the cleaner has left
	end     int64
	open    map[int64]int64 // producers to the first offset of their open transaction
}

type logRecord struct {
	entry      Entry
	key, value []byte
	cleaned    bool // an earlier run of the cleaner has marked it for deletion a day later
}

func (r *logRecord) control() bool {
	return r.entry.Kind == KindCommitMarker || r.entry.Kind == KindAbortMarker
}

// simulate makes a fake without a log answer for a simulated one.
func simulate(f *fake, partitions int32) *simulated {
	require.NoError(f.t, f.cluster.CreateTopic(logTopic, partitions, nil))
	s := &simulated{converted: map[string]bool{}, perFetch: 3, grown: make(chan struct{})}
	topics, err := f.admin.ListTopics(f.t.Context(), "orders")
	require.NoError(f.t, err)
	s.orders = topics["orders"].ID
	for range partitions {
		s.partitions = append(s.partitions, &simulatedLog{open: map[int64]int64{}})
	}
	for key, answer := range map[kmsg.Key]func(kmsg.Request) kmsg.Response{
		kmsg.Fetch: s.fetch, kmsg.ListOffsets: s.listOffsets, kmsg.ListGroups: s.listGroups, kmsg.OffsetFetch: s.fetchCommits,
	} {
		f.cluster.ControlKey(int16(key), func(r kmsg.Request) (kmsg.Response, error, bool) {
			f.cluster.KeepControl()
			response := answer(r)
			return response, nil, response != nil
		})
	}
	return s
}

// append writes a record of a producer, -1 for none, to a partition.
func (s *simulated) append(partition int32, producer int64, key, value []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	record := &kgo.Record{Key: key, Value: value, Partition: partition, Offset: s.partitions[partition].end}
	if producer >= 0 {
		record.ProducerID, record.Attrs = producer, kgo.NewRecordAttrs(kgo.RecordAttrsOpts{Transactional: true})
	}
	entry, _ := Decode(record) // corrupt records are written too
	s.write(partition, logRecord{entry: entry, key: key, value: value})
}

// end ends the transaction of a producer.
func (s *simulated) endTransaction(partition int32, producer int64, kind Kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.write(partition, logRecord{entry: Entry{Kind: kind, Producer: producer, LogPartition: partition, Order: s.partitions[partition].end}})
}

func (s *simulated) write(partition int32, r logRecord) {
	log := s.partitions[partition]
	log.model.log, log.records = append(log.model.log, r.entry), append(log.records, r)
	log.end++
	if _, began := log.open[r.entry.Producer]; r.control() {
		delete(log.open, r.entry.Producer)
	} else if r.entry.Producer >= 0 && !began {
		log.open[r.entry.Producer] = r.entry.Order
	}
	close(s.grown)
	s.grown = make(chan struct{})
}

// clean removes superseded records below an offset and below the first open transaction: records with a newer one of the same key, and
// records of aborted transactions. Tombstones, and markers of transactions without records, are removed if a day has passed since an
// earlier run.
func (s *simulated) clean(partition int32, below int64, day bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	log := s.partitions[partition]
	for _, first := range log.open {
		below = min(below, first)
	}
	fate := log.fates()
	newest := map[string]int64{}
	for _, r := range log.records {
		if r.entry.Order < below && !r.control() && fate[r.entry.Order] != KindAbortMarker {
			newest[string(r.key)] = r.entry.Order
		}
	}
	var left []logRecord
	alive := map[int64]bool{} // producers with records since their previous marker
	for _, r := range log.records {
		goes := false
		switch {
		case r.entry.Order >= below:
		case r.control():
			goes = day && r.cleaned && !alive[r.entry.Producer]
			r.cleaned = !alive[r.entry.Producer]
			delete(alive, r.entry.Producer)
		case fate[r.entry.Order] == KindAbortMarker, newest[string(r.key)] > r.entry.Order:
			goes = true
		case r.value == nil:
			goes, r.cleaned = day && r.cleaned, true
		}
		if goes {
			continue
		}
		left = append(left, r)
		if r.entry.Producer >= 0 && !r.control() {
			alive[r.entry.Producer] = true
		}
	}
	log.records = left
}

// fates returns, by the offset of each record of a finished transaction, how the transaction ended.
func (l *simulatedLog) fates() map[int64]Kind {
	fates, waiting := map[int64]Kind{}, map[int64][]int64{}
	for _, entry := range l.model.log {
		switch {
		case entry.Producer < 0:
		case entry.Kind == KindCommitMarker || entry.Kind == KindAbortMarker:
			for _, order := range waiting[entry.Producer] {
				fates[order] = entry.Kind
			}
			delete(waiting, entry.Producer)
		default:
			waiting[entry.Producer] = append(waiting[entry.Producer], entry.Order)
		}
	}
	return fates
}

// committed returns what the coordinators have.
func (s *simulated) committed() map[commitKey]Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.committedLocked()
}

func (s *simulated) committedLocked() map[commitKey]Entry {
	all := map[commitKey]Entry{}
	for _, log := range s.partitions {
		for key, entry := range log.model.committed() {
			all[key] = entry
		}
	}
	return all
}

func (s *simulated) fetch(r kmsg.Request) kmsg.Response {
	request := r.(*kmsg.FetchRequest)
	response := emptyFetch(request)
	s.mu.Lock()
	defer s.mu.Unlock()
	found := false
	fill := func() {
		for i := range response.Topics {
			for j := range response.Topics[i].Partitions {
				p := &response.Topics[i].Partitions[j]
				log := s.partitions[p.Partition]
				p.HighWatermark, p.LastStableOffset = log.end, log.end
				from := request.Topics[i].Partitions[j].FetchOffset
				at, _ := slices.BinarySearchFunc(log.records, from, func(r logRecord, from int64) int { return int(r.entry.Order - from) })
				p.RecordBatches = nil
				for _, record := range log.records[at:min(at+s.perFetch, len(log.records))] {
					p.RecordBatches = record.appendBatch(p.RecordBatches)
					found = true
				}
			}
		}
	}
	if fill(); !found && request.MaxWaitMillis > 1 {
		grown := s.grown
		s.mu.Unlock()
		wait := time.NewTimer(2 * time.Millisecond) // the fake answers nothing else meanwhile
		select {
		case <-grown:
		case <-wait.C:
		}
		wait.Stop()
		s.mu.Lock()
		fill()
	}
	return response
}

// appendBatch appends a batch with one record.
func (r *logRecord) appendBatch(to []byte) []byte {
	now := time.Now().UnixMilli()
	batch := kmsg.RecordBatch{FirstOffset: r.entry.Order, Magic: 2, FirstTimestamp: now, MaxTimestamp: now, ProducerID: r.entry.Producer,
		ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1}
	record := kmsg.Record{Key: r.key, Value: r.value}
	if r.entry.Producer >= 0 {
		batch.Attributes |= 0x10
	}
	if r.control() {
		batch.Attributes |= 0x20
		record.Key, record.Value = []byte{0, 0, 0, 0}, []byte{0, 0, 0, 0, 0, 0}
		if r.entry.Kind == KindCommitMarker {
			record.Key[3] = 1
		}
	}
	record.Length = int32(len(record.AppendTo(nil)) - 1) // without its own size, which is one byte for a 0
	batch.Records = record.AppendTo(nil)
	encoded := batch.AppendTo(nil)
	batch.Length = int32(len(encoded) - 12)
	batch.CRC = int32(crc32.Checksum(encoded[21:], crc32.MakeTable(crc32.Castagnoli)))
	return batch.AppendTo(to)
}

func (s *simulated) listOffsets(r kmsg.Request) kmsg.Response {
	request := r.(*kmsg.ListOffsetsRequest)
	if len(request.Topics) != 1 || request.Topics[0].Topic != logTopic {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	response := request.ResponseKind().(*kmsg.ListOffsetsResponse)
	topic := kmsg.NewListOffsetsResponseTopic()
	topic.Topic = logTopic
	for _, p := range request.Topics[0].Partitions {
		answer := kmsg.NewListOffsetsResponseTopicPartition()
		answer.Partition, answer.Offset = p.Partition, 0
		if p.Timestamp == timeEnd {
			answer.Offset = s.partitions[p.Partition].end
		}
		topic.Partitions = append(topic.Partitions, answer)
	}
	response.Topics = append(response.Topics, topic)
	return response
}

func (s *simulated) listGroups(r kmsg.Request) kmsg.Response {
	s.mu.Lock()
	defer s.mu.Unlock()
	response := r.ResponseKind().(*kmsg.ListGroupsResponse)
	kinds := map[string]string{}
	for key := range s.committedLocked() {
		kinds[key.group] = "Classic"
		if s.converted[key.group] {
			kinds[key.group] = "Consumer"
		}
		if kind := s.kinds[key.group]; kind != "" {
			kinds[key.group] = kind
		}
	}
	for name, kind := range kinds {
		group := kmsg.NewListGroupsResponseGroup()
		group.Group, group.GroupType, group.ProtocolType = name, kind, "consumer"
		response.Groups = append(response.Groups, group)
	}
	return response
}

func (s *simulated) fetchCommits(r kmsg.Request) kmsg.Response {
	s.mu.Lock()
	defer s.mu.Unlock()
	request := r.(*kmsg.OffsetFetchRequest)
	response := request.ResponseKind().(*kmsg.OffsetFetchResponse)
	committed := s.committedLocked()
	for _, asked := range request.Groups {
		group := kmsg.NewOffsetFetchResponseGroup()
		group.Group = asked.Group
		topic := kmsg.NewOffsetFetchResponseGroupTopic()
		topic.Topic, topic.TopicID = "orders", s.orders
		answer := func(of int32, offset int64) {
			partition := kmsg.NewOffsetFetchResponseGroupTopicPartition()
			partition.Partition, partition.Offset = of, offset
			topic.Partitions = append(topic.Partitions, partition)
		}
		for key, entry := range committed {
			if key.group == asked.Group && asked.Topics == nil {
				answer(key.partition, entry.Offset)
			}
		}
		for _, named := range asked.Topics { // there is only one
			for _, of := range named.Partitions {
				offset := int64(-1)
				if entry, ok := committed[commitKey{asked.Group, "orders", of}]; ok {
					offset = entry.Offset
				}
				answer(of, offset)
			}
		}
		if len(topic.Partitions) > 0 {
			group.Topics = append(group.Topics, topic)
		}
		response.Groups = append(response.Groups, group)
	}
	return response
}

// logOf returns the log partition of a group.
func (s *simulated) logOf(group string) int32 {
	return protocol.LogPartitionOf(group, int32(len(s.partitions)))
}
