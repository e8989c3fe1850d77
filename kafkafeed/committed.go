package kafkafeed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The bounds of one request. A partition takes about 30 bytes of an answer, so an answer is at most a few MB; all answers that are
// decoded at once take some ten times that.
const (
	groupsPerRequest     = 2000
	partitionsPerRequest = 100_000
	requestsAtOnce       = 4
	// assumedPartitions is the assumed size of a group that was not fetched before.
	assumedPartitions = 50
)

// fetchCommits fetches the committed offsets of groups from their coordinators. It sends one request per coordinator, or several if
// the answers would grow too large, and calls each for every answered group, one after the other. A group that its coordinator does
// not know has committed nothing. sizes are the earlier numbers of partitions of the groups. Partitions of topics that the feed may
// not describe are left out.
func (f *Feed) fetchCommits(ctx context.Context, groups []string, sizes map[string]int, each func(group string, committed offsets)) error {
	all := func(string) []kmsg.OffsetFetchRequestGroupTopic { return nil }
	return f.fetchOf(ctx, groups, sizes, all, func(g *kmsg.OffsetFetchResponseGroup) error {
		committed, err := committedOffsets(g)
		if err == nil {
			each(g.Group, committed)
		}
		return err
	})
}

// uncommitted asks for partitions of groups by name, and calls each for those without a commit. A coordinator that gets a request by
// name reports missing rights.
func (f *Feed) uncommitted(ctx context.Context, doubtful map[string]partitions, each func(commitKey)) error {
	sizes := make(map[string]int, len(doubtful))
	for group, of := range doubtful {
		for _, numbers := range of {
			sizes[group] += len(numbers)
		}
	}
	topics := func(group string) (topics []kmsg.OffsetFetchRequestGroupTopic) {
		for name, numbers := range doubtful[group] {
			t := kmsg.NewOffsetFetchRequestGroupTopic()
			t.Topic, t.Partitions = name, numbers
			topics = append(topics, t)
		}
		return topics
	}
	return f.fetchOf(ctx, slices.Collect(maps.Keys(doubtful)), sizes, topics, func(g *kmsg.OffsetFetchResponseGroup) (failure error) {
		for i := range g.Topics {
			t := &g.Topics[i]
			for j := range t.Partitions {
				p := &t.Partitions[j]
				switch err := kerr.ErrorForCode(p.ErrorCode); {
				case err != nil:
					failure = fmt.Errorf("group %q, topic %q, partition %d: %w", g.Group, t.Topic, p.Partition, err)
				case p.Offset < 0:
					each(commitKey{g.Group, t.Topic, p.Partition})
				}
			}
		}
		return failure
	})
}

// fetchOf fetches the committed offsets of topics of groups, nil for all topics, and calls take for the answer of each group, one
// after the other.
func (f *Feed) fetchOf(ctx context.Context, groups []string, sizes map[string]int, topics func(group string) []kmsg.OffsetFetchRequestGroupTopic,
	take func(*kmsg.OffsetFetchResponseGroup) error) error {
	request := func(groups []string) *kmsg.OffsetFetchRequest {
		request := kmsg.NewPtrOffsetFetchRequest()
		for _, group := range groups {
			g := kmsg.NewOffsetFetchRequestGroup()
			g.Group, g.Topics = group, topics(group)
			request.Groups = append(request.Groups, g)
		}
		return request
	}
	var mu sync.Mutex // held for take and faults
	var faults faultList
	var wg sync.WaitGroup
	room := make(chan struct{}, requestsAtOnce)
	for _, some := range chunks(groups, sizes) {
		select {
		case <-ctx.Done():
		case room <- struct{}{}:
			wg.Go(func() {
				defer func() { <-room }()
				f.fetchChunk(ctx, request(some), &mu, &faults, take)
			})
		}
	}
	wg.Wait()
	return errors.Join(faults.err(), ctx.Err())
}

// chunks splits groups into requests.
func chunks(groups []string, sizes map[string]int) (split [][]string) {
	begin, partitions := 0, 0
	for i, group := range groups {
		size, known := sizes[group]
		if !known {
			size = assumedPartitions
		}
		if i > begin && (i-begin == groupsPerRequest || partitions+size > partitionsPerRequest) {
			split = append(split, groups[begin:i])
			begin, partitions = i, 0
		}
		partitions += size
	}
	if begin < len(groups) {
		split = append(split, groups[begin:])
	}
	return split
}

func (f *Feed) fetchChunk(ctx context.Context, request *kmsg.OffsetFetchRequest, mu *sync.Mutex, faults *faultList,
	take func(*kmsg.OffsetFetchResponseGroup) error) {
	for _, shard := range f.client.RequestSharded(ctx, request) {
		if half := halves(&shard); half != nil {
			f.fetchChunk(ctx, half[0], mu, faults, take)
			f.fetchChunk(ctx, half[1], mu, faults, take)
			continue
		}
		mu.Lock()
		if shard.Err != nil {
			faults.add(shard.Err)
		} else {
			takeCommits(shard.Resp.(*kmsg.OffsetFetchResponse), faults, take)
		}
		mu.Unlock()
	}
}

// halves splits the groups of a request whose answer is too large for the client. It returns nil if the error is another, or if the
// answer for a single group is too large.
func halves(shard *kgo.ResponseShard) []*kmsg.OffsetFetchRequest {
	request, ok := shard.Req.(*kmsg.OffsetFetchRequest)
	// The client has no error value for this.
	if shard.Err == nil || !strings.Contains(shard.Err.Error(), "exceeds BrokerMaxReadBytes") || !ok || len(request.Groups) < 2 {
		return nil
	}
	var halves []*kmsg.OffsetFetchRequest
	for groups := range slices.Chunk(request.Groups, (len(request.Groups)+1)/2) {
		half := kmsg.NewPtrOffsetFetchRequest()
		half.Groups = groups
		halves = append(halves, half)
	}
	return halves
}

func takeCommits(response *kmsg.OffsetFetchResponse, faults *faultList, take func(*kmsg.OffsetFetchResponseGroup) error) {
	for i := range response.Groups {
		g := &response.Groups[i]
		if err := kerr.ErrorForCode(g.ErrorCode); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			faults.add(fmt.Errorf("group %q: %w", g.Group, err))
		} else if err := take(g); err != nil {
			faults.add(err)
		}
	}
}

func committedOffsets(group *kmsg.OffsetFetchResponseGroup) (offsets, error) {
	committed := make(offsets, len(group.Topics))
	for i := range group.Topics {
		t := &group.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("group %q, topic %q, partition %d: %w", group.Group, t.Topic, p.Partition, err)
			}
			if p.Offset < 0 {
				continue // no commit
			}
			if committed[t.Topic] == nil {
				committed[t.Topic] = make(map[int32]int64, len(t.Partitions))
			}
			committed[t.Topic][p.Partition] = p.Offset
		}
	}
	return committed, nil
}
