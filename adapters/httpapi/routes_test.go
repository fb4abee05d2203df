package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
)

func TestRoutes_oddPathsAreNotFoundAndNeverRedirected(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.register("known")
	before := a.state()
	for _, path := range []string{
		"/", "//", "/api", "/api/", "//api/services", "/api//services", "/api/./services", "/api/x/../services",
		"/api/services/../summary", "/api/services/../../healthz", "/api%2Fservices", "/api/services%2Fknown", "/api/services%00",
		"/API/services", "/api/services/known/", "/api/services/known/heartbeat/", "/api/services/known/x", "/api/services/a/b/c/d/e/f",
		"/api/events/a", "/api/events/a/explain/", "/api/events/a/b/c/d/e/f/g/h/i/j/explain", "/api/events/a%2Fexplain", "/api/notifiers/a/b/test",
		"/healthz/", "/api/health/", "/%2e%2e/api/services", "/api/%2e%2e/api/services", "/api\\services",
	} {
		for _, method := range []string{"GET", "POST", "DELETE", "HEAD", "OPTIONS"} {
			r := a.do(method, path, "")
			r.problem(404, "not-found")
			require.Empty(t, r.Header().Get("Location"), path)
		}
	}
	require.Equal(t, before, a.state())
}

func TestRoutes_escapedIDsAreTheSame(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.register("a@b:c")
	a.do("GET", "/api/services/a%40b%3Ac", "").want(200)
	a.do("GET", "/api/services/a@b:c", "").want(200)
}

func TestRoutes_otherMethodsAreNotAllowed(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for target, allow := range map[string]string{
		"/api/services":              "GET, HEAD, POST, OPTIONS",
		"/api/services/a":            "GET, HEAD, DELETE, OPTIONS",
		"/api/services/a/heartbeat":  "POST, OPTIONS",
		"/api/services/a/heartbeats": "GET, HEAD, OPTIONS",
		"/api/services/a/history":    "GET, HEAD, OPTIONS",
		"/api/services/a/errors":     "GET, HEAD, POST, OPTIONS",
		"/api/heartbeats":            "POST, OPTIONS",
		"/api/summary":               "GET, HEAD, OPTIONS",
		"/api/events":                "GET, HEAD, OPTIONS",
		"/api/events/stream":         "GET, HEAD, OPTIONS",
		"/api/events/a%2F1/explain":  "GET, HEAD, OPTIONS",
		"/api/events/a/1/2/explain":  "GET, HEAD, OPTIONS",
		"/api/notifiers":             "GET, HEAD, OPTIONS",
		"/api/notifiers/a/test":      "POST, OPTIONS",
		"/api/health":                "GET, HEAD, OPTIONS",
		"/healthz":                   "GET, HEAD, OPTIONS",
		"/readyz":                    "GET, HEAD, OPTIONS",
	} {
		for _, method := range []string{"PATCH", "PUT", "BREW"} {
			r := a.do(method, target, "")
			r.problem(405, "method-not-allowed")
			require.Equal(t, allow, r.Header().Get("Allow"), target)
		}
		require.Equal(t, allow, a.do("OPTIONS", target, "").want(204).Header().Get("Allow"))
	}
	a.do("HEAD", "/api/heartbeats", "").problem(405, "method-not-allowed")
}

func TestRoutes_headIsAnsweredWhereverGetIs(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.register("a")
	require.NoError(t, a.m.Beat(t.Context(), "a", laneswap.Heartbeat{Status: laneswap.StatusError}))
	srv := httptest.NewServer(a.h)
	t.Cleanup(srv.Close)
	for path, media := range map[string]string{
		"/api/services": "application/json", "/api/services/a": "application/json", "/api/services/a/heartbeats": "application/json",
		"/api/services/a/history": "application/json", "/api/services/a/errors": "application/json",
		"/api/summary": "application/json", "/api/notifiers": "application/json", "/api/events": "application/json", "/api/events/stream?after=0": "text/event-stream",
		"/api/health": "application/json", "/healthz": "application/json", "/readyz": "application/json",
	} {
		resp, err := http.Head(srv.URL + path)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, 200, resp.StatusCode, path)
		require.Equal(t, media, resp.Header.Get("Content-Type"), path)
	}
	resp, err := http.Head(srv.URL + "/api/services/nobody")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 404, resp.StatusCode)
}

func TestHandler_isMountableUnderAPrefix(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.register("a")
	mux := http.NewServeMux()
	mux.Handle("/monitor/", http.StripPrefix("/monitor", a.h))
	for target, want := range map[string]int{
		"/monitor/api/services/a": 200, "/monitor/healthz": 200, "/monitor/api/services/a%2Fb": 422, "/monitor/": 404,
	} {
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), "GET", target, http.NoBody))
		require.Equal(t, want, rec.Code, target)
	}
}

func TestHandler_bootIsItsOwn(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	boot := a.do("GET", "/healthz", "").Header().Get(httpapi.BootHeader)
	require.NotEmpty(t, boot)
	require.Equal(t, boot, a.do("GET", "/nowhere", "").Header().Get(httpapi.BootHeader))
	require.NotEqual(t, boot, newAPI(t).do("GET", "/healthz", "").Header().Get(httpapi.BootHeader))
}

// faulty is a Manager whose reads go wrong where those of a real one hardly do.
type faulty struct {
	*laneswap.Manager
	panics any
	err    error
	after  int // services that are yielded before err
}

func (f *faulty) Service(context.Context, laneswap.ServiceID) (laneswap.ServiceStatus, error) {
	if f.panics != nil {
		panic(f.panics)
	}
	return laneswap.ServiceStatus{}, f.err
}

func (f *faulty) Services(context.Context, laneswap.ServiceQuery) iter.Seq2[laneswap.ServiceStatus, error] {
	return func(yield func(laneswap.ServiceStatus, error) bool) {
		for range f.after {
			if !yield(laneswap.ServiceStatus{ID: "a"}, nil) {
				return
			}
		}
		yield(laneswap.ServiceStatus{}, f.err)
	}
}

func (f *faulty) Summary(context.Context) (laneswap.Summary, error) { return laneswap.Summary{}, nil }

func TestListEvents_sequenceCoversConcurrentEvents(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	a := &api{t: t, m: m, h: httpapi.NewFake(&faulty{Manager: m})} // its summary is from before all events
	a.register("a")
	flip(t, m, "a")
	require.EqualValues(t, 2, a.do("GET", "/api/events", "").want(200).object()["sequence"])
}

func TestHandler_panicIsA500WithoutInternals(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h := httpapi.NewFake(&faulty{Manager: laneswap.NewManager(), panics: "secret"}, httpapi.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	a := &api{t: t, h: h}
	r := a.do("GET", "/api/services/a", "")
	require.Equal(t, "internal error", r.problem(500, "internal")["detail"])
	require.NotContains(t, r.Body.String(), "secret")
	require.Contains(t, log.String(), "secret")
}

func TestHandler_abortIsPassedOn(t *testing.T) {
	t.Parallel()
	h := httpapi.NewFake(&faulty{Manager: laneswap.NewManager(), panics: http.ErrAbortHandler})
	require.PanicsWithValue(t, http.ErrAbortHandler, func() {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "GET", "/api/services/a", http.NoBody))
	})
}

func TestHandler_internalErrorsHideTheirText(t *testing.T) {
	t.Parallel()
	for code, err := range map[string]error{
		"internal": errors.New("mongodb://user:secret@host"),
		"exists":   errors.Join(laneswap.ErrExists, errors.New("mongodb://user:secret@host")),
	} {
		a := &api{t: t, h: httpapi.NewFake(&faulty{Manager: laneswap.NewManager(), err: err})}
		for _, target := range []string{"/api/services/a", "/api/services"} {
			require.Equal(t, "internal error", a.do("GET", target, "").problem(500, code)["detail"])
		}
	}
}

func TestHandler_failureHalfwayAbortsTheAnswer(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(httpapi.NewFake(&faulty{Manager: laneswap.NewManager(), err: errors.New("broken"), after: 1000}))
	t.Cleanup(srv.Close)
	resp, err := http.Get(srv.URL + "/api/services")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, 200, resp.StatusCode)
	_, err = new(bytes.Buffer).ReadFrom(resp.Body)
	require.Error(t, err, "the client must see that something is missing")
}
