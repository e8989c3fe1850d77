// Package metrics holds the series that this application exports. It is the application's own, as it was before it moved.
package metrics

import (
	"maps"
	"sync"
)

// Series names one series: the lag of a group on a partition.
type Series struct {
	Cluster, Group, Topic string
	Partition             int32
}

// Lags are the lags that the application exports. The zero value is ready; it is safe for any number of goroutines.
type Lags struct {
	mu     sync.Mutex
	values map[Series]uint64 // guarded by mu
}

// Set sets the value of a series.
func (l *Lags) Set(series Series, lag uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.values == nil {
		l.values = make(map[Series]uint64)
	}
	l.values[series] = lag
}

// DeleteGroup drops the series of a group.
func (l *Lags) DeleteGroup(cluster, group string) {
	l.delete(func(s Series) bool { return s.Cluster == cluster && s.Group == group })
}

// DeleteGroupTopic drops the series of a topic of a group.
func (l *Lags) DeleteGroupTopic(cluster, group, topic string) {
	l.delete(func(s Series) bool { return s.Cluster == cluster && s.Group == group && s.Topic == topic })
}

// Keep drops the series that are not to be kept.
func (l *Lags) Keep(keep func(Series) bool) {
	l.delete(func(s Series) bool { return !keep(s) })
}

func (l *Lags) delete(drop func(Series) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.values, func(s Series, _ uint64) bool { return drop(s) })
}

// Values returns a copy of all series.
func (l *Lags) Values() map[Series]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.values)
}
