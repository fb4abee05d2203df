package laneswap_test

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
	"github.com/laneswap/laneswap/examples/memorystore"
)

func TestStorage_restartKeepsWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		s := newCrashStorage(disk)
		m := startWithStorage(t, s)
		st, err := m.Register(t.Context(), laneswap.Registration{
			ID: "billing", Name: "Billing", Interval: 30 * time.Second, Tags: []string{"money"},
			Metadata: map[string]any{"host": "a", "n": 1.5}, MustRun: true, ForgetAfter: 48 * time.Hour,
		})
		require.NoError(t, err)
		require.False(t, st.NotDurable)
		_, err = m.Register(t.Context(), laneswap.Registration{ID: "gone"})
		require.NoError(t, err)
		_, err = m.Report(t.Context(), "billing", laneswap.Heartbeat{Status: laneswap.StatusError, Message: "disk <full>", Metadata: map[string]any{"cpu": 99.0}})
		require.NoError(t, err)
		require.NoError(t, m.Remove(t.Context(), "gone"))
		rec, err := m.ReportError(t.Context(), "billing", laneswap.ErrorReport{Type: "IOError", Message: "no space", Stack: "a\nb"})
		require.NoError(t, err)
		require.False(t, rec.NotDurable)
		before := statusOf(t, m.Manager, "billing")
		sum, err := m.Summary(t.Context())
		require.NoError(t, err)
		m.crash(s)

		m = startWithStorage(t, disk)
		after := statusOf(t, m.Manager, "billing")
		require.Equal(t, before, after)
		_, err = m.Service(t.Context(), "gone")
		require.ErrorIs(t, err, laneswap.ErrServiceNotFound)
		for got, err := range m.Errors(t.Context(), "billing", laneswap.ErrorQuery{}) {
			require.NoError(t, err)
			require.Equal(t, rec, got)
		}
		again, err := m.Summary(t.Context())
		require.NoError(t, err)
		require.Equal(t, sum.Journal, again.Journal)
		require.Greater(t, again.Sequence, sum.Sequence)
		require.Equal(t, []laneswap.EventKind{laneswap.EventDown}, kindsOf(t, m.Manager))
		_, err = m.Report(t.Context(), "billing", laneswap.Heartbeat{})
		require.NoError(t, err)
		evs := eventsOf(t, m.Manager, laneswap.EventQuery{After: sum.Sequence})
		require.Len(t, evs, 1)
		require.Equal(t, laneswap.EventRecovered, evs[0].Kind)
		require.Equal(t, before.Incident.ID, evs[0].Incident)
		m.stop(t)
	})
}

func TestStorage_stopStoresEverythingAndNumbersGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		m := startWithStorage(t, disk)
		h := register(t, m.Manager, laneswap.Registration{ID: "svc"})
		for range 5 {
			h.Beat()
			time.Sleep(time.Second)
		}
		require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{Message: "hello", Metadata: map[string]any{"k": "v"}}))
		before := statusOf(t, m.Manager, "svc")
		sum, err := m.Summary(t.Context())
		require.NoError(t, err)
		m.stop(t)
		m = startWithStorage(t, disk)
		require.Equal(t, before, statusOf(t, m.Manager, "svc"))
		again, err := m.Summary(t.Context())
		require.NoError(t, err)
		require.Equal(t, sum, again)
		var said []string
		for rec, err := range m.Heartbeats(t.Context(), "svc") {
			require.NoError(t, err)
			said = append(said, rec.Message)
		}
		require.Equal(t, []string{"hello"}, said)
		m.stop(t)
	})
}

func TestStorage_restartsMakeNoBeatingServiceStale(t *testing.T) {
	t.Parallel()
	for _, pause := range []time.Duration{0, 5 * time.Second, 5 * time.Minute, 24 * time.Hour} {
		for _, interval := range []time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour, 7 * 24 * time.Hour} {
			// A day is 86,400 alive rows. Above an hour the window is the interval and
			// an hour, so that a week finds what a day finds.
			longest := scaled(time.Minute, time.Hour, 7*24*time.Hour)
			if pause == 24*time.Hour {
				longest = scaled(time.Hour, 24*time.Hour, 7*24*time.Hour)
			}
			if interval > longest {
				continue
			}
			t.Run(fmt.Sprint(pause, " ", interval), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { restartThrice(t, pause, interval) })
			})
		}
	}
}

// restartThrice has two services beat at an interval, of which one dies, while
// the Manager crashes three times in a row.
func restartThrice(t *testing.T, pause, interval time.Duration) {
	disk := memorystore.New()
	s := newCrashStorage(disk)
	m := startWithStorage(t, s)
	reg := laneswap.Registration{Interval: interval}
	for _, id := range []laneswap.ServiceID{"alive", "dead"} {
		reg.ID = id
		require.NoError(t, m.AnnounceBeat(t.Context(), reg, laneswap.Heartbeat{}))
	}
	window := statusOf(t, m.Manager, "alive").Window
	beat := func(r *run, id laneswap.ServiceID) {
		err := r.Beat(t.Context(), id, laneswap.Heartbeat{})
		if !errors.Is(err, laneswap.ErrStopped) {
			require.NoError(t, err)
		}
	}
	// The service beats on its own time, whether anybody hears it or not.
	next := time.Now().Add(interval)
	live := func(r *run, d time.Duration) {
		for end := time.Now().Add(d); next.Before(end); next = next.Add(interval) {
			time.Sleep(time.Until(next))
			if r != nil {
				beat(r, "alive")
			}
		}
	}
	sleepTo := func(r *run, d time.Duration) {
		end := time.Now().Add(d)
		live(r, d)
		time.Sleep(time.Until(end))
	}
	sleepTo(m, interval/2+3*time.Second)
	beat(m, "dead") // its last one
	time.Sleep(1500 * time.Millisecond)
	for range 3 {
		m.crash(s)
		sleepTo(nil, pause)
		s = newCrashStorage(disk)
		m = startWithStorage(t, s)
		sleepTo(m, 2*time.Second)
	}
	started := time.Now()
	sleepTo(m, window+125*time.Second)
	for _, ev := range eventsOf(t, m.Manager, laneswap.EventQuery{Service: "alive"}) {
		require.NotEqual(t, laneswap.StatusStale, ev.To, "%+v", ev)
	}
	require.Equal(t, laneswap.StatusHealthy, statusOf(t, m.Manager, "alive").Status)
	stale := 0
	for _, ev := range eventsOf(t, m.Manager, laneswap.EventQuery{Service: "dead"}) {
		if ev.To == laneswap.StatusStale {
			stale++
			require.LessOrEqual(t, ev.At.Sub(started), window+120*time.Second)
		}
	}
	require.Equal(t, 1, stale)
	m.stop(t)
}

func TestStorage_dailyJobMissedWhileDownIsUnknownOnce(t *testing.T) {
	skipShort(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		told := &recorder{}
		s := newCrashStorage(disk)
		m := startWithStorage(t, s, laneswap.WithNotifier(told))
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "backup", Interval: 24 * time.Hour, StaleAfter: 25 * time.Hour}, laneswap.Heartbeat{}))
		time.Sleep(23 * time.Hour)
		m.crash(s)
		time.Sleep(4 * time.Hour) // it beat in vain after one of them
		for range 3 {
			s = newCrashStorage(disk)
			m = startWithStorage(t, s, laneswap.WithNotifier(told))
			time.Sleep(10 * time.Minute)
			m.crash(s)
		}
		m = startWithStorage(t, disk, laneswap.WithNotifier(told))
		require.Equal(t, laneswap.StatusUnknown, statusOf(t, m.Manager, "backup").Status)
		time.Sleep(moment)
		synctest.Wait()
		require.Equal(t, []laneswap.EventKind{laneswap.EventUnheard}, told.kinds())
		m.stop(t)
	})
}

func TestStorage_staleStaysStaleWithoutASecondAlarm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		told := &recorder{}
		s := newCrashStorage(disk)
		m := startWithStorage(t, s, laneswap.WithNotifier(told))
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc"}, laneswap.Heartbeat{}))
		time.Sleep(window + time.Minute)
		before := statusOf(t, m.Manager, "svc")
		require.Equal(t, laneswap.StatusStale, before.Status)
		for range 3 {
			m.crash(s)
			time.Sleep(time.Hour)
			s = newCrashStorage(disk)
			m = startWithStorage(t, s, laneswap.WithNotifier(told))
			time.Sleep(10 * time.Minute)
		}
		require.Equal(t, before, statusOf(t, m.Manager, "svc"))
		require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{}))
		synctest.Wait()
		require.Equal(t, []laneswap.EventKind{laneswap.EventDown, laneswap.EventRecovered}, told.kinds())
		m.stop(t)
		h, err := m.History(t.Context(), "svc", laneswap.HistoryQuery{})
		require.NoError(t, err)
		require.Equal(t, 1, h.IncidentCount)
		require.Equal(t, 1, h.Recovered)
	})
}

func TestStorage_outageIsReportedAndLosesNothing(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]storagetest.Fault{
		"ENOSPC": {Op: storagetest.Commit, Times: -1, Err: syscall.ENOSPC},
		"EIO":    {Op: storagetest.Commit, Times: -1, Err: syscall.EIO, How: storagetest.Half},
		"hang":   {Op: storagetest.Commit, Times: -1, How: storagetest.Hang},
		"lost":   {Op: storagetest.Commit, Times: -1, How: storagetest.LoseAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				disk := memorystore.New()
				faulty := storagetest.NewFaulty(disk)
				m := startWithStorage(t, faulty)
				_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
				require.NoError(t, err)
				faulty.Inject(fault)
				before := time.Now()
				st, err := m.Report(t.Context(), "svc", laneswap.Heartbeat{Status: laneswap.StatusError})
				require.NoError(t, err)
				require.True(t, st.NotDurable)
				require.LessOrEqual(t, time.Since(before), 5*time.Second)
				require.Equal(t, "degraded", m.Health().Storage.State)
				require.ErrorIs(t, m.Sync(t.Context()), laneswap.ErrDegraded)
				before = time.Now()
				st, err = m.Register(t.Context(), laneswap.Registration{ID: "other"})
				require.NoError(t, err)
				require.True(t, st.NotDurable)
				require.Zero(t, time.Since(before), "nobody waits for what is known to be away")
				time.Sleep(2 * window)
				require.Equal(t, laneswap.StatusStale, statusOf(t, m.Manager, "svc").Status)
				faulty.Heal()
				time.Sleep(20 * time.Second)
				require.Equal(t, "ok", m.Health().Storage.State)
				require.NoError(t, m.Sync(t.Context()))
				kinds := kindsOf(t, m.Manager)
				require.Contains(t, kinds, laneswap.EventStorageAway)
				require.Equal(t, laneswap.EventStorageBack, kinds[len(kinds)-1])
				want := statusOf(t, m.Manager, "svc")
				events := eventsOf(t, m.Manager, laneswap.EventQuery{})
				s := newCrashStorage(disk)
				close(s.crashed)
				m.crash(newCrashStorage(disk))
				m = startWithStorage(t, disk)
				require.Equal(t, want, statusOf(t, m.Manager, "svc"))
				require.Equal(t, events, eventsOf(t, m.Manager, laneswap.EventQuery{}))
				m.stop(t)
			})
		})
	}
}

// A reader whose context ended says nothing of the storage.
func TestStorage_canceledReaderHidesNoEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := storageAfter(t, func(m *laneswap.Manager) { alternate(t, register(t, m, laneswap.Registration{ID: "svc"}), 10) })
		faulty := storagetest.NewFaulty(disk)
		m := startWithStorage(t, faulty, laneswap.WithEventBuffer(4))
		faulty.Inject(storagetest.Fault{Op: storagetest.Rows, How: storagetest.Slow, Delay: 100 * time.Millisecond, Times: -1})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, _ = m.Service(ctx, "svc")
		require.Len(t, statusOf(t, m.Manager, "svc").Events, 10)
		m.stop(t)
	})
}
