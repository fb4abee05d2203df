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

// loud is a notifier behind a filter for errors.
func loud(d *fakeNotifier) laneswap.Notifier {
	return laneswap.Only(d, laneswap.MinLevel(laneswap.LevelError))
}

// One start without its notifier, by a slip in the settings, does not cost people the
// end of an incident, however long that lasts.
func TestRestore_startWithoutTheNotifierLosesNoRecovery(t *testing.T) {
	skipShort(t)
	t.Parallel()
	for name, without := range map[string]time.Duration{"a moment": time.Second, "a day": 25 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk, d := memorystore.New(), newFakeNotifier()
				m := startWithStorage(t, disk, laneswap.WithNotifier(loud(d)))
				reportEach(t, registerHealthy(t, m.Manager, "svc"), bad)
				d.one(t)
				time.Sleep(25 * time.Hour)
				m.stop(t)
				m = startWithStorage(t, disk)
				time.Sleep(without)
				m.stop(t)
				m = startWithStorage(t, disk, laneswap.WithNotifier(loud(d)), laneswap.WithRemindEvery(time.Hour))
				time.Sleep(time.Minute)
				require.Equal(t, laneswap.NoticeReminder, d.one(t).Kind)
				reportEach(t, handleOf(t, m.Manager, "svc"), good)
				time.Sleep(time.Minute)
				require.Equal(t, laneswap.EventRecovered, d.one(t).Event.Kind)
				m.stop(t)
				require.Zero(t, pendingNotices(t, disk))
			})
		})
	}
}

func TestAddNotifier_getsTheEndOfALongIncident(t *testing.T) {
	skipShort(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newFakeNotifier()
		m := startWithStorage(t, disk)
		require.NoError(t, m.AddNotifier(loud(d)))
		reportEach(t, registerHealthy(t, m.Manager, "svc"), bad)
		d.one(t)
		time.Sleep(25 * time.Hour)
		m.stop(t)
		m = startWithStorage(t, disk)
		require.NoError(t, m.AddNotifier(loud(d)))
		reportEach(t, handleOf(t, m.Manager, "svc"), good)
		time.Sleep(time.Minute)
		require.Equal(t, laneswap.EventRecovered, d.one(t).Event.Kind)
		m.stop(t)
	})
}

// What is owed to a notifier that is not there is given up after a day without it,
// however old it is, and what it was told is remembered no longer than that once it
// is over.
func TestRestore_noticesOfAMissingNotifierExpire(t *testing.T) {
	skipShort(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newFakeNotifier()
		m := startWithStorage(t, disk, laneswap.WithNotifier(d))
		reportEach(t, registerHealthy(t, m.Manager, "told"), bad)
		d.one(t)
		d.answers(alwaysReturn(laneswap.Permanent(errAway)))
		reportEach(t, registerHealthy(t, m.Manager, "owed"), bad)
		time.Sleep(23*time.Hour + 50*time.Minute)
		m.stopped = true
		_ = m.Stop(context.Background())
		m = startWithStorage(t, disk)
		time.Sleep(20 * time.Minute)
		id := noticeEventIDs(t, m.Manager, "owed")[0]
		require.Equal(t, laneswap.NoticeWaiting, d.trace(t, m.Manager, id).State, "its notifier has been away for 20 minutes")
		reportEach(t, handleOf(t, m.Manager, "told"), good)
		time.Sleep(24 * time.Hour)
		tr := d.trace(t, m.Manager, id)
		require.Equal(t, laneswap.NoticeDead, tr.State)
		require.Contains(t, traceLines(tr), "dropped: its notifier was not configured for 24 hours")
		m.stop(t)
		require.Zero(t, pendingNotices(t, disk))
	})
}

// A notifier that was away hears of the end of what it was told, however much has
// happened since, and once.
func TestRestore_sendsTheRecoveryAMissingNotifierMissed(t *testing.T) {
	skipShort(t)
	t.Parallel()
	type life func(t *testing.T, m *laneswap.Manager)
	ends := map[string]life{
		"and then many events of others": func(t *testing.T, m *laneswap.Manager) {
			reportEach(t, handleOf(t, m, "svc"), good)
			reportEach(t, registerHealthy(t, m, "other"), bad, good, bad, good, bad, good)
		},
		"and then many of its own": func(t *testing.T, m *laneswap.Manager) {
			h := handleOf(t, m, "svc")
			for range 6 {
				reportEach(t, h, good, laneswap.StatusUnknown)
			}
			reportEach(t, h, good)
		},
		"by its removal": func(t *testing.T, m *laneswap.Manager) {
			require.NoError(t, m.Remove(t.Context(), "svc"))
			reportEach(t, registerHealthy(t, m, "other"), bad, good, bad, good, bad, good)
		},
	}
	for name, end := range ends {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", added after the start: ", late), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					disk, d := memorystore.New(), newFakeNotifier()
					few := laneswap.WithEventBuffer(4)
					m := startWithStorage(t, disk, laneswap.WithNotifier(loud(d)), few)
					reportEach(t, registerHealthy(t, m.Manager, "svc"), bad)
					alarm := d.one(t)
					m.stop(t)
					m = startWithStorage(t, disk, few) // without
					if late {
						end(t, m.Manager)
						require.NoError(t, m.AddNotifier(loud(d)))
						time.Sleep(time.Minute)
					} else {
						end(t, m.Manager)
					}
					m.stop(t)
					for range 2 {
						m = startWithStorage(t, disk, laneswap.WithNotifier(loud(d)), few, laneswap.WithRemindEvery(time.Hour))
						time.Sleep(2 * time.Hour)
						m.stop(t)
					}
					over := eventsIn(d.took()...)
					require.Len(t, over, 1)
					require.Equal(t, alarm.Event.Incident, over[0].Incident)
					require.True(t, over[0].Kind == laneswap.EventRecovered || over[0].Kind == laneswap.EventRemoved)
				})
			})
		}
	}
}
