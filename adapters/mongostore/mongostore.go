// Package mongostore keeps the rows of a Manager in MongoDB, by
// go.mongodb.org/mongo-driver/v2.
//
// What is committed is acknowledged by a majority of the replica set. Only the
// plainest operations are used: no transactions, no change streams, no pipelines.
// A user with the role readWrite on the database has all the rights it needs,
// those to make indexes included. The server need not be there when a store is
// opened; whenever it is away calls fail, and succeed again once it is back. One
// LaneSwap at a time may use a database: nothing keeps two from overwriting each
// other.
//
// # Collections
//
//   - heartbeats: one document for each service, in the shape of existing Python
//     deployments: id, name, status, message, metadata, created_at and
//     last_heartbeat, times as dates. Documents of theirs are yielded as rows, and
//     updated in place once their service is put; fields of others stay. What the
//     store needs for itself is in fields that begin with ls_; ls_data holds the row
//     as the Manager wrote it, and is what counts for LaneSwap. A key of metadata
//     that a document cannot hold well (with a dot, a leading $, empty, or nested
//     deeper than 20) is left out of the fields for others.
//   - errors: one document for each reported error.
//   - laneswap_rows: everything else, the kind of a row in ls_kind.
//   - laneswap_seen: when services were last seen, many in each of 256 documents.
//     The last_heartbeat of their heartbeats documents follows, a little later and
//     without a promise: it is for other readers.
//
// # Indexes
//
// They are made by the first call that reaches the server:
//
//   - heartbeats: id, unique; (ls_at, id); (ls_service, ls_at, id).
//   - errors and laneswap_rows: (ls_kind, ls_at, id); (ls_kind, ls_service, ls_at,
//     id); (ls_open, _id), only of open rows where the server has partial indexes.
//   - laneswap_rows: a TTL index on ls_at of closed rows, see WithTTL.
//
// One that the server refuses is logged and done without: an index of one's own
// with other options, duplicates from before, missing rights, or a server that has
// no such indexes.
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

// Names of collections that cannot be chosen.
const (
	rowsCollection = "laneswap_rows"
	seenCollection = "laneswap_seen"
)

// The errors. None holds anything of the URI but names of hosts, nor the text of
// an error of the driver, which may.
var (
	// ErrInvalidURI is returned by Open when the URI is none that can be used.
	ErrInvalidURI = errors.New("invalid MongoDB URI")
	// ErrInvalidOption is returned by Open when an option is out of its range.
	ErrInvalidOption = errors.New("invalid option")
	// ErrInvalidRow is returned when a row, a key or a batch is none that the
	// contract allows.
	ErrInvalidRow = errors.New("mongostore: invalid row")
	// ErrClosed is returned by every method after Close.
	ErrClosed = errors.New("mongostore: closed")
)

// Option changes how a store is opened.
type Option func(*settings)

type settings struct {
	database           string
	heartbeats, errors string
	chunk              int
	timeout            time.Duration
	ttl                time.Duration
	log                *slog.Logger
}

// WithDatabase chooses the database. Without it, it is the one in the path of the
// URI, or "laneswap".
func WithDatabase(name string) Option {
	return func(o *settings) { o.database = name }
}

// WithCollections names the collections of services and of errors, instead of
// "heartbeats" and "errors".
func WithCollections(heartbeats, errors string) Option {
	return func(o *settings) { o.heartbeats, o.errors = heartbeats, errors }
}

// WithChunk bounds how many rows one command inserts or changes, 1 to 10,000,
// instead of 500. Up to a thousand are looked up or deleted by one.
func WithChunk(n int) Option {
	return func(o *settings) { o.chunk = n }
}

// WithTimeout bounds each call to the server, 1 ms or more, instead of 5 s.
func WithTimeout(d time.Duration) Option {
	return func(o *settings) { o.timeout = d }
}

// WithTTL has the server delete rows in laneswap_rows that are closed and older
// than d, at least 24 hours, where it has partial TTL indexes; instead of 401
// days. Pruning is the Manager's and needs no such index: this is for a database
// that no Manager prunes any more, so d should be longer than any retention. Zero
// has none, and removes the index.
func WithTTL(d time.Duration) Option {
	return func(o *settings) { o.ttl = d }
}

// WithLogger says which indexes the server refuses. Without it nothing is logged.
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
	// dial makes the client. It may ask a name server, and block for it.
	dial func() (*mongo.Client, error)
	// setup holds one token while a call makes the client or the indexes.
	setup  chan struct{}
	mirror mirror

	mu      sync.Mutex // guards what is below
	tables  *tables    // nil until there is a client
	client  *mongo.Client
	indexed bool
	retry   time.Time // when indexes that took too long are asked for again
	closed  bool
}

// Open makes a store of a MongoDB URI. It checks the URI and the options, and does
// not wait for the server. The database, write concern and read preference that
// the URI may ask for are replaced by the store's: majority, and the primary.
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
		// Not only a check: it asks nobody, so it may as well be done.
		client, err := s.dial()
		if err != nil {
			return nil, fmt.Errorf("mongostore: open: %w: %s", ErrInvalidURI, uriHelp)
		}
		s.adopt(client)
	}
	return s, nil
}

// adopt makes a client the store's; mu is held, or nobody else knows the store.
func (s *Store) adopt(client *mongo.Client) {
	s.client = client
	s.tables = newTables(client.Database(s.database), s.settings)
}

// Database returns the name of the database.
func (s *Store) Database() string { return s.database }

// Close ends the connections. Calls that are under way fail. It returns when ctx
// or the timeout of calls ends, at the latest; further calls do nothing.
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
	// It fails only when connections are still in use, which are closed too.
	if err := client.Disconnect(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("mongostore: close: %s", reason(err))
	}
	return nil
}

// connect makes a client, which connects by itself.
func connect(uri string) (*mongo.Client, error) {
	o := options.Client().SetAppName("laneswap").ApplyURI(uri)
	o.SetWriteConcern(majority).SetReadPreference(primary)
	return mongo.Connect(o)
}
