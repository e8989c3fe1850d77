package kafkafeed

import (
	"context"
	"crypto/tls"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	"go.uber.org/goleak"

	"github.com/lagkeeper/storage/internal/leaktest"
	"github.com/lagkeeper/storage/kafkafeed/internal/kafkatest"
)

// The listeners of brokers that require a password, and that use TLS.
const (
	withPassword = "SASL_PLAINTEXT"
	withTLS      = "SSL"
)

// three is a world of three brokers that several tests share. A client without a password has all rights.
type three struct {
	*world
	keystore string // the certificate of all brokers
}

func newThree(t *testing.T) *three {
	keystore := filepath.Join(t.TempDir(), "broker.pem")
	if !racing && !testing.Short() {
		kafkatest.NewAuthority(t).WriteKeystore(keystore)
	}
	return &three{newWorldWith(t, 3, map[string]string{
		"authorizer.class.name":        "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users":                  "User:ANONYMOUS",
		"sasl.enabled.mechanisms":      "SCRAM-SHA-256",
		"ssl.keystore.type":            "PEM",
		"ssl.keystore.location":        keystore,
		"broker.session.timeout.ms":    "2000", // killed brokers are noticed soon
		"broker.heartbeat.interval.ms": "300",
		"log.cleaner.backoff.ms":       "200",
		"listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
		"listener.name.sasl_plaintext.connections.max.reauth.ms":      "6000",
	}, withPassword, withTLS), keystore}
}

// at returns the world for another test, which fails if a goroutine is left.
func (c *three) at(t *testing.T) *three {
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		leaktest.None(t, leaks, goleak.IgnoreAnyFunction("github.com/lagkeeper/storage/internal/servertest.(*Process).Start.func1"))
	})
	w := *c.world
	w.t = t
	w.connect(kgo.RequestTimeoutOverhead(time.Second), kgo.ProduceRequestTimeout(time.Second))
	return &three{&w, c.keystore}
}

// user creates a user with a password, or changes its password, and returns when every broker knows it.
func (c *three) user(name, password string) {
	c.t.Helper()
	succeeds(c.t, "set the password", func(ctx context.Context) error {
		altered, err := c.admin.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: name, Mechanism: kadm.ScramSha256, Iterations: 4096, Password: password}})
		if err == nil {
			err = altered.Error()
		}
		return err
	})
	for _, address := range c.kafka.Secured(withPassword) {
		succeeds(c.t, address+" knows the password", func(ctx context.Context) error {
			client, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.SASL(scram.Auth{User: name, Pass: password}.AsSha256Mechanism()), kgo.RequestRetries(0))
			if err != nil {
				return err
			}
			defer client.Close()
			return client.Ping(ctx)
		})
	}
}

// as returns the options of a feed with a user and a password.
func (c *three) as(name, password string) Opt {
	return ClientOpts(kgo.SeedBrokers(c.kafka.Secured(withPassword)...), kgo.SASL(scram.Auth{User: name, Pass: password}.AsSha256Mechanism()))
}

// trusting returns the options of a feed that trusts an authority.
func (c *three) trusting(authority *kafkatest.Authority) Opt {
	return ClientOpts(kgo.SeedBrokers(c.kafka.Secured(withTLS)...), kgo.DialTLSConfig(&tls.Config{RootCAs: authority.Pool(), MinVersion: tls.VersionTLS12}))
}

// waits makes the requests of a feed wait as long as the client allows.
const waits = 15 * time.Minute

// ends stops a feed whose requests get no answer. If Run waited for them, it would end when they have timed out.
func (c *three) ends(feed *running) {
	c.t.Helper()
	begun := time.Now()
	feed.stop()
	took := time.Since(begun)
	c.t.Logf("Run has ended %v after the context", took.Round(time.Millisecond))
	require.Less(c.t, took, waits)
}

func TestRealKafkaOfThreeBrokers(t *testing.T) {
	c := newThree(t)
	for _, test := range []struct {
		name string
		run  func(*three)
	}{
		{"topics that change", (*three).changedTopics},
		{"leaderless partition", (*three).leaderless},
		{"half the rights", (*three).halfTheRights},
		{"wrong password", (*three).wrongPassword},
		{"wrong authority", (*three).wrongAuthority},
		{"paused broker", (*three).pausedBroker},
		{"all brokers down", (*three).allDown},
	} {
		if !t.Run(test.name, func(t *testing.T) { test.run(c.at(t)) }) {
			break // what it left may disturb the other tests
		}
	}
}
