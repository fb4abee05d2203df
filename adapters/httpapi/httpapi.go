// Package httpapi serves a laneswap.Manager over HTTP: the verbs of the Manager
// as JSON under /api, the event stream, and the health routes.
//
//	h := httpapi.New(m)
//	srv := httpapi.NewServer(h)      // with every timeout set
//	mux.Handle("/monitor/", http.StripPrefix("/monitor", h)) // or in your own mux
//
// Errors are problem details (RFC 9457) with the member "code", which package
// client turns back into the errors of the Manager. Bodies are parsed strictly: keys
// match exactly, and duplicate keys, invalid UTF-8 and trailing data are refused.
//
// Everything is bounded. A body is limited to MaxBodyBytes, MaxErrorBytes or
// MaxBatchBytes. At most 16 batches above MaxBodyBytes are read at once, and each
// must arrive at 256 KiB a second. There are at most MaxStreams event streams and 16
// notifier tests at once. LimitListener bounds the connections, NewServer their time.
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

// manager has the methods of *laneswap.Manager that the routes call. Tests replace
// them.
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

// BootHeader is a header of every answer. It holds a random id of the Handler. When
// it changes, the server was restarted, and state that was only in memory is gone.
const BootHeader = wirejson.BootHeader

// JournalHeader is a header of an event stream. It names the numbering of its
// events. It survives restarts of a server with a storage. When it changes, the
// sequence numbers have started again.
const JournalHeader = wirejson.JournalHeader

// Handler is the http.Handler of a Manager, made by New. It can be mounted in any
// mux; for a prefix use http.StripPrefix. Its methods may be called concurrently.
type Handler struct {
	m      manager
	log    *slog.Logger
	boot   string
	cors   cors
	health []laneswap.ServiceID

	streams    atomic.Int64
	bigBatches chan struct{} // a slot for each large batch in memory
	tests      chan struct{} // a slot for each running notifier test

	closing context.Context // ends with Close
	close   context.CancelFunc
}

// Option configures a Handler.
type Option func(*Handler)

// WithCORSOrigins sets what pages of other origins may do in a browser. "*", the
// default, lets every page read. A named origin, such as
// "https://status.example.com", may read and write. Without origins, pages of other
// origins can do neither. Credentials are never allowed. An invalid origin is logged
// and ignored.
func WithCORSOrigins(origins ...string) Option {
	return func(h *Handler) { h.cors = newCORS(origins) }
}

// WithHealthServices sets the services that /healthz checks: it answers 503 when
// one of them is error, critical, stale or not registered. By default there are
// none, and /healthz only says that the program runs.
func WithHealthServices(ids ...laneswap.ServiceID) Option {
	return func(h *Handler) { h.health = append([]laneswap.ServiceID(nil), ids...) }
}

// WithLogger sets the logger of panics and internal errors. By default nothing is
// logged.
func WithLogger(l *slog.Logger) Option {
	return func(h *Handler) {
		if l != nil {
			h.log = l
		}
	}
}

// New returns a Handler for a Manager. It starts nothing. Close it when the server
// shuts down, before the Manager is stopped.
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
		h.log.Warn("ignoring an invalid CORS origin", "origin", text.Clip(origin, 80))
	}
	return h
}

// Close ends the event streams and the notifier tests, refuses new ones, and makes
// /readyz report that the server is stopping. Other requests are still answered. It
// does not wait and may be called more than once. NewServer registers it with
// http.Server.RegisterOnShutdown: open streams would keep Shutdown waiting.
func (h *Handler) Close() { h.close() }

var _ http.Handler = (*Handler)(nil)
