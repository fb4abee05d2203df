package client

import (
	"log/slog"
	"net/http"
	"time"
)

// DefaultTimeout bounds a call unless WithTimeout says otherwise.
const DefaultTimeout = 10 * time.Second

// Option changes a Client while it is made.
type Option func(*options)

type options struct {
	http      *http.Client
	timeout   time.Duration
	userAgent string
	logger    *slog.Logger
}

// WithHTTPClient sets what sends the requests, for certificates, proxies or
// credentials. It is copied: its Timeout and CheckRedirect are not used. nil
// means the default.
func WithHTTPClient(h *http.Client) Option {
	return func(o *options) { o.http = h }
}

// WithTimeout bounds every call, and each page of a listing; 10 seconds unless
// set. Of a watch it bounds the connecting only, and TestNotifier may take a minute
// and a half longer.
func WithTimeout(d time.Duration) Option {
	return func(o *options) { o.timeout = d }
}

// WithUserAgent sets the User-Agent header; "laneswap-go/VERSION" unless set.
func WithUserAgent(name string) Option {
	return func(o *options) { o.userAgent = name }
}

// WithLogger sets where agents and watches log that the server is away and that
// it is back: not more than once an hour each. Without it nothing is logged.
func WithLogger(l *slog.Logger) Option {
	return func(o *options) { o.logger = l }
}
