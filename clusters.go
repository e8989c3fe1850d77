package storage

import "fmt"

// AddCluster adds a cluster while the store runs, as if Options.Clusters had named it; it is empty at first. It does nothing
// if the cluster is there. It returns ErrInvalid for a name that is longer than 32,767 bytes or differs from that of another
// cluster only in case, and for the 10,001st cluster. It waits for a RemoveCluster that runs.
//
// A snapshot contains the cluster, but Open restores it only if Options.Clusters names it: an application that learns of its
// clusters while it runs keeps their names itself. Nor does a Coordinator or a module that is started again know it.
func (db *DB) AddCluster(name string) error {
	s := db.session.Load()
	if s == nil {
		return fmt.Errorf("add cluster: %w", ErrStopped)
	}
	if err := s.engine.AddCluster(name); err != nil {
		return fmt.Errorf("add cluster: %w", fromEngine(err))
	}
	return nil
}

// RemoveCluster removes a cluster with its groups, topics and positions, and what is remembered of its deletions. From then
// on it is ErrUnknownCluster. Groups and topics go one after the other, each as if it were deleted, so that nobody waits for
// long; all have gone when RemoveCluster returns. It returns ErrUnknownCluster.
func (db *DB) RemoveCluster(name string) error {
	s := db.session.Load()
	if s == nil {
		return fmt.Errorf("remove cluster: %w", ErrStopped)
	}
	if why := s.engine.RemoveCluster(name); why != 0 {
		return fmt.Errorf("remove cluster: %w", errorOf(why))
	}
	return nil
}
