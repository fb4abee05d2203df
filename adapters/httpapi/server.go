package httpapi

import (
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// The timeouts and limits of NewServer.
const (
	ReadHeaderTimeout = 5 * time.Second   // For the head of a request: half-open connections are cut.
	ReadTimeout       = 30 * time.Second  // For a whole request.
	WriteTimeout      = 30 * time.Second  // For an answer; streams and long lists set their own.
	IdleTimeout       = 120 * time.Second // For a connection between two requests.
	MaxHeaderBytes    = 32 << 10          // For the head of a request; more is a 431.
)

// NewServer returns an http.Server for the handler with every timeout and limit
// set. Its Shutdown ends the streams of the handler. Use it with a listener of
// LimitListener to bound the connections too.
func NewServer(h *Handler) *http.Server {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: ReadHeaderTimeout,
		ReadTimeout:       ReadTimeout,
		WriteTimeout:      WriteTimeout,
		IdleTimeout:       IdleTimeout,
		MaxHeaderBytes:    MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(h.log.Handler(), slog.LevelWarn),
	}
	srv.RegisterOnShutdown(h.Close)
	return srv
}

// MaxConnections is the default limit of LimitListener.
const MaxConnections = 10_000

// LimitListener wraps a listener so that at most n connections are open at once,
// MaxConnections when n is not positive. Further ones wait in the kernel until
// one closes.
func LimitListener(l net.Listener, n int) net.Listener {
	if n <= 0 {
		n = MaxConnections
	}
	return netutil.LimitListener(l, n)
}
