package redistest

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
)

// Wire holds the connections of one client in a bubble. For the servers, cutting it looks like kill -9 of the client's process.
type Wire struct {
	mu    sync.Mutex
	conns []net.Conn // guarded by mu
	cut   bool       // guarded by mu
}

var errCut = errors.New("the wire is cut")

// Dial is DialInBubble for connections of the wire.
func (w *Wire) Dial(ctx context.Context, address string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
	c, err := DialInBubble(ctx, address, dialer, config)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		return nil, errors.Join(errCut, c.Close())
	}
	w.conns = append(w.conns, c)
	return c, nil
}

// Cut closes all connections and refuses new ones.
func (w *Wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = true
	for _, c := range w.conns {
		_ = c.Close() // the client may have closed it
	}
}
