package lagredis

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/redis/rueidis"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/engine"
)

// clusterDoors admit calls that concern a cluster, until it is removed.
type clusterDoors struct {
	doors sync.Map // of *sync.RWMutex by *engine.Cluster; each call under way holds a read lock
}

func (d *clusterDoors) of(c *engine.Cluster) *sync.RWMutex {
	door, ok := d.doors.Load(c)
	if !ok {
		door, _ = d.doors.LoadOrStore(c, new(sync.RWMutex))
	}
	return door.(*sync.RWMutex)
}

// enter reports whether a call may begin. None may once RemoveCluster waits for the lock.
func (d *clusterDoors) enter(c *engine.Cluster) bool { return d.of(c).TryRLock() }
func (d *clusterDoors) leave(c *engine.Cluster)      { d.of(c).RUnlock() }

// AddCluster adds a cluster for this process, as if Options.Store.Clusters had named it: its data in the state is available at once.
// It does nothing if the cluster exists. It returns ErrInvalid for a name that is longer than 32,767 bytes or differs from that of
// another cluster only in case, and for the 10,001st cluster. Other processes must add the cluster themselves.
func (db *DB) AddCluster(name string) error {
	if err := db.begin(context.Background()); err != nil {
		return fmt.Errorf("add cluster: %w", err)
	}
	defer db.end()
	engines := []*engine.Engine{db.engine}
	if db.replicas != nil {
		engines = []*engine.Engine{db.replicas.reader.engine, db.engine}
	}
	for _, e := range engines {
		if err := e.AddCluster(name); err != nil {
			return fmt.Errorf("add cluster: %w", fromEngine(err))
		}
	}
	return nil
}

// RemoveCluster removes a cluster from the state, with its groups, topics and positions. From then on this process returns
// ErrUnknownCluster for it. Groups and topics are removed one after the other, each as if it were deleted. Other processes must stop
// feeding the cluster first, or they would bring it back. RemoveCluster returns ErrUnknownCluster, and ErrUnavailable if the state
// could not be removed as a whole: then the cluster stays, and the call can be repeated.
func (db *DB) RemoveCluster(name string) error {
	if err := db.begin(context.Background()); err != nil {
		return fmt.Errorf("remove cluster: %w", err)
	}
	defer db.end()
	if err := db.removeCluster(db.ctx, name); err != nil {
		return fmt.Errorf("remove cluster: %w", err)
	}
	return nil
}

func (db *DB) removeCluster(ctx context.Context, name string) error {
	c := db.engine.Cluster(name)
	if c == nil {
		return storage.ErrUnknownCluster
	}
	// From here on nothing in this process changes the cluster.
	door := db.clusters.of(c)
	door.Lock()
	defer door.Unlock()
	// This also removes what another process has brought back meanwhile.
	for {
		topics, err := db.syncOf(ctx, c, nil, db.listTopics, db.deleteTopic)
		if err != nil {
			return err
		}
		groups, err := db.syncOf(ctx, c, nil, db.listAllGroups, db.deleteGroup)
		if err != nil {
			return err
		}
		if topics+groups == 0 {
			break
		}
	}
	if err := db.forgetPositions(ctx, c, nil); err != nil {
		return err
	}
	deleted, err := db.names(ctx, db.topicTag, func(bucket int) rueidis.Completed {
		return db.client.B().Zrange().Key(db.deletedKey(bucket, c.Name)).Min("0").Max("-1").Build()
	})
	if err == nil {
		err = db.forgetDeleted(ctx, c, deleted)
	}
	if err != nil {
		return err
	}
	if db.replicas != nil {
		_ = db.replicas.reader.engine.RemoveCluster(name) // it is known there if it is known here
	}
	defer db.clusters.doors.Delete(c)
	return errorsOf[db.engine.RemoveCluster(name)]
}

// listAllGroups returns all groups, expired ones included.
func (db *DB) listAllGroups(ctx context.Context, c *engine.Cluster) ([]string, error) {
	return db.names(ctx, db.groupTag, func(bucket int) rueidis.Completed {
		return db.client.B().Zrange().Key(db.liveKey(bucket, c.Name)).Min("0").Max("-1").Build()
	})
}

func (db *DB) SyncTopics(ctx context.Context, cluster string, topics []string) error {
	return db.sync(ctx, cluster, topics, db.listTopics, db.deleteTopic)
}

func (db *DB) SyncGroups(ctx context.Context, cluster string, groups []string) error {
	return db.sync(ctx, cluster, groups, db.listGroups, db.deleteGroup)
}

// sync deletes the listed names that are not to be kept.
func (db *DB) sync(
	ctx context.Context, cluster string, keep []string, list func(context.Context, *engine.Cluster) ([]string, error),
	remove func(context.Context, *engine.Cluster, string) error,
) error {
	c, err := db.enter(ctx, cluster)
	if err != nil {
		return err
	}
	defer db.leave(c)
	_, err = db.syncOf(ctx, c, keep, list, remove)
	return err
}

// syncOf returns the number of names that it removed.
func (db *DB) syncOf(
	ctx context.Context, c *engine.Cluster, keep []string, list func(context.Context, *engine.Cluster) ([]string, error),
	remove func(context.Context, *engine.Cluster, string) error,
) (int, error) {
	kept := make(map[string]bool, len(keep))
	for _, name := range keep {
		kept[name] = true
	}
	names, err := list(ctx, c)
	if err != nil {
		return 0, err
	}
	var gone []string
	for _, name := range names {
		if !kept[name] {
			gone = append(gone, name)
		}
	}
	return len(gone), eachName(gone, func(name string) error {
		err := remove(ctx, c, name)
		if errors.Is(err, storage.ErrUnknownGroup) || errors.Is(err, storage.ErrUnknownTopic) {
			return nil // it is gone already
		}
		return err
	})
}
