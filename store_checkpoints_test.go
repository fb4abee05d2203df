package laneswap_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// slowCommits is a disk that needs some time for each commit.
func slowCommits(disk *memorystore.Store, took time.Duration) *hookStorage {
	return &hookStorage{Storage: disk, commit: func(ctx context.Context, b laneswap.Batch) error {
		time.Sleep(took)
		return disk.Commit(ctx, b)
	}}
}

// changeStatusFast changes a service more often than such a disk can take it.
func changeStatusFast(t *testing.T, m *laneswap.Manager, d time.Duration) {
	t.Helper()
	for i, end := 0, time.Now().Add(d); time.Now().Before(end); i++ {
		status := []laneswap.Status{laneswap.StatusBusy, laneswap.StatusIdle}[i%2]
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "worker"}, laneswap.Heartbeat{Status: status}))
		time.Sleep(4 * time.Millisecond)
	}
}

// An alive row is stored each second, also under load.
func TestStorage_checkpointsGoOnUnderLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		m := startWithStorage(t, slowCommits(disk, 5*time.Millisecond))
		changeStatusFast(t, m.Manager, scaled(time.Minute, 2*time.Minute, 5*time.Minute))
		behind := time.Since(aliveOf(t, disk).At)
		require.LessOrEqual(t, behind, 3*time.Second, "one alive row a second says until when we listened")
		m.stop(t)
	})
}

func TestStorage_killUnderLoadKeepsUptimeAndLastSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		p := slowCommits(disk, 5*time.Millisecond)
		m := startWithStorage(t, p)
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "job", Interval: 2 * time.Minute, StaleAfter: 3 * time.Minute}, laneswap.Heartbeat{}))
		h := handleOf(t, m.Manager, "job")
		begun := time.Now()
		for range scaled(1, 2, 5) {
			changeStatusFast(t, m.Manager, 2*time.Minute)
			h.Beat()
		}
		changeStatusFast(t, m.Manager, 10*time.Second)
		p.replace(func() { p.commit = func(context.Context, laneswap.Batch) error { return errCrashed } })
		killed := time.Now()
		m.kill()

		m = startWithStorage(t, disk)
		hist, err := m.History(t.Context(), "job", laneswap.HistoryQuery{From: begun, To: killed})
		require.NoError(t, err)
		time.Sleep(115 * time.Second) // it beats in time
		require.NoError(t, m.Beat(t.Context(), "job", laneswap.Heartbeat{}))
		require.NotContains(t, kindsOf(t, m.Manager), laneswap.EventUnheard)
		require.LessOrEqual(t, hist.Absent, 3*time.Second, "it was heard up to the last second")
		m.stop(t)
	})
}

// An hourly job beats in time, while there is always something to store.
func TestStorage_killUnderLoadMakesNobodyStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		p := slowCommits(disk, 500*time.Millisecond)
		told := &recorder{}
		m := startWithStorage(t, p)
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "hourly", Interval: time.Hour, StaleAfter: 90 * time.Minute}, laneswap.Heartbeat{}))
		h := handleOf(t, m.Manager, "hourly")
		load := func(d time.Duration) {
			for i, end := 0, time.Now().Add(d); time.Now().Before(end); i++ {
				status := []laneswap.Status{laneswap.StatusBusy, laneswap.StatusIdle}[i%2]
				require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "worker", NoDeadline: true}, laneswap.Heartbeat{Status: status}))
				time.Sleep(400 * time.Millisecond)
			}
		}
		for range 3 {
			load(time.Hour)
			h.Beat()
		}
		load(30 * time.Minute)
		require.Equal(t, "ok", m.Health().Storage.State)
		p.replace(func() { p.commit = func(context.Context, laneswap.Batch) error { return errCrashed } })
		m.kill()

		m = startWithStorage(t, disk, laneswap.WithNotifier(told))
		time.Sleep(29 * time.Minute)
		require.NoError(t, m.Beat(t.Context(), "hourly", laneswap.Heartbeat{})) // in time
		time.Sleep(time.Minute)
		require.Empty(t, told.kinds())
		m.stop(t)
	})
}

// Texts of heartbeats that change the status are kept like others.
func TestStorage_changingHeartbeatsSurviveACleanStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		m := startWithStorage(t, disk)
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc", NoDeadline: true}, laneswap.Heartbeat{}))
		for i := range 3 {
			time.Sleep(time.Minute)
			require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{Status: laneswap.StatusError, Message: fmt.Sprint("disk full ", i)}))
			time.Sleep(time.Minute)
			require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{}))
		}
		time.Sleep(5 * time.Minute) // ten rounds of housekeeping
		said := func() (all []string) {
			for rec, err := range m.Heartbeats(t.Context(), "svc") {
				require.NoError(t, err)
				all = append(all, rec.Message)
			}
			return all
		}
		before := said()
		m.stop(t)
		m = startWithStorage(t, disk)
		require.Equal(t, before, said())
		m.stop(t)
	})
}

func TestStorage_aFencedWriterPrunesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &hookStorage{Storage: memorystore.New()}
		m := startWithStorage(t, p)
		time.Sleep(1500 * time.Millisecond)
		p.replace(func() { p.commit = func(context.Context, laneswap.Batch) error { return laneswap.ErrFenced } })
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
		require.NoError(t, err)
		require.Equal(t, "fenced", m.Health().Storage.State)
		pruned := 0
		p.replace(func() { p.prune = func(context.Context) (int, error) { pruned++; return 0, nil } })
		time.Sleep(10 * time.Minute)
		require.Zero(t, pruned)
		m.kill()
	})
}

// What fifty thousand services say is stored little by little: all of it at once
// would fill the backlog, errors would be refused and transitions thinned out.
func TestStorage_checkpointsOfManyServicesFillNoBacklog(t *testing.T) {
	t.Parallel()
	skipHeavy(t) // it is their number that matters
	synctest.Test(t, func(t *testing.T) {
		const services = 50_001
		disk := memorystore.New()
		m := startWithStorage(t, slowCommits(disk, 5*time.Millisecond))
		for n := range services {
			require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: nthID(n), NoDeadline: true}, laneswap.Heartbeat{}))
		}
		time.Sleep(time.Minute)
		require.NoError(t, m.Sync(t.Context()))
		for n := range services {
			require.NoError(t, m.Beat(t.Context(), nthID(n), laneswap.Heartbeat{Message: "well"}))
		}
		for range 400 { // each has its turn among them
			for _, s := range []laneswap.Status{laneswap.StatusError, laneswap.StatusHealthy, laneswap.StatusError, laneswap.StatusHealthy} {
				require.NoError(t, m.Beat(t.Context(), nthID(0), laneswap.Heartbeat{Status: s}))
			}
			_, err := m.ReportError(t.Context(), nthID(0), laneswap.ErrorReport{Message: "boom"})
			require.NoError(t, err)
			health := m.Health().Storage
			require.Equal(t, "ok", health.State)
			require.Zero(t, health.Lost)
			time.Sleep(100 * time.Millisecond)
		}
		m.stop(t)
	})
}

func TestStorage_checkpointsDoNotDelayWhatIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		services := scaled(1_000, 10_000, 10_000)
		disk := memorystore.New()
		told := &recorder{}
		m := startWithStorage(t, slowCommits(disk, 300*time.Millisecond), laneswap.WithNotifier(told))
		for n := range services {
			require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: nthID(n), NoDeadline: true}, laneswap.Heartbeat{}))
		}
		time.Sleep(2 * time.Minute)
		require.NoError(t, m.Sync(t.Context()))
		for range 3 {
			for n := range services {
				require.NoError(t, m.Beat(t.Context(), nthID(n), laneswap.Heartbeat{Message: "well"}))
			}
			for range 60 {
				time.Sleep(100 * time.Millisecond)
				begun := time.Now()
				rec, err := m.ReportError(t.Context(), nthID(0), laneswap.ErrorReport{Message: "boom"})
				require.NoError(t, err)
				require.False(t, rec.NotDurable, "it waited %v", time.Since(begun))
			}
		}
		require.NotContains(t, told.kinds(), laneswap.EventStorageAway)
		m.stop(t)
	})
}

// The alive row says that all was heard until then but our absences, which go first.
func TestStorage_absenceIsStoredBeforeTheAliveRow(t *testing.T) {
	t.Parallel()
	for range scaled(2, 5, 20) { // goroutines of one instant run in any order
		synctest.Test(t, func(t *testing.T) {
			disk := memorystore.New()
			p := &hookStorage{Storage: disk}
			m := startWithStorage(t, p)
			require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc", NoDeadline: true}, laneswap.Heartbeat{}))
			require.NoError(t, m.Sync(t.Context()))
			time.Sleep(time.Hour - 100*time.Millisecond)
			begun := time.Now()
			dead := false
			p.replace(func() {
				p.commit = func(ctx context.Context, b laneswap.Batch) error {
					if dead {
						return errCrashed
					}
					for _, row := range b.Put {
						dead = dead || row.Kind == kindAlive // killed right after it
					}
					return disk.Commit(ctx, b)
				}
			})
			m.JumpSeen(10 * time.Minute) // as if the process had been stopped
			time.Sleep(3 * time.Second)
			m.kill()
			m = startWithStorage(t, disk)
			h, err := m.History(t.Context(), "svc", laneswap.HistoryQuery{From: begun.Add(-30 * time.Minute)})
			require.NoError(t, err)
			require.GreaterOrEqual(t, h.Absent, 10*time.Minute)
			m.stop(t)
		})
	}
}
