package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/middleware"
)

func check(h http.Handler, method string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, "/healthz", nil))
	return w
}

func TestHealthz_namesUnhealthyServices(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	for id, st := range map[laneswap.ServiceID]laneswap.Status{"a": laneswap.StatusHealthy, "b": laneswap.StatusHealthy, "c": laneswap.StatusWarning} {
		_, err := m.Register(t.Context(), laneswap.Registration{ID: id})
		require.NoError(t, err)
		require.NoError(t, m.Beat(t.Context(), id, laneswap.Heartbeat{Status: st}))
	}
	all, onlyA := middleware.Healthz(m), middleware.Healthz(m, "a")
	w := check(all, "GET")
	require.Equal(t, http.StatusOK, w.Code, "a warning is no reason to be restarted")
	require.JSONEq(t, `{"status":"ok"}`, w.Body.String())
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))

	require.NoError(t, m.Beat(t.Context(), "b", laneswap.Heartbeat{Status: laneswap.StatusCritical, Message: "password hunter2"}))
	w = check(all, "GET")
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.JSONEq(t, `{"status":"unhealthy","detail":"b is critical"}`, w.Body.String())
	require.Equal(t, http.StatusServiceUnavailable, check(all, "HEAD").Code)
	require.Equal(t, http.StatusOK, check(onlyA, "GET").Code, "b was not chosen")

	w = check(middleware.Healthz(m, "a", "gone"), "GET")
	require.JSONEq(t, `{"status":"unhealthy","detail":"gone is not registered"}`, w.Body.String())
	require.Equal(t, http.StatusMethodNotAllowed, check(all, "POST").Code)
}
