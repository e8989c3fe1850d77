package lagredis

import (
	"context"
	"crypto/tls"
	"net"

	"github.com/redis/rueidis"
)

// do sends a command and counts the round trip.
func (db *DB) do(ctx context.Context, command rueidis.Completed) rueidis.RedisResult {
	db.counts.roundTrips.Add(1)
	return db.client.Do(ctx, command)
}

// doMulti sends several commands at once and counts one round trip.
func (db *DB) doMulti(ctx context.Context, commands ...rueidis.Completed) []rueidis.RedisResult {
	db.counts.roundTrips.Add(1)
	return db.client.DoMulti(ctx, commands...)
}

// dial makes a connection and counts it.
func (db *DB) dial(ctx context.Context, address string, dialer *net.Dialer, secure *tls.Config) (net.Conn, error) {
	connect := db.options.Dial
	if connect == nil {
		connect = dialTCP
	}
	connection, err := connect(ctx, address, dialer, secure)
	if err == nil {
		db.counts.connections.Add(1)
	}
	return connection, err
}

func dialTCP(ctx context.Context, address string, dialer *net.Dialer, secure *tls.Config) (net.Conn, error) {
	if secure == nil {
		return dialer.DialContext(ctx, "tcp", address)
	}
	return (&tls.Dialer{NetDialer: dialer, Config: secure}).DialContext(ctx, "tcp", address)
}
