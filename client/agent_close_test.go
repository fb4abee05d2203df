package client_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/client"
)

func TestAgent_closeSaysGoodbyeOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		l.serve(server)
		a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: 10 * time.Second})
		time.Sleep(time.Minute)
		synctest.Wait()
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := a.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.NoError(t, a.Close())
		a.Report(laneswap.Heartbeat{Status: laneswap.StatusError})
		time.Sleep(time.Hour)
		synctest.Wait()
		goodbyes := 0
		for _, h := range server.seen("/heartbeat") {
			if strings.Contains(h.body, "shutdown") {
				goodbyes++
			}
		}
		require.Equal(t, 1, goodbyes)
		st, err := m.Service(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, laneswap.StatusShutdown, st.Status, "nothing was said after it")
	})
}

func TestAgent_closeOfAYoungAgentIsSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		l.serve(server)
		a := start(t, l.client(), laneswap.Registration{ID: "a"})
		require.NoError(t, a.Close())
		st, err := m.Service(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, laneswap.StatusShutdown, st.Status)
	})
}

func TestAgent_closeTakesTwoSecondsAtMost(t *testing.T) {
	t.Parallel()
	for name, reported := range map[string]int{"with nothing else to say": 0, "with more to say": 200} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLAN(t)
				_, server := monitor(t)
				l.serve(server)
				a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: 10 * time.Second})
				time.Sleep(time.Minute)
				synctest.Wait()
				server.become(hanging())
				for i := range reported {
					a.Report(laneswap.Heartbeat{Status: []laneswap.Status{"error", "healthy"}[i%2]})
				}
				time.Sleep(time.Second) // an attempt is under way
				began := time.Now()
				require.ErrorIs(t, a.Close(), client.ErrUnreachable)
				require.LessOrEqual(t, time.Since(began), 2*time.Second)
			})
		})
	}
}

func TestAgent_closeIsQuickWhenTheServerIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		a := start(t, l.client(), laneswap.Registration{ID: "a"})
		time.Sleep(time.Hour)
		began := time.Now()
		require.ErrorIs(t, a.Close(), client.ErrUnreachable)
		require.ErrorIs(t, a.Close(), client.ErrUnreachable, "the same again")
		require.Equal(t, began, time.Now())
	})
}

func TestAgent_closeWithOtherLastWords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		l.serve(server)
		a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: 10 * time.Second})
		require.NoError(t, a.CloseWith(laneswap.Heartbeat{Status: laneswap.StatusError, Message: "exit status 3", Metadata: map[string]any{"exit_code": 3}}))
		require.NoError(t, a.Close(), "no goodbye after them")
		st, err := m.Service(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, laneswap.StatusError, st.Status)
		require.Equal(t, "exit status 3", st.Message)
		require.Equal(t, map[string]any{"exit_code": 3.0}, st.Metadata)
		require.EqualValues(t, 1, st.Beats)
	})
}

func TestAgent_lastWordsAreFinalAlsoWhenTheirContentIsRefused(t *testing.T) {
	t.Parallel()
	for name, message := range map[string]string{"taken": "disk full", "refused": "longer than the server's ten bytes"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLAN(t)
				m, server := monitor(t, laneswap.WithLimits(laneswap.Limits{MessageBytes: 10}))
				l.serve(server)
				a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: 10 * time.Second})
				a.Report(laneswap.Heartbeat{Final: true})
				time.Sleep(time.Minute)
				synctest.Wait()
				st, err := m.Service(t.Context(), "a")
				require.NoError(t, err)
				require.NotZero(t, st.Deadline, "who beats on is watched")
				require.NoError(t, a.CloseWith(laneswap.Heartbeat{Status: laneswap.StatusError, Message: message}))
				time.Sleep(time.Hour)
				synctest.Wait()
				st, err = m.Service(t.Context(), "a")
				require.NoError(t, err)
				require.Equal(t, laneswap.StatusError, st.Status, "it does not go stale as well")
				require.NoError(t, l.client().Beat(t.Context(), "a", laneswap.Heartbeat{}))
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				st, err = m.Service(t.Context(), "a")
				require.NoError(t, err)
				require.Equal(t, laneswap.StatusStale, st.Status, "who beats again is watched again")
			})
		})
	}
}

func TestClient_sendsFinalHeartbeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		_, server := monitor(t)
		l.serve(server)
		c := l.client()
		_, err := c.Register(t.Context(), laneswap.Registration{ID: "a", Interval: 10 * time.Second})
		require.NoError(t, err)
		require.NoError(t, c.Beat(t.Context(), "a", laneswap.Heartbeat{Final: true}))
		st, err := c.Report(t.Context(), "a", laneswap.Heartbeat{Status: laneswap.StatusError, Final: true})
		require.NoError(t, err)
		require.Zero(t, st.Deadline)
		require.Equal(t, laneswap.StatusError, st.Status)
		time.Sleep(time.Hour)
		st, err = c.Service(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, laneswap.StatusError, st.Status)
	})
}

func TestAgent_lastWordsComeThroughThoughWhatWasBeforeDoesNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		well := server.next
		l.serve(server)
		a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: 10 * time.Second})
		synctest.Wait()
		server.become(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select { // slower than all of it could wait for
			case <-time.After(300 * time.Millisecond):
				well.ServeHTTP(w, r)
			case <-r.Context().Done():
			}
		}))
		for range 10 {
			a.Report(laneswap.Heartbeat{Status: laneswap.StatusWarning, Metadata: map[string]any{"seen": true}})
			a.Report(laneswap.Heartbeat{})
		}
		require.NoError(t, a.CloseWith(laneswap.Heartbeat{Status: laneswap.StatusError, Message: "the end", Metadata: map[string]any{"exit_code": 3}}))
		st, err := m.Service(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, "the end", st.Message)
		require.Equal(t, map[string]any{"exit_code": 3.0, "seen": true}, st.Metadata)
	})
}

func TestAgent_flushWaitsForDelivery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		l.serve(server)
		a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: time.Hour})
		began := time.Now()
		require.NoError(t, a.Flush(t.Context()))
		_, err := m.Service(t.Context(), "a")
		require.NoError(t, err, "it is registered")
		a.Report(laneswap.Heartbeat{Message: "an update would wait a second"})
		require.NoError(t, a.Flush(t.Context()))
		st, err := m.Service(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, "an update would wait a second", st.Message)
		require.Equal(t, began, time.Now())
	})
}

func TestAgent_flushEndsWithItsContextOrTheAgent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		a := start(t, l.client(), laneswap.Registration{ID: "a"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		err := a.Flush(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, client.ErrUnreachable, "and says why")
		require.Equal(t, time.Minute, time.Since(began))
		ended := make(chan error)
		go func() { ended <- a.Flush(t.Context()) }() // ended by Close
		synctest.Wait()
		require.Error(t, a.Close())
		require.ErrorIs(t, <-ended, laneswap.ErrStopped)
	})
}

func TestAgent_doReportsHowItWent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		l.serve(server)
		a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: 10 * time.Second})
		status := func() laneswap.ServiceStatus {
			require.NoError(t, a.Flush(t.Context()))
			st, err := m.Service(t.Context(), "a")
			require.NoError(t, err)
			return st
		}
		require.NoError(t, a.Do(t.Context(), func(context.Context) error {
			require.Equal(t, laneswap.StatusBusy, status().Status)
			time.Sleep(10 * time.Minute)
			require.Equal(t, laneswap.StatusBusy, status().Status, "beats go on")
			return nil
		}))
		st := status()
		require.Equal(t, laneswap.StatusHealthy, st.Status)
		require.InEpsilon(t, 600, st.Metadata["execution_time"], 0.01)

		broken := errors.New("no disk")
		require.ErrorIs(t, a.Do(t.Context(), func(context.Context) error { return broken }), broken)
		st = status()
		require.Equal(t, laneswap.StatusError, st.Status)
		require.Equal(t, "no disk", st.Message)
		require.NoError(t, a.Do(t.Context(), func(context.Context) error {
			require.Equal(t, laneswap.StatusError, status().Status, "a failing job does not look recovered when it starts")
			return nil
		}))
		require.Equal(t, laneswap.StatusHealthy, status().Status)
	})
}

func TestAgent_panicInDoIsDeliveredBeforeItGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		l.serve(server)
		a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: time.Hour})
		require.PanicsWithValue(t, "out of luck", func() {
			_ = a.Do(t.Context(), func(context.Context) error { panic("out of luck") })
		})
		st, err := m.Service(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, laneswap.StatusError, st.Status)
		require.Equal(t, "panic: out of luck", st.Message)

		l.down()
		began := time.Now()
		require.PanicsWithValue(t, "again", func() {
			_ = a.Do(t.Context(), func(context.Context) error { panic("again") })
		})
		require.LessOrEqual(t, time.Since(began), 2*time.Second)
	})
}

func TestAgent_watchdogBeatsOnlyWhileTheLoopTicks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		l.serve(server)
		a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: 10 * time.Second, StaleAfter: 40 * time.Second}, client.WithWatchdog())
		time.Sleep(30 * time.Second)
		synctest.Wait()
		require.Len(t, server.seen("/services"), 1, "it is registered")
		require.Empty(t, server.seen("/heartbeat"), "the first beat waits for the first Tick")
		for range 100 {
			a.Tick()
			time.Sleep(5 * time.Second)
		}
		synctest.Wait()
		require.InDelta(t, 50, len(server.seen("/heartbeat")), 4)
		a.Tick() // the last one
		time.Sleep(11 * time.Second)
		synctest.Wait()
		server.clear()
		a.Report(laneswap.Heartbeat{Message: "the loop hangs, another goroutine talks"})
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Empty(t, server.seen(""))
		st, err := m.Service(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, laneswap.StatusStale, st.Status)
		a.Report(laneswap.Heartbeat{Status: laneswap.StatusError, Message: "a change is told"})
		synctest.Wait()
		st, err = m.Service(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, laneswap.StatusError, st.Status)
	})
}

func TestAgent_survivesATransportThatPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		l.serve(server)
		var broken sync.Map
		broken.Store("yes", true)
		c, err := client.New("http://laneswap.test", client.WithHTTPClient(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if _, yes := broken.Load("yes"); yes {
				panic("transport")
			}
			return l.transport.RoundTrip(r)
		})}))
		require.NoError(t, err)
		a := start(t, c, laneswap.Registration{ID: "a", Interval: 10 * time.Second})
		time.Sleep(time.Minute)
		synctest.Wait()
		require.ErrorIs(t, a.Err(), laneswap.ErrLaneSwap)
		broken.Delete("yes")
		time.Sleep(11 * time.Second)
		synctest.Wait()
		require.NoError(t, a.Err())
		_, err = m.Service(t.Context(), "a")
		require.NoError(t, err)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
