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

// NewAuthority returns an authority that no other test knows.
func NewAuthority(t testing.TB) *Authority { return servertest.NewAuthority(t) }

// secureSettings are the settings of a node that accepts TLS connections from clients with a certificate of the authority.
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

// withoutTLS reports whether a program was built without TLS: it then rejects the directive or the kind of connection. A program with
// TLS exits too, because it has no certificate.
func withoutTLS(ctx context.Context, program string) bool {
	said, _ := exec.CommandContext(ctx, program, "--port", "0", "--tls-port", "1").CombinedOutput()
	return bytes.Contains(said, []byte("Bad directive")) || bytes.Contains(said, []byte("Failed finding TLS support"))
}

// Secure is like Single, or like Cluster without replicas for several nodes, but the nodes also accept TLS connections. A client needs
// a certificate of the authority.
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

// SecureAddresses returns the addresses of the nodes for TLS connections.
func (s *Servers) SecureAddresses() []string {
	var addresses []string
	for _, node := range s.nodes {
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", node.secure))
	}
	return addresses
}
