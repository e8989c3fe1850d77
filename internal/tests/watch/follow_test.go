package watch_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/tests/testkit"
	"github.com/lagkeeper/storage/protocol"
)

// followed is the state as a follower of the change feed knows it: names are "cluster/topic", "cluster/group" and
// "cluster/group/topic".
type followed struct {
	topics, groups, groupTopics map[string]bool
}

func newFollowed() followed {
	return followed{topics: map[string]bool{}, groups: map[string]bool{}, groupTopics: map[string]bool{}}
}

// apply applies an event. It returns an error if the event contradicts the state: something is created that exists, or
// deleted or changed that does not.
func (f followed) apply(e protocol.Event) error {
	topic, group := e.Cluster+"/"+e.Topic, e.Cluster+"/"+e.Group
	groupTopic := group + "/" + e.Topic
	comes := func(set map[string]bool, name string) error {
		if set[name] {
			return fmt.Errorf("%v of %q, which is there", e.Kind, name)
		}
		set[name] = true
		return nil
	}
	needs := func(set map[string]bool, name string) error {
		if !set[name] {
			return fmt.Errorf("%v of %q, which is not there", e.Kind, name)
		}
		return nil
	}
	goes := func(set map[string]bool, name string) error {
		err := needs(set, name)
		delete(set, name)
		return err
	}
	if e.Time.IsZero() {
		return fmt.Errorf("%v without a time", e.Kind)
	}
	switch e.Kind {
	case protocol.EventTopicCreated:
		return comes(f.topics, topic)
	case protocol.EventTopicDeleted, protocol.EventTopicExpired:
		return goes(f.topics, topic)
	case protocol.EventIncarnationChanged:
		return needs(f.topics, topic)
	case protocol.EventGroupCreated:
		return comes(f.groups, group)
	case protocol.EventGroupExpired, protocol.EventGroupDeleted:
		for held := range f.groupTopics {
			if len(held) > len(group) && held[:len(group)+1] == group+"/" {
				delete(f.groupTopics, held)
			}
		}
		return goes(f.groups, group)
	case protocol.EventGroupTopicCreated:
		if err := needs(f.groups, group); err != nil {
			return err
		}
		return comes(f.groupTopics, groupTopic)
	case protocol.EventGroupTopicExpired, protocol.EventGroupTopicDeleted:
		return goes(f.groupTopics, groupTopic)
	case protocol.EventOwnerChanged:
		return needs(f.groupTopics, groupTopic)
	case protocol.EventOwnersCleared:
		return needs(f.groups, group)
	}
	return fmt.Errorf("unknown event %+v", e)
}

// listed returns what a store lists.
func listed(t testing.TB, store storage.Store) followed {
	t.Helper()
	ctx := context.Background()
	f := newFollowed()
	clusters, err := store.Clusters(ctx)
	require.NoError(t, err)
	for _, cluster := range clusters {
		topics, err := store.Topics(ctx, cluster)
		require.NoError(t, err)
		for topic := range topics {
			f.topics[cluster+"/"+topic] = true
			holders, err := store.GroupsOfTopic(ctx, cluster, topic)
			require.NoError(t, err)
			for group := range holders {
				f.groupTopics[cluster+"/"+group+"/"+topic] = true
			}
		}
		groups, err := store.Groups(ctx, cluster)
		require.NoError(t, err)
		for group := range groups {
			f.groups[cluster+"/"+group] = true
		}
	}
	return f
}

// requireSame compares the states of two sides.
func requireSame(t testing.TB, want, got followed, what string) {
	t.Helper()
	for name, sets := range map[string][2]map[string]bool{
		"topics": {want.topics, got.topics}, "groups": {want.groups, got.groups},
		"topics of groups": {want.groupTopics, got.groupTopics},
	} {
		require.Equal(t, slices.Sorted(maps.Keys(sets[0])), slices.Sorted(maps.Keys(sets[1])), "%s: %s", what, name)
	}
}

// watching is a loop over a feed.
type watching struct {
	t      testing.TB
	events chan protocol.Event
	cancel context.CancelFunc
	done   chan struct{} // closed when the loop has ended
}

// watch begins to watch a Coordinator, whose events are read from events.
func watch(s *testkit.Service, filter storage.WatchFilter) *watching {
	s.T.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	seq, err := s.Module.(testkit.AsModule).Watch(ctx, filter)
	require.NoError(s.T, err)
	w := &watching{t: s.T, events: make(chan protocol.Event), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for event := range seq {
			select {
			case w.events <- event:
			case <-ctx.Done():
				return
			}
		}
	}()
	s.T.Cleanup(w.end)
	return w
}

func (w *watching) end() {
	w.cancel()
	<-w.done
}

// until returns the events up to and including the first that is wanted.
func (w *watching) until(wanted func(protocol.Event) bool) []protocol.Event {
	w.t.Helper()
	var events []protocol.Event
	for {
		select {
		case event := <-w.events:
			events = append(events, event)
			if wanted(event) {
				return events
			}
		case <-w.done:
			require.FailNow(w.t, "the feed ended", "%v", events)
		case <-time.After(testkit.Patience):
			require.FailNow(w.t, "the event does not come", "%v", events)
		}
	}
}

// eventTexts returns the events as text without their times.
func eventTexts(events []protocol.Event) []string {
	var texts []string
	for _, e := range events {
		text := fmt.Sprintf("%v %s/%s/%s", e.Kind, e.Cluster, e.Group, e.Topic)
		if e.Partition != 0 {
			text += fmt.Sprintf("/%d", e.Partition)
		}
		if e.Owner != "" || e.ClientID != "" {
			text += fmt.Sprintf(" %s (%s)", e.Owner, e.ClientID)
		}
		texts = append(texts, text)
	}
	return texts
}
