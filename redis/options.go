package lagredis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/config"
	"github.com/lagkeeper/storage/internal/curve"
	"github.com/lagkeeper/storage/internal/lines"
)

// The defaults of Options.
const (
	DefaultKeyPrefix  = "lagkeeper:"
	DefaultBuckets    = 50
	DefaultTimeout    = 5 * time.Second
	DefaultCacheBytes = 256 << 20
	// MaxBuckets is the largest number of buckets.
	MaxBuckets = 1024
)

// Options say where the state is and by which rules it is written. The zero value of each field stands for its default.
type Options struct {
	// Store holds the rules. Clusters, Intervals, ExpireGroup, ExpireTopic, SweepInterval, MinDistance, GroupAllow, GroupDeny,
	// CurveSegments and Logger have the same meaning as for storage.Open; the other fields are ignored. Every rule that decides what
	// is written must be the same in all processes that share a state.
	Store storage.Options
	// Addresses are those of a single node, or of some nodes of a cluster, as host:port. At least one is required.
	Addresses []string
	// Username and Password are those of an ACL user; "" if there is none.
	Username, Password string
	// TLS is the configuration of connections over TLS; nil for connections without it.
	TLS *tls.Config
	// KeyPrefix is the prefix of all keys, so that several installations can share a server; default "lagkeeper:". It must not contain
	// a brace.
	KeyPrefix string
	// Buckets is the number of buckets of groups, and of buckets of topics. It should be the number of partitions of
	// __consumer_offsets: the default is 50, as it is for brokers. It can never be changed.
	Buckets int
	// Lease is how long the buckets of a process that has crashed are fed by no other; see DB.Share. Default 10 s.
	Lease time.Duration
	// Timeout is how long a call keeps trying while the server cannot be reached, or during a failover, unless its context ends
	// earlier; default 5 s. Then the call returns storage.ErrUnavailable.
	Timeout time.Duration
	// ReplicaMaxAge lets replicas answer reads if their answer is at most this old; at least one second. An answer is at least as new
	// as Group.TakenAt; lists and end offsets have no such time, but keep to the same bound. A read that replicas cannot answer within
	// the bound goes to the master. Recent writes, also those of this process, may be missing for that long. With 0, the default, only
	// masters answer. Each process that sets ReplicaMaxAge writes a key per bucket every second, or four times per ReplicaMaxAge if
	// that is more often.
	ReplicaMaxAge time.Duration
	// ReplicaAddress is the host:port of a replica, or of a proxy that spreads connections over several, for servers without cluster
	// mode. In a cluster the replicas are found without it.
	ReplicaAddress string
	// Dial makes a connection; nil stands for TCP, with TLS if TLS is set.
	Dial func(ctx context.Context, address string, dialer *net.Dialer, config *tls.Config) (net.Conn, error)
	// CacheBytes bounds the memory of the copies of groups that the process keeps; default 256 MiB. A copy saves reading the group
	// before it is changed. Before every use its version is compared with the one in Redis.
	CacheBytes int
}

// Validate returns all faults of the options as one error, nil if there are none.
func (o Options) Validate() error {
	faults := []error{o.Store.Validate()}
	if len(o.Addresses) == 0 {
		faults = append(faults, errors.New("invalid Addresses: there are none"))
	}
	for _, address := range o.Addresses {
		if !config.IsAddress(address) {
			faults = append(faults, fmt.Errorf("invalid Addresses %q: must be host:port", address))
		}
	}
	if o.ReplicaAddress != "" && !config.IsAddress(o.ReplicaAddress) {
		faults = append(faults, fmt.Errorf("invalid ReplicaAddress %q: must be host:port", o.ReplicaAddress))
	}
	if strings.ContainsAny(o.KeyPrefix, "{}") {
		faults = append(faults, fmt.Errorf("invalid KeyPrefix %q: must not hold a brace", o.KeyPrefix))
	}
	if o.Buckets < 0 || o.Buckets > MaxBuckets {
		faults = append(faults, fmt.Errorf("invalid Buckets %d: must be between 1 and %d", o.Buckets, MaxBuckets))
	}
	if o.CacheBytes < 0 {
		faults = append(faults, fmt.Errorf("invalid CacheBytes %d: must not be negative", o.CacheBytes))
	}
	if o.Lease != 0 && o.Lease < time.Second {
		faults = append(faults, fmt.Errorf("invalid Lease %v: must be at least a second", o.Lease))
	}
	if o.ReplicaMaxAge != 0 && o.ReplicaMaxAge < time.Second {
		faults = append(faults, fmt.Errorf("invalid ReplicaMaxAge %v: must be 0 or at least a second", o.ReplicaMaxAge))
	}
	if o.Timeout < 0 {
		faults = append(faults, fmt.Errorf("invalid Timeout %v: must not be negative", o.Timeout))
	}
	return errors.Join(faults...)
}

func (o Options) withDefaults() Options {
	if o.KeyPrefix == "" {
		o.KeyPrefix = DefaultKeyPrefix
	}
	if o.Buckets == 0 {
		o.Buckets = DefaultBuckets
	}
	if o.Lease == 0 {
		o.Lease = DefaultLease
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = DefaultCacheBytes
	}
	setDefault := func(field *time.Duration, value time.Duration) {
		if *field == 0 {
			*field = value
		}
	}
	s := &o.Store
	setDefault(&s.ExpireGroup, config.DefaultExpireGroup*time.Second)
	setDefault(&s.ExpireTopic, s.ExpireGroup)
	setDefault(&s.SweepInterval, config.DefaultSweepInterval*time.Second)
	if s.Intervals == 0 {
		s.Intervals = config.DefaultIntervals
	}
	if s.CurveSegments == 0 {
		s.CurveSegments = curve.DefaultSegments
	}
	s.Logger = lines.Log(s.Logger)
	return o
}
