package laneswap_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
	"github.com/laneswap/laneswap/examples/memorystore"
)

func TestStorage_numbersOfACrashedRunAreNotReused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		m := startWithStorage(t, disk)
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
		require.NoError(t, err)
		m.stop(t)
		given := map[string]string{} // by journal and sequence, the event
		for range 5 {
			// It can be read, and takes nothing: the crash comes before the first commit.
			faulty := storagetest.NewFaulty(disk)
			faulty.Inject(storagetest.Fault{Op: storagetest.Commit, At: 2, Times: -1})
			s := newCrashStorage(faulty)
			m = startWithStorage(t, s)
			time.Sleep(time.Millisecond)
			require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{Status: laneswap.StatusError}))
			require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{}))
			sum, err := m.Summary(t.Context())
			require.NoError(t, err)
			for _, ev := range eventsOf(t, m.Manager, laneswap.EventQuery{}) {
				key := sum.Journal + "/" + time.Duration(ev.Sequence).String()
				if before, ok := given[key]; ok {
					require.Equal(t, before, ev.ID+ev.At.String(), "two events have one number")
				}
				given[key] = ev.ID + ev.At.String()
			}
			m.crash(s)
		}
	})
}

func TestStorage_crashLoopMakesNoBeatingServiceStale(t *testing.T) {
	t.Parallel()
	for _, life := range []time.Duration{400 * time.Millisecond, 1100 * time.Millisecond, 3 * time.Second} {
		t.Run(life.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				disk := memorystore.New()
				for n := range 60 {
					s := newCrashStorage(disk)
					m := startWithStorage(t, s)
					if n == 0 {
						_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc", StaleAfter: 2 * time.Second})
						require.NoError(t, err)
					}
					for end := time.Now().Add(life); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
						require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{}))
						require.Equal(t, laneswap.StatusHealthy, statusOf(t, m.Manager, "svc").Status)
					}
					m.crash(s)
					time.Sleep(100 * time.Millisecond)
				}
			})
		})
	}
}

func TestEvents_endBehindReservedNumbers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		s := newCrashStorage(disk)
		m := startWithStorage(t, s)
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc"}, laneswap.Heartbeat{Status: laneswap.StatusError}))
		require.NoError(t, m.Sync(t.Context()))
		m.crash(s)
		m = startWithStorage(t, disk)
		require.Equal(t, []laneswap.EventKind{laneswap.EventDown}, kindsOf(t, m.Manager))
		m.stop(t)
	})
}

func TestRemove_deletesTheReportedErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		m := startWithStorage(t, disk, laneswap.WithLimits(laneswap.Limits{Errors: 3}))
		for range 2 {
			_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
			require.NoError(t, err)
			for range 5 {
				_, err := m.ReportError(t.Context(), "svc", laneswap.ErrorReport{Message: "no"})
				require.NoError(t, err)
			}
			require.Equal(t, 3, countRows(t, disk, laneswap.KindError))
			require.NoError(t, m.Remove(t.Context(), "svc"))
			require.Zero(t, countRows(t, disk, laneswap.KindError))
		}
		m.stop(t)
	})
}

// A heartbeat of the last second before a kill is forgotten. That alone makes
// no service stale; silent ones are still found.
func TestStorage_killRightAfterABeatMakesNobodyStale(t *testing.T) {
	t.Parallel()
	for name, reg := range map[string]laneswap.Registration{
		"no interval":           {ID: "svc", StaleAfter: 10 * time.Minute},
		"an interval, and late": {ID: "svc", Interval: 9 * time.Minute, StaleAfter: 12 * time.Minute},
	} {
		for _, between := range []time.Duration{reg.StaleAfter / 2, reg.StaleAfter * 2 / 3, reg.StaleAfter - 30*time.Second} {
			for _, again := range []string{"nothing", "a stop", "a kill"} {
				t.Run(fmt.Sprint(name, " ", between, " ", again), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { killAfterABeat(t, reg, between, again) })
				})
			}
		}
	}
}

func killAfterABeat(t *testing.T, reg laneswap.Registration, between time.Duration, again string) {
	disk := memorystore.New()
	s := newCrashStorage(disk)
	m := startWithStorage(t, s)
	require.NoError(t, m.AnnounceBeat(t.Context(), reg, laneswap.Heartbeat{}))
	for range 3 {
		time.Sleep(between)
		require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{}))
	}
	m.crash(s)
	next := time.Now().Add(between)
	time.Sleep(time.Second)
	s = newCrashStorage(disk)
	m = startWithStorage(t, s)
	switch again { // what was forgotten stays so
	case "a stop":
		time.Sleep(time.Minute)
		m.stop(t)
		m = startWithStorage(t, disk)
	case "a kill":
		time.Sleep(time.Minute)
		m.crash(s)
		m = startWithStorage(t, disk)
	}
	time.Sleep(time.Until(next))
	require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{}))
	for _, ev := range eventsOf(t, m.Manager, laneswap.EventQuery{Service: "svc"}) {
		require.NotEqual(t, laneswap.StatusStale, ev.To, "%+v", ev)
	}
	m.stop(t)

	m = startWithStorage(t, disk)
	started := time.Now()
	time.Sleep(reg.StaleAfter + 2*time.Minute)
	evs := eventsOf(t, m.Manager, laneswap.EventQuery{Service: "svc"})
	require.Equal(t, laneswap.StatusStale, evs[len(evs)-1].To)
	require.LessOrEqual(t, evs[len(evs)-1].At.Sub(started), reg.StaleAfter+2*time.Minute)
	m.stop(t)
}

func TestStorage_silenceAcrossAKillIsFoundInTheWindow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		s := newCrashStorage(disk)
		m := startWithStorage(t, s)
		reg := laneswap.Registration{ID: "svc", StaleAfter: 10 * time.Minute}
		require.NoError(t, m.AnnounceBeat(t.Context(), reg, laneswap.Heartbeat{}))
		time.Sleep(9 * time.Minute)
		m.crash(s)
		m = startWithStorage(t, disk)
		time.Sleep(3 * time.Minute)
		require.Equal(t, laneswap.StatusUnknown, statusOf(t, m.Manager, "svc").Status, "it may have beaten right before the kill")
		time.Sleep(8 * time.Minute)
		require.Equal(t, laneswap.StatusStale, statusOf(t, m.Manager, "svc").Status)
		m.stop(t)

		// After a stop nothing is forgotten, so nothing is excused.
		m = startWithStorage(t, disk)
		require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{}))
		time.Sleep(9 * time.Minute)
		m.stop(t)
		m = startWithStorage(t, disk)
		time.Sleep(3 * time.Minute)
		require.Equal(t, laneswap.StatusStale, statusOf(t, m.Manager, "svc").Status)
		m.stop(t)
	})
}
