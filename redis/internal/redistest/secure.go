package redistest

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"testing"

	"github.com/lagkeeper/storage/internal/servertest"
)

// Authority signs the certificates of nodes and clients.
type Authority = servertest.Authority

// NewAuthority makes an authority that only one test knows.
func NewAuthority(t testing.TB) *Authority { return servertest.NewAuthority(t) }

// secureSettings are those of a node that takes connections over TLS from clients with a certificate of the authority.
func secureSettings(a *Authority, port int, cluster bool) []string {
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
