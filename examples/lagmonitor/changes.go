package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	"github.com/lagkeeper/storage/status"
)

// watch returns the changes in a store that are worth a line, nil if the store cannot be watched.
func watch(ctx context.Context, store storage.Store) (iter.Seq[protocol.Event], error) {
	watcher, ok := store.(storage.Watcher)
	if !ok {
		return nil, nil
	}
	changes, err := watcher.Watch(ctx, storage.WatchFilter{})
	if errors.Is(err, storage.ErrUnsupported) {
		return nil, nil
	}
	return changes, err
}

// tell converts changes to text until they end. What is created while a cluster is read for the first time is not reported, nor is it
// with --once.
func (l *eventLog) tell(changes iter.Seq[protocol.Event], sources []*source, once bool) {
	if changes == nil {
		return
	}
	ready := make(map[string]<-chan struct{}, len(sources))
	for _, s := range sources {
		ready[s.name] = s.feed.Ready()
	}
	for change := range changes {
		where := ""
		if len(sources) > 1 {
			where = change.Cluster + ": "
		}
		news := false
		select {
		case <-ready[change.Cluster]:
			news = !once
		default:
		}
		if text := changeText(change, news); text != "" {
			l.add(change.Time, "%s", where+text)
		}
	}
}

// changeText returns the text of a change, "" for one that is not worth a line. news is false while a cluster is read for the first
// time.
func changeText(change protocol.Event, news bool) string {
	switch change.Kind {
	case protocol.EventMissed:
		return fmt.Sprintf("%d changes were missed", change.Missed)
	case protocol.EventStoreFull:
		return "the store is full: new groups and topics are refused"
	case protocol.EventGroupCreated:
		if news {
			return "group " + change.Group + " is new"
		}
	case protocol.EventTopicCreated:
		if news {
			return "topic " + change.Topic + " is new"
		}
	case protocol.EventGroupDeleted:
		return "group " + change.Group + " was deleted"
	case protocol.EventGroupExpired:
		return "group " + change.Group + " was forgotten: it gave no sign of life"
	case protocol.EventTopicDeleted:
		return "topic " + change.Topic + " was deleted"
	case protocol.EventTopicExpired:
		return "topic " + change.Topic + " was forgotten: it was not polled"
	case protocol.EventIncarnationChanged:
		return fmt.Sprintf("topic %s, partition %d was recreated or cut", change.Topic, change.Partition)
	}
	return ""
}

// verb returns the verb for a group that has reached a status, "" for a status that is not worth a line.
func verb(s status.Status) string {
	switch s {
	case status.Stopped:
		return "stopped"
	case status.Stalled:
		return "stalled"
	case status.BeyondEnd:
		return "stands beyond the end"
	case status.Reset:
		return "lost its place"
	case status.Rewound:
		return "rewound"
	}
	return ""
}

// compare reports the groups that have stopped, rewound or returned since the previous reading.
func (l *eventLog) compare(before map[groupKey]*groupRow, now []*groupRow, at time.Time) {
	for _, r := range now {
		old := before[r.key()]
		if old == nil || old.Status == r.Status {
			continue
		}
		did := verb(r.Status)
		if did == "" && verb(old.Status) != "" && r.Status != status.Unknown {
			did = "returned"
		}
		if did == "" {
			continue
		}
		text := fmt.Sprintf("group %s %s", r.Group, did)
		if r.shownCluster != "" {
			text = r.Cluster + ": " + text
		}
		if r.Lag.Messages != nil {
			text += ", behind by " + lagText(r.Lag)
		} else {
			text += ": " + r.Why
		}
		l.add(at, "%s", text)
	}
}
