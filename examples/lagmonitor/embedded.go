package main

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// demo is the monitor's own Kafka: three brokers that speak the protocol on loopback ports, and a workload on them.
type demo struct {
	cluster  *kfake.Cluster
	workload *workload
}

// The demo's clock.
const (
	demoBrokers = 3
	// demoStep is the time between two steps of the workload with --once.
	demoStep = 200 * time.Millisecond
	// liveStep is the same in the live view.
	liveStep = time.Second
	// stepTimeout is the longest duration of a step.
	stepTimeout = time.Minute
)

// startDemo starts the brokers and prepares the workload for its first step. ctx bounds the start, not the demo.
func startDemo(ctx context.Context) (*demo, error) {
	cluster, err := kfake.NewCluster(
		kfake.NumBrokers(demoBrokers),
		kfake.ClusterID("lagmonitor-demo"),
		// Retention is enforced every minute instead of every hour, so that a demo that is left running does not fill the memory.
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
