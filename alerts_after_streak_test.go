package laneswap_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// What silence counted for is not forgotten when the service is heard again, and is
// still bad.
func TestAlertAfter_silenceAndBadBeatsCountTogether(t *testing.T) {
	t.Parallel()
	for name, restart := range map[string]bool{"in one life": false, "over a restart": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk, d := memorystore.New(), newFakeNotifier()
				m := startWithStorage(t, disk, laneswap.WithNotifier(d))
				h := register(t, m.Manager, laneswap.Registration{ID: "svc", Interval: 10 * time.Second, StaleAfter: 20 * time.Second, AlertAfter: beats(4)})
				h.Beat()
				time.Sleep(20*time.Second + 15*time.Second) // stale, and one interval more: 2 of 4
				reportEach(t, h, bad)
				require.Empty(t, d.took(), "3 of 4")
				if restart {
					m.stop(t)
					m = startWithStorage(t, disk, laneswap.WithNotifier(d))
					h = handleOf(t, m.Manager, "svc")
				}
				require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad}))
				synctest.Wait()
				require.Len(t, eventsIn(d.took()...), 2)
				m.stop(t)
			})
		})
	}
}

// A bad service that falls silent and is heard again has missed heartbeats as well.
func TestAlertAfter_silenceInBetweenCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		h := register(t, m, laneswap.Registration{ID: "svc", Interval: 10 * time.Second, StaleAfter: 20 * time.Second, AlertAfter: beats(4)})
		reportEach(t, h, good, bad)
		time.Sleep(12 * time.Second) // 1, and silent: 2
		require.Equal(t, laneswap.StatusStale, statusOf(t, m, "svc").Status)
		reportEach(t, h, bad)
		require.Empty(t, d.took(), "3 of 4")
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad}))
		synctest.Wait()
		require.Len(t, eventsIn(d.took()...), 3)
	})
}

// A heartbeat that says unknown is none that says that the service is bad, or good.
func TestAlertAfter_heartbeatsThatSayUnknownDoNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		h := register(t, m, laneswap.Registration{ID: "svc", NoDeadline: true, AlertAfter: beats(3), RecoverAfter: beats(3)})
		unknown := laneswap.StatusUnknown
		reportEach(t, h, good, bad, unknown, unknown, unknown, bad)
		require.Empty(t, d.took(), "two said so, and three must")
		reportEach(t, h, bad)
		require.Equal(t, bad, d.one(t).Event.To)
		reportEach(t, h, good, unknown, unknown, good)
		require.Empty(t, d.took(), "two said so, and three must")
		reportEach(t, h, good)
		require.Equal(t, laneswap.EventRecovered, d.one(t).Event.Kind)
	})
}

// Who registers while it is silent with a shorter interval is waited for so long.
func TestAlertAfter_silenceCountsRegisteredIntervals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		reg := laneswap.Registration{ID: "svc", Interval: 10 * time.Minute, StaleAfter: 20 * time.Minute, AlertAfter: beats(3)}
		register(t, m, reg).Beat()
		time.Sleep(20*time.Minute + time.Second)
		reg.Interval = time.Minute
		register(t, m, reg)
		time.Sleep(2*time.Minute + time.Second)
		require.Equal(t, laneswap.StatusStale, d.one(t).Event.To)
	})
}
