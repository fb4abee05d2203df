package laneswap_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// reminded asserts that a message is a reminder of a service, and of nothing else.
func reminded(t *testing.T, n laneswap.Notification, service laneswap.ServiceID, bad time.Duration) {
	t.Helper()
	require.Equal(t, laneswap.NoticeReminder, n.Kind)
	require.Len(t, n.Items, 1)
	require.Equal(t, service, n.Event.Service)
	require.Empty(t, n.Items[0].Earlier)
	require.InDelta(t, bad.Seconds(), n.Items[0].Reminder.Seconds(), 1)
	require.Contains(t, n.Text, "is still "+string(n.Event.To))
	require.Contains(t, n.Text, "since "+n.Event.StartedAt.UTC().Format(time.RFC3339))
}

func TestReminders_areOffUnlessAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		reportAll(t, registerMany(t, m, 3), laneswap.StatusError)
		time.Sleep(24 * time.Hour)
		require.Len(t, d.took(), 3)
	})
}

func TestReminders_comeFromTheLastDeliveredNotice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d, laneswap.WithRemindEvery(time.Hour))
		h := registerHealthy(t, m, "svc")
		began := time.Now()
		reportAll(t, []*laneswap.Handle{h}, laneswap.StatusWarning)
		time.Sleep(laneswap.DefaultGroupWait + time.Hour)
		time.Sleep(moment)
		calls := d.calls()
		require.Len(t, calls, 2)
		reminded(t, calls[1].note, "svc", time.Since(began))
		require.Equal(t, time.Hour, calls[1].at.Sub(calls[0].at))

		time.Sleep(40 * time.Minute)
		reportAll(t, []*laneswap.Handle{h}, laneswap.StatusCritical)
		time.Sleep(40 * time.Minute)
		worse := d.calls()
		require.Len(t, worse, 1, "it was told of again in between")
		require.Equal(t, laneswap.EventWorse, worse[0].note.Event.Kind)
		time.Sleep(21 * time.Minute)
		calls = d.calls()
		require.Len(t, calls, 1)
		reminded(t, calls[0].note, "svc", calls[0].at.Sub(began))
		require.Equal(t, time.Hour, calls[0].at.Sub(worse[0].at), "from that on")
		require.Contains(t, calls[0].note.Text, "is still critical")

		h.Beat()
		sleepPast(laneswap.DefaultGroupWait)
		require.Equal(t, laneswap.EventRecovered, d.one(t).Event.Kind)
		time.Sleep(24 * time.Hour)
		require.Empty(t, d.calls(), "it is over")
	})
}

func TestReminders_failedOnesCountFromTheirDelivery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d, laneswap.WithRemindEvery(time.Hour))
		h := registerHealthy(t, m, "svc")
		reportAll(t, []*laneswap.Handle{h}, laneswap.StatusError)
		time.Sleep(30 * time.Minute)
		d.calls()
		d.answers(alwaysReturn(errAway))
		time.Sleep(90 * time.Minute)
		require.Greater(t, len(d.calls()), 5)
		d.answers(nil)
		time.Sleep(10 * time.Minute)
		calls := d.calls()
		require.Len(t, calls, 1)
		time.Sleep(time.Hour)
		later := d.calls()
		require.Len(t, later, 1)
		require.Equal(t, time.Hour, later[0].at.Sub(calls[0].at))
		require.NotEqual(t, calls[0].note.ID, later[0].note.ID, "two reminders are two messages")
		tr := d.trace(t, m, noticeEventIDs(t, m, "svc")[0])
		require.Equal(t, laneswap.NoticeSent, tr.State)
		require.Equal(t, 1, tr.Attempts, "the notice itself was tried once")
		require.Contains(t, traceLines(tr), "reminder 1 sent as message m2")
		require.Contains(t, traceLines(tr), "reminder 2 sent as message m3")
		require.Equal(t, "m1", tr.MessageID, "the message that told it")

		// What happens while one is owed takes its place.
		d.answers(alwaysReturn(errAway))
		time.Sleep(time.Hour)
		h.Beat()
		d.answers(nil)
		time.Sleep(10 * time.Minute)
		n := d.one(t)
		require.Equal(t, laneswap.EventRecovered, n.Event.Kind)
	})
}

func TestReminders_ofMoreThanTenAreADigest(t *testing.T) {
	t.Parallel()
	for _, services := range []int{10, 11, 300} {
		t.Run(fmt.Sprint(services), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newFakeNotifier()
				m := startWithNotifier(t, d, laneswap.WithRemindEvery(time.Hour))
				reportAll(t, registerMany(t, m, services), laneswap.StatusError)
				time.Sleep(30 * time.Minute)
				d.calls()
				time.Sleep(time.Hour)
				notes := d.took()
				require.Len(t, servicesIn(notes...), services)
				if services == 10 {
					require.Len(t, notes, 10)
					return
				}
				require.Len(t, notes, 1)
				require.Equal(t, laneswap.NoticeDigest, notes[0].Kind)
				require.Len(t, notes[0].Items, services)
				for i, item := range notes[0].Items {
					require.Equal(t, nthID(i), item.Event.Service, "in their order")
					require.InDelta(t, time.Hour.Seconds(), item.Reminder.Seconds(), 10)
					require.Contains(t, item.Text, "is still error")
				}
			})
		})
	}
}

func TestReminders_skipFilteredAndDelayedNotices(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		loud, all := newFakeNotifier(), newFakeNotifier()
		loud.name = "loud"
		m := startWithNotifier(t, all, laneswap.WithNotifier(laneswap.Only(loud, laneswap.MinLevel(laneswap.LevelError))), laneswap.WithRemindEvery(time.Hour))
		reportAll(t, []*laneswap.Handle{registerHealthy(t, m, "quiet")}, laneswap.StatusWarning)
		reportAll(t, []*laneswap.Handle{registerHealthy(t, m, "loud")}, laneswap.StatusError)
		h := register(t, m, laneswap.Registration{ID: "held", NoDeadline: true, AlertAfter: laneswap.Threshold{For: 10 * time.Hour}})
		reportAll(t, []*laneswap.Handle{h}, laneswap.StatusError)
		time.Sleep(4*time.Hour + 30*time.Minute)
		require.Len(t, all.took(), 2+2*4)
		notes := loud.took()
		require.Len(t, notes, 1+4)
		require.Equal(t, []laneswap.ServiceID{"loud"}, servicesIn(notes...))
	})
}

// A reminder says how the service is, not how it was when the filter last let
// something pass.
func TestReminders_showTheCurrentState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := laneswap.NewManager(laneswap.WithNotifier(laneswap.Only(d, laneswap.OnStatuses(laneswap.StatusWarning))), laneswap.WithRemindEvery(time.Hour))
		require.NoError(t, m.Start(t.Context()))
		defer func() { require.NoError(t, m.Stop(context.Background())) }()
		h := []*laneswap.Handle{registerHealthy(t, m, "svc")}
		reportAll(t, h, laneswap.StatusWarning)
		time.Sleep(time.Minute)
		require.Len(t, d.took(), 1)
		reportAll(t, h, laneswap.StatusCritical) // not for this notifier
		time.Sleep(2 * time.Hour)
		for _, n := range d.took() {
			require.NotContains(t, n.Text, "still warning", "it is critical")
		}
	})
}

func TestReminders_stopWhileARecoveryIsPending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d, laneswap.WithRemindEvery(10*time.Minute))
		h := register(t, m, laneswap.Registration{ID: "svc", NoDeadline: true, RecoverAfter: laneswap.Threshold{For: time.Hour}})
		reportAll(t, []*laneswap.Handle{h}, laneswap.StatusError)
		time.Sleep(time.Minute)
		require.Len(t, d.took(), 1)
		h.Beat()
		time.Sleep(50 * time.Minute)
		require.Empty(t, d.took(), "it is good, which is not sure yet: nobody is reminded")
		reportAll(t, []*laneswap.Handle{h}, laneswap.StatusError)
		time.Sleep(11 * time.Minute)
		notes := d.took()
		require.NotEmpty(t, notes, "it is bad again")
		require.Equal(t, laneswap.NoticeReminder, notes[0].Kind)
	})
}

// inZone has the wall clock of a zone around a test. It cannot be parallel.
func inZone(t *testing.T, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	require.NoError(t, err)
	before := time.Local
	time.Local = zone
	t.Cleanup(func() { time.Local = before })
	return zone
}

// The clocks of the people go from 2 to 3, and from 3 to 2: an hour stays an hour.
func TestReminders_countTrueHoursOverAChangeOfTheClocks(t *testing.T) {
	zone := inZone(t, "Europe/Berlin")
	for name, change := range map[string]time.Time{
		"spring": time.Date(2000, 3, 26, 1, 0, 0, 0, time.UTC), // 02:00 becomes 03:00
		"autumn": time.Date(2000, 10, 29, 1, 0, 0, 0, time.UTC),
	} {
		t.Run(name, func(t *testing.T) {
			_, before := change.Add(-time.Minute).In(zone).Zone()
			_, after := change.Add(time.Minute).In(zone).Zone()
			require.NotEqual(t, before, after, "the clocks change there")
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(change.Add(-90*time.Minute - laneswap.DefaultGroupWait)))
				d := newFakeNotifier()
				m := startWithNotifier(t, d, laneswap.WithRemindEvery(time.Hour))
				h := registerHealthy(t, m, "svc")
				began := time.Now()
				reportAll(t, []*laneswap.Handle{h}, laneswap.StatusError)
				time.Sleep(4*time.Hour + 30*time.Minute)
				calls := d.calls()
				require.Len(t, calls, 1+4)
				for i, c := range calls {
					require.Equal(t, change.Add(time.Duration(i)*time.Hour-90*time.Minute), c.at.UTC(), "every true hour")
					if i > 0 {
						reminded(t, c.note, "svc", c.at.Sub(began))
					}
				}
				h.Beat()
				sleepPast(laneswap.DefaultGroupWait)
				n := d.one(t)
				require.Equal(t, 4*time.Hour+30*time.Minute, n.Event.Duration)
				require.Contains(t, n.Text, "4h30m0s")
				steps := d.trace(t, m, noticeEventIDs(t, m, "svc")[0]).Steps
				require.Len(t, steps, 2+4)
				require.Equal(t, "reminder 4 sent as message m5", steps[5].Text)
				require.Equal(t, calls[4].at.UTC(), steps[5].At.UTC())
			})
		})
	}
}

func TestReminders_goOnAcrossRestarts(t *testing.T) {
	t.Parallel()
	for _, crash := range []bool{true, false} {
		t.Run(fmt.Sprint("crash ", crash), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk, d := memorystore.New(), newFakeNotifier()
				var m *run
				var s *crashStorage
				begin := func() {
					s = newCrashStorage(disk)
					m = startWithStorage(t, s, laneswap.WithNotifier(d), laneswap.WithRemindEvery(time.Hour))
				}
				end := func() {
					time.Sleep(2 * time.Second) // what was told is stored
					if crash {
						m.crash(s)
					} else {
						m.stop(t)
					}
				}
				begin()
				reportAll(t, []*laneswap.Handle{registerHealthy(t, m.Manager, "bad")}, laneswap.StatusError)
				reportAll(t, []*laneswap.Handle{registerHealthy(t, m.Manager, "gone")}, laneswap.StatusError)
				good := registerHealthy(t, m.Manager, "good")
				reportAll(t, []*laneswap.Handle{good}, laneswap.StatusError)
				good.Beat()
				synctest.Wait()
				told := time.Now()
				d.calls()
				end()
				time.Sleep(20 * time.Minute)
				begin()
				require.NoError(t, m.Remove(t.Context(), "gone"))
				time.Sleep(10 * time.Minute)
				removed := d.calls()
				require.Len(t, removed, 1, "only that it was removed")
				require.Equal(t, laneswap.EventRemoved, removed[0].note.Event.Kind)
				time.Sleep(40 * time.Minute)
				calls := d.calls()
				require.Len(t, calls, 1)
				reminded(t, calls[0].note, "bad", time.Hour)
				require.InDelta(t, time.Hour.Seconds(), calls[0].at.Sub(told).Seconds(), 1, "an hour after it was told in an earlier life")
				end()
				time.Sleep(3 * time.Hour)
				begin()
				time.Sleep(time.Minute)
				late := d.calls()
				require.Len(t, late, 1, "what came due while nobody ran is said once")
				reminded(t, late[0].note, "bad", 4*time.Hour+10*time.Minute+4*time.Second)
				require.NotEqual(t, calls[0].note.ID, late[0].note.ID, "a receiver takes two of one name for one message")
				time.Sleep(time.Hour)
				require.Len(t, d.calls(), 1)
				handleOf(t, m.Manager, "bad").Beat()
				synctest.Wait()
				require.Equal(t, laneswap.EventRecovered, d.one(t).Event.Kind)
				end()
				time.Sleep(2 * time.Hour)
				begin()
				time.Sleep(2 * time.Hour)
				require.Empty(t, d.calls(), "it was over in an earlier life")
				m.stop(t)
			})
		})
	}
}

// A service that is bad for hours and then silent is silent for less time than
// it is bad.
func TestReminders_sayHowLongItIsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d, laneswap.WithRemindEvery(time.Hour))
		h := register(t, m, laneswap.Registration{ID: "svc"})
		for range 340 {
			require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad}))
			time.Sleep(30 * time.Second)
		}
		d.took()
		time.Sleep(62 * time.Minute)
		notes := d.took()
		require.Len(t, notes, 2)
		require.Equal(t, "svc is stale, was error, silent since 2000-01-01T02:49:30Z for 1m0s", notes[0].Text)
		require.Equal(t, "svc is still stale, bad for 3h50m30s, since 2000-01-01T00:00:00Z, silent since 2000-01-01T02:49:30Z for 1h1m0s", notes[1].Text)
	})
}

// The same name means that a receiver may drop it as seen.
func TestReminders_eachDigestHasANameOfItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d, laneswap.WithRemindEvery(time.Hour))
		for i := range 12 {
			require.NoError(t, registerHealthy(t, m, nthID(i)).Report(laneswap.Heartbeat{Status: bad}))
		}
		time.Sleep(3*time.Hour + time.Minute)
		notes := d.took()
		require.Len(t, notes, 4)
		seen := map[string]bool{}
		for _, n := range notes {
			require.False(t, seen[n.ID], n.Title)
			seen[n.ID] = true
		}
	})
}
