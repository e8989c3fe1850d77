package lagredis

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lagkeeper/storage"
)

// The defaults of Options.
const (
	DefaultKeyPrefix = "lagkeeper:"
	DefaultBuckets   = 50
	DefaultTimeout   = 5 * time.Second
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
	// Timeout is for how long a call goes on trying while the server cannot be reached, or a failover is under way, if its
	// context does not end before; default 5 s. Then it returns storage.ErrUnavailable.
	Timeout time.Duration
	// Now tells the time; nil for the system's clock.
	Now func() time.Time
}

// Validate returns every fault of the options at once, nil if there is none.
func (o Options) Validate() error {
	faults := []error{o.Store.Validate()}
	if len(o.Addresses) == 0 {
		faults = append(faults, errors.New("invalid Addresses: there are none"))
	}
	if strings.ContainsAny(o.KeyPrefix, "{}") {
		faults = append(faults, fmt.Errorf("invalid KeyPrefix %q: must not hold a brace", o.KeyPrefix))
	}
	if o.Buckets < 0 || o.Buckets > MaxBuckets {
		faults = append(faults, fmt.Errorf("invalid Buckets %d: must be between 1 and %d", o.Buckets, MaxBuckets))
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
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	return o
}
