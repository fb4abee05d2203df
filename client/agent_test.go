package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/client"
)

func start(t *testing.T, c *client.Client, reg laneswap.Registration, opts ...client.AgentOption) *client.Agent {
	t.Helper()
	a, err := c.Agent(reg, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func TestAgent_beatsAtTheIntervalWithALittleJitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		l.serve(server)
		began := time.Now()
		a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: 30 * time.Second})
		synctest.Wait()
		require.Len(t, server.seen("/services"), 1, "it registers at once")
		time.Sleep(time.Hour)
		synctest.Wait()
		beats := server.seen("/heartbeat")
		require.InDelta(t, 120, len(beats), 7)
		require.LessOrEqual(t, beats[0].at.Sub(began), 5*time.Second)
		gaps := map[time.Duration]bool{}
		for i, b := range beats[1:] {
			gap := b.at.Sub(beats[i].at)
			require.GreaterOrEqual(t, gap, 28500*time.Millisecond)
			require.LessOrEqual(t, gap, 31500*time.Millisecond)
			require.Empty(t, b.body, "nothing to say")
			gaps[gap] = true
		}
		require.Greater(t, len(gaps), 50, "the jitter is random")
		require.Len(t, server.seen("/services"), 1, "it registers once")
		require.NoError(t, a.Err())
		st, err := m.Service(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, laneswap.StatusHealthy, st.Status)
		require.Equal(t, 30*time.Second, st.Interval)
	})
}

func TestAgent_firstBeatsAreSpread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		_, server := monitor(t)
		l.serve(server)
		c := l.client()
		began := time.Now()
		for i := range 100 {
			start(t, c, laneswap.Registration{ID: laneswap.ServiceID(fmt.Sprint("a", i)), Interval: time.Minute})
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		beats := server.seen("/heartbeat")
		require.Len(t, beats, 100)
		early := 0
		for _, b := range beats {
			if b.at.Sub(began) < 2500*time.Millisecond {
				early++
			}
		}
		require.InDelta(t, 50, early, 35)
	})
}

func TestAgent_needsNoServerToStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		began := time.Now()
		a := start(t, l.client(), laneswap.Registration{Name: "billing", Interval: 20 * time.Second})
		a.Report(laneswap.Heartbeat{Message: "not heard yet"})
		require.Equal(t, began, time.Now(), "nothing waited")
		require.Equal(t, client.DefaultID("billing"), a.ID())
		time.Sleep(time.Minute)
		synctest.Wait()
		require.ErrorIs(t, a.Err(), client.ErrUnreachable)
		l.serve(server)
		time.Sleep(21 * time.Second)
		synctest.Wait()
		require.NoError(t, a.Err())
		st, err := m.Service(t.Context(), a.ID())
		require.NoError(t, err)
		require.Equal(t, "not heard yet", st.Message)
	})
}

func TestAgent_triesAgainFourTimesWithinTheInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		start(t, l.client(), laneswap.Registration{ID: "a", Interval: time.Minute})
		time.Sleep(2 * time.Minute) // the registration's own retries are over
		began := time.Now()
		time.Sleep(time.Hour)
		synctest.Wait()
		tries := l.refused()
		tries = tries[slices.IndexFunc(tries, began.Before):]
		require.InDelta(t, 5*60, len(tries), 20)
		burst, bursts := 0, 0
		delays := map[time.Duration]bool{}
		for i := 1; i < len(tries); i++ {
			gap := tries[i].Sub(tries[i-1])
			require.GreaterOrEqual(t, gap, 500*time.Millisecond)
			if gap <= 8*time.Second {
				burst++
				delays[gap.Round(100*time.Millisecond)] = true
				continue
			}
			if bursts > 0 {
				require.Equal(t, 4, burst)
			}
			burst = 0
			bursts++
		}
		require.InDelta(t, 60, bursts, 4)
		require.Greater(t, len(delays), 20, "retries are spread")
	})
}

func TestAgent_staysSmallAndQuietWithoutServer(t *testing.T) {
	t.Parallel()
	const hours, changes = 6, 6 * 60 * 6 // a change every ten seconds
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		var told errorLog
		var log lines
		a := start(t, l.client(client.WithLogger(log.logger())), laneswap.Registration{ID: "a", Interval: time.Minute}, client.WithOnError(told.add))
		for i := range changes {
			status := laneswap.StatusWarning
			if i%2 == 1 {
				status = laneswap.StatusHealthy
			}
			a.Report(laneswap.Heartbeat{
				Status: status, Message: fmt.Sprint("change ", i), Metadata: map[string]any{"n": i, fmt.Sprint("key", i): longMessage},
			})
			time.Sleep(10 * time.Second)
		}
		synctest.Wait()
		require.LessOrEqual(t, len(l.refused()), hours*60*5*11/10)
		require.LessOrEqual(t, len(told.all()), 2*(hours*60+1), "twice a minute: unreachable, and metadata left out")
		require.True(t, told.has(client.ErrUnreachable))
		require.LessOrEqual(t, strings.Count(log.String(), "\n"), 2*(hours+1))
		require.LessOrEqual(t, client.Held(a), 1<<20, "bytes held")

		l.serve(server)
		time.Sleep(70 * time.Second)
		synctest.Wait()
		require.NoError(t, firstUnreachable(a))
		var sent []string
		for _, h := range server.seen("/heartbeat") {
			if at := strings.Index(h.body, "change "); at >= 0 {
				sent = append(sent, h.body[at:at+len("change 2159")])
			}
		}
		var want []string
		for i := changes - 64; i < changes; i++ {
			want = append(want, fmt.Sprint("change ", i))
		}
		require.GreaterOrEqual(t, len(sent), 64)
		require.Equal(t, want, sent[:64], "the latest 64 changes, in order")
		st, err := m.Service(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, "change 2159", st.Message)
		require.InEpsilon(t, 2159, st.Metadata["n"], 1e-9)
		require.Contains(t, log.String(), "delivered again")
	})
}

var longMessage = strings.Repeat("x", 1000)

// firstUnreachable is the agent's error if it says that the server is away.
func firstUnreachable(a *client.Agent) error {
	if err := a.Err(); errors.Is(err, client.ErrUnreachable) {
		return err
	}
	return nil
}

func TestAgent_honoursRetryAfter(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]func() string{
		"seconds": func() string { return "120" },
		"date":    func() string { return time.Now().Add(120 * time.Second).UTC().Format(http.TimeFormat) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLAN(t)
				_, server := monitor(t)
				l.serve(server)
				a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: 10 * time.Second})
				time.Sleep(time.Minute)
				synctest.Wait()
				well := server.next
				server.become(answering(http.StatusServiceUnavailable, "Retry-After", header()))
				time.Sleep(11 * time.Second)
				synctest.Wait()
				server.clear()
				a.Report(laneswap.Heartbeat{Status: laneswap.StatusError, Message: "even this waits"})
				server.become(well)
				time.Sleep(100 * time.Second)
				synctest.Wait()
				require.Empty(t, server.seen(""), "it was asked to wait")
				require.Error(t, a.Err())
				time.Sleep(21 * time.Second)
				synctest.Wait()
				require.NotEmpty(t, server.seen("/heartbeat"))
				require.NoError(t, a.Err())
			})
		})
	}
}

func TestAgent_waitsAsAskedAlsoWithinTheInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		server := &recorder{next: answering(http.StatusServiceUnavailable, "Retry-After", "12")}
		l.serve(server)
		start(t, l.client(), laneswap.Registration{ID: "a", Interval: 10 * time.Minute})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		tries := server.seen("")
		require.Greater(t, len(tries), 3)
		for i, h := range tries[1:] {
			require.GreaterOrEqual(t, h.at.Sub(tries[i].at), 12*time.Second)
		}
	})
}

func TestAgent_flushHurriesARetryButNotAServerThatAskedForPeace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: time.Hour})
		time.Sleep(10 * time.Minute) // no retries are left
		server := &recorder{next: answering(http.StatusServiceUnavailable, "Retry-After", "600")}
		l.serve(server)
		flush := func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			require.ErrorIs(t, a.Flush(ctx), context.DeadlineExceeded)
		}
		flush()
		require.Len(t, server.seen(""), 1, "at once")
		flush()
		require.Len(t, server.seen(""), 1, "not yet")
	})
}

func TestAgent_doesNotObeyARetryAfterOfYears(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		_, server := monitor(t)
		well := server.next
		server.become(answering(http.StatusTooManyRequests, "Retry-After", "1e300"))
		l.serve(server)
		a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: 10 * time.Second})
		synctest.Wait()
		server.become(well)
		time.Sleep(time.Hour + 11*time.Second)
		synctest.Wait()
		require.NoError(t, a.Err())
	})
}

func TestAgent_registersAgainWhenItIsNotKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t)
		l.serve(server)
		var told errorLog
		a := start(t, l.client(), laneswap.Registration{ID: "a", Name: "A", Interval: 10 * time.Second, Metadata: map[string]any{"v": "1", "old": true}}, client.WithOnError(told.add))
		a.Report(laneswap.Heartbeat{Status: laneswap.StatusWarning, Message: "hot", Metadata: map[string]any{"cpu": 91, "old": nil, "gone": 1}})
		a.Report(laneswap.Heartbeat{Status: laneswap.StatusWarning, Message: "hot", Metadata: map[string]any{"gone": nil}})
		time.Sleep(20 * time.Second)
		synctest.Wait()
		require.NoError(t, m.Remove(t.Context(), "a"))
		time.Sleep(11 * time.Second)
		synctest.Wait()
		st, err := m.Service(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, laneswap.StatusWarning, st.Status)
		require.Equal(t, "A", st.Name)
		require.Equal(t, "hot", st.Message)
		require.Equal(t, map[string]any{"v": "1", "cpu": 91.0}, st.Metadata, "all of it, and nothing that was removed")
		require.Empty(t, told.all(), "the host hears nothing of it")
		require.NoError(t, a.Err())
	})
}

func TestAgent_slowsDownWhenItIsDenied(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLAN(t)
				_, server := monitor(t)
				well := server.next
				server.become(answering(status))
				l.serve(server)
				var told errorLog
				a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: 10 * time.Second}, client.WithOnError(told.add))
				for range 60 {
					a.Report(laneswap.Heartbeat{Status: laneswap.StatusError})
					a.Report(laneswap.Heartbeat{})
					time.Sleep(10 * time.Second)
				}
				synctest.Wait()
				tries := server.seen("")
				require.InDelta(t, 10, len(tries), 1)
				for i, h := range tries[1:] {
					require.GreaterOrEqual(t, h.at.Sub(tries[i].at), time.Minute)
					require.LessOrEqual(t, h.at.Sub(tries[i].at), 71*time.Second)
				}
				require.Len(t, told.all(), len(tries))
				var refused *client.ResponseError
				require.ErrorAs(t, a.Err(), &refused)
				require.Equal(t, status, refused.StatusCode)
				server.become(well)
				time.Sleep(71 * time.Second)
				synctest.Wait()
				require.NoError(t, a.Err(), "it went on")
			})
		})
	}
}

func TestAgent_sendsTheBareBeatWhenTheServerFindsItInvalid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		m, server := monitor(t, laneswap.WithLimits(laneswap.Limits{MessageBytes: 10, MetadataKeys: 2}))
		l.serve(server)
		var told errorLog
		a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: 10 * time.Second}, client.WithOnError(told.add))
		a.Report(laneswap.Heartbeat{Status: laneswap.StatusError, Message: "longer than ten"})
		synctest.Wait()
		st, err := m.Service(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, laneswap.StatusError, st.Status, "the change arrived at once")
		require.Empty(t, st.Message)
		require.ErrorIs(t, a.Err(), laneswap.ErrInvalidHeartbeat)
		var invalid *laneswap.ValidationError
		require.ErrorAs(t, a.Err(), &invalid)
		require.Equal(t, "message", invalid.Field)
		require.Len(t, told.all(), 1)
		server.clear()
		time.Sleep(time.Minute)
		synctest.Wait()
		require.InDelta(t, 6, len(server.seen("/heartbeat")), 1, "what was refused is not offered again")
		a.Report(laneswap.Heartbeat{Message: "short", Metadata: map[string]any{"a": 1, "b": 2, "c": 3}})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		st, err = m.Service(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, laneswap.StatusHealthy, st.Status)
		a.Report(laneswap.Heartbeat{Message: "fine"})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		st, err = m.Service(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, "fine", st.Message)
		require.NoError(t, a.Err())
	})
}

func TestAgent_goesOnBeatingWhenEveryHeartbeatIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		_, server := monitor(t, laneswap.WithInterceptor(func(context.Context, laneswap.ServiceID, laneswap.Heartbeat) (laneswap.Heartbeat, error) {
			return laneswap.Heartbeat{}, errors.New("no entry")
		}))
		l.serve(server)
		a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: 10 * time.Second})
		a.Report(laneswap.Heartbeat{Status: laneswap.StatusError})
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.InDelta(t, 2*60, len(server.seen("/heartbeat")), 8)
		require.ErrorIs(t, a.Err(), laneswap.ErrInvalidHeartbeat)
		require.ErrorContains(t, a.Err(), "no entry")
	})
}

func TestAgent_triesSlowlyWhenItsRegistrationIsInvalid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		_, server := monitor(t)
		l.serve(server)
		var told errorLog
		a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: 10 * time.Second, StaleAfter: 5 * time.Second}, client.WithOnError(told.add))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.InDelta(t, 10, len(server.seen("")), 1)
		var invalid *laneswap.ValidationError
		require.ErrorAs(t, told.all()[0], &invalid)
		require.Equal(t, "stale_after", invalid.Field)
		require.ErrorIs(t, a.Err(), laneswap.ErrInvalidRegistration)
		require.EqualError(t, a.Err(), `laneswap: register "a": stale_after is 5s, it must be above the interval of 10s`)
	})
}

func TestAgent_hangingServerCostsAttemptsNotTheHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		server := &recorder{next: hanging()}
		l.serve(server)
		a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: 9 * time.Second})
		time.Sleep(time.Minute)
		began := time.Now()
		for range 1000 {
			a.Report(laneswap.Heartbeat{Status: laneswap.StatusError})
			a.Report(laneswap.Heartbeat{})
			a.Tick()
		}
		require.Equal(t, began, time.Now())
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.ErrorIs(t, a.Err(), client.ErrUnreachable)
		tries := server.seen("")
		require.Greater(t, len(tries), 11*60/9*3/2, "one that hangs leaves time for another")
		require.True(t, slices.IsSortedFunc(tries, func(x, y hit) int { return x.at.Compare(y.at) }))
	})
}
