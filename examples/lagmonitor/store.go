package main

import (
	"context"
	"fmt"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	"github.com/spf13/viper"
	"go.uber.org/zap"
)

// openStore configures and starts the store as an application does that embeds it; the caller stops it. A configuration
// that the store refuses comes back as a *configError.
func openStore(v *viper.Viper, logger *zap.Logger) (*storage.Coordinator, error) {
	level := zap.NewAtomicLevelAt(zap.WarnLevel)
	app := &protocol.ApplicationContext{
		Logger:         logger,
		LogLevel:       &level,
		StorageChannel: make(chan *protocol.StorageRequest),
	}
	coordinator := &storage.Coordinator{App: app, Log: logger, Viper: v}
	if err := configure(coordinator); err != nil {
		return nil, err
	}
	app.ConfigurationValid = true
	if err := coordinator.Start(); err != nil {
		return nil, fmt.Errorf("start store: %w", err)
	}
	app.AppReady = true
	return coordinator, nil
}

// configure turns the panic with which the store refuses a configuration into an error.
func configure(coordinator protocol.Coordinator) (err error) {
	defer func() {
		if refused := recover(); refused != nil {
			err = &configError{oneLine([]error{fmt.Errorf("configure store: %v", refused)})}
		}
	}()
	coordinator.Configure()
	return nil
}

// storeClient speaks the channel protocol for one cluster.
type storeClient struct {
	requests chan<- *protocol.StorageRequest
	cluster  string
}

// send hands a request over that has no answer. The error is that of ctx.
func (s storeClient) send(ctx context.Context, request *protocol.StorageRequest) error {
	request.Cluster = s.cluster
	select {
	case s.requests <- request:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fetch hands a request over and waits for its answer. It returns the zero T where the store has none; the error is that
// of ctx.
func fetch[T any](ctx context.Context, s storeClient, request *protocol.StorageRequest) (T, error) {
	var none T
	reply := make(chan interface{}, 1)
	request.Reply = reply
	if err := s.send(ctx, request); err != nil {
		return none, err
	}
	select {
	case answer := <-reply:
		value, _ := answer.(T) // nil, for no answer, is no T
		return value, nil
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// groups fetches the groups of the cluster.
func (s storeClient) groups(ctx context.Context) ([]string, error) {
	return fetch[[]string](ctx, s, &protocol.StorageRequest{RequestType: protocol.StorageFetchConsumers})
}

// topics fetches the topics of the cluster.
func (s storeClient) topics(ctx context.Context) ([]string, error) {
	return fetch[[]string](ctx, s, &protocol.StorageRequest{RequestType: protocol.StorageFetchTopics})
}

// group fetches everything about a group, nil where the store does not know it.
func (s storeClient) group(ctx context.Context, group string) (protocol.ConsumerTopics, error) {
	return fetch[protocol.ConsumerTopics](ctx, s, &protocol.StorageRequest{
		RequestType: protocol.StorageFetchConsumer,
		Group:       group,
	})
}

// topic fetches the end offsets of a topic, nil where the store does not know it.
func (s storeClient) topic(ctx context.Context, topic string) ([]int64, error) {
	return fetch[[]int64](ctx, s, &protocol.StorageRequest{
		RequestType: protocol.StorageFetchTopic,
		Topic:       topic,
	})
}
