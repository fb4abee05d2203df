package client_test

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/client"
)

func TestAgent_deliversChangesAtOnceAndInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		l.serve(server)
		a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: time.Hour})
		synctest.Wait()
		began := time.Now()
		want := []laneswap.Status{"warning", "error", "critical", "degraded", "unknown", "healthy", "error", "busy"}
		for _, s := range want {
			a.Report(laneswap.Heartbeat{Status: s})
		}
		synctest.Wait()
		require.Equal(t, began, time.Now())
		var got []laneswap.Status
		for ev, err := range m.Events(t.Context(), laneswap.EventQuery{}) {
			require.NoError(t, err)
			got = append(got, ev.To)
		}
		require.Equal(t, want, got)
	})
}

func TestAgent_latestUpdateWins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		l.serve(server)
		a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: time.Hour})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		server.clear()
		for i := range 1000 {
			status := laneswap.StatusBusy
			if i%2 == 1 {
				status = laneswap.StatusIdle
			}
			a.Report(laneswap.Heartbeat{Status: status, Message: fmt.Sprint("step ", i), Metadata: map[string]any{"step": i, fmt.Sprint("m", i%3): i}})
			time.Sleep(time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.LessOrEqual(t, len(server.seen("/heartbeat")), 3, "once a second is enough")
		st, err := m.Service(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, "step 999", st.Message)
		require.Equal(t, map[string]any{"step": 999.0, "m0": 999.0, "m1": 997.0, "m2": 998.0}, st.Metadata)
	})
}

func TestAgent_repeatsItsStateWithEveryBeat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		l.serve(server)
		a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: 10 * time.Second})
		a.Report(laneswap.Heartbeat{Status: laneswap.StatusDegraded, Message: "half of it"})
		time.Sleep(time.Hour)
		synctest.Wait()
		st, err := m.Service(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, laneswap.StatusDegraded, st.Status)
		require.Equal(t, "half of it", st.Message)
		var events int
		for _, err := range m.Events(t.Context(), laneswap.EventQuery{}) {
			require.NoError(t, err)
			events++
		}
		require.Equal(t, 1, events)
	})
}

func TestAgent_reportsWhatItCannotSend(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		l.serve(server)
		var told errorLog
		a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: 10 * time.Second}, client.WithOnError(func(err error) {
			told.add(err)
			panic("the host's own trouble")
		}))
		for field, hb := range map[string]laneswap.Heartbeat{
			"status":        {Status: "splendid"},
			"metadata.nan":  {Metadata: map[string]any{"nan": math.NaN()}},
			"metadata.bomb": {Metadata: map[string]any{"bomb": bomb{}}},
			"metadata.big":  {Metadata: map[string]any{"big": strings.Repeat("x", 10<<10)}},
		} {
			a.Report(hb)
			var invalid *laneswap.ValidationError
			require.ErrorAs(t, a.Err(), &invalid)
			require.Equal(t, field, invalid.Field)
			time.Sleep(2 * time.Minute)
			synctest.Wait()
		}
		require.Len(t, told.all(), 4)
		a.Report(laneswap.Heartbeat{Status: laneswap.StatusStale})
		require.ErrorIs(t, a.Err(), laneswap.ErrInvalidHeartbeat)
		a.Report(laneswap.Heartbeat{Message: strings.Repeat("é", 4096) + "\xff", Metadata: map[string]any{"fine": 1, "not": func() {}}})
		time.Sleep(11 * time.Second)
		synctest.Wait()
		st, err := m.Service(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, laneswap.StatusHealthy, st.Status)
		require.Equal(t, strings.Repeat("é", 2048), st.Message, "cut to what the server takes")
		require.Equal(t, map[string]any{"fine": 1.0}, st.Metadata)
	})
}

// bomb is metadata that panics.
type bomb struct{}

func (bomb) MarshalJSON() ([]byte, error) { panic("boom") }

func TestAgent_ownsACopyOfMetadata(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: 10 * time.Second})
		inner := []any{"before"}
		metadata := map[string]any{"list": inner}
		a.Report(laneswap.Heartbeat{Metadata: metadata})
		inner[0] = "after"
		metadata["list"] = nil
		l.serve(server)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		st, err := m.Service(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, map[string]any{"list": []any{"before"}}, st.Metadata)
	})
}

func TestAgent_refusesARegistrationThatNobodyCouldSend(t *testing.T) {
	t.Parallel()
	c, err := client.New("http://localhost:1")
	require.NoError(t, err)
	for field, reg := range map[string]laneswap.Registration{
		"name":         {},
		"service_id":   {ID: "no good"},
		"interval":     {ID: "a", Interval: time.Millisecond},
		"metadata.nan": {ID: "a", Metadata: map[string]any{"nan": math.NaN()}},
	} {
		a, err := c.Agent(reg)
		require.Nil(t, a)
		var invalid *laneswap.ValidationError
		require.ErrorAs(t, err, &invalid)
		require.Equal(t, field, invalid.Field)
		require.ErrorIs(t, err, laneswap.ErrLaneSwap)
	}
}

func TestAgent_newerMetadataIsSentThoughOlderIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		well := server.next
		l.serve(server)
		a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: time.Hour})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		server.become(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			well.ServeHTTP(w, r)
		}))
		a.Report(laneswap.Heartbeat{Metadata: map[string]any{"n": 1, "old": 1}})
		time.Sleep(time.Second / 2)
		a.Report(laneswap.Heartbeat{Metadata: map[string]any{"n": 2, "new": 2}})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		st, err := m.Service(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, map[string]any{"n": 2.0, "old": 1.0, "new": 2.0}, st.Metadata)
		beats := server.seen("/heartbeat")
		require.JSONEq(t, `{"metadata":{"n":2,"new":2}}`, beats[len(beats)-1].body, "what was heard is not said again")
	})
}
