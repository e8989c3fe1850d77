package redistest

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
)

// DialInBubble is a dial function of rueidis for clients inside a bubble of testing/synctest. A bubble does not know real sockets: the
// time of the bubble would stand still while a goroutine reads from one, and would pass while the server works if none read. These
// connections read from the socket only while the server owes a reply. So no time passes in the bubble while a request is under way,
// and waiting for the next request holds no time up.
func DialInBubble(ctx context.Context, address string, dialer *net.Dialer, config *tls.Config) (net.Conn, error) {
	var socket net.Conn
	var err error
	if config == nil {
		socket, err = dialer.DialContext(ctx, "tcp", address)
	} else {
		socket, err = (&tls.Dialer{NetDialer: dialer, Config: config}).DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return nil, err
	}
	c := &bubbleConn{Conn: socket}
	c.changed.L = &c.mu
	return c, nil
}

type bubbleConn struct {
	net.Conn
	sent values // owned by the writing goroutine

	mu       sync.Mutex
	changed  sync.Cond
	received values // guarded by mu
	owed     int    // guarded by mu: replies that the server owes
	closed   bool   // guarded by mu
}

func (c *bubbleConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.owed += c.sent.count(b)
	c.mu.Unlock()
	c.changed.Broadcast()
	return c.Conn.Write(b)
}

func (c *bubbleConn) Read(b []byte) (int, error) {
	c.mu.Lock()
	for c.owed == 0 && !c.closed {
		c.changed.Wait()
	}
	c.mu.Unlock()
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	c.owed -= c.received.count(b[:n])
	c.mu.Unlock()
	return n, err
}

func (c *bubbleConn) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.changed.Broadcast()
	return c.Conn.Close()
}

// values counts the values of Redis's protocol in a stream, each when its last byte has arrived.
type values struct {
	line []byte // the part of a line that has arrived
	skip int    // bytes of a string that are still missing, its line end included
	open []int  // the number of missing members of each open array
	// aside reports whether the open value is not a reply: a push message, or an attribute before a reply.
	aside bool
}

func (v *values) count(b []byte) (complete int) {
	for len(b) > 0 {
		if v.skip > 0 {
			n := min(v.skip, len(b))
			v.skip -= n
			b = b[n:]
			if v.skip == 0 {
				complete += v.ended()
			}
			continue
		}
		v.line = append(v.line, b[0])
		b = b[1:]
		if n := len(v.line); n >= 2 && v.line[n-1] == '\n' && v.line[n-2] == '\r' {
			kind, text := v.line[0], string(v.line[1:n-2])
			v.line = v.line[:0]
			complete += v.begun(kind, text)
		}
	}
	return complete
}

// begun handles the first line of a value.
func (v *values) begun(kind byte, text string) int {
	number := 0
	for _, digit := range []byte(text) {
		if digit == '-' {
			number = -1
			break
		}
		number = number*10 + int(digit-'0')
	}
	switch kind {
	case '$', '=', '!':
		if number >= 0 {
			v.skip = number + 2
			return 0
		}
	case '%', '|':
		number *= 2
		fallthrough
	case '*', '~', '>':
		if len(v.open) == 0 {
			v.aside = kind == '>' || kind == '|'
		}
		if number > 0 {
			v.open = append(v.open, number)
			return 0
		}
	}
	return v.ended()
}

// ended handles the end of a value, and the end of each array whose last member it is. It returns the number of replies that are
// thereby complete.
func (v *values) ended() int {
	for len(v.open) > 0 {
		last := len(v.open) - 1
		if v.open[last]--; v.open[last] > 0 {
			return 0
		}
		v.open = v.open[:last]
	}
	if v.aside {
		v.aside = false
		return 0
	}
	return 1
}
