package laneswap_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

func TestManager_worksInMemoryBeforeStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := laneswap.NewManager()
		h := register(t, m, laneswap.Registration{ID: "svc"})
		h.Beat()
		require.Equal(t, laneswap.StatusHealthy, statusOf(t, m, "svc").Status)
		time.Sleep(window + moment)
		require.Equal(t, laneswap.StatusStale, statusOf(t, m, "svc").Status, "judged when asked")
		h.Beat()
		require.Equal(t, []laneswap.EventKind{"up", "down", "recovered"}, kindsOf(t, m))
	})
}

func TestManager_withNotifierWantsToBeStarted(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager(ungrouped(laneswap.WithNotifier(&recorder{}))...)
	_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
	require.ErrorIs(t, err, laneswap.ErrNotStarted)
	require.ErrorIs(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{}), laneswap.ErrNotStarted)
	_, err = m.Summary(t.Context())
	require.ErrorIs(t, err, laneswap.ErrNotStarted)
	_, err = m.Handle("svc")
	require.ErrorIs(t, err, laneswap.ErrNotStarted)
	require.NoError(t, m.Start(t.Context()))
	_, err = m.Register(t.Context(), laneswap.Registration{ID: "svc"})
	require.NoError(t, err)
	require.NoError(t, m.Stop(t.Context()))
}

func TestManager_startTwiceIsAnError(t *testing.T) {
	t.Parallel()
	m := started(t)
	require.ErrorIs(t, m.Start(t.Context()), laneswap.ErrAlreadyStarted)
}

func TestManager_stopIsFinalAndMayBeRepeated(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	require.NoError(t, m.Start(t.Context()))
	h := register(t, m, laneswap.Registration{ID: "svc"})
	h.Beat()
	require.NoError(t, m.Stop(t.Context()))
	require.NoError(t, m.Stop(t.Context()))
	require.ErrorIs(t, m.Start(t.Context()), laneswap.ErrStopped)
	require.ErrorIs(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{}), laneswap.ErrStopped)
	_, err := m.Report(t.Context(), "svc", laneswap.Heartbeat{})
	require.ErrorIs(t, err, laneswap.ErrStopped)
	_, err = m.Register(t.Context(), laneswap.Registration{ID: "new"})
	require.ErrorIs(t, err, laneswap.ErrStopped)
	require.ErrorIs(t, m.Remove(t.Context(), "svc"), laneswap.ErrStopped)
	require.ErrorIs(t, m.AddNotifier(&recorder{}), laneswap.ErrStopped)
	require.ErrorIs(t, h.Err(), laneswap.ErrStopped)
	h.Beat()
	require.ErrorIs(t, h.Report(laneswap.Heartbeat{}), laneswap.ErrStopped)
	require.Equal(t, laneswap.StatusHealthy, statusOf(t, m, "svc").Status, "reads answer")
	require.Len(t, eventsOf(t, m, laneswap.EventQuery{}), 1)
}

func TestManager_stopBeforeStartIsFine(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager(ungrouped(laneswap.WithNotifier(&recorder{}))...)
	require.NoError(t, m.Stop(t.Context()))
	require.ErrorIs(t, m.Start(t.Context()), laneswap.ErrStopped)
}

func TestManager_judgesNobodyAfterStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := laneswap.NewManager()
		require.NoError(t, m.Start(t.Context()))
		register(t, m, laneswap.Registration{ID: "svc"}).Beat()
		require.NoError(t, m.Stop(t.Context()))
		time.Sleep(time.Hour)
		require.Equal(t, laneswap.StatusHealthy, statusOf(t, m, "svc").Status)
		require.Equal(t, []laneswap.EventKind{"up"}, kindsOf(t, m))
	})
}

func TestManager_runStartsWaitsAndStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		m := laneswap.NewManager(ungrouped(laneswap.WithNotifier(rec))...)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		synctest.Wait()
		register(t, m, laneswap.Registration{ID: "svc"}).Beat()
		time.Sleep(window + moment)
		cancel()
		require.NoError(t, <-done)
		require.Equal(t, []laneswap.EventKind{"down"}, rec.kinds())
	})
}

func TestManager_badOptionIsNamedByStartAndVerbs(t *testing.T) {
	t.Parallel()
	for field, opt := range map[string]laneswap.Option{
		"stale_threshold": laneswap.WithStaleThreshold(-time.Second),
		"check_interval":  laneswap.WithCheckInterval(0),
		"event_buffer":    laneswap.WithEventBuffer(0),
		"notifier":        laneswap.WithNotifier(nil),
		"interceptor":     laneswap.WithInterceptor(nil),
		"limits.services": laneswap.WithLimits(laneswap.Limits{Services: -1}),
	} {
		m := laneswap.NewManager(opt)
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
		for _, err := range []error{m.Start(t.Context()), err, m.Beat(t.Context(), "svc", laneswap.Heartbeat{})} {
			var bad *laneswap.ValidationError
			require.ErrorAs(t, err, &bad, field)
			require.Equal(t, field, bad.Field)
			require.ErrorIs(t, err, laneswap.ErrInvalidOption)
		}
	}
}

func TestManager_lateIsShownAndNeverAnEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		h := register(t, m, laneswap.Registration{ID: "svc", Interval: 20 * time.Second})
		h.Beat()
		time.Sleep(30 * time.Second)
		require.False(t, statusOf(t, m, "svc").Late)
		time.Sleep(moment)
		st := statusOf(t, m, "svc")
		require.True(t, st.Late)
		require.Equal(t, laneswap.StatusHealthy, st.Status)
		h.Beat()
		require.False(t, statusOf(t, m, "svc").Late)
		require.Equal(t, []laneswap.EventKind{"up"}, kindsOf(t, m))
	})
}

func TestManager_noDeadlineOrShutdownIsNeverLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		register(t, m, laneswap.Registration{ID: "free", Interval: time.Second, NoDeadline: true}).Beat()
		gone := register(t, m, laneswap.Registration{ID: "gone", Interval: time.Second})
		require.NoError(t, gone.Report(laneswap.Heartbeat{Status: laneswap.StatusShutdown}))
		time.Sleep(time.Hour)
		require.False(t, statusOf(t, m, "free").Late)
		require.False(t, statusOf(t, m, "gone").Late)
	})
}

func TestManager_beatAtTheDeadlineKeepsTheServiceAlive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		h := register(t, m, laneswap.Registration{ID: "svc"})
		for range 100 {
			h.Beat()
			time.Sleep(window)
		}
		require.Equal(t, []laneswap.EventKind{"up"}, kindsOf(t, m))
	})
}

func TestManager_serviceThatNeverBeatsGoesStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		at := time.Now()
		register(t, m, laneswap.Registration{ID: "svc"})
		require.Equal(t, laneswap.StatusUnknown, statusOf(t, m, "svc").Status)
		time.Sleep(30 * time.Second)
		register(t, m, laneswap.Registration{ID: "svc"}) // nobody gains time by registering
		time.Sleep(30*time.Second + moment)
		st := statusOf(t, m, "svc")
		require.Equal(t, laneswap.StatusStale, st.Status)
		require.True(t, st.LastHeartbeat.IsZero())
		require.WithinDuration(t, at.Add(window), st.Incident.StartedAt, 0)
		require.True(t, st.Incident.SilentSince.IsZero())
		require.Contains(t, st.Incident.Cause, "registration")
	})
}

func TestManager_staleComesMillisecondsAfterTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t, laneswap.WithCheckInterval(time.Hour))
		w, err := m.Watch(t.Context(), laneswap.WatchQuery{})
		require.NoError(t, err)
		for _, window := range []time.Duration{10 * time.Millisecond, 777 * time.Millisecond, 100 * time.Second} {
			id := laneswap.ServiceID("svc" + window.String())
			register(t, m, laneswap.Registration{ID: id, StaleAfter: window}).Beat()
			deadline := time.Now().Add(window)
			for ev, err := range w.Events() {
				require.NoError(t, err)
				if ev.Service == id && ev.Kind == laneswap.EventDown {
					require.True(t, ev.At.Equal(deadline.Truncate(time.Millisecond)), "%v, not %v", ev.At, deadline)
					break
				}
			}
			require.LessOrEqual(t, time.Since(deadline), time.Millisecond)
			require.NoError(t, m.Remove(t.Context(), id))
		}
	})
}

// In hours and days of virtual time, with -long in a month, a service that beats has
// no event, and one that pauses has one incident for each pause.
func TestManager_monthWithoutAFalseAlarm(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, length := range []time.Duration{time.Hour, scaled(6*time.Hour, 3*day, 30*day)} {
		t.Run(length.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := started(t)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				end := time.Now().Add(length)
				steady := register(t, m, laneswap.Registration{ID: "steady", Interval: 30 * time.Second})
				nightly := register(t, m, laneswap.Registration{ID: "pausing", Interval: time.Minute})
				go func() {
					for ctx.Err() == nil {
						steady.Beat()
						select {
						case <-time.After(30 * time.Second):
						case <-ctx.Done():
						}
					}
				}()
				pauses := 0
				for time.Now().Before(end) {
					for range 30 {
						nightly.Beat()
						time.Sleep(time.Minute)
					}
					time.Sleep(2 * time.Minute) // three minutes in all, two and a half allowed
					pauses++
				}
				nightly.Beat()
				require.Equal(t, []laneswap.EventKind{"up"}, only(t, m, "steady"))
				kinds := only(t, m, "pausing")
				require.Len(t, kinds, 1+2*pauses)
				for i, kind := range kinds[1:] {
					require.Equal(t, []laneswap.EventKind{"down", "recovered"}[i%2], kind)
				}
			})
		})
	}
}

// only collects the kinds of the events of one service.
func only(t *testing.T, m *laneswap.Manager, id laneswap.ServiceID) (kinds []laneswap.EventKind) {
	t.Helper()
	for _, ev := range eventsOf(t, m, laneswap.EventQuery{Service: id}) {
		kinds = append(kinds, ev.Kind)
	}
	return kinds
}

func TestManager_thousandSilentServicesGiveEventsInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		m := started(t, laneswap.WithNotifier(rec))
		ids := make([]laneswap.ServiceID, 1000)
		for i := range ids {
			st, err := m.Register(t.Context(), laneswap.Registration{Name: "svc"})
			require.NoError(t, err)
			ids[i] = st.ID
			require.NoError(t, m.Beat(t.Context(), st.ID, laneswap.Heartbeat{}))
			time.Sleep(50 * time.Millisecond)
		}
		w, err := m.Watch(t.Context(), laneswap.WatchQuery{After: 1000})
		require.NoError(t, err)
		n := 0
		for ev, err := range w.Events() {
			require.NoError(t, err)
			require.Equal(t, ids[n], ev.Service)
			require.Equal(t, laneswap.StatusStale, ev.To)
			require.LessOrEqual(t, time.Since(ev.At), 100*time.Millisecond)
			if n++; n == len(ids) {
				break
			}
		}
		synctest.Wait()
		require.Len(t, rec.kinds(), 1000)
		sum, err := m.Summary(t.Context())
		require.NoError(t, err)
		require.Equal(t, map[laneswap.Status]int{laneswap.StatusStale: 1000}, sum.Counts)
	})
}

func TestManager_endedContextIsReturned(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := m.Register(ctx, laneswap.Registration{ID: "svc"})
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, errors.Is(err, laneswap.ErrLaneSwap))
	require.ErrorIs(t, m.Start(ctx), context.Canceled)
	require.NoError(t, m.Start(t.Context()), "nothing was started before")
	require.NoError(t, m.Stop(t.Context()))
}

func TestManager_unhealthyNamesWhoIsBad(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	register(t, m, laneswap.Registration{ID: "good"}).Beat()
	warned := register(t, m, laneswap.Registration{ID: "warned"})
	require.NoError(t, warned.Report(laneswap.Heartbeat{Status: laneswap.StatusWarning}))
	require.NoError(t, m.Unhealthy(t.Context()))
	broken := register(t, m, laneswap.Registration{ID: "broken"})
	require.NoError(t, broken.Report(laneswap.Heartbeat{Status: laneswap.StatusError}))
	require.ErrorContains(t, m.Unhealthy(t.Context()), "broken is error")
	require.NoError(t, m.Unhealthy(t.Context(), "good", "warned"))
	require.ErrorContains(t, m.Unhealthy(t.Context(), "good", "absent"), "absent is not registered")
}

func TestDefault_isOneManagerUntilSet(t *testing.T) {
	t.Cleanup(func() { laneswap.SetDefault(nil) })
	first := laneswap.Default()
	require.Same(t, first, laneswap.Default())
	mine := laneswap.NewManager()
	laneswap.SetDefault(mine)
	require.Same(t, mine, laneswap.Default())
	laneswap.SetDefault(nil)
	require.NotSame(t, mine, laneswap.Default())
}
