package published

import (
	"go.uber.org/zap"

	"github.com/lagkeeper/storage/protocol"
)

// Evaluator judges groups: it answers the requests of EvaluatorChannel from what the storage subsystem knows.
type Evaluator struct {
	App *protocol.ApplicationContext
	Log *zap.Logger

	quit chan struct{} // closed by Stop
	done chan struct{} // closed when the loop has ended
}

// Configure has nothing to read.
func (e *Evaluator) Configure() {
	e.quit = make(chan struct{})
	e.done = make(chan struct{})
}

// Start begins to answer.
func (e *Evaluator) Start() error {
	go e.loop()
	return nil
}

// Stop returns when the loop has ended.
func (e *Evaluator) Stop() error {
	close(e.quit)
	<-e.done
	return nil
}

func (e *Evaluator) loop() {
	defer close(e.done)
	for {
		select {
		case request := <-e.App.EvaluatorChannel:
			request.Reply <- e.evaluate(request)
		case <-e.quit:
			return
		}
	}
}

func (e *Evaluator) evaluate(request *protocol.EvaluatorRequest) *protocol.ConsumerGroupStatus {
	status := &protocol.ConsumerGroupStatus{
		Cluster:    request.Cluster,
		Group:      request.Group,
		Status:     protocol.StatusNotFound,
		Partitions: []*protocol.PartitionStatus{},
	}
	fetch := &protocol.StorageRequest{
		RequestType: protocol.StorageFetchConsumer,
		Reply:       make(chan interface{}),
		Cluster:     request.Cluster,
		Group:       request.Group,
	}
	e.App.StorageChannel <- fetch
	response := <-fetch.Reply
	if response == nil {
		e.Log.Debug("unknown group", zap.String("cluster", request.Cluster), zap.String("group", request.Group))
		return status
	}

	status.Status = protocol.StatusOK
	var complete float32
	for topic, partitions := range response.(protocol.ConsumerTopics) {
		for number, partition := range partitions {
			judged := judge(topic, int32(number), partition)
			status.TotalPartitions++
			status.TotalLag += judged.CurrentLag
			complete += judged.Complete
			if judged.Status != protocol.StatusOK {
				status.Status = protocol.StatusError
			}
			if status.Maxlag == nil || judged.CurrentLag > status.Maxlag.CurrentLag {
				status.Maxlag = judged
			}
			if request.ShowAll || judged.Status != protocol.StatusOK {
				status.Partitions = append(status.Partitions, judged)
			}
		}
	}
	if status.TotalPartitions > 0 {
		status.Complete = complete / float32(status.TotalPartitions)
	}
	return status
}

// judge looks at the two ends of a window; an evaluator that earns its name looks at all of it.
func judge(topic string, number int32, partition *protocol.ConsumerPartition) *protocol.PartitionStatus {
	status := &protocol.PartitionStatus{
		Topic:      topic,
		Partition:  number,
		Owner:      partition.Owner,
		ClientID:   partition.ClientID,
		Status:     protocol.StatusOK,
		CurrentLag: partition.CurrentLag,
	}
	commits := 0
	for _, commit := range partition.Offsets {
		if commit == nil {
			continue
		}
		commits++
		if status.Start == nil {
			status.Start = commit
		}
		status.End = commit
	}
	if commits == 0 {
		return status
	}
	status.Complete = float32(commits) / float32(len(partition.Offsets))
	switch {
	case status.End.Offset < status.Start.Offset:
		status.Status = protocol.StatusRewind
	case status.CurrentLag > 0 && commits > 1 && status.End.Offset == status.Start.Offset:
		status.Status = protocol.StatusStall
	}
	return status
}
