package lagredis

import (
	"context"
	"fmt"

	"github.com/redis/rueidis"
)

// DB is a store whose state is in Redis. It is safe for any number of goroutines. Open makes one.
type DB struct {
	options Options
	client  rueidis.Client
}

// Open connects to a server or cluster and checks that it can hold the state. The error names every fault of the options at
// once, or what the server had to say.
func Open(ctx context.Context, options Options) (*DB, error) {
	if err := options.Validate(); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	db := &DB{options: options.withDefaults()}
	client, err := rueidis.NewClient(db.options.client())
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	db.client = client
	if err := client.Do(ctx, client.B().Ping().Build()).Error(); err != nil {
		client.Close()
		return nil, fmt.Errorf("open store: %w", err)
	}
	return db, nil
}

// Close ends the connections. Every later call returns storage.ErrStopped.
func (db *DB) Close() error {
	db.client.Close()
	return nil
}

func (o *Options) client() rueidis.ClientOption {
	return rueidis.ClientOption{
		InitAddress: o.Addresses, Username: o.Username, Password: o.Password, TLSConfig: o.TLS, DisableCache: true,
	}
}
