package laneswap_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
	"github.com/laneswap/laneswap/examples/memorystore"
)

func TestStorage_numbersOfACrashedRunAreNotGivenAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		m := launch(t, disk)
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
		require.NoError(t, err)
		m.stop(t)
		given := map[string]string{} // by journal and sequence, the event
		for range 5 {
			// It can be read, and takes nothing: the crash comes before the first commit.
			faulty := storagetest.NewFaulty(disk)
			faulty.Inject(storagetest.Fault{Op: storagetest.Commit, At: 2, Times: -1})
			s := newSevered(faulty)
			m = launch(t, s)
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

func TestStorage_crashLoopCallsNobodyStaleWhoBeats(t *testing.T) {
	t.Parallel()
	for _, life := range []time.Duration{400 * time.Millisecond, 1100 * time.Millisecond, 3 * time.Second} {
		t.Run(life.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				disk := memorystore.New()
				for n := range 60 {
					s := newSevered(disk)
					m := launch(t, s)
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
		s := newSevered(disk)
		m := launch(t, s)
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc"}, laneswap.Heartbeat{Status: laneswap.StatusError}))
		require.NoError(t, m.Sync(t.Context()))
		m.crash(s)
		m = launch(t, disk)
		require.Equal(t, []laneswap.EventKind{laneswap.EventDown}, kindsOf(t, m.Manager))
		m.stop(t)
	})
}

func TestRemove_takesTheReportedErrorsAlong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		m := launch(t, disk, laneswap.WithLimits(laneswap.Limits{Errors: 3}))
		for range 2 {
			_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
			require.NoError(t, err)
			for range 5 {
				_, err := m.ReportError(t.Context(), "svc", laneswap.ErrorReport{Message: "no"})
				require.NoError(t, err)
			}
			require.Equal(t, 3, rows(t, disk, laneswap.KindError))
			require.NoError(t, m.Remove(t.Context(), "svc"))
			require.Zero(t, rows(t, disk, laneswap.KindError))
		}
		m.stop(t)
	})
}
