// Command workload measures one implementation of the storage subsystem through its published channel API alone. The command
// blackbox builds it, for another implementation with only the import paths changed. So it may use nothing that v1.0.0 of that API
// lacks, and must not rely on any order between end offsets and commits.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/viper"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
)

const (
	cluster = "local"
	window  = 10 // commits of a group-partition
)

// measurement is one figure. Floor is the cost of the work that no implementation can avoid, on the same machine; 0 if not measured.
type measurement struct {
	Name  string  `json:"name"`
	Unit  string  `json:"unit"`
	Value float64 `json:"value"`
	Floor float64 `json:"floor,omitempty"`
}

func main() {
	scale := flag.Float64("scale", 1, "sizes and repetitions relative to the usual ones")
	name := flag.String("scenario", "", "scenario to run; none lists them")
	flag.Parse()
	for _, s := range scenarios {
		if *name == "" {
			_, _ = fmt.Fprintln(os.Stdout, s.name)
		} else if s.name == *name {
			for _, m := range s.run(*scale) {
				if err := json.NewEncoder(os.Stdout).Encode(m); err != nil {
					fatal("write: %v", err)
				}
			}
			return
		}
	}
	if *name != "" {
		fatal("unknown scenario %q", *name)
	}
}

func fatal(format string, arguments ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

// subject is a running implementation.
type subject struct {
	requests    chan *protocol.StorageRequest
	coordinator *storage.Coordinator
	now         int64
}

// start configures and starts a subject. level is the lowest level of its JSON log, which is discarded.
func start(level zapcore.Level) *subject {
	viper.Reset()
	viper.Set("cluster."+cluster+".class-name", "kafka")
	viper.Set("cluster."+cluster+".servers", []string{"localhost:9092"})
	viper.Set("storage.default.class-name", "inmemory")
	viper.Set("storage.default.intervals", window)
	viper.Set("storage.default.min-distance", 0)
	atLeast := zap.NewAtomicLevelAt(level)
	logger := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(io.Discard), atLeast))
	app := &protocol.ApplicationContext{Logger: logger, LogLevel: &atLeast, StorageChannel: make(chan *protocol.StorageRequest)}
	s := &subject{
		requests: app.StorageChannel, coordinator: &storage.Coordinator{App: app, Log: logger}, now: time.Now().UnixMilli(),
	}
	s.coordinator.Configure()
	if err := s.coordinator.Start(); err != nil {
		fatal("start: %v", err)
	}
	return s
}

func (s *subject) stop() { _ = s.coordinator.Stop() }

func (s *subject) fetch(request protocol.StorageRequest) any {
	request.Reply, request.Cluster = make(chan any, 1), cluster
	s.requests <- &request
	return <-request.Reply
}

// topic sets the end offsets of all partitions, and waits until all are applied.
func (s *subject) topic(name string, partitions int32, end int64) {
	for p := range partitions {
		s.requests <- &protocol.StorageRequest{
			RequestType: protocol.StorageSetBrokerOffset, Cluster: cluster, Topic: name, Partition: p, TopicPartitionCount: partitions,
			Offset: end, Timestamp: s.now,
		}
	}
	for known := false; !known; {
		ends, _ := s.fetch(protocol.StorageRequest{RequestType: protocol.StorageFetchTopic, Topic: name}).([]int64)
		known = int32(len(ends)) == partitions
		for _, e := range ends {
			known = known && e == end
		}
	}
}

// commit returns the request for the n-th commit to a partition. Commits are a second apart, and the last is a second old.
func (s *subject) commit(group, topic string, partition int32, n, total int, offset int64) *protocol.StorageRequest {
	return &protocol.StorageRequest{
		RequestType: protocol.StorageSetConsumerOffset, Cluster: cluster, Group: group, Topic: topic, Partition: partition,
		Offset: offset, Order: int64(n + 1), Timestamp: s.now - int64(total-n)*1000,
	}
}

// settle returns when everything sent so far has been applied: a fetch of a group waits for the earlier requests of that group.
func (s *subject) settle(groups []string) {
	for i := 0; i < len(groups); i += max(1, len(groups)/500) {
		s.fetch(protocol.StorageRequest{RequestType: protocol.StorageFetchConsumer, Group: groups[i]})
	}
}

func names(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s-%06d", prefix, i)
	}
	return all
}
