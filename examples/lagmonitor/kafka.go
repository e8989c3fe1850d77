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
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

const (
	dialTimeout = 5 * time.Second
	// metadataMinAge is the age up to which the client may answer a request for fresh metadata from its cache. The default of five
	// seconds would hide a topic that was just created, grown or deleted.
	metadataMinAge = 50 * time.Millisecond
	// requestRetries is the number of retries of a request. It is small, because the next poll repeats the request anyway.
	requestRetries = 3
)

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

// tlsConfig reads the certificates. Without any it trusts those of the system.
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

// explain adds the most likely cause to an error that does not tell it.
func (k kafkaConfig) explain(err error) error {
	var dial *net.OpError
	switch {
	case errors.As(err, &dial) && dial.Op == "dial":
		return dial
	case errors.Is(err, io.EOF) && k.saslMechanism != "":
		return fmt.Errorf("the broker closed the connection: check SASL mechanism, user and password (%w)", err)
	case errors.Is(err, context.DeadlineExceeded) && k.tls:
		return fmt.Errorf("no TLS handshake: does the broker speak TLS on that port? (%w)", err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer (%w)", err)
	}
	return err
}
