package kafkatest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lagkeeper/storage/internal/servertest"
	"github.com/lagkeeper/storage/internal/tied"
)

// LogPartitions is the number of partitions that __consumer_offsets has in a Cluster.
const LogPartitions = 8

// Cluster is a number of brokers, each of which is also a controller. Its methods fail the test.
type Cluster struct {
	t       testing.TB
	classes string
	brokers []*broker
}

type broker struct {
	node       int
	address    string
	secured    map[string]string // addresses of the additional listeners, by protocol
	properties string
	output     string

	process servertest.Process
}

// Start starts a cluster that ends with the test. extra are further properties of every broker. Each broker has a listener for each of
// the protocols, such as SASL_PLAINTEXT, and one without authentication.
func Start(t testing.TB, brokers int, extra map[string]string, protocols ...string) *Cluster {
	t.Helper()
	c := &Cluster{t: t, classes: classpath(t)}
	each := 2 + len(protocols)
	ports := servertest.FreePorts(t, each*brokers)
	var voters []string
	for i := range brokers {
		voters = append(voters, fmt.Sprintf("%d@127.0.0.1:%d", i+1, ports[each*i+1]))
	}
	replicas := fmt.Sprint(min(brokers, 3))
	for i := range brokers {
		dir := t.TempDir()
		b := &broker{node: i + 1, address: fmt.Sprintf("127.0.0.1:%d", ports[each*i]), secured: make(map[string]string),
			properties: filepath.Join(dir, "server.properties"), output: filepath.Join(dir, "output")}
		advertised, secure := "PLAINTEXT://"+b.address, "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
		for j, protocol := range protocols {
			b.secured[protocol] = fmt.Sprintf("127.0.0.1:%d", ports[each*i+2+j])
			advertised += "," + protocol + "://" + b.secured[protocol]
			secure += "," + protocol + ":" + protocol
		}
		properties := map[string]string{
			"process.roles":                                    "broker,controller",
			"node.id":                                          fmt.Sprint(b.node),
			"listeners":                                        fmt.Sprintf("%s,CONTROLLER://127.0.0.1:%d", advertised, ports[each*i+1]),
			"advertised.listeners":                             advertised,
			"listener.security.protocol.map":                   secure,
			"controller.listener.names":                        "CONTROLLER",
			"controller.quorum.voters":                         strings.Join(voters, ","),
			"log.dirs":                                         filepath.Join(dir, "data"),
			"offsets.topic.num.partitions":                     fmt.Sprint(LogPartitions),
			"offsets.topic.replication.factor":                 replicas,
			"transaction.state.log.replication.factor":         replicas,
			"transaction.state.log.min.isr":                    "1",
			"transaction.state.log.num.partitions":             "4",
			"share.coordinator.state.topic.replication.factor": replicas,
			"share.coordinator.state.topic.min.isr":            "1",
			"share.coordinator.state.topic.num.partitions":     "2",
			"group.initial.rebalance.delay.ms":                 "0",
			"min.insync.replicas":                              "1",
			"default.replication.factor":                       replicas,
		}
		maps.Copy(properties, extra)
		var text bytes.Buffer
		for _, key := range slices.Sorted(maps.Keys(properties)) {
			fmt.Fprintf(&text, "%s=%s\n", key, properties[key])
		}
		if err := os.WriteFile(b.properties, text.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		c.run("kafka.tools.StorageTool", "format", "-t", "bFlsp0DcTuSHSKJbIW2z1Q", "-c", b.properties)
		c.brokers = append(c.brokers, b)
	}
	t.Cleanup(func() {
		for node := range c.brokers {
			c.Kill(node)
		}
	})
	for node := range c.brokers {
		c.Restart(node)
	}
	c.Await()
	return c
}

// Addresses returns the addresses of all brokers.
func (c *Cluster) Addresses() []string {
	var addresses []string
	for _, b := range c.brokers {
		addresses = append(addresses, b.address)
	}
	return addresses
}

// Secured returns the addresses of the listeners of a protocol that was passed to Start.
func (c *Cluster) Secured(protocol string) []string {
	var addresses []string
	for _, b := range c.brokers {
		addresses = append(addresses, b.secured[protocol])
	}
	return addresses
}

// Pause stops a broker, counted from 0, like a machine that hangs: its connections stay open, and it answers nothing.
func (c *Cluster) Pause(node int) { c.signal(node, "-STOP") }

// Resume resumes a paused broker.
func (c *Cluster) Resume(node int) { c.signal(node, "-CONT") }

func (c *Cluster) signal(node int, signal string) {
	c.t.Helper()
	b := c.brokers[node]
	if output, err := exec.Command("kill", signal, fmt.Sprint(b.process.Pid())).CombinedOutput(); err != nil {
		c.t.Fatalf("send %s to broker %d: %v: %s", signal, b.node, err, output)
	}
}

// Kill kills a broker, counted from 0, and returns when it has ended. It does nothing if the broker is not running.
func (c *Cluster) Kill(node int) { c.brokers[node].process.Kill() }

// Restart starts a broker, counted from 0, that is not running.
func (c *Cluster) Restart(node int) {
	c.t.Helper()
	b := c.brokers[node]
	output, err := os.OpenFile(b.output, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	err = b.process.Start(output, "java", "-Xms128m", "-Xmx384m", "-XX:TieredStopAtLevel=1", "-cp", c.classes, "kafka.Kafka", b.properties)
	if err != nil {
		c.t.Fatal(err)
	}
}

// Await returns when every broker is known to the others, and fails the test if one exits before.
func (c *Cluster) Await() {
	c.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Addresses()...), kgo.RequestRetries(0))
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	pause := time.NewTicker(100 * time.Millisecond)
	defer pause.Stop()
	for {
		ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Second)
		request := kmsg.NewPtrMetadataRequest()
		request.Topics = []kmsg.MetadataRequestTopic{}
		response, err := request.RequestWith(ctx, client)
		cancel()
		if err == nil && len(response.Brokers) == len(c.brokers) {
			return
		}
		select {
		case <-c.t.Context().Done():
			c.t.Fatal(c.t.Context().Err())
		case <-pause.C:
		}
		for _, b := range c.brokers {
			if b.process.Ended() {
				output, _ := os.ReadFile(b.output)
				c.t.Fatalf("broker %d has ended: %s", b.node, output[max(0, len(output)-4000):])
			}
		}
	}
}

// Describe returns what Kafka's own tool prints about all groups, a row of words for each line.
func (c *Cluster) Describe() [][]string {
	c.t.Helper()
	output := c.run("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", c.brokers[0].address,
		"--describe", "--all-groups")
	var rows [][]string
	for line := range strings.Lines(output) {
		if words := strings.Fields(line); len(words) >= 6 && words[0] != "GROUP" && words[0] != "[main]" {
			rows = append(rows, words)
		}
	}
	return rows
}

// Spawn runs a program of Kafka, such as a consumer, until the test ends.
func (c *Cluster) Spawn(class string, args ...string) {
	c.t.Helper()
	command := tied.Command(context.Background(), "java", append([]string{"-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", c.classes, class}, args...)...)
	release, err := tied.Start(command)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		_ = command.Process.Kill() // it may have exited by itself
		_ = command.Wait()
		release()
	})
}

// run runs a program of Kafka and returns what it printed.
func (c *Cluster) run(class string, args ...string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	command := tied.Command(ctx, "java", append([]string{"-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", c.classes, class}, args...)...)
	var output, problems bytes.Buffer
	command.Stdout, command.Stderr = &output, &problems
	release, err := tied.Start(command)
	if err == nil {
		defer release()
		err = command.Wait()
	}
	if err != nil {
		c.t.Fatalf("run %s: %v\n%s%s", class, err, output.String(), problems.String())
	}
	return output.String()
}
