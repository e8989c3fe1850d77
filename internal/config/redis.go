package config

import (
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/viper"
)

// Redis is the configuration that only a module of class redis has. 0 and "" stand for the default.
type Redis struct {
	Addresses                              []string
	Username, Password, KeyPrefix          string
	TLS                                    bool
	TLSAuthorities, TLSCertificate, TLSKey string // paths of files
	Buckets, CacheBytes                    int
	Timeout, ReplicaMaxAge                 time.Duration
	ReplicaAddress                         string
}

// IsAddress reports whether a text is the address of a server: a host and a port.
func IsAddress(text string) bool {
	host, port, err := net.SplitHostPort(text)
	n, fault := strconv.ParseUint(port, 10, 16)
	return err == nil && fault == nil && host != "" && n > 0
}

// ReadRedis is ReadModule for the class redis. most is the largest number of buckets; the other values are defaults.
func ReadRedis(v *viper.Viper, root, className, keyPrefix string, buckets, most int, timeout time.Duration) (Module, Redis, error) {
	r := &reader{viper: v, root: root}
	var c Redis
	m, err := readModule(r, className, func() {
		c = Redis{
			Addresses: r.texts("addresses"), Username: r.text("username", ""), Password: r.text("password", ""),
			KeyPrefix: r.text("key-prefix", keyPrefix), TLS: r.flag("tls", false), TLSAuthorities: r.text("tls-ca-file", ""),
			TLSCertificate: r.text("tls-cert-file", ""), TLSKey: r.text("tls-key-file", ""),
			Buckets: int(r.integer("buckets", int64(buckets), 1, int64(most))),
			Timeout: r.seconds("timeout", int64(timeout/time.Second), 1), CacheBytes: int(r.integer("cache-bytes", 256<<20, 1<<20, 1<<50)),
			ReplicaMaxAge:  r.seconds("replica-max-age", 0, 0),
			ReplicaAddress: r.text("replica-address", ""),
		}
		if len(c.Addresses) == 0 || slices.ContainsFunc(c.Addresses, func(a string) bool { return !IsAddress(a) }) {
			r.fault("addresses", c.Addresses, "a list of at least one host:port")
		}
		if c.ReplicaAddress != "" && !IsAddress(c.ReplicaAddress) {
			r.fault("replica-address", c.ReplicaAddress, "host:port")
		}
	})
	return m, c, err
}
