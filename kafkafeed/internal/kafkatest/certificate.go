package kafkatest

import (
	"testing"

	"github.com/lagkeeper/storage/internal/servertest"
)

// Authority signs the certificates of brokers.
type Authority = servertest.Authority

// NewAuthority returns an authority that no other test knows.
func NewAuthority(t testing.TB) *Authority { return servertest.NewAuthority(t) }
