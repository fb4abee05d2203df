// Package httpapi serves a laneswap.Manager over HTTP: the verbs of the Manager
// as JSON under /api, the event stream, and the health routes.
//
//	h := httpapi.New(m)
//	srv := httpapi.NewServer(h)      // with every timeout set
//	mux.Handle("/monitor/", http.StripPrefix("/monitor", h)) // or in one's own
//
// Errors are problem details (RFC 9457) with the member "code", from which
// package client makes the Manager's errors again. Bodies are parsed strictly:
// keys match exactly as written, and what encoding/json would repair in silence
// is refused.
//
// What is bounded: a body by MaxBodyBytes, MaxErrorBytes or MaxBatchBytes, the
// batches above MaxBodyBytes that are held at once by 16, each of which must
// arrive at 256 KiB a second, streams by MaxStreams, tests of notifiers that run at
// once by 16, connections by LimitListener, and every connection in time by NewServer.
package httpapi

import (
	"context"
	"crypto/rand"
	"iter"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/text"
	"github.com/laneswap/laneswap/internal/wirejson"
)

// manager holds the verbs of *laneswap.Manager that have a route, for the fakes of
// the tests.
type manager interface {
	Register(ctx context.Context, reg laneswap.Registration) (laneswap.ServiceStatus, error)
	Beat(ctx context.Context, id laneswap.ServiceID, hb laneswap.Heartbeat) error
	BeatAndWait(ctx context.Context, id laneswap.ServiceID, hb laneswap.Heartbeat) (durable bool, err error)
	Report(ctx context.Context, id laneswap.ServiceID, hb laneswap.Heartbeat) (laneswap.ServiceStatus, error)
	Announce(ctx context.Context, reg laneswap.Registration, hb laneswap.Heartbeat) (laneswap.ServiceStatus, error)
	AnnounceBeat(ctx context.Context, reg laneswap.Registration, hb laneswap.Heartbeat) error
	Service(ctx context.Context, id laneswap.ServiceID) (laneswap.ServiceStatus, error)
	Services(ctx context.Context, q laneswap.ServiceQuery) iter.Seq2[laneswap.ServiceStatus, error]
	Heartbeats(ctx context.Context, id laneswap.ServiceID) iter.Seq2[laneswap.HeartbeatRecord, error]
	Summary(ctx context.Context) (laneswap.Summary, error)
	Remove(ctx context.Context, id laneswap.ServiceID) error
	Events(ctx context.Context, q laneswap.EventQuery) iter.Seq2[laneswap.Event, error]
	Watch(ctx context.Context, q laneswap.WatchQuery) (*laneswap.Watcher, error)
	History(ctx context.Context, id laneswap.ServiceID, q laneswap.HistoryQuery) (laneswap.History, error)
	ReportError(ctx context.Context, id laneswap.ServiceID, rep laneswap.ErrorReport) (laneswap.ErrorRecord, error)
	Errors(ctx context.Context, id laneswap.ServiceID, q laneswap.ErrorQuery) iter.Seq2[laneswap.ErrorRecord, error]
	Explain(ctx context.Context, eventID string) (laneswap.Explanation, error)
	Notifiers(ctx context.Context) ([]laneswap.NotifierStatus, error)
	TestNotifier(ctx context.Context, name string) (laneswap.NotifierTest, error)
	Sync(ctx context.Context) error
	Health() laneswap.Health
	Unhealthy(ctx context.Context, ids ...laneswap.ServiceID) error
	Ready(ctx context.Context) error
}

// BootHeader is the header of every answer that holds a random id of the
// Handler. When it changes, the server was restarted, and what it kept in memory
// only is gone.
const BootHeader = wirejson.BootHeader

// JournalHeader is the header of an event stream that names the numbering of its
// events. It stays the same across restarts of a server that has a storage; when
// it changes, the sequence numbers began anew.
const JournalHeader = wirejson.JournalHeader

// Handler is the http.Handler of a Manager, made by New. It may be mounted in
// any mux, under a prefix with http.StripPrefix.
type Handler struct {
	m      manager
	log    *slog.Logger
	boot   string
	cors   cors
	health []laneswap.ServiceID

	streams    atomic.Int64
	bigBatches chan struct{} // a slot for each large batch that is held
	tests      chan struct{} // a slot for each test of a notifier that runs

	closing context.Context // ends with Close
	close   context.CancelFunc
}

// Option changes a Handler while it is made.
type Option func(*Handler)

// WithCORSOrigins sets what pages of other origins may do in a browser. "*", the
// default, lets every page read; an origin that is named, such as
// "https://status.example.com", may read and write. No origins: pages of other
// origins can do neither. Credentials are never allowed. What is not an origin
// is logged and never matches.
func WithCORSOrigins(origins ...string) Option {
	return func(h *Handler) { h.cors = newCORS(origins) }
}

// WithHealthServices sets the services that /healthz answers for: it is 503
// when one of them is error, critical, stale or not registered. None by
// default: /healthz then says that the program runs.
func WithHealthServices(ids ...laneswap.ServiceID) Option {
	return func(h *Handler) { h.health = append([]laneswap.ServiceID(nil), ids...) }
}

// WithLogger sets where panics and internal errors are logged. Without it
// nothing is.
func WithLogger(l *slog.Logger) Option {
	return func(h *Handler) {
		if l != nil {
			h.log = l
		}
	}
}

// New makes the Handler of a Manager. It starts nothing; close it when the
// server shuts down, before the Manager is stopped.
func New(m *laneswap.Manager, opts ...Option) *Handler { return newHandler(m, opts...) }

func newHandler(m manager, opts ...Option) *Handler {
	h := &Handler{
		m: m, log: slog.New(slog.DiscardHandler), boot: rand.Text(), cors: newCORS([]string{"*"}),
		bigBatches: make(chan struct{}, 16), tests: make(chan struct{}, maxTests),
	}
	h.closing, h.close = context.WithCancel(context.Background())
	for _, opt := range opts {
		opt(h)
	}
	for _, origin := range h.cors.unusable {
		h.log.Warn("not an origin, it never matches", "origin", text.Clip(origin, 80))
	}
	return h
}

// Close ends the event streams and the tests of notifiers and refuses new ones, and
// makes /readyz say that the server is stopping; everything else is still answered. It does not wait,
// may be called more than once, and is meant for http.Server.RegisterOnShutdown:
// without it open streams keep Shutdown waiting.
func (h *Handler) Close() { h.close() }

var _ http.Handler = (*Handler)(nil)
