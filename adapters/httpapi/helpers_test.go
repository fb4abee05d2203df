package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
)

// api is a Manager behind its handler.
type api struct {
	t testing.TB
	m *laneswap.Manager
	h *httpapi.Handler
}

func newAPI(t testing.TB, opts ...httpapi.Option) *api {
	t.Helper()
	return withManager(t, laneswap.NewManager(), opts...)
}

func withManager(t testing.TB, m *laneswap.Manager, opts ...httpapi.Option) *api {
	t.Helper()
	a := &api{t: t, m: m, h: httpapi.New(m, opts...)}
	t.Cleanup(a.h.Close)
	return a
}

// register makes a service known.
func (a *api) register(id laneswap.ServiceID) {
	a.t.Helper()
	_, err := a.m.Register(a.t.Context(), laneswap.Registration{ID: id, Interval: 30e9})
	require.NoError(a.t, err)
}

// noDeadline is a service that never falls silent.
func noDeadline(id string) laneswap.Registration {
	return laneswap.Registration{ID: laneswap.ServiceID(id), NoDeadline: true}
}

// do sends a request; headers are pairs of name and value.
func (a *api) do(method, target, body string, headers ...string) *reply {
	a.t.Helper()
	req := httptest.NewRequestWithContext(a.t.Context(), method, target, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	a.h.ServeHTTP(rec, req)
	return &reply{a.t, rec}
}

// chunked posts a body without announcing its length.
func (a *api) chunked(target, body string) *reply {
	a.t.Helper()
	return &reply{a.t, a.post(target, strings.NewReader(body))}
}

// errCut is what a broken connection reads.
var errCut = errors.New("connection reset")

func (a *api) post(target string, body io.Reader) *httptest.ResponseRecorder {
	req := httptest.NewRequestWithContext(a.t.Context(), "POST", target, io.NopCloser(body))
	req.ContentLength = -1
	rec := httptest.NewRecorder()
	a.h.ServeHTTP(rec, req)
	return rec
}

// quote makes a string JSON.
func quote(s string) string {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// state is everything that a refused request must leave as it was. The deadline
// and lateness are left out: they are computed from the clocks when asked.
func (a *api) state() string {
	a.t.Helper()
	list := a.do("GET", "/api/services?events=10", "").want(200).object()
	for _, st := range list["services"].(map[string]any) {
		delete(st.(map[string]any), "deadline")
		delete(st.(map[string]any), "late")
	}
	data, err := json.Marshal(list)
	require.NoError(a.t, err)
	return string(data) + a.do("GET", "/api/events", "").want(200).Body.String()
}

type reply struct {
	t testing.TB
	*httptest.ResponseRecorder
}

func (r *reply) want(status int) *reply {
	r.t.Helper()
	require.Equal(r.t, status, r.Code, "body: %s", r.Body)
	return r
}

func (r *reply) object() map[string]any {
	r.t.Helper()
	var out map[string]any
	require.NoError(r.t, json.Unmarshal(r.Body.Bytes(), &out), "body: %s", r.Body)
	return out
}

// problem checks that the reply is a problem of that status and code, and
// returns it.
func (r *reply) problem(status int, code string) map[string]any {
	r.t.Helper()
	r.want(status)
	require.Equal(r.t, "application/problem+json", r.Header().Get("Content-Type"))
	p := r.object()
	require.Equal(r.t, code, p["code"], "problem: %v", p)
	require.Equal(r.t, "urn:laneswap:problem:"+code, p["type"])
	require.EqualValues(r.t, status, p["status"])
	require.NotEmpty(r.t, p["title"])
	require.NotEmpty(r.t, p["detail"])
	return p
}

func keys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// pipeListener hands out net.Pipe connections, so that a real server runs in a
// synctest bubble.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.IPAddr{} }

// dial connects as a client.
func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve runs the server of the handler on a pipe until the test ends.
func (a *api) serve() (srv *http.Server, l *pipeListener, client *http.Client) {
	a.t.Helper()
	l = newPipeListener()
	srv = httpapi.NewServer(a.h)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return l.dial(ctx) }}
	a.t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = srv.Close()
		require.ErrorIs(a.t, <-ended, http.ErrServerClosed)
	})
	return srv, l, &http.Client{Transport: transport}
}
