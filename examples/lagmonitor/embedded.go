package main

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// demo is a Kafka of the monitor's own: three brokers that speak the protocol on loopback ports, and a workload on them.
type demo struct {
	cluster  *kfake.Cluster
	workload *workload
}

// The demo's clock.
const (
	demoBrokers = 3
	// demoStep is the time between two steps of the workload with --once.
	demoStep = 200 * time.Millisecond
	// liveStep is the same for a demo that is watched.
	liveStep = time.Second
	// stepTimeout is how long a step may take before something is wrong.
	stepTimeout = 15 * time.Second
)

// startDemo starts the brokers and gets the workload ready for its first step. ctx bounds the start, not the demo.
func startDemo(ctx context.Context) (*demo, error) {
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(demoBrokers),
		kfake.ClusterID("lagmonitor-demo"),
		// The retention of the topics is looked after every minute rather than every hour, so that a demo that is left
		// running does not eat the memory.
		kfake.BrokerConfigs(map[string]string{"log.cleaner.backoff.ms": "60000"}),
	)
	if err != nil {
		return nil, err
	}
	d := &demo{cluster: cluster}
	if d.workload, err = startWorkload(ctx, cluster.ListenAddrs()); err != nil {
		cluster.Close()
		return nil, err
	}
	return d, nil
}

func (d *demo) brokers() []string { return d.cluster.ListenAddrs() }

// close ends the workload, then the brokers.
func (d *demo) close() {
	d.workload.close()
	d.cluster.Close()
}
