package laneswap_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// upsAndDowns has services go bad, worse and good again, and returns the events in
// their order.
func upsAndDowns(t *testing.T, m *laneswap.Manager, ids ...laneswap.ServiceID) (events []string) {
	t.Helper()
	for _, id := range ids {
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: id}, laneswap.Heartbeat{}))
	}
	for _, status := range []laneswap.Status{laneswap.StatusWarning, laneswap.StatusCritical, laneswap.StatusHealthy} {
		for _, id := range ids {
			st, err := m.Report(t.Context(), id, laneswap.Heartbeat{Status: status})
			require.NoError(t, err)
			require.False(t, st.NotDurable)
		}
	}
	for _, ev := range eventsOf(t, m, laneswap.EventQuery{}) {
		if ev.Kind != laneswap.EventUp {
			events = append(events, ev.ID)
		}
	}
	return events
}

func TestNotices_pendingOnesArriveAfterACrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		s := newCrashStorage(disk)
		m := startWithStorage(t, s, laneswap.WithNotifier(newHangingNotifier("team")))
		events := upsAndDowns(t, m.Manager, "a", "b")
		require.Len(t, events, 6)
		require.Equal(t, 6, pendingNotices(t, disk))
		m.crash(s)

		s = newCrashStorage(disk)
		team := newHangingNotifier("team")
		m = startWithStorage(t, s, laneswap.WithNotifier(team))
		time.Sleep(10 * time.Second) // the first is tried, and cut off
		m.crash(s)

		team = &namedNotifier{name: "team"}
		m = startWithStorage(t, disk, laneswap.WithNotifier(team))
		st, err := m.Report(t.Context(), "a", laneswap.Heartbeat{Status: laneswap.StatusError})
		require.NoError(t, err)
		require.False(t, st.NotDurable)
		synctest.Wait()
		of := func(ids []string, service string) []string {
			return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !strings.HasPrefix(id, service+"/") })
		}
		require.Equal(t, append(of(events, "a"), lastEvent(t, m.Manager).ID), of(team.ids(), "a"), "in order, and before what is new")
		require.Equal(t, of(events, "b"), of(team.ids(), "b"))
		time.Sleep(2 * time.Second)
		require.Zero(t, pendingNotices(t, disk), "what was told is not owed")
		m.stop(t)
	})
}

func TestNotices_sentOnesAreNotSentAgain(t *testing.T) {
	t.Parallel()
	for _, crash := range []bool{false, true} {
		t.Run(fmt.Sprint("crash ", crash), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				disk := memorystore.New()
				s := newCrashStorage(disk)
				team := &namedNotifier{name: "team"}
				m := startWithStorage(t, s, laneswap.WithNotifier(team))
				upsAndDowns(t, m.Manager, "a")
				if crash {
					time.Sleep(2 * time.Second) // that they were told is stored by then
					m.crash(s)
				} else {
					m.stop(t)
				}
				require.Len(t, team.ids(), 3)
				require.Zero(t, pendingNotices(t, disk))
				m = startWithStorage(t, disk, laneswap.WithNotifier(team))
				time.Sleep(time.Minute - time.Second)
				require.Len(t, team.ids(), 3)
				m.stop(t)
			})
		})
	}
}

func TestNotices_stopKeepsThoseThatWereNotDelivered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		m := startWithStorage(t, disk, laneswap.WithNotifier(newHangingNotifier("team")))
		events := upsAndDowns(t, m.Manager, "a")
		m.stopped = true
		require.ErrorIs(t, m.Stop(context.Background()), laneswap.ErrNotifier)
		require.Equal(t, len(events), pendingNotices(t, disk))
		team := &namedNotifier{name: "team"}
		m = startWithStorage(t, disk, laneswap.WithNotifier(team))
		synctest.Wait()
		require.Equal(t, events, team.ids())
		m.stop(t)
	})
}

func TestNotices_waitADayForTheirNotifier(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		s := newCrashStorage(disk)
		m := startWithStorage(t, s, laneswap.WithNotifier(newHangingNotifier("team")))
		events := upsAndDowns(t, m.Manager, "a")
		m.crash(s)

		other := &namedNotifier{name: "others"}
		m = startWithStorage(t, disk, laneswap.WithNotifier(other))
		time.Sleep(time.Minute)
		m.stop(t)
		require.Equal(t, len(events), pendingNotices(t, disk), "they are for somebody else")
		for _, id := range other.ids() {
			require.NotContains(t, events, id)
		}

		time.Sleep(22 * time.Hour)
		m = startWithStorage(t, disk)
		team := &namedNotifier{name: "team"}
		require.NoError(t, m.AddNotifier(team)) // late, but there
		synctest.Wait()
		require.Equal(t, events, team.ids())
		time.Sleep(2 * time.Second)
		require.Zero(t, pendingNotices(t, disk))
		m.stop(t)
	})
}

func TestNotices_expireWhenTheirNotifierIsGoneForADay(t *testing.T) {
	skipShort(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		s := newCrashStorage(disk)
		m := startWithStorage(t, s, laneswap.WithNotifier(newHangingNotifier("team")))
		upsAndDowns(t, m.Manager, "a")
		m.crash(s)
		m = startWithStorage(t, disk)
		time.Sleep(24*time.Hour + time.Minute)
		require.Zero(t, pendingNotices(t, disk))
		team := &namedNotifier{name: "team"}
		require.NoError(t, m.AddNotifier(team))
		synctest.Wait()
		require.Empty(t, team.ids())
		m.stop(t)
	})
}

func TestNotices_twoNotifiersOfOneTypeGetTheirOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		s := newCrashStorage(disk)
		first, second := &namedNotifier{name: "team"}, newHangingNotifier("team")
		m := startWithStorage(t, s, laneswap.WithNotifier(first), laneswap.WithNotifier(second))
		events := upsAndDowns(t, m.Manager, "a")
		time.Sleep(2 * time.Second)
		require.Equal(t, events, first.ids())
		require.Equal(t, len(events), pendingNotices(t, disk), "the second has heard nothing")
		m.crash(s)
		first, second = &namedNotifier{name: "team"}, &namedNotifier{name: "team"}
		m = startWithStorage(t, disk, laneswap.WithNotifier(first), laneswap.WithNotifier(second))
		synctest.Wait()
		require.Empty(t, first.ids())
		require.Equal(t, events, second.ids())
		m.stop(t)
	})
}

func TestNotices_pendingWhileLoadingAreSentOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		s := newCrashStorage(disk)
		m := startWithStorage(t, s, laneswap.WithNotifier(newHangingNotifier("team")))
		events := upsAndDowns(t, m.Manager, "a")
		m.crash(s)
		faulty := storagetest.NewFaulty(disk)
		faulty.Inject(storagetest.Fault{Op: storagetest.Load, Times: -1})
		early, late := &namedNotifier{name: "team"}, &namedNotifier{name: "others"}
		m = startWithStorage(t, faulty, laneswap.WithNotifier(early))
		require.NoError(t, m.AddNotifier(late))
		time.Sleep(4 * time.Second)
		require.Empty(t, early.ids())
		faulty.Heal()
		time.Sleep(10 * time.Second)
		require.Equal(t, events, early.ids()[:len(events)])
		for _, id := range late.ids() {
			require.NotContains(t, events, id)
		}
		m.stop(t)
		require.Zero(t, pendingNotices(t, disk))
	})
}

func TestNotices_areSentAndKeptWhileTheStorageIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		faulty := storagetest.NewFaulty(disk)
		team, lost := &namedNotifier{name: "team"}, newHangingNotifier("lost")
		m := startWithStorage(t, faulty, laneswap.WithNotifier(team), laneswap.WithNotifier(lost))
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "a"}, laneswap.Heartbeat{}))
		require.NoError(t, m.Sync(t.Context()))
		faulty.Inject(storagetest.Fault{Op: storagetest.Commit, Times: -1})
		require.NoError(t, m.Beat(t.Context(), "a", laneswap.Heartbeat{Status: laneswap.StatusError}))
		time.Sleep(5*time.Second + moment)
		require.Equal(t, []laneswap.EventKind{laneswap.EventDown}, team.kinds()[:1], "people do not wait for it longer than that")
		require.Zero(t, pendingNotices(t, disk))
		time.Sleep(15 * time.Second)
		faulty.Heal()
		time.Sleep(10 * time.Second) // the deaf one is given up 30 s after it was called
		require.NoError(t, m.Sync(t.Context()))
		down, away, back := laneswap.EventDown, laneswap.EventStorageAway, laneswap.EventStorageBack
		require.Equal(t, []laneswap.EventKind{down, away, back}, team.kinds())
		require.NotZero(t, pendingNotices(t, disk))
		m.stopped = true
		require.ErrorIs(t, m.Stop(context.Background()), laneswap.ErrNotifier)
		lost = &namedNotifier{name: "lost"}
		m = startWithStorage(t, disk, laneswap.WithNotifier(lost))
		synctest.Wait()
		require.Subset(t, []laneswap.EventKind{down, away, back}, lost.kinds())
		require.Contains(t, lost.kinds(), back)
		m.stop(t)
	})
}
