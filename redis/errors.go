package lagredis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/engine"
)

// errorsOf maps the engine's reasons to errors.
var errorsOf = [engine.Reasons]error{
	engine.UnknownCluster: storage.ErrUnknownCluster, engine.UnknownGroup: storage.ErrUnknownGroup,
	engine.UnknownTopic: storage.ErrUnknownTopic, engine.UnknownPartition: storage.ErrUnknownPartition,
	engine.Filtered: storage.ErrFiltered, engine.TooOld: storage.ErrTooOld, engine.Duplicate: storage.ErrDuplicate,
	engine.Backfill: storage.ErrBackfill, engine.Invalid: storage.ErrInvalid, engine.Stopped: storage.ErrStopped,
	engine.Stale: storage.ErrStale, engine.Full: storage.ErrFull,
}

// fromEngine returns the error of package storage for a reason of the engine.
func fromEngine(err error) error {
	var why engine.Reason
	switch {
	case err == nil:
		return nil
	case errors.As(err, &why):
		return fmt.Errorf("%w%s", errorsOf[why], strings.TrimPrefix(err.Error(), why.Error()))
	default:
		return err
	}
}

// refusals collects the refused items of a batch.
type refusals []storage.Refusal

func (r *refusals) add(index int, why engine.Reason) {
	*r = append(*r, storage.Refusal{Index: index, Err: errorsOf[why]})
}

func (r refusals) err() error {
	if len(r) == 0 {
		return nil
	}
	return &storage.BatchError{Refused: r}
}

// errConflict is returned by an attempt that found the state changed by another writer; the attempt is repeated at once.
var errConflict = errors.New("changed by another")

// errUnfit marks an error that makes a server unfit to hold the state: no retry can help.
var errUnfit = errors.New("unfit server")

// unfit wraps an error as errUnfit without changing its text.
type unfit struct{ error }

func (unfit) Is(target error) bool { return target == errUnfit }

// temporary reports whether an error of the server or of the connection may be gone when the command is sent again.
func temporary(err error) bool {
	var fault *rueidis.RedisError
	if errors.As(err, &fault) {
		return slices.ContainsFunc([]string{
			"LOADING", "CLUSTERDOWN", "TRYAGAIN", "READONLY", "MASTERDOWN", "MOVED", "ASK", "BUSY", "NOREPLICAS", "UNBLOCKED",
		}, func(code string) bool { return strings.HasPrefix(fault.Error(), code) })
	}
	// An error of making the client has lost its type, so its text decides.
	return err != nil && !errors.Is(err, errMalformed) && !errors.Is(err, errUnfit) &&
		!strings.Contains(err.Error(), "WRONGPASS") && !strings.Contains(err.Error(), "NOAUTH")
}

// distrust reports whether one side refuses the other's certificate. An open state keeps retrying, since certificates are renewed;
// opening one fails.
func distrust(err error) bool {
	var certificate *tls.CertificateVerificationError
	var other *net.OpError
	return errors.As(err, &certificate) ||
		errors.As(err, &other) && other.Op == "remote error" // crypto/tls marks errors reported by the peer this way
}

const (
	firstPause = 5 * time.Millisecond
	lastPause  = 250 * time.Millisecond
)

// persist repeats attempts until one succeeds, one fails for good, or the context is done. It returns ErrUnavailable for an error that
// may be temporary.
func (db *DB) persist(ctx context.Context, attempt func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, db.options.Timeout)
	defer cancel()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := attempt(ctx)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errConflict):
			db.counts.conflicts.Add(1)
			if ctx.Err() != nil {
				return fmt.Errorf("%w: %w", storage.ErrUnavailable, err)
			}
			pause = firstPause
			continue
		case isForFeed(err), db.marks != nil: // a read from a replica can go to a master instead
			return err
		case full(err):
			return fmt.Errorf("%w: %w", storage.ErrFull, err)
		case !temporary(err):
			return err
		}
		db.counts.retries.Add(1)
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return fmt.Errorf("%w: %w", storage.ErrUnavailable, err)
		}
	}
}

// full reports whether the server is out of memory.
func full(err error) bool {
	var fault *rueidis.RedisError
	return errors.As(err, &fault) && strings.HasPrefix(fault.Error(), "OOM")
}
