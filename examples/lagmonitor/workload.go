package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// perStep is the number of messages that each step writes to every partition.
const perStep = 10

// demoRetention is the retention of the demo's topics; no group of the script is ever that far behind.
const demoRetention = "600000" // ms

// workload is a small company on Kafka: producers and consumer groups that behave over the wire as real groups do. Its steps are the
// same in every run, so that a test knows what the monitor must show. script.go says who does what and when.
type workload struct {
	brokers  []string
	producer *kgo.Client
	admin    *kadm.Client

	// The fields below are owned by the goroutine that steps.
	steps  int
	ends   map[string][]int64 // the end offset of each partition of the existing topics
	groups []*consumerGroup
}

// startWorkload creates the topics and starts the groups. It returns when every partition has its consumer.
func startWorkload(ctx context.Context, brokers []string) (_ *workload, err error) {
	producer, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...),
		kgo.ClientID("shop"),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MetadataMinAge(metadataMinAge),
		kgo.DisableClientMetrics(),
	)
	if err != nil {
		return nil, err
	}
	w := &workload{
		brokers:  brokers,
		producer: producer,
		admin:    kadm.NewClient(producer),
		ends:     make(map[string][]int64),
	}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	for _, topic := range scriptTopics {
		if err := w.createTopic(ctx, topic.name, topic.partitions); err != nil {
			return nil, err
		}
	}
	for _, role := range scriptGroups {
		group := newConsumerGroup(brokers, role)
		w.groups = append(w.groups, group)
		if err := group.start(); err != nil {
			return nil, err
		}
	}
	for _, group := range w.groups {
		if err := group.wait(ctx, len(w.ends[group.topic])); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// step performs the actions that the script has for it, writes to every topic and lets every group read. All of that is committed when
// step returns.
func (w *workload) step(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	w.steps++
	at := (w.steps-1)%scriptCycle + 1
	for _, scene := range script {
		if scene.at != at {
			continue
		}
		if err := scene.do(ctx, w); err != nil {
			return fmt.Errorf("step %d, %s: %w", w.steps, scene.what, err)
		}
	}
	if err := w.produce(ctx); err != nil {
		return fmt.Errorf("step %d, produce: %w", w.steps, err)
	}
	for _, group := range w.groups {
		if err := group.read(ctx, at, w.ends[group.topic]); err != nil {
			return fmt.Errorf("step %d, group %s: %w", w.steps, group.name, err)
		}
	}
	return nil
}

// loop steps until ctx is done. It reports a step that fails, and continues with the next.
func (w *workload) loop(ctx context.Context, events *eventLog) {
	ticker := time.NewTicker(liveStep)
	defer ticker.Stop()
	for {
		if err := w.step(ctx); err != nil && ctx.Err() == nil {
			events.add(time.Now(), "the demo's workload: %v", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// settle steps until every behaviour of the script is visible.
func (w *workload) settle(ctx context.Context) error {
	ticker := time.NewTicker(demoStep)
	defer ticker.Stop()
	for range scriptSettled {
		if err := w.step(ctx); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// close ends groups and producer.
func (w *workload) close() {
	for _, group := range w.groups {
		group.stop()
	}
	w.producer.Close()
}

// produce writes perStep messages to every partition.
func (w *workload) produce(ctx context.Context) error {
	var records []*kgo.Record
	for topic, ends := range w.ends {
		for partition := range ends {
			for i := range perStep {
				records = append(records, &kgo.Record{
					Topic:     topic,
					Partition: int32(partition),
					Value:     fmt.Appendf(nil, "%d", ends[partition]+int64(i)),
				})
			}
		}
	}
	if err := w.producer.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return err
	}
	for _, ends := range w.ends {
		for partition := range ends {
			ends[partition] += perStep
		}
	}
	return nil
}

// createTopic creates a topic. The producer loads it when it first writes there.
func (w *workload) createTopic(ctx context.Context, topic string, partitions int) error {
	retention := demoRetention
	created, err := w.admin.CreateTopic(ctx, int32(partitions), -1, map[string]*string{"retention.ms": &retention}, topic)
	if err = errors.Join(err, created.Err); err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	w.ends[topic] = make([]int64, partitions)
	return nil
}

// growTopic adds partitions to a topic and waits until the producer knows them: its metadata lags behind the admin request, and it
// fails messages for unknown partitions.
func (w *workload) growTopic(ctx context.Context, topic string, add int) error {
	grown, err := w.admin.CreatePartitions(ctx, add, topic)
	if err = errors.Join(err, grown.Error()); err != nil {
		return fmt.Errorf("add partitions to %s: %w", topic, err)
	}
	w.ends[topic] = append(w.ends[topic], make([]int64, add)...)
	last := int32(len(w.ends[topic]) - 1)
	return until(ctx, func() bool {
		leader, _, err := w.producer.PartitionLeader(topic, last)
		if err == nil && leader >= 0 {
			return true
		}
		w.producer.ForceMetadataRefresh()
		return false
	})
}

// deleteTopic deletes a topic and makes the producer forget it.
func (w *workload) deleteTopic(ctx context.Context, topic string) error {
	deleted, err := w.admin.DeleteTopics(ctx, topic)
	if err = errors.Join(err, deleted.Error()); err != nil {
		return fmt.Errorf("delete topic %s: %w", topic, err)
	}
	delete(w.ends, topic)
	w.producer.PurgeTopicsFromProducing(topic)
	return nil
}

// until waits for a condition that no client signals.
func until(ctx context.Context, done func() bool) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
