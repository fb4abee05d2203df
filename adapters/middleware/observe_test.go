package middleware_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/middleware"
)

// told collects what Observe tells of one request at a time.
type told []laneswap.Heartbeat

func (t *told) tell(hb laneswap.Heartbeat) { *t = append(*t, hb) }

func TestObserve_usesTheGivenRoute(t *testing.T) {
	t.Parallel()
	var got told
	h := middleware.Observe(got.tell, shop(), middleware.WithRoute(func(*http.Request) string { return "checkout" }))
	ask(h, "POST", "/orders/1")
	require.Equal(t, told{{Status: laneswap.StatusError, Message: "POST checkout: 502 Bad Gateway"}}, got)
}

func TestObserve_cutsLongMessagesBetweenRunes(t *testing.T) {
	t.Parallel()
	var got told
	h := middleware.Observe(got.tell, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(strings.Repeat("ä", 5000)) }))
	ask(h, "GET", "/")
	require.Len(t, got, 1)
	require.True(t, utf8.ValidString(got[0].Message))
	require.LessOrEqual(t, len(got[0].Message), 1000)
}

func TestObserve_namesUnknownStatusesByNumber(t *testing.T) {
	t.Parallel()
	var got told
	h := middleware.Observe(got.tell, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(599) }))
	ask(h, "GET", "/")
	require.Equal(t, "GET: 599", got[0].Message)
}

func TestObserve_judgesTheFinalStatusOnly(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		handle http.HandlerFunc
		want   laneswap.Status
	}{
		"early hints, then failure": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(500) }, laneswap.StatusError},
		"early hints, then nothing": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103) }, ""},
		"a second status":           {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200); w.WriteHeader(500) }, ""},
		"a body, then a status":     {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("x")); w.WriteHeader(500) }, ""},
		"nothing written":           {func(http.ResponseWriter, *http.Request) {}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got told
			ask(middleware.Observe(got.tell, tc.handle), "GET", "/")
			require.Len(t, got, 1)
			require.Equal(t, tc.want, got[0].Status)
		})
	}
}

func TestObserve_ignoresFailuresAfterADisconnect(t *testing.T) {
	t.Parallel()
	var got told
	ctx, cancel := context.WithCancel(t.Context())
	h := middleware.Observe(got.tell, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		cancel() // the client hangs up, and the query behind the handler fails
		w.WriteHeader(http.StatusInternalServerError)
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/", nil))
	require.Empty(t, got)
}

func TestObserve_saysNothingWhenTheGoroutineIsEnded(t *testing.T) {
	t.Parallel()
	var got told
	h := middleware.Observe(got.tell, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runtime.Goexit() }))
	done := make(chan struct{})
	go func() {
		defer close(done)
		ask(h, "GET", "/")
	}()
	<-done
	require.Empty(t, got)
}
