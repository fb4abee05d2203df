package client_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

// says answers every request with that status and body.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const status = `"id":"a","name":"a","status":"healthy","metadata":{},"created_at":"2026-11-21T20:00:00Z","reported_status":"healthy",` +
	`"since":"2026-11-21T20:00:00Z","interval":60,"window":150,"tags":[],"events":[],"beats":1`

func TestClient_tellsWhatIsNotDurable(t *testing.T) {
	t.Parallel()
	for _, durable := range []bool{true, false} {
		more := ""
		if !durable {
			more = `,"durable":false`
		}
		st, err := against(t, says(200, `{"service_id":"a",`+status+more+`}`)).Register(t.Context(), laneswap.Registration{ID: "a"})
		require.NoError(t, err)
		require.Equal(t, durable, !st.NotDurable)
		st, err = against(t, says(200, `{`+status+more+`}`)).Report(t.Context(), "a", laneswap.Heartbeat{})
		require.NoError(t, err)
		require.Equal(t, durable, !st.NotDurable)
		rec, err := against(t, says(201, `{"id":"a/1","service_id":"a","type":"T","message":"m"`+more+`}`)).ReportError(t.Context(), "a", laneswap.ErrorReport{Type: "T"})
		require.NoError(t, err)
		require.Equal(t, laneswap.ErrorRecord{ID: "a/1", Service: "a", Type: "T", Message: "m", NotDurable: !durable}, rec)
	}
}

func TestRegister_tellsWhatIsNotDurableOfAnAnswerWithTheIDAlone(t *testing.T) {
	t.Parallel()
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			says(200, `{"service_id":"a","durable":false}`)(w, r)
			return
		}
		says(200, `{`+status+`}`)(w, r)
	})
	st, err := c.Register(t.Context(), laneswap.Registration{Name: "a"})
	require.NoError(t, err)
	require.True(t, st.NotDurable)
	require.Equal(t, laneswap.ServiceID("a"), st.ID)
}

func TestBeat_thatIsNotDurableIsABeat(t *testing.T) {
	t.Parallel()
	require.NoError(t, beat(t, against(t, says(200, `{"durable":false}`))))
}

func TestRemove_thatIsNotDurableSaysSo(t *testing.T) {
	t.Parallel()
	err := against(t, says(200, `{"durable":false}`)).Remove(t.Context(), "a")
	require.ErrorIs(t, err, laneswap.ErrDegraded)
	require.EqualError(t, err, `laneswap: remove "a": storage has not taken it yet`)
	require.NoError(t, against(t, says(204, "")).Remove(t.Context(), "a"))
	require.NoError(t, against(t, says(200, `{}`)).Remove(t.Context(), "a"))
	require.ErrorIs(t, against(t, says(200, `<html>`)).Remove(t.Context(), "a"), laneswap.ErrLaneSwap)
}

func TestClient_knowsAServerThatIsLoading(t *testing.T) {
	t.Parallel()
	c := against(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "1")
		says(503, `{"status":503,"code":"loading","detail":"storage not loaded yet"}`)(w, r)
	})
	_, serviceErr := c.Service(t.Context(), "a")
	_, historyErr := c.History(t.Context(), "a", laneswap.HistoryQuery{})
	for _, err := range []error{beat(t, c), serviceErr, historyErr} {
		require.ErrorIs(t, err, laneswap.ErrLoading)
		require.NotErrorIs(t, err, laneswap.ErrServiceNotFound)
	}
	require.EqualError(t, serviceErr, `laneswap: service "a": storage not loaded yet`)
}

func TestAgent_waitsForAServerThatIsLoading(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		well := server.next
		server.become(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "3")
			says(503, `{"status":503,"code":"loading","detail":"storage not loaded yet"}`)(w, r)
		}))
		l.serve(server)
		a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: 20 * time.Second})
		time.Sleep(time.Minute)
		synctest.Wait()
		require.ErrorIs(t, a.Err(), laneswap.ErrLoading)
		hits := server.seen("")
		require.Greater(t, len(hits), 6, "it goes on trying")
		for i := 1; i < len(hits); i++ {
			require.GreaterOrEqual(t, hits[i].at.Sub(hits[i-1].at), 3*time.Second, "it waits as it was asked")
		}
		server.become(well)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		require.NoError(t, a.Err())
		_, err := m.Service(t.Context(), "a")
		require.NoError(t, err)
	})
}
