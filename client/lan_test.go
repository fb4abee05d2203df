package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
	"github.com/laneswap/laneswap/client"
)

// lan is a network in memory with one address, so that real HTTP runs in a
// synctest bubble: to dial is refused while no server is up.
type lan struct {
	t         *testing.T
	transport *http.Transport

	mu    sync.Mutex // guards what follows
	up    *host
	dials []time.Time // that were refused
}

// host is a server that is up.
type host struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
	server *http.Server
}

func (h *host) Accept() (net.Conn, error) {
	select {
	case c := <-h.accept:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *host) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

func (h *host) Addr() net.Addr { return &net.UnixAddr{Name: "lan", Net: "unix"} }

func newLAN(t *testing.T) *lan {
	l := &lan{t: t}
	l.transport = &http.Transport{DialContext: l.dial}
	t.Cleanup(func() {
		l.down()
		l.transport.CloseIdleConnections()
	})
	return l
}

func (l *lan) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	l.mu.Lock()
	up := l.up
	if up == nil {
		l.dials = append(l.dials, time.Now())
	}
	l.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	if up == nil {
		return nil, refused
	}
	near, far := net.Pipe()
	select {
	case up.accept <- far:
		return near, nil
	case <-up.closed:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve puts a server up.
func (l *lan) serve(handler http.Handler) {
	h := &host{accept: make(chan net.Conn), closed: make(chan struct{})}
	h.server = &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	l.mu.Lock()
	defer l.mu.Unlock()
	require.Nil(l.t, l.up, "one server at a time")
	l.up = h
	go func() { _ = h.server.Serve(h) }() // ended by down
}

// down takes the server away, as a crash does: connections break.
func (l *lan) down() {
	l.mu.Lock()
	up := l.up
	l.up = nil
	l.mu.Unlock()
	if up != nil {
		_ = up.Close()
		_ = up.server.Close()
	}
}

// refused returns when somebody dialed in vain.
func (l *lan) refused() []time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]time.Time(nil), l.dials...)
}

func (l *lan) client(opts ...client.Option) *client.Client {
	l.t.Helper()
	c, err := client.New("http://laneswap.test", append([]client.Option{client.WithHTTPClient(&http.Client{Transport: l.transport})}, opts...)...)
	require.NoError(l.t, err)
	return c
}

// hit is a request that a server got.
type hit struct {
	at     time.Time
	method string
	path   string
	body   string
}

// recorder notes every request before it passes it on.
type recorder struct {
	mu   sync.Mutex // guards what follows
	hits []hit
	next http.Handler
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	req.Body = io.NopCloser(bytes.NewReader(body))
	r.mu.Lock()
	r.hits = append(r.hits, hit{time.Now(), req.Method, req.URL.Path, string(body)})
	next := r.next
	r.mu.Unlock()
	next.ServeHTTP(w, req)
}

// become changes what answers from now on.
func (r *recorder) become(next http.Handler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = next
}

// seen returns the requests whose path ends so, and forgets none.
func (r *recorder) seen(suffix string) []hit {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []hit
	for _, h := range r.hits {
		if strings.HasSuffix(h.path, suffix) {
			out = append(out, h)
		}
	}
	return out
}

func (r *recorder) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hits = nil
}

// monitor is a running Manager behind a recorder.
func monitor(t *testing.T, opts ...laneswap.Option) (*laneswap.Manager, *recorder) {
	t.Helper()
	m := laneswap.NewManager(opts...)
	require.NoError(t, m.Start(t.Context()))
	handler := httpapi.New(m)
	t.Cleanup(func() {
		handler.Close()
		require.NoError(t, m.Stop(context.WithoutCancel(t.Context())))
	})
	return m, &recorder{next: handler}
}

// answering is a server that says the same to everything.
func answering(status int, header ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
	})
}

// hanging is a server that never answers; it lets go when the client does.
func hanging() http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
}

// errorLog collects what OnError is told.
type errorLog struct {
	mu   sync.Mutex // guards what follows
	errs []error
	at   []time.Time
}

func (l *errorLog) add(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
	l.at = append(l.at, time.Now())
}

func (l *errorLog) all() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]error(nil), l.errs...)
}

func (l *errorLog) has(target error) bool {
	for _, err := range l.all() {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// lines counts the lines of a log.
type lines struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
