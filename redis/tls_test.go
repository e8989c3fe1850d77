package lagredis_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/viper"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/protocol"
	lagredis "github.com/lagkeeper/storage/redis"
	"github.com/lagkeeper/storage/redis/internal/redistest"
)

// documentedUser returns the command that creates the user that the documentation of the package describes, with the name monitor and
// the password secret.
func documentedUser(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	command := regexp.MustCompile(`(?m)ACL SETUSER monitor .*(\n//\t  .*)*`).FindString(string(text))
	require.NotEmpty(t, command)
	return strings.Fields(strings.ReplaceAll(command, "//", ""))
}

// configured returns a module that is configured with the keys of docs/redis.md.
func configured(t *testing.T, settings map[string]any) *lagredis.Module {
	t.Helper()
	v := viper.New()
	v.Set("cluster.local.class-name", "kafka")
	v.Set("storage.shared.class-name", "redis")
	for key, value := range settings {
		v.Set("storage.shared."+key, value)
	}
	module := &lagredis.Module{App: &protocol.ApplicationContext{Logger: zap.NewNop()}, Viper: v}
	module.Configure("shared", "storage.shared")
	return module
}

// A server that requires TLS, a certificate and a password is used by configuration alone. If any of them is missing, the error names
// it at once.
func TestTLS(t *testing.T) {
	for name, masters := range map[string]int{"single node": 1, "cluster": 3} {
		t.Run(name, func(t *testing.T) {
			authority, stranger := redistest.NewAuthority(t), redistest.NewAuthority(t)
			servers := redistest.Secure(t, authority, masters)
			for node := range masters {
				servers.Do(node, documentedUser(t)...)
			}
			certificate, key := authority.Issue("monitor")
			with := func(changes map[string]any) map[string]any {
				settings := map[string]any{
					"addresses": servers.SecureAddresses(), "tls": true, "tls-ca-file": authority.File(), "tls-cert-file": certificate,
					"tls-key-file": key, "username": "monitor", "password": "secret", "buckets": 12,
					"timeout": int(patience.Seconds()),
				}
				for key, value := range changes {
					settings[key] = value
				}
				return settings
			}

			module := configured(t, with(nil))
			require.NoError(t, module.Start())
			store, ctx := module.Store(), t.Context()
			require.NoError(t, store.SetEndOffset(ctx, "local", "topic", protocol.EndOffset{Offset: 100}))
			for _, group := range []string{"a", "b", "c", "d", "e", "f"} { // in several buckets
				require.NoError(t, store.Commit(ctx, "local", group, commit("topic", 0, 10, 1)))
				var got protocol.Group
				require.NoError(t, store.Group(ctx, "local", group, &got))
				require.EqualValues(t, 90, got.Topics[0].Partitions[0].CurrentLag)
			}
			require.NoError(t, module.Stop())

			strangers, itsKey := stranger.Issue("stranger")
			for _, refused := range []struct {
				name    string
				changes map[string]any
				want    string
			}{
				{"another authority", map[string]any{"tls-ca-file": stranger.File()}, "x509: certificate signed by unknown authority"},
				{"no certificate", map[string]any{"tls-cert-file": "", "tls-key-file": ""}, "tls: certificate required"},
				{"a certificate of another authority", map[string]any{"tls-cert-file": strangers, "tls-key-file": itsKey}, "tls: "},
				{"a wrong password", map[string]any{"password": "guess"}, "WRONGPASS"},
				{"an unknown user", map[string]any{"username": "nobody"}, "WRONGPASS"},
				{"the keys of another installation", map[string]any{"key-prefix": "other:"}, "NOPERM"},
			} {
				err := configured(t, with(refused.changes)).Start()
				require.ErrorContains(t, err, refused.want, refused.name)
				require.NotErrorIs(t, err, storage.ErrUnavailable, "%s: a retry cannot help", refused.name)
			}
		})
	}
}
