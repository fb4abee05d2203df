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

// A storage that comes back takes what waited in parts. Killed between two of
// them, LaneSwap must not say that it listened until then without saying whom it
// heard: an hourly job would be called stale.
func TestStorage_crashWithinTheBacklogMakesNobodyStale(t *testing.T) {
	t.Parallel()
	for commits := 0; commits < 12; commits += scaled(6, 3, 1) {
		synctest.Test(t, func(t *testing.T) {
			disk := memorystore.New()
			faulty := storagetest.NewFaulty(disk)
			s := newCrashStorage(faulty)
			m := startWithStorage(t, s)
			_, err := m.Register(t.Context(), laneswap.Registration{ID: "hourly", Interval: time.Hour})
			require.NoError(t, err)
			require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "flapping"}, laneswap.Heartbeat{}))
			require.NoError(t, m.Beat(t.Context(), "hourly", laneswap.Heartbeat{}))
			time.Sleep(5 * time.Minute)
			faulty.Inject(storagetest.Fault{Op: storagetest.Commit, Times: -1})
			for range 6 {
				time.Sleep(55 * time.Minute)
				for range 300 {
					require.NoError(t, m.Beat(t.Context(), "flapping", laneswap.Heartbeat{Status: laneswap.StatusError}))
					require.NoError(t, m.Beat(t.Context(), "flapping", laneswap.Heartbeat{}))
				}
				require.NoError(t, m.Beat(t.Context(), "hourly", laneswap.Heartbeat{}))
			}
			faulty.Heal()
			faulty.Inject(storagetest.Fault{Op: storagetest.Commit, At: commits + 1, Times: -1})
			time.Sleep(30 * time.Second)
			m.crash(s)
			m = startWithStorage(t, disk)
			time.Sleep(30 * time.Minute)
			require.NoError(t, m.Beat(t.Context(), "hourly", laneswap.Heartbeat{}))
			for _, ev := range eventsOf(t, m.Manager, laneswap.EventQuery{Service: "hourly"}) {
				require.NotEqual(t, laneswap.StatusStale, ev.To, "killed after %d commits: %+v", commits, ev)
			}
			m.stop(t)
		})
	}
}
