package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// certificate returns a self-signed certificate for loopback, and its PEM files.
func certificate(t *testing.T) (pair tls.Certificate, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "lagmonitor test"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})
	require.NoError(t, os.WriteFile(certFile, certPEM, 0o600))
	require.NoError(t, os.WriteFile(keyFile, keyPEM, 0o600))
	pair, err = tls.X509KeyPair(certPEM, keyPEM)
	require.NoError(t, err)
	return pair, certFile, keyFile
}

// reach connects to a Kafka and sends a request.
func reach(ctx context.Context, cfg kafkaConfig) error {
	options, err := cfg.clientOptions()
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Ping(ctx); err != nil {
		return cfg.explain(err)
	}
	return nil
}

func TestTLS(t *testing.T) {
	pair, certFile, keyFile := certificate(t)
	roots := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	require.NoError(t, err)
	roots.AddCert(leaf)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(&tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.VerifyClientCertIfGiven,
		ClientCAs:    roots,
		MinVersion:   tls.VersionTLS12,
	}))
	require.NoError(t, err)
	defer cluster.Close()
	ctx := testContext(t)
	brokers := cluster.ListenAddrs()

	for name, cfg := range map[string]kafkaConfig{
		"trusted":     {brokers: brokers, tls: true, tlsCA: certFile},
		"client cert": {brokers: brokers, tls: true, tlsCA: certFile, tlsCert: certFile, tlsKey: keyFile},
		"skip verify": {brokers: brokers, tls: true, tlsSkipVerify: true},
	} {
		var err error
		require.NoError(t, until(ctx, func() bool { err = reach(ctx, cfg); return err == nil }), "%s: %v", name, err)
	}
	assert.ErrorContains(t, reach(ctx, kafkaConfig{brokers: brokers, tls: true}), "certificate")
	for want, cfg := range map[string]kafkaConfig{
		"read TLS CA: open /no/such.pem":                 {tls: true, tlsCA: "/no/such.pem"},
		"holds no PEM certificate":                       {tls: true, tlsCA: keyFile},
		"read TLS client certificate: open /no/such.pem": {tls: true, tlsCert: "/no/such.pem", tlsKey: keyFile},
	} {
		assert.ErrorContains(t, reach(ctx, cfg), want)
	}
}

func TestSASL(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "plain", "p1"),
		kfake.Superuser("SCRAM-SHA-256", "s256", "p2"),
		kfake.Superuser("SCRAM-SHA-512", "s512", "p3"),
	)
	require.NoError(t, err)
	defer cluster.Close()
	ctx := testContext(t)
	for _, cfg := range []kafkaConfig{
		{saslMechanism: "PLAIN", saslUser: "plain", saslPassword: "p1"},
		{saslMechanism: "SCRAM-SHA-256", saslUser: "s256", saslPassword: "p2"},
		{saslMechanism: "SCRAM-SHA-512", saslUser: "s512", saslPassword: "p3"},
	} {
		cfg.brokers = cluster.ListenAddrs()
		require.NoError(t, reach(ctx, cfg), cfg.saslMechanism)

		cfg.saslPassword = "wrong"
		err = reach(ctx, cfg)
		require.Error(t, err, cfg.saslMechanism)
		assert.Contains(t, err.Error(), "check SASL mechanism, user and password")
		assert.NotContains(t, err.Error(), "wrong")
		assert.NotContains(t, err.Error(), "\n")
	}
}

func TestExplain(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	wrapped := fmt.Errorf("unable to dial: %w", refused)
	timeout := fmt.Errorf("unable to dial: %w", context.DeadlineExceeded)
	assert.Equal(t, error(refused), kafkaConfig{}.explain(wrapped))
	assert.ErrorContains(t, kafkaConfig{tls: true}.explain(timeout), "does the broker speak TLS on that port?")
	assert.ErrorContains(t, kafkaConfig{}.explain(timeout), "no answer")
	assert.Equal(t, io.EOF, kafkaConfig{}.explain(io.EOF))
}
