// Package mongostore is a storage in MongoDB, by go.mongodb.org/mongo-driver/v2.
//
// A majority of the replica set acknowledges each commit. The package uses simple
// operations only: no transactions, no change streams, no pipelines. Its user needs
// the role readWrite on the database, which includes the right to create indexes.
// The server may be down when a store is opened; while it is down calls fail, and
// they succeed again once it is back. Let only one LaneSwap at a time use a database:
// two would overwrite each other.
//
// # Collections
//
//   - heartbeats: one document for each service, in the shape of existing Python
//     deployments: id, name, status, message, metadata, created_at and
//     last_heartbeat, times as dates. The store yields documents of Python as rows,
//     and updates them in place when their service is put; other fields stay. The
//     store's own fields begin with ls_. LaneSwap reads ls_data, the row as the
//     Manager wrote it; the fields without ls_ are for other readers. They lack keys
//     of metadata that a document cannot hold well: with a dot, a leading $, empty,
//     or nested deeper than 20.
//   - errors: one document for each reported error.
//   - laneswap_rows: all other rows, with their kind in ls_kind.
//   - laneswap_seen: when services were last seen, many in each of 256 documents.
//     The last_heartbeat in heartbeats follows a little later, if at all: it is for
//     other readers.
//
// # Indexes
//
// The first call that reaches the server creates them:
//
//   - heartbeats: id, unique; (ls_at, id); (ls_service, ls_at, id).
//   - errors and laneswap_rows: (ls_kind, ls_at, id); (ls_kind, ls_service, ls_at,
//     id); (ls_open, _id), of open rows only where the server has partial indexes.
//   - laneswap_rows: a TTL index on ls_at of closed rows, see WithTTL.
//
// The server may refuse an index: because of an index of yours with other options,
// old duplicates or missing rights, or because it has no such indexes. The store logs
// that, and works without the index.
package mongostore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/laneswap/laneswap"
)

var _ laneswap.Storage = (*Store)(nil)

// Names of collections that WithCollections must not use.
const (
	rowsCollection = "laneswap_rows"
	seenCollection = "laneswap_seen"
)

// The errors. Of the URI they quote names of hosts only. They do not quote errors of
// the driver, which may quote the URI.
var (
	// ErrInvalidURI is returned by Open for a URI that cannot be used.
	ErrInvalidURI = errors.New("invalid MongoDB URI")
	// ErrInvalidOption is returned by Open when an option is out of its range.
	ErrInvalidOption = errors.New("invalid option")
	// ErrInvalidRow is returned when a row, a key or a batch breaks the contract of
	// laneswap.Storage.
	ErrInvalidRow = errors.New("mongostore: invalid row")
	// ErrClosed is returned by every method after Close.
	ErrClosed = errors.New("mongostore: the store is closed")
)

// Option is an option of Open.
type Option func(*settings)

type settings struct {
	database           string
	heartbeats, errors string
	chunk              int
	timeout            time.Duration
	ttl                time.Duration
	log                *slog.Logger
}

// WithDatabase sets the name of the database. The default is the path of the URI, or
// "laneswap".
func WithDatabase(name string) Option {
	return func(o *settings) { o.database = name }
}

// WithCollections sets the names of the collections of services and of errors. The
// defaults are "heartbeats" and "errors".
func WithCollections(heartbeats, errors string) Option {
	return func(o *settings) { o.heartbeats, o.errors = heartbeats, errors }
}

// WithChunk sets how many rows one command inserts or changes, 1 to 10,000. The
// default is 500. One command looks up or deletes up to 1,000 rows.
func WithChunk(n int) Option {
	return func(o *settings) { o.chunk = n }
}

// WithTimeout sets the timeout of each call to the server, 1 ms or more. The default
// is 5 s.
func WithTimeout(d time.Duration) Option {
	return func(o *settings) { o.timeout = d }
}

// WithTTL makes the server delete closed rows in laneswap_rows that are older than d,
// at least 24 hours, if it has partial TTL indexes. The default is 401 days. The
// Manager prunes by itself; the index is for a database that no Manager uses any
// more, so d should be longer than the retention. Zero removes the index.
func WithTTL(d time.Duration) Option {
	return func(o *settings) { o.ttl = d }
}

// WithLogger sets the logger for indexes that the server refuses. By default nothing
// is logged.
func WithLogger(log *slog.Logger) Option {
	return func(o *settings) { o.log = log }
}

// defaults are the settings without options.
func defaults() settings {
	return settings{
		heartbeats: "heartbeats", errors: "errors", chunk: 500, timeout: 5 * time.Second,
		ttl: 401 * 24 * time.Hour, log: slog.New(slog.DiscardHandler),
	}
}

// Store is a laneswap.Storage in a MongoDB database. It is safe for concurrent
// use.
type Store struct {
	settings
	// dial creates the client. It may block while it asks a name server.
	dial func() (*mongo.Client, error)
	// setup holds one token while a call creates the client or the indexes.
	setup  chan struct{}
	mirror mirror

	mu      sync.Mutex // guards the fields below
	tables  *tables    // nil until there is a client
	client  *mongo.Client
	indexed bool
	retry   time.Time // of indexes that took too long
	closed  bool
}

// Open returns a store for a MongoDB URI. It checks the URI and the options, and does
// not connect yet. The store replaces the write concern and the read preference of
// the URI by majority and primary.
func Open(uri string, opts ...Option) (*Store, error) {
	s := &Store{settings: defaults(), setup: make(chan struct{}, 1)}
	for _, opt := range opts {
		opt(&s.settings)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("mongostore: open: %w", err)
	}
	address, err := parseURI(uri)
	if err == nil && s.database == "" {
		s.database = address.database
		err = checkDatabase(s.database, ErrInvalidURI)
	}
	if err != nil {
		return nil, fmt.Errorf("mongostore: open: %w", err)
	}
	s.dial = func() (*mongo.Client, error) { return connect(uri) }
	s.mirror.write = s.writeMirror
	if !address.srv {
		client, err := s.dial() // it asks no name server, so it cannot block
		if err != nil {
			return nil, fmt.Errorf("mongostore: open: %w: %s", ErrInvalidURI, uriHelp)
		}
		s.setClient(client)
	}
	return s, nil
}

// setClient sets the client. mu is held, or Open has not returned.
func (s *Store) setClient(client *mongo.Client) {
	s.client = client
	s.tables = newTables(client.Database(s.database), s.settings)
}

// Database returns the name of the database.
func (s *Store) Database() string { return s.database }

// Close closes the connections. Running calls fail. Close returns when ctx ends or
// the timeout of WithTimeout has passed, at the latest. Further calls do nothing.
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	client := s.client
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	s.mirror.close(ctx)
	if client == nil {
		return nil
	}
	// It fails only when connections are still in use, and closes those too.
	if err := client.Disconnect(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("mongostore: close: %s", reason(err))
	}
	return nil
}

// connect creates a client, which connects in the background.
func connect(uri string) (*mongo.Client, error) {
	o := options.Client().SetAppName("laneswap").ApplyURI(uri)
	o.SetWriteConcern(majority).SetReadPreference(primary)
	return mongo.Connect(o)
}
