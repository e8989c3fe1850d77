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

// Options say where the state is and by what rules it is written. The zero value of each field stands for its default.
type Options struct {
	// Store holds the rules. Clusters, Intervals, ExpireGroup, ExpireTopic, SweepInterval, MinDistance, GroupAllow, GroupDeny,
	// CurveSegments and Logger mean what they do for storage.Open; the others are ignored. Whatever decides what is written
	// must be the same in all processes that share a state.
	Store storage.Options
	// Addresses are those of a node, or of some nodes of a cluster, as host:port. At least one must be given.
	Addresses []string
	// Username and Password are those of an ACL user; "" for none.
	Username, Password string
	// TLS is the configuration of connections over TLS; nil for connections without it.
	TLS *tls.Config
	// KeyPrefix is what all keys begin with, so that several installations can share a server; default "lagkeeper:". It must
	// not hold a brace.
	KeyPrefix string
	// Buckets is the number of parts that the groups, and those that the topics are spread over. It should be the number of partitions of
	// __consumer_offsets, which is the default 50 unless the brokers were told otherwise, and can never be changed.
	Buckets int
	// Lease is for how long the bucket of a process that has ended without a word is fed by no other; see DB.Share. Default 10 s.
	Lease time.Duration
	// Timeout is for how long a call goes on trying while the server cannot be reached, or a failover is under way, if its
	// context does not end before; default 5 s. Then it returns storage.ErrUnavailable.
	Timeout time.Duration
	// ReplicaMaxAge lets replicas answer reads, as long as what they answer is at most this old: not less than a second. Group.TakenAt is
	// a time that the answer is at least as new as; lists and end offsets have no such time, but keep to the same bound. A read that replicas
	// cannot answer within it goes to the master. What this process has just written may be missing for as long, as may what others wrote.
	// 0, the default, has masters alone answer. Each process that sets it writes a key per bucket every second, or four times in that time.
	ReplicaMaxAge time.Duration
	// ReplicaAddress is that of a replica, or of what spreads connections over several, as host:port, for servers without cluster mode;
	// a cluster says itself where its replicas are.
	ReplicaAddress string
	// Dial makes a connection; nil for TCP, over TLS if there is a configuration of that.
	Dial func(ctx context.Context, address string, dialer *net.Dialer, config *tls.Config) (net.Conn, error)
	// CacheBytes is how much memory the groups may take that the process keeps a copy of; default 256 MiB. A copy saves reading the
	// group before it is changed, and is never relied upon: its version is compared with that in Redis.
	CacheBytes int
}

// Validate returns every fault of the options at once, nil if there is none.
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
