package redistest

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
)

// DialInBubble is a dial function of rueidis for clients inside a bubble of testing/synctest. A real socket is nothing that a
// bubble knows: a goroutine that reads from it would keep the bubble's time from passing, and one that never reads would let it
// pass while the server works. These connections read from the socket only as long as the server owes a reply. So no time passes
// in the bubble while a request is under way, and none is lost by waiting for the next.
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
	sent values // by the one who writes

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

// values counts the values of Redis's protocol in a stream, each when its last byte has come.
type values struct {
	line []byte // what has come of a line
	skip int    // bytes of a string that are still to come, its line end included
	open []int  // how many members are still to come of each array that is open
	// aside reports whether the value that is open is no reply: what the server says unasked, or a remark before a reply.
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

// begun takes the first line of a value.
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

// ended takes the end of a value, and with it those of the arrays whose last member it is. It returns the number of replies that are
// complete by it.
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
