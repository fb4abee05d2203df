package laneswap_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

func TestAlertText_silenceNamesLastMessageAndTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		h := register(t, m, laneswap.Registration{ID: "billing@web", Name: "Billing", Tags: []string{"money"}, Interval: 30 * time.Second})
		require.NoError(t, h.Report(laneswap.Heartbeat{Message: "batch 7 of 9"}))
		heard := time.Now()
		silence := statusOf(t, m, "billing@web").Window
		sleepPast(silence + laneswap.DefaultGroupWait)
		n := d.one(t)
		require.Equal(t, laneswap.NoticeEvent, n.Kind)
		require.Equal(t, "Billing is stale", n.Title)
		require.Contains(t, n.Text, "Billing (billing@web) is stale")
		require.Contains(t, n.Text, "was healthy")
		require.Contains(t, n.Text, "silent since "+heard.UTC().Format(time.RFC3339))
		require.Contains(t, n.Text, "batch 7 of 9", "the last message")
		require.Len(t, n.Items, 1)
		ev := n.Event
		require.Equal(t, ev, n.Items[0].Event)
		require.Empty(t, n.Items[0].Earlier)
		require.Equal(t, laneswap.EventDown, ev.Kind)
		require.Equal(t, laneswap.StatusStale, ev.To)
		require.Equal(t, "batch 7 of 9", ev.Message)
		require.True(t, ev.SilentSince.Equal(heard))
		require.True(t, ev.StartedAt.Equal(heard.Add(silence)))
		require.Equal(t, []string{"money"}, ev.Tags)
		require.NotEmpty(t, ev.Incident)
		require.Equal(t, ev.ID, n.ID, "a message of one event is named by it")
		require.Equal(t, 1, n.Attempt)
	})
}

func TestAlertText_worseAndBetterNameBothStatuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		h := registerHealthy(t, m, "svc")
		tell := func(status laneswap.Status, message string) laneswap.Notification {
			require.NoError(t, h.Report(laneswap.Heartbeat{Status: status, Message: message}))
			sleepPast(laneswap.DefaultGroupWait)
			return d.one(t)
		}
		down := tell(laneswap.StatusWarning, "queue grows")
		require.Equal(t, "svc is warning, was healthy: queue grows", down.Text)
		worse := tell(laneswap.StatusCritical, "queue full")
		require.Equal(t, laneswap.EventWorse, worse.Event.Kind)
		require.Equal(t, "svc is critical, was warning: queue full", worse.Text)
		better := tell(laneswap.StatusError, "queue half full")
		require.Equal(t, laneswap.EventBetter, better.Event.Kind)
		require.Equal(t, "svc is error, was critical: queue half full", better.Text)
		for _, n := range []laneswap.Notification{worse, better} {
			require.Equal(t, down.Event.Incident, n.Event.Incident, "one incident")
			require.True(t, n.Event.StartedAt.Equal(down.Event.At), "since when it is down")
		}
	})
}

func TestAlertText_recoveryNamesDurationAndCause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		h := registerHealthy(t, m, "svc")
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: laneswap.StatusError, Message: "disk full"}))
		sleepPast(laneswap.DefaultGroupWait)
		down := d.one(t).Event
		sleepPast(17*time.Minute - laneswap.DefaultGroupWait - moment)
		h.Beat()
		sleepPast(laneswap.DefaultGroupWait)
		n := d.one(t)
		require.Equal(t, "svc recovered", n.Title)
		ev := n.Event
		require.Equal(t, laneswap.EventRecovered, ev.Kind)
		require.Equal(t, down.Incident, ev.Incident)
		require.Contains(t, n.Text, "since "+down.At.UTC().Format(time.RFC3339))
		require.InDelta(t, (17 * time.Minute).Seconds(), ev.Duration.Seconds(), 0.1)
		require.Contains(t, n.Text, "17m0s")
		require.Contains(t, n.Text, "disk full", "the cause")
		require.Contains(t, n.Text, "is healthy")
	})
}

func TestAlertText_pendingAlarmAndRecoveryAreOneMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		h := registerHealthy(t, m, "svc")
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: laneswap.StatusCritical, Message: "no route"}))
		time.Sleep(2 * time.Second)
		h.Beat()
		sleepPast(laneswap.DefaultGroupWait)
		n := d.one(t)
		require.Len(t, n.Items, 1)
		require.Equal(t, noticeEventIDs(t, m, "svc"), idsOf(eventsIn(n)))
		require.Equal(t, laneswap.EventRecovered, n.Event.Kind)
		require.Len(t, n.Items[0].Earlier, 1)
		require.Equal(t, laneswap.EventDown, n.Items[0].Earlier[0].Kind)
		require.Contains(t, n.Text, "was critical for 2s")
		require.Contains(t, n.Text, "is healthy again")
		require.Contains(t, n.Text, "no route")
		sleepPast(time.Hour)
		require.Empty(t, d.took(), "that was all")
	})
}

func TestAlertText_listsEarlierChangesInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		h := registerHealthy(t, m, "svc")
		for _, s := range []laneswap.Status{laneswap.StatusCritical, laneswap.StatusHealthy, laneswap.StatusError, laneswap.StatusDegraded} {
			time.Sleep(500 * time.Millisecond)
			require.NoError(t, h.Report(laneswap.Heartbeat{Status: s, Message: "now " + string(s)}))
		}
		sleepPast(laneswap.DefaultGroupWait)
		n := d.one(t)
		all := eventsIn(n)
		require.Equal(t, noticeEventIDs(t, m, "svc"), idsOf(all))
		require.Len(t, all, 4)
		for i := range all[1:] {
			require.Equal(t, all[i].To, all[i+1].From, "each begins where the one before it ended")
			require.Less(t, all[i].Sequence, all[i+1].Sequence)
		}
		require.Equal(t, laneswap.StatusDegraded, n.Event.To)
		require.Contains(t, n.Text, "svc is degraded, was healthy: now degraded")
	})
}

func TestAlertText_removedWhileBad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		h := registerHealthy(t, m, "svc")
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: laneswap.StatusError}))
		sleepPast(laneswap.DefaultGroupWait)
		down := d.one(t).Event
		time.Sleep(time.Minute - moment)
		require.NoError(t, m.Remove(t.Context(), "svc"))
		sleepPast(laneswap.DefaultGroupWait)
		n := d.one(t)
		require.Equal(t, laneswap.EventRemoved, n.Event.Kind)
		require.Equal(t, down.Incident, n.Event.Incident)
		require.Contains(t, n.Text, "removed while error")
		require.Contains(t, n.Text, "1m5s")
	})
}

// Two things that LaneSwap has to say of itself at the same time are both in the
// text: adapters may show nothing else.
func TestAlertText_containsAllOwnEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d, laneswap.WithStorage(exactStore()), laneswap.WithRemark("the file was set aside"), laneswap.WithRemark("two rows could not be read"))
		sleepPast(laneswap.DefaultGroupWait)
		notes := d.took()
		require.NotEmpty(t, notes)
		all := ""
		for _, text := range texts(notes) {
			all += text + "\n"
		}
		require.Contains(t, all, "the file was set aside")
		require.Contains(t, all, "two rows could not be read")
		require.Equal(t, noticeEventIDs(t, m, ""), idsOf(eventsIn(notes...)))
	})
}

func TestMessages_keepTheirIDOnEachTry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		d.answers(alwaysReturn(errAway))
		m := startWithNotifier(t, d)
		h := registerHealthy(t, m, "svc")
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: laneswap.StatusError}))
		time.Sleep(time.Second)
		h.Beat()
		time.Sleep(time.Minute)
		calls := d.calls()
		require.Greater(t, len(calls), 3)
		for i, c := range calls {
			require.Equal(t, calls[0].note.ID, c.note.ID, "a receiver knows it by that")
			require.Equal(t, i+1, c.note.Attempt)
			require.NotContains(t, noticeEventIDs(t, m, "svc"), c.note.ID, "two events are not one of them")
		}
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: laneswap.StatusError}))
		d.answers(nil)
		time.Sleep(10 * time.Minute)
		n := d.one(t)
		require.NotEqual(t, calls[0].note.ID, n.ID, "it tells something else now")
		require.Equal(t, noticeEventIDs(t, m, "svc"), idsOf(eventsIn(n)))
	})
}

func TestAlertText_cleansImportedIDs(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "fine"} {
		synctest.Test(t, func(t *testing.T) {
			doc := seenAgo("evil\nSubject: \x1b[31mowned\u202e", "error", 10*time.Second)
			doc.Name = name
			disk, told := deployment(t, doc), &recorder{}
			for range 2 { // as others have stored it, and as LaneSwap has
				m := startWithStorage(t, disk, laneswap.WithNotifier(told))
				for _, s := range []laneswap.Status{good, bad} {
					_, err := m.Report(t.Context(), laneswap.ServiceID(doc.ID), laneswap.Heartbeat{Status: s})
					require.NoError(t, err)
				}
				time.Sleep(time.Second)
				m.stop(t)
			}
			require.NotEmpty(t, told.notes)
			for _, n := range told.notes {
				for _, text := range []string{n.Title, n.Text, n.Event.Name} {
					require.Equal(t, laneswap.Sanitize(text), text)
				}
				require.Contains(t, n.Text, "evil Subject: [31mowned")
			}
		})
	}
}

// The incident began with silence, which ended with a heartbeat that says it is bad.
func TestAlertText_beatingServiceIsNotSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d, laneswap.WithRemindEvery(10*time.Minute))
		h := register(t, m, laneswap.Registration{ID: "svc"})
		h.Beat()
		time.Sleep(5 * time.Minute)
		require.Equal(t, "svc is stale, was healthy, silent since 2000-01-01T00:00:00Z for 1m0s", d.one(t).Text)
		for range 21 {
			require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad, Message: "disk full"}))
			time.Sleep(30 * time.Second)
		}
		notes := d.took()
		require.Len(t, notes, 2)
		require.Equal(t, "svc is error, was stale: disk full", notes[0].Text)
		require.Equal(t, laneswap.NoticeReminder, notes[1].Kind)
		require.Equal(t, "svc is still error, bad for 14m0s, since 2000-01-01T00:01:00Z: disk full", notes[1].Text)
	})
}

// The worst status is that of the reported incident, not of an earlier one.
func TestAlertText_worstIsOfTheIncident(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		h := registerHealthy(t, m, "svc")
		for _, s := range []laneswap.Status{laneswap.StatusCritical, good, laneswap.StatusWarning, good} {
			require.NoError(t, h.Report(laneswap.Heartbeat{Status: s}))
			time.Sleep(time.Second)
		}
		sleepPast(laneswap.DefaultGroupWait)
		n := d.one(t)
		require.Contains(t, n.Text, "svc was warning for 1s, since 2000-01-01T00:00:02Z, and is healthy again")
		require.Contains(t, n.Text, "; 1 earlier incident, also over")
	})
}

// Who was told of an alarm reads when it was over, also where another incident began
// before that was told.
func TestAlertText_namesTheEndOfAnAnnouncedIncident(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		then []laneswap.Status
		text string
	}{
		{[]laneswap.Status{good}, "svc recovered and is healthy after 1h0m0s, since 2000-01-01T00:00:00Z (it was: reported error)"},
		{[]laneswap.Status{good, bad, good}, "svc was error for 1s, since 2000-01-01T01:00:01Z, and is healthy again (it was: reported error)" +
			"; the incident since 2000-01-01T00:00:00Z ended after 1h0m0s"},
		{[]laneswap.Status{good, bad, good, laneswap.StatusCritical}, "svc is critical, was healthy; 1 earlier incident, already over" +
			"; the incident since 2000-01-01T00:00:00Z ended after 1h0m0s"},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := newFakeNotifier()
			m := startWithNotifier(t, d)
			h := registerHealthy(t, m, "svc")
			require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad}))
			time.Sleep(time.Hour)
			require.Equal(t, "svc is error, was healthy", d.one(t).Text)
			for _, s := range c.then {
				require.NoError(t, h.Report(laneswap.Heartbeat{Status: s}))
				time.Sleep(time.Second)
			}
			sleepPast(laneswap.DefaultGroupWait)
			require.Equal(t, c.text, d.one(t).Text)
		})
	}
}

func TestAlertText_shutdownIsNotAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		statuses []laneswap.Status
		text     string
	}{
		{[]laneswap.Status{good, bad, laneswap.StatusShutdown}, "and is shutdown now"},
		{[]laneswap.Status{laneswap.StatusShutdown, bad, laneswap.StatusShutdown}, "and is shutdown again"},
		{[]laneswap.Status{laneswap.StatusIdle, bad, laneswap.StatusIdle}, "and is idle again"},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := newFakeNotifier()
			m := startWithNotifier(t, d)
			h := register(t, m, laneswap.Registration{ID: "svc", NoDeadline: true})
			for _, s := range c.statuses {
				require.NoError(t, h.Report(laneswap.Heartbeat{Status: s}))
				time.Sleep(time.Second)
			}
			sleepPast(laneswap.DefaultGroupWait)
			require.Contains(t, d.one(t).Text, c.text)
		})
	}
}

// The state is unknown because of an absence, also within an incident.
func TestAlertText_unknownSaysWhyWithinAnIncident(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		h := register(t, m, laneswap.Registration{ID: "svc", Interval: time.Hour, StaleAfter: 65 * time.Minute})
		reportEach(t, h, good)
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad, Message: "disk full"}))
		synctest.Wait()
		down := d.one(t).Event
		time.Sleep(64 * time.Minute)
		m.JumpSeen(10 * time.Minute)
		time.Sleep(3 * time.Minute)
		n := d.one(t)
		require.Equal(t, laneswap.EventUnheard, n.Event.Kind)
		require.Contains(t, n.Text, "svc is unknown, was error (its heartbeat was expected while LaneSwap could not hear), silent since ")
		require.Equal(t, down.Incident, n.Event.Incident, "which goes on")
		reportEach(t, h, good)
		require.Contains(t, d.one(t).Text, "(it was: reported error: disk full)")
	})
}

func TestAlertText_recoveryAfterAnImportNamesTheState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithStorage(t, deployment(t, seenAgo("svc", "error", 10*time.Second)), laneswap.WithNotifier(d))
		_, err := m.Report(t.Context(), "svc", laneswap.Heartbeat{})
		require.NoError(t, err)
		time.Sleep(time.Second)
		require.Contains(t, d.one(t).Text, "name of svc (svc) recovered and is healthy after 10s, since 1999-12-31T23:59:50Z (it was: already error when LaneSwap imported it)")
		m.stop(t)
	})
}
