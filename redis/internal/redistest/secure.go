package redistest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Authority is a certificate authority that only one test knows.
type Authority struct {
	t      testing.TB
	dir    string
	root   *x509.Certificate
	key    *ecdsa.PrivateKey
	serial int64
}

// NewAuthority makes an authority.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, dir: t.TempDir()}
	root := &x509.Certificate{
		Subject: pkix.Name{CommonName: "authority of a test"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	var der []byte
	a.key, der = a.sign(root, root)
	var err error
	if a.root, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

// File is where the certificate of the authority is, PEM.
func (a *Authority) File() string { return filepath.Join(a.dir, "ca.pem") }

// Issue makes a certificate for 127.0.0.1, as a server's or a client's, and returns where it and its key are, PEM.
func (a *Authority) Issue(name string) (certificate, key string) {
	a.t.Helper()
	private, der := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.root)
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.write(name+".pem", "CERTIFICATE", der), a.write(name+".key", "EC PRIVATE KEY", secret)
}

// sign signs a certificate for a key that it makes. The first is that of the authority itself.
func (a *Authority) sign(certificate, by *x509.Certificate) (*ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	a.serial++
	certificate.SerialNumber = big.NewInt(a.serial)
	certificate.NotBefore, certificate.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, certificate, by, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return key, der
}

func (a *Authority) write(name, kind string, der []byte) string {
	a.t.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// settings are those of a node that takes connections over TLS from whoever has a certificate of the authority.
func (a *Authority) settings(port int, cluster bool) []string {
	a.t.Helper()
	certificate, key := a.Issue(fmt.Sprint("node-", port))
	settings := []string{
		"--tls-port", fmt.Sprint(port), "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", a.File(),
	}
	if cluster {
		settings = append(settings, "--tls-cluster", "yes", "--tls-replication", "yes")
	}
	return settings
}

// withoutTLS reports whether a program was built without TLS: it says that it does not know the directive, or the kind of connection. One
// with TLS ends too, for want of a certificate.
func withoutTLS(ctx context.Context, program string) bool {
	said, _ := exec.CommandContext(ctx, program, "--port", "0", "--tls-port", "1").CombinedOutput()
	return bytes.Contains(said, []byte("Bad directive")) || bytes.Contains(said, []byte("Failed finding TLS support"))
}

// Secure is Single, or Cluster with masters alone if there are several, with nodes that take connections over TLS too. A client needs a
// certificate of the authority.
func Secure(t testing.TB, a *Authority, masters int) *Servers {
	t.Helper()
	s := &Servers{t: t, cluster: masters > 1, secure: a}
	s.start(masters, nil)
	if s.cluster {
		s.join(masters)
	}
	s.Await()
	return s
}

// SecureAddresses returns the addresses at which the nodes take connections over TLS.
func (s *Servers) SecureAddresses() []string {
	var addresses []string
	for _, node := range s.nodes {
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", node.secure))
	}
	return addresses
}
