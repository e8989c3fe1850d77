package servertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
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

// File returns the path of the authority's certificate, PEM.
func (a *Authority) File() string { return filepath.Join(a.dir, "ca.pem") }

// Pool returns the certificates that a client has to trust.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.root)
	return pool
}

// Issue makes a certificate for 127.0.0.1, for a server or a client, and returns the paths of it and of its key, PEM.
func (a *Authority) Issue(name string) (certificate, key string) {
	a.t.Helper()
	private, der := a.sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.root)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.write(name+".pem", "CERTIFICATE", der), a.write(name+".key", "PRIVATE KEY", secret)
}

// WriteKeystore writes a certificate for 127.0.0.1 with its key and that of the authority into one file, as Kafka reads it.
func (a *Authority) WriteKeystore(path string) {
	a.t.Helper()
	certificate, key := a.Issue(filepath.Base(path))
	var all []byte
	for _, file := range []string{key, certificate, a.File()} {
		part, err := os.ReadFile(file)
		if err != nil {
			a.t.Fatal(err)
		}
		all = append(all, part...)
	}
	if err := os.WriteFile(path, all, 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// sign makes a key and signs a certificate for it. The first certificate is that of the authority itself.
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
