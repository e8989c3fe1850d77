package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// How long the monitor waits for Kafka.
const (
	dialTimeout    = 5 * time.Second
	connectTimeout = 8 * time.Second
	// metadataMinAge is how long the client may answer from its cache where it was asked for fresh metadata. The
	// default of five seconds would hide a topic that was just created, grown or deleted.
	metadataMinAge = 50 * time.Millisecond
	// requestRetries is how often a request is tried again. It is little, since the next poll asks anyway.
	requestRetries = 3
)

// openKafka connects to a cluster and returns once a broker has answered. The error says in one line why none did.
func openKafka(ctx context.Context, cfg kafkaConfig) (*kgo.Client, error) {
	options, err := cfg.clientOptions()
	if err != nil {
		return nil, &configError{err}
	}
	dials := new(dialWatch)
	client, err := kgo.NewClient(append(options, kgo.WithHooks(dials))...)
	if err != nil {
		return nil, badConfig("set up the Kafka client: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := client.Ping(ctx); err != nil {
		client.Close()
		return nil, fmt.Errorf("reach Kafka at %s: %w", strings.Join(cfg.brokers, ","), explain(dials.cause(err), cfg))
	}
	return client, nil
}

// clientOptions are the options of a client that only reads.
func (k kafkaConfig) clientOptions() ([]kgo.Opt, error) {
	options := []kgo.Opt{
		kgo.SeedBrokers(k.brokers...),
		kgo.ClientID("lagmonitor"),
		kgo.MetadataMinAge(metadataMinAge),
		kgo.RequestRetries(requestRetries),
		kgo.DisableClientMetrics(),
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	if k.tls {
		tlsConfig, err := k.tlsConfig()
		if err != nil {
			return nil, err
		}
		options = append(options, kgo.Dialer((&tls.Dialer{NetDialer: dialer, Config: tlsConfig}).DialContext))
	} else {
		options = append(options, kgo.Dialer(dialer.DialContext))
	}
	switch k.saslMechanism {
	case "PLAIN":
		options = append(options, kgo.SASL(plain.Auth{User: k.saslUser, Pass: k.saslPassword}.AsMechanism()))
	case "SCRAM-SHA-256":
		options = append(options, kgo.SASL(scram.Auth{User: k.saslUser, Pass: k.saslPassword}.AsSha256Mechanism()))
	case "SCRAM-SHA-512":
		options = append(options, kgo.SASL(scram.Auth{User: k.saslUser, Pass: k.saslPassword}.AsSha512Mechanism()))
	}
	return options, nil
}

// tlsConfig reads the certificates. Without any it trusts what the system trusts.
func (k kafkaConfig) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: k.tlsSkipVerify, //nolint:gosec // asked for with --tls-skip-verify, whose help says insecure
	}
	if k.tlsCA != "" {
		pem, err := os.ReadFile(k.tlsCA)
		if err != nil {
			return nil, fmt.Errorf("read TLS CA: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read TLS CA: %s holds no PEM certificate", k.tlsCA)
		}
	}
	if k.tlsCert != "" {
		pair, err := tls.LoadX509KeyPair(k.tlsCert, k.tlsKey)
		if err != nil {
			return nil, fmt.Errorf("read TLS client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// dialWatch is a hook that remembers the last failure to connect: it says more than the timeout into which the client's
// retries run.
type dialWatch struct {
	mu   sync.Mutex
	last error // guarded by mu
}

// OnBrokerConnect implements kgo.HookBrokerConnect.
func (d *dialWatch) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = err
}

// cause returns the last failure to connect or, where connecting went well, err.
func (d *dialWatch) cause(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last != nil {
		return d.last
	}
	return err
}

// explain puts into words what is most likely behind an error that says nothing by itself.
func explain(err error, cfg kafkaConfig) error {
	var dial *net.OpError
	switch {
	case errors.As(err, &dial):
		return dial
	case errors.Is(err, io.EOF) && cfg.saslMechanism != "":
		return fmt.Errorf("the broker closed the connection: check SASL mechanism, user and password (%w)", err)
	case errors.Is(err, context.DeadlineExceeded) && cfg.tls:
		return fmt.Errorf("no TLS handshake: does the broker speak TLS on that port? (%w)", err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer (%w)", err)
	}
	return err
}
