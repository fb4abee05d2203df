package client

import (
	"log/slog"
	"net/http"
	"time"
)

// DefaultTimeout is the timeout of a call without WithTimeout.
const DefaultTimeout = 10 * time.Second

// Option is an option of New.
type Option func(*options)

type options struct {
	http      *http.Client
	timeout   time.Duration
	userAgent string
	logger    *slog.Logger
}

// WithHTTPClient sets the HTTP client, for certificates, proxies or credentials. New
// copies it and ignores its Timeout and CheckRedirect. nil means the default.
func WithHTTPClient(h *http.Client) Option {
	return func(o *options) { o.http = h }
}

// WithTimeout sets the timeout of a call, and of each page of a listing. The default is
// DefaultTimeout. For a watch it only limits connecting. TestNotifier may take 90 seconds
// longer.
func WithTimeout(d time.Duration) Option {
	return func(o *options) { o.timeout = d }
}

// WithUserAgent sets the User-Agent header. The default is "laneswap-go/VERSION".
func WithUserAgent(name string) Option {
	return func(o *options) { o.userAgent = name }
}

// WithLogger sets the logger for outages and recoveries that agents and watches see, at
// most once an hour each. By default nothing is logged.
func WithLogger(l *slog.Logger) Option {
	return func(o *options) { o.logger = l }
}
