package middleware_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/middleware"
	"github.com/laneswap/laneswap/adapters/slognotify"
)

// ask sends one request and returns the status of the answer, 0 for a panic.
func ask(h http.Handler, method, target string) (code int, panicked any) {
	defer func() {
		if p := recover(); p != nil {
			code, panicked = 0, p
		}
	}()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w.Code, nil
}

// shop is a service that fails in the ways that its paths say.
func shop() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items/{token}", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "item") })
	mux.HandleFunc("GET /missing", http.NotFound)
	mux.HandleFunc("POST /orders/{token}", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "the database password is hunter2", http.StatusBadGateway)
	})
	mux.HandleFunc("/panic/{token}", func(http.ResponseWriter, *http.Request) { panic(errors.New("index out of range")) })
	mux.HandleFunc("/abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	return mux
}

func status(t *testing.T, m *laneswap.Manager, id laneswap.ServiceID) laneswap.ServiceStatus {
	t.Helper()
	st, err := m.Service(t.Context(), id)
	require.NoError(t, err)
	return st
}

func kinds(t *testing.T, m *laneswap.Manager) []laneswap.EventKind {
	t.Helper()
	var out []laneswap.EventKind
	for ev, err := range m.Events(t.Context(), laneswap.EventQuery{}) {
		require.NoError(t, err)
		out = append(out, ev.Kind)
	}
	return out
}

func TestHeartbeat_countsEachGoodAnswer(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	h := middleware.Heartbeat(m, laneswap.Registration{ID: "shop"}, shop())
	require.NoError(t, h.Err())
	require.Equal(t, laneswap.StatusUnknown, status(t, m, "shop").Status, "registered before the first request")

	for _, path := range []string{"/items/1", "/missing", "/items/2"} {
		ask(h, "GET", path)
	}
	st := status(t, m, "shop")
	require.Equal(t, laneswap.StatusHealthy, st.Status)
	require.EqualValues(t, 3, st.Beats, "a 404 is a good answer too")
}

func TestHeartbeat_reportsFailuresOnceThenRecovers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ method, target, message string }{
		"5xx":   {"POST", "/orders/s3cr3t?key=s3cr3t", "POST /orders/{token}: 502 Bad Gateway"},
		"panic": {"GET", "/panic/s3cr3t?key=s3cr3t", "GET /panic/{token}: panic: index out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := laneswap.NewManager()
			h := middleware.Heartbeat(m, laneswap.Registration{ID: "shop"}, shop())
			ask(h, "GET", "/items/1")
			ask(h, tc.method, tc.target)
			ask(h, tc.method, tc.target)
			st := status(t, m, "shop")
			require.Equal(t, laneswap.StatusError, st.Status)
			require.Equal(t, tc.message, st.Message)

			ask(h, "GET", "/items/1")
			st = status(t, m, "shop")
			require.Equal(t, laneswap.StatusHealthy, st.Status)
			require.Empty(t, st.Message)
			require.Equal(t, []laneswap.EventKind{laneswap.EventUp, laneswap.EventDown, laneswap.EventRecovered}, kinds(t, m))
		})
	}
}

func TestHeartbeat_letsPanicsGoOnUnchanged(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	boom := &struct{ error }{errors.New("boom")}
	h := middleware.Heartbeat(m, laneswap.Registration{ID: "shop"}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(boom) }))
	_, got := ask(h, "GET", "/")
	require.Same(t, boom, got)
	require.Equal(t, "GET: panic: boom", status(t, m, "shop").Message, "without a pattern no path is shown")
}

func TestHeartbeat_saysNothingOfAbortedRequests(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	h := middleware.Heartbeat(m, laneswap.Registration{ID: "shop"}, shop())
	ask(h, "GET", "/items/1")
	_, p := ask(h, "GET", "/abort")
	require.Equal(t, http.ErrAbortHandler, p)
	require.Equal(t, laneswap.StatusHealthy, status(t, m, "shop").Status)

	ask(h, "POST", "/orders/1")
	ask(h, "GET", "/abort")
	require.Equal(t, laneswap.StatusError, status(t, m, "shop").Status, "an abort is no recovery either")
}

func TestHeartbeat_noTrafficIsNotStaleWithoutADeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := laneswap.NewManager()
		require.NoError(t, m.Start(t.Context()))
		defer m.Stop(t.Context())
		quiet := middleware.Heartbeat(m, laneswap.Registration{ID: "quiet"}, shop())
		busy := middleware.Heartbeat(m, laneswap.Registration{ID: "busy", Interval: time.Minute}, shop())
		strict := middleware.Heartbeat(m, laneswap.Registration{ID: "strict", StaleAfter: time.Hour}, shop())
		for _, h := range []http.Handler{quiet, busy, strict} {
			ask(h, "GET", "/items/1")
		}
		time.Sleep(48 * time.Hour)
		require.Equal(t, laneswap.StatusHealthy, status(t, m, "quiet").Status)
		require.Equal(t, laneswap.StatusStale, status(t, m, "busy").Status)
		require.Equal(t, laneswap.StatusStale, status(t, m, "strict").Status)
	})
}

func TestHeartbeat_registersAsSoonAsTheManagerIsStarted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := laneswap.NewManager(laneswap.WithNotifier(slognotify.New(nil)))
		h := middleware.Heartbeat(m, laneswap.Registration{Name: "shop"}, shop())
		for range 3 {
			code, _ := ask(h, "GET", "/items/1")
			require.Equal(t, http.StatusOK, code)
		}
		synctest.Wait()
		require.ErrorIs(t, h.Err(), laneswap.ErrNotStarted)
		require.Empty(t, h.ID())

		require.NoError(t, m.Start(t.Context()))
		defer m.Stop(t.Context())
		ask(h, "GET", "/items/1")
		synctest.Wait()
		require.NoError(t, h.Err())
		require.EqualValues(t, 1, status(t, m, h.ID()).Beats, "the request that registered counts")
		ask(h, "GET", "/items/1")
		require.EqualValues(t, 2, status(t, m, h.ID()).Beats)
	})
}

func TestHeartbeat_triesAgainLaterWhenItWasRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := laneswap.NewManager(laneswap.WithLimits(laneswap.Limits{Services: 1}))
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "other"})
		require.NoError(t, err)
		h := middleware.Heartbeat(m, laneswap.Registration{ID: "shop"}, shop())
		ask(h, "GET", "/items/1")
		synctest.Wait()
		require.ErrorIs(t, h.Err(), laneswap.ErrTooManyServices)

		require.NoError(t, m.Remove(t.Context(), "other"))
		ask(h, "GET", "/items/1")
		synctest.Wait()
		require.ErrorIs(t, h.Err(), laneswap.ErrTooManyServices, "not again at once")
		time.Sleep(time.Second)
		ask(h, "GET", "/items/1")
		synctest.Wait()
		require.NoError(t, h.Err())
		require.Equal(t, laneswap.StatusHealthy, status(t, m, "shop").Status)
	})
}

func TestHeartbeat_firstRequestTriesAgainAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := laneswap.NewManager(laneswap.WithLimits(laneswap.Limits{Services: 1}))
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "other"})
		require.NoError(t, err)
		h := middleware.Heartbeat(m, laneswap.Registration{ID: "shop"}, shop())
		require.ErrorIs(t, h.Err(), laneswap.ErrTooManyServices)

		require.NoError(t, m.Remove(t.Context(), "other"))
		ask(h, "GET", "/items/1") // no time has passed
		synctest.Wait()
		require.NoError(t, h.Err())
		require.EqualValues(t, 1, status(t, m, "shop").Beats)
	})
}

func TestHeartbeat_saysWhyABadRegistrationDoesNotCount(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	h := middleware.Heartbeat(m, laneswap.Registration{ID: "shop", Interval: time.Nanosecond}, shop())
	code, _ := ask(h, "GET", "/items/1")
	require.Equal(t, http.StatusOK, code)
	require.ErrorIs(t, h.Err(), laneswap.ErrInvalidRegistration)
}

func TestHeartbeat_isDeadAfterRemoveAndStop(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	h := middleware.Heartbeat(m, laneswap.Registration{ID: "shop"}, shop())
	require.NoError(t, m.Remove(t.Context(), "shop"))
	ask(h, "POST", "/orders/1")
	ask(h, "GET", "/items/1")
	require.ErrorIs(t, h.Err(), laneswap.ErrServiceNotFound)
	_, err := m.Service(t.Context(), "shop")
	require.ErrorIs(t, err, laneswap.ErrServiceNotFound, "traffic does not bring back what was removed")

	require.NoError(t, m.Stop(t.Context()))
	code, _ := ask(h, "GET", "/items/1")
	require.Equal(t, http.StatusOK, code)
	require.ErrorIs(t, h.Err(), laneswap.ErrStopped)
}

func TestHeartbeat_dropsAMessageThatIsTooLong(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager(laneswap.WithLimits(laneswap.Limits{MessageBytes: 10}))
	h := middleware.Heartbeat(m, laneswap.Registration{ID: "shop"}, shop())
	ask(h, "POST", "/orders/1")
	require.Equal(t, laneswap.StatusError, status(t, m, "shop").Status)
}

func TestHeartbeat_countsConcurrentRequestsExactly(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	h := middleware.Heartbeat(m, laneswap.Registration{ID: "shop"}, shop())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 250 {
				switch i % 5 {
				case 3:
					ask(h, "POST", "/orders/1")
				case 4:
					ask(h, "GET", "/panic/1")
				default:
					ask(h, "GET", "/items/1")
				}
			}
		})
	}
	wg.Wait()
	ask(h, "GET", "/items/1")
	st := status(t, m, "shop")
	require.EqualValues(t, 2001, st.Beats)
	require.Equal(t, laneswap.StatusHealthy, st.Status)
	got := kinds(t, m)
	require.Equal(t, laneswap.EventRecovered, got[len(got)-1])
	for i := 2; i < len(got); i++ {
		require.NotEqual(t, got[i-1], got[i], "down and recovered alternate")
	}
}
