package lagredis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"github.com/spf13/viper"
	"go.uber.org/zap"

	"github.com/lagkeeper/storage"
	"github.com/lagkeeper/storage/internal/config"
	"github.com/lagkeeper/storage/internal/lines"
	"github.com/lagkeeper/storage/protocol"
)

// ClassName is the class of the module, for storage.<name>.class-name.
const ClassName = "redis"

// Register makes the class "redis" known to every Coordinator of the process. It returns an error if the name is taken.
func Register() error {
	return storage.Register(ClassName, func(app *protocol.ApplicationContext, log *zap.Logger, v *viper.Viper) storage.Module {
		return &Module{App: app, Log: log, Viper: v}
	})
}

// Module is the module of class "redis": it opens a DB as viper configures it under storage.<name>, and answers the requests of the
// channel from it.
type Module struct {
	// Relay is the channel half; nil before Configure.
	*storage.Relay
	// App is the application's context.
	App *protocol.ApplicationContext
	// Log is the logger of the module; nil stands for App.Logger. If that is nil too, nothing is logged.
	Log *zap.Logger
	// Viper holds the configuration; nil stands for the global one.
	Viper *viper.Viper
	// Dial is as in Options.
	Dial func(ctx context.Context, address string, dialer *net.Dialer, config *tls.Config) (net.Conn, error)

	once  sync.Once
	db    *DB // made once
	lines lines.Kept

	// mu is held for as long as Configure, Start or Stop takes, so that a second Stop returns no sooner than the first.
	mu         sync.Mutex
	configured bool // guarded by mu, as all below; false again once started
	running    bool
	options    Options
}

var _ storage.Module = (*Module)(nil)

// Configure reads the configuration under configRoot. It panics with a string that names every fault, and also if the module is
// running.
func (m *Module) Configure(name, configRoot string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.running {
		panic(fmt.Sprintf("configure storage module %s: already running", name))
	}
	m.configured = false
	log := m.log()
	log.Info("configuring", zap.String("root", configRoot))
	common, own, err := config.ReadRedis(m.viper(), configRoot, ClassName, DefaultKeyPrefix, DefaultBuckets, MaxBuckets, DefaultTimeout)
	for _, warning := range common.Warnings {
		log.Warn(warning)
	}
	var secure *tls.Config
	if err == nil && own.TLS {
		secure, err = tlsConfig(own)
	}
	if err != nil {
		panic(fmt.Sprintf("storage configuration: %v", err))
	}
	m.options = Options{
		Store: storage.Options{
			Intervals: common.Intervals, CurveSegments: common.CurveSegments, MinDistance: common.MinDistance,
			ExpireGroup: common.ExpireGroup, ExpireTopic: common.ExpireTopic, SweepInterval: common.SweepInterval,
			GroupAllow: common.GroupAllow, GroupDeny: common.GroupDeny, Logger: log,
		},
		Addresses: own.Addresses, Username: own.Username, Password: own.Password, TLS: secure, KeyPrefix: own.KeyPrefix,
		Buckets: own.Buckets, Timeout: own.Timeout, Dial: m.Dial,
		CacheBytes: own.CacheBytes, ReplicaMaxAge: own.ReplicaMaxAge, ReplicaAddress: own.ReplicaAddress,
	}
	m.Relay = storage.NewRelay(m.store(), log, storage.RelayOptions{
		Workers: common.Shards, QueueDepth: common.QueueDepth, ReplyTimeout: common.ReplyTimeout,
	})
	m.configured = true
}

// tlsConfig returns the configuration of connections over TLS.
func tlsConfig(c config.Redis) (*tls.Config, error) {
	secure := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLSAuthorities != "" {
		text, err := os.ReadFile(c.TLSAuthorities)
		if err != nil {
			return nil, fmt.Errorf("read tls-ca-file: %w", err)
		}
		secure.RootCAs = x509.NewCertPool()
		if !secure.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("read tls-ca-file: %s holds no certificate", c.TLSAuthorities)
		}
	}
	if c.TLSCertificate != "" || c.TLSKey != "" {
		pair, err := tls.LoadX509KeyPair(c.TLSCertificate, c.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("read tls-cert-file and tls-key-file: %w", err)
		}
		secure.Certificates = []tls.Certificate{pair}
	}
	return secure, nil
}

func (m *Module) log() *zap.Logger { return m.lines.Of(m.Log, m.App) }

func (m *Module) viper() *viper.Viper {
	if m.Viper == nil {
		return viper.GetViper()
	}
	return m.Viper
}

func (m *Module) store() *DB {
	m.once.Do(func() { m.db = newDB() })
	return m.db
}

// Store returns the typed API of the module, a *DB. It may be kept: before Start and after Stop its methods return
// storage.ErrStopped.
func (m *Module) Store() storage.Store { return m.store() }

// Stats returns the statistics of the DB together with those of the channel. It returns storage.ErrStopped while the module does not
// run.
func (m *Module) Stats() (storage.Stats, error) {
	stats, err := m.store().Stats()
	if err == nil {
		stats.Relay = m.Relay.Stats()
	}
	return stats, err
}

// GetCommunicationChannel returns the channel that the module receives requests from between Start and Stop, nil before
// Configure.
func (m *Module) GetCommunicationChannel() chan *protocol.StorageRequest {
	if m.Relay == nil {
		return nil
	}
	return m.Relay.GetCommunicationChannel()
}

// Start connects and begins to receive requests, for the clusters that are configured at this moment. It returns an error and changes
// nothing if the state cannot be used, or if the module has not been configured since it was made or stopped. It also logs the error.
func (m *Module) Start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.start()
	if err != nil {
		m.log().Error("start failed", zap.Error(err))
	}
	return err
}

func (m *Module) start() error {
	switch {
	case m.running:
		return errors.New("start storage module: already running")
	case !m.configured:
		return errors.New("start storage module: not configured")
	}
	options := m.options
	var err error
	if options.Store.Clusters, err = config.Clusters(m.viper()); err != nil {
		return err
	}
	m.log().Info("starting", zap.Strings("clusters", options.Store.Clusters))
	if err := m.db.open(context.Background(), options); err != nil {
		return err
	}
	m.Relay.Start()
	m.running, m.configured = true, false
	return nil
}

// Stop ends the module: requests sent before take effect, and every accepted Fetch is answered or its Reply closed. It does nothing if
// the module does not run.
func (m *Module) Stop() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.configured = false
	if !m.running {
		return nil
	}
	m.log().Info("stopping")
	m.running = false
	m.Relay.Stop()
	return m.db.Close()
}

// InFlight returns the number of calls that the channel half keeps under way at once: calls share round trips, so only many calls keep
// a server busy.
func (db *DB) InFlight() int { return 128 }
