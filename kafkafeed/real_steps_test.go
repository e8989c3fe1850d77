package kafkafeed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The steps by which tests prepare a real Kafka. A busy broker loses its place in the cluster for a moment, its coordinators move, and
// requests time out; and one broker learns later than another what has changed. So each step is repeated until it has succeeded, and
// has succeeded only if every broker knows of it.

// try is how long one attempt at a step may take.
const try = 30 * time.Second

// succeeds repeats a step until it returns no error.
func succeeds(t *testing.T, what string, step func(ctx context.Context) error) {
	t.Helper()
	var err error
	defer func() {
		if t.Failed() && err != nil {
			t.Logf("%s: %v", what, err)
		}
	}()
	eventually(t, what, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), try)
		defer cancel()
		err = step(ctx)
		return err == nil
	})
}

// either returns the first error, or nil if it is one that a repeated step is expected to get.
func either(err, answer error, done *kerr.Error) error {
	if err == nil {
		err = answer
	}
	if errors.Is(err, done) {
		return nil
	}
	return err
}

// create creates a topic.
func (w *world) create(name string, count int32, settings map[string]*string) {
	w.t.Helper()
	succeeds(w.t, "create topic "+name, func(ctx context.Context) error {
		response, err := w.admin.CreateTopic(ctx, count, -1, settings, name)
		return either(err, response.Err, kerr.TopicAlreadyExists)
	})
	w.known(name, int(count))
}

// remove deletes a topic.
func (w *world) remove(name string) {
	w.t.Helper()
	succeeds(w.t, "delete topic "+name, func(ctx context.Context) error {
		response, err := w.admin.DeleteTopic(ctx, name)
		return either(err, response.Err, kerr.UnknownTopicOrPartition)
	})
	w.known(name, 0)
	w.client.PurgeTopicsFromClient(name)
}

// grow gives a topic more partitions.
func (w *world) grow(name string, count int) {
	w.t.Helper()
	succeeds(w.t, "grow topic "+name, func(ctx context.Context) error {
		responses, err := w.admin.UpdatePartitions(ctx, count, name)
		return either(err, responses[name].Err, kerr.InvalidPartitions)
	})
	w.known(name, count)
	w.client.PurgeTopicsFromClient(name)
}

// known waits until every broker knows that a topic has a number of partitions, each with a leader, or that there is no such topic.
func (w *world) known(name string, count int) {
	w.t.Helper()
	for node := range w.kafka.Addresses() {
		succeeds(w.t, fmt.Sprintf("broker %d knows %d partitions of %s", node+1, count, name), func(ctx context.Context) error {
			request := kmsg.NewPtrMetadataRequest()
			topic := kmsg.NewMetadataRequestTopic()
			topic.Topic = &name
			request.Topics = append(request.Topics, topic)
			answer, err := w.client.Broker(node+1).Request(ctx, request)
			if err != nil {
				return err
			}
			partitions := answer.(*kmsg.MetadataResponse).Topics[0].Partitions
			if len(partitions) != count {
				return fmt.Errorf("it knows %d", len(partitions))
			}
			for _, p := range partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// truncate deletes the records before an offset.
func (w *world) truncate(name string, partition int32, at int64) {
	w.t.Helper()
	succeeds(w.t, "truncate topic "+name, func(ctx context.Context) error {
		var start kadm.Offsets
		start.AddOffset(name, partition, at, -1)
		responses, err := w.admin.DeleteRecords(ctx, start)
		if err == nil {
			err = responses.Error()
		}
		return err
	})
}

// commitSome commits without a group membership, like a consumer that assigns its own partitions.
func (w *world) commitSome(group string, offsets kadm.Offsets) {
	w.t.Helper()
	succeeds(w.t, "commit of "+group, func(ctx context.Context) error { return w.admin.CommitAllOffsets(ctx, group, offsets) })
}

func (w *world) commit(group, topic string, partition int32, offset int64) {
	w.t.Helper()
	var to kadm.Offsets
	to.AddOffset(topic, partition, offset, -1)
	w.commitSome(group, to)
}

func (w *world) deleteGroup(group string) {
	w.t.Helper()
	succeeds(w.t, "delete group "+group, func(ctx context.Context) error {
		response, err := w.admin.DeleteGroup(ctx, group)
		return either(err, response.Err, kerr.GroupIDNotFound)
	})
}

func (w *world) deleteOffset(group, topic string, partition int32) {
	w.t.Helper()
	succeeds(w.t, "delete an offset of "+group, func(ctx context.Context) error {
		var set kadm.TopicsSet
		set.Add(topic, partition)
		responses, err := w.admin.DeleteOffsets(ctx, group, set)
		if err == nil {
			err = responses.Error()
		}
		return err
	})
}

// poller is a client that consumes.
type poller interface {
	PollRecords(ctx context.Context, n int) kgo.Fetches
}

// read polls until a number of records was read, and no more. A client reports errors that pass, such as a topic that a broker does
// not know yet.
func read(t *testing.T, client poller, n int) (records []*kgo.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var err error
	for len(records) < n {
		fetches := client.PollRecords(ctx, n-len(records))
		if err = errors.Join(err, fetches.Err()); ctx.Err() != nil {
			require.NoError(t, err, "read %d records of %d", len(records), n)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

// commitRead commits what a member of a group has read.
func commitRead(t *testing.T, client *kgo.Client) {
	t.Helper()
	succeeds(t, "commit of what was read", client.CommitUncommittedOffsets)
}

// grant grants rights, and withdraw withdraws them.
func (c *three) grant(acls ...*kadm.ACLBuilder) {
	c.t.Helper()
	for _, acl := range acls {
		succeeds(c.t, "grant", func(ctx context.Context) error {
			granted, err := c.admin.CreateACLs(ctx, acl)
			for _, result := range granted {
				err = errors.Join(err, result.Err)
			}
			return err
		})
		c.described(acl, true)
	}
}

func (c *three) withdraw(acls ...*kadm.ACLBuilder) {
	c.t.Helper()
	for _, acl := range acls {
		succeeds(c.t, "withdraw", func(ctx context.Context) error {
			taken, err := c.admin.DeleteACLs(ctx, acl)
			for _, result := range taken {
				err = errors.Join(err, result.Err)
			}
			return err
		})
		c.described(acl, false)
	}
}

// described waits until every broker has rights, or none of them. A broker answers from what it has learnt itself.
func (c *three) described(acl *kadm.ACLBuilder, want bool) {
	c.t.Helper()
	for _, address := range c.kafka.Addresses() {
		succeeds(c.t, address+" knows of the rights", func(ctx context.Context) error {
			client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RequestRetries(0))
			if err != nil {
				return err
			}
			defer client.Close()
			// A client that has not asked for metadata knows only its seed.
			results, err := kadm.NewClient(client).DescribeACLs(ctx, acl)
			for _, result := range results {
				if err = errors.Join(err, result.Err); (len(result.Described) > 0) != want {
					err = errors.Join(err, fmt.Errorf("it has %d of %s", len(result.Described), fmt.Sprint(result.Type)))
				}
			}
			return err
		})
	}
}

// prefer gives the leadership of the log's partitions back to the brokers that had it at first.
func (w *world) prefer() {
	w.t.Helper()
	succeeds(w.t, "elect the preferred leaders", func(ctx context.Context) error {
		var all kadm.TopicsSet
		all.Add(logTopic, slices.Collect(countTo(8))...)
		results, err := w.admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, all)
		for _, result := range results[logTopic] {
			if !errors.Is(result.Err, kerr.ElectionNotNeeded) {
				err = errors.Join(err, result.Err)
			}
		}
		return err
	})
}
