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

func TestAlertAfter_countsFromTheFirstBadBeat(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 5; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newFakeNotifier()
				m := startUngrouped(t, d)
				h := register(t, m, laneswap.Registration{ID: "svc", NoDeadline: true, AlertAfter: beats(n)})
				h.Beat()
				for i := 1; i < n; i++ {
					reportEach(t, h, bad)
					require.Empty(t, d.took(), "%d of %d", i, n)
					tr := d.trace(t, m, noticeEventIDs(t, m, "svc")[0])
					require.Equal(t, laneswap.NoticeHeld, tr.State)
					require.Equal(t, fmt.Sprintf("threshold 1 of %d (alert_after)", n), tr.Steps[0].Text)
				}
				require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad}))
				synctest.Wait()
				require.Equal(t, laneswap.EventDown, d.one(t).Event.Kind)
				tr := d.trace(t, m, noticeEventIDs(t, m, "svc")[0])
				require.Equal(t, laneswap.NoticeSent, tr.State)
				if n > 1 {
					require.Equal(t, []string{
						fmt.Sprintf("threshold 1 of %d (alert_after)", n), fmt.Sprintf("threshold %d of %d reached (alert_after)", n, n), "sent as message m1", "state: sent",
					}, traceLines(tr))
				}
				reportEach(t, h, bad, bad, good)
				require.Equal(t, laneswap.EventRecovered, d.one(t).Event.Kind, "once, and its end")
			})
		})
	}
}

func TestAlertAfter_earlyRecoverySendsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		h := register(t, m, laneswap.Registration{ID: "svc", NoDeadline: true, AlertAfter: beats(3)})
		h.Beat()
		for range 20 { // two of three, again and again
			reportEach(t, h, bad, bad, good)
		}
		time.Sleep(25 * time.Hour)
		require.Empty(t, d.took())
		ids := noticeEventIDs(t, m, "svc")
		require.Len(t, ids, 40, "the events are there")
		require.Equal(t, []string{"threshold 1 of 3 (alert_after)", "recovered before the alert was due: threshold 2 of 3 (alert_after)", "state: skipped"}, traceLines(d.trace(t, m, ids[0])))
		require.Equal(t, []string{"no alert had been sent", "state: skipped"}, traceLines(d.trace(t, m, ids[1])))
		require.Zero(t, d.status(t, m).Waiting)
		reportEach(t, h, bad, bad)
		require.Empty(t, d.took(), "it counts anew")
		reportEach(t, h, bad)
		require.Len(t, d.took(), 1)
	})
}

func TestAlertAfter_changesOfABadTimeAreSentTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		h := register(t, m, laneswap.Registration{ID: "svc", NoDeadline: true, AlertAfter: beats(4)})
		reportEach(t, h, good, laneswap.StatusWarning, laneswap.StatusCritical, laneswap.StatusDegraded)
		require.Empty(t, d.took())
		ids := noticeEventIDs(t, m, "svc")
		require.Len(t, ids, 3)
		for i, id := range ids {
			tr := d.trace(t, m, id)
			require.Equal(t, laneswap.NoticeHeld, tr.State)
			require.Equal(t, fmt.Sprintf("threshold %d of 4 (alert_after)", i+1), tr.Steps[0].Text)
		}
		reportEach(t, h, laneswap.StatusDegraded)
		n := d.one(t)
		require.Equal(t, ids, idsOf(eventsIn(n)))
		require.Contains(t, n.Text, "svc is degraded, was healthy")
		reportEach(t, h, laneswap.StatusError)
		require.Equal(t, laneswap.EventWorse, d.one(t).Event.Kind, "once it was told, what follows is told at once")
	})
}

func TestAlertAfter_aTimeIsKeptToTheMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		h := register(t, m, laneswap.Registration{ID: "svc", NoDeadline: true, AlertAfter: forTime(90 * time.Second)})
		h.Beat()
		time.Sleep(time.Minute)
		began := time.Now()
		reportEach(t, h, bad, bad, bad, laneswap.StatusCritical)
		time.Sleep(90*time.Second - time.Since(began) - moment)
		require.Empty(t, d.took())
		time.Sleep(2 * moment)
		calls := d.calls()
		require.Len(t, calls, 1)
		require.Equal(t, began.Add(90*time.Second), calls[0].at)
		ids := noticeEventIDs(t, m, "svc")
		require.Equal(t, ids, idsOf(eventsIn(calls[0].note)))
		require.Equal(t, []string{"threshold 0s of 1m30s (alert_after)", "threshold of 1m30s reached (alert_after)", "sent as message m1, together with " + ids[1], "state: sent"}, traceLines(d.trace(t, m, ids[0])))
		require.Equal(t, "threshold 30s of 1m30s (alert_after)", traceLines(d.trace(t, m, ids[1]))[0])

		h.Beat()
		time.Sleep(moment)
		require.Len(t, d.took(), 1)
		reportEach(t, h, bad, bad, good)
		time.Sleep(10 * time.Minute)
		require.Empty(t, d.took())
		require.Contains(t, traceLines(d.trace(t, m, noticeEventIDs(t, m, "svc")[3])), "recovered before the alert was due: threshold 20s of 1m30s (alert_after)")
	})
}

// A silent service sends no heartbeats: each interval that passes counts as one.
func TestAlertAfter_silenceCountsByIntervals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		reg  laneswap.Registration
		told time.Duration // after the last heartbeat
	}{
		{"interval", laneswap.Registration{Interval: 10 * time.Second, StaleAfter: 25 * time.Second, AlertAfter: beats(3)}, 45 * time.Second},
		{"window", laneswap.Registration{StaleAfter: 25 * time.Second, AlertAfter: beats(3)}, 75 * time.Second},
		{"default", laneswap.Registration{AlertAfter: beats(2)}, 2 * window},
		{"one", laneswap.Registration{Interval: 10 * time.Second, StaleAfter: 25 * time.Second, AlertAfter: beats(1)}, 25 * time.Second},
		{"time", laneswap.Registration{Interval: 10 * time.Second, StaleAfter: 25 * time.Second, AlertAfter: forTime(7 * time.Second)}, 32 * time.Second},
		{"none", laneswap.Registration{StaleAfter: 25 * time.Second}, 25 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newFakeNotifier()
				m := startUngrouped(t, d)
				c.reg.ID = "svc"
				h := register(t, m, c.reg)
				time.Sleep(time.Second)
				h.Beat()
				last := time.Now()
				deadline := statusOf(t, m, "svc").Deadline
				time.Sleep(time.Until(deadline) + moment)
				require.Equal(t, laneswap.StatusStale, statusOf(t, m, "svc").Status, "the status waits for nothing")
				require.Len(t, noticeEventIDs(t, m, "svc"), 1, "nor does the event")
				time.Sleep(time.Until(last.Add(c.told)) - moment)
				if c.told > deadline.Sub(last) {
					require.Empty(t, d.took())
				}
				time.Sleep(3 * moment)
				n := d.one(t)
				require.Equal(t, laneswap.StatusStale, n.Event.To)
				require.True(t, n.Event.At.Equal(deadline), "it is dated when it happened")
			})
		})
	}
}

func TestAlertAfter_badBeatsThenSilenceCountTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		h := register(t, m, laneswap.Registration{ID: "svc", Interval: 10 * time.Second, StaleAfter: 25 * time.Second, AlertAfter: beats(4)})
		h.Beat()
		time.Sleep(10 * time.Second)
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad})) // 1
		time.Sleep(10 * time.Second)
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad})) // 2
		last := time.Now()
		time.Sleep(35*time.Second - moment) // 3 at 25 s, when it falls silent
		require.Empty(t, d.took())
		time.Sleep(3 * moment) // 4 at 35 s
		n := d.one(t)
		require.Equal(t, laneswap.StatusStale, n.Event.To)
		require.InDelta(t, 35, time.Since(last).Seconds(), 0.01)
		require.Len(t, eventsIn(n), 2)
	})
}

func TestAlertAfter_lastHeartbeatIsAlertedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		h := register(t, m, laneswap.Registration{ID: "job", AlertAfter: beats(3)})
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad, Message: "exit status 1", Final: true}))
		synctest.Wait()
		require.Contains(t, d.one(t).Text, "exit status 1")
	})
}

func TestAlertAfter_isOfEachServiceByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		for i, n := range []int{0, 1, 2, 3} {
			h := register(t, m, laneswap.Registration{ID: nthID(i), NoDeadline: true, AlertAfter: beats(n)})
			require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad}))
		}
		synctest.Wait()
		require.Equal(t, []laneswap.ServiceID{nthID(0), nthID(1)}, servicesIn(d.took()...))
		for i := range 4 {
			require.NoError(t, handleOf(t, m, nthID(i)).Report(laneswap.Heartbeat{Status: bad}))
		}
		synctest.Wait()
		require.Equal(t, []laneswap.ServiceID{nthID(2)}, servicesIn(d.took()...))
	})
}

func TestAlertAfter_removedWhileDelayedIsNotSent(t *testing.T) {
	skipShort(t)
	t.Parallel()
	for name, threshold := range map[string]laneswap.Threshold{"beats": beats(3), "time": forTime(time.Hour)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newFakeNotifier()
				m := startUngrouped(t, d)
				h := register(t, m, laneswap.Registration{ID: "svc", NoDeadline: true, AlertAfter: threshold})
				reportEach(t, h, good, good, good, good, good, bad)
				ids := noticeEventIDs(t, m, "svc")
				require.NoError(t, m.Remove(t.Context(), "svc"))
				time.Sleep(25 * time.Hour)
				require.Empty(t, d.took())
				tr := d.trace(t, m, ids[0])
				require.Equal(t, laneswap.NoticeSkipped, tr.State)
				last := tr.Steps[len(tr.Steps)-1].Text
				require.NotContains(t, last, "recovered before", "it was removed")
				if name == "beats" {
					require.Contains(t, last, "threshold 1 of 3")
				}
			})
		})
	}
}

// Who registers with a lower threshold is not held by the one of before.
func TestAlertAfter_registeredAnewWithOtherThresholds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, after laneswap.Threshold
		beats         int
	}{
		"none":       {beats(100), laneswap.Threshold{}, 0},
		"fewer":      {beats(100), beats(2), 1},
		"reached":    {beats(100), beats(1), 0},
		"a time":     {beats(100), forTime(time.Second), 0},
		"less time":  {forTime(time.Hour), forTime(time.Second), 0},
		"from times": {forTime(20 * time.Hour), beats(2), 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newFakeNotifier()
				m := startUngrouped(t, d)
				h := register(t, m, laneswap.Registration{ID: "svc", NoDeadline: true, AlertAfter: c.before})
				reportEach(t, h, good, bad)
				require.Empty(t, d.took())
				register(t, m, laneswap.Registration{ID: "svc", NoDeadline: true, AlertAfter: c.after})
				for range c.beats {
					require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad}))
				}
				time.Sleep(2 * time.Second)
				require.Equal(t, laneswap.EventDown, d.one(t).Event.Kind)
			})
		})
	}
}

// That LaneSwap could not hear is no heartbeat.
func TestAlertAfter_unknownDoesNotReachIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		h := register(t, m, laneswap.Registration{ID: "svc", Interval: time.Hour, StaleAfter: 65 * time.Minute, AlertAfter: beats(3)})
		h.Beat()
		time.Sleep(time.Hour)
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad}))
		time.Sleep(64 * time.Minute)
		m.JumpSeen(10 * time.Minute) // as if we had not heard for so long, and with it the beat at 60
		time.Sleep(3 * time.Minute)
		require.Equal(t, laneswap.EventUnheard, lastEvent(t, m).Kind)
		require.Empty(t, d.took(), "one of three")
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad}))
		synctest.Wait()
		require.Empty(t, d.took(), "two of three")
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad}))
		synctest.Wait()
		require.Equal(t, noticeEventIDs(t, m, "svc"), idsOf(eventsIn(d.one(t))))
	})
}

// One night of a job is a day.
func TestAlertAfter_beatsMayBeDaysApart(t *testing.T) {
	skipShort(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		h := register(t, m, laneswap.Registration{ID: "backup", Interval: 24 * time.Hour, StaleAfter: 30 * time.Hour, AlertAfter: beats(2)})
		night := func(s laneswap.Status) {
			require.NoError(t, h.Report(laneswap.Heartbeat{Status: s}))
			time.Sleep(24*time.Hour + time.Minute)
		}
		night(good)
		night(bad)
		night(good)
		require.Empty(t, d.took(), "one bad night")
		night(bad)
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad}))
		synctest.Wait()
		require.Len(t, d.took(), 1, "two of them")
	})
}

func TestAlertAfter_delaysNothingButNotices(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithStorage(t, memorystore.New(), laneswap.WithNotifier(d))
		h := register(t, m.Manager, laneswap.Registration{ID: "svc", NoDeadline: true, AlertAfter: beats(3), RecoverAfter: forTime(time.Hour)})
		w, err := m.Watch(t.Context(), laneswap.WatchQuery{})
		require.NoError(t, err)
		defer w.Close()
		h.Beat()
		for _, s := range []laneswap.Status{bad, good} {
			time.Sleep(10 * time.Second)
			require.NoError(t, h.Report(laneswap.Heartbeat{Status: s}))
			require.Equal(t, s, statusOf(t, m.Manager, "svc").Status)
			require.Equal(t, s, lastEvent(t, m.Manager).To)
			require.True(t, lastEvent(t, m.Manager).At.Equal(time.Now()))
		}
		var heard []laneswap.Status
		for ev, err := range w.Events() {
			require.NoError(t, err)
			if heard = append(heard, ev.To); len(heard) == 3 {
				break
			}
		}
		require.Equal(t, []laneswap.Status{good, bad, good}, heard)
		time.Sleep(10 * time.Second)
		hist := historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{})
		require.Equal(t, 1, hist.IncidentCount)
		require.Equal(t, 10*time.Second, hist.Down)
		require.Empty(t, d.took(), "nobody is told of so little")
		m.stop(t)
	})
}

func TestAlertAfter_reachedWhileTheNotifierIsBusy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		reg  laneswap.Registration
	}{
		{"time", laneswap.Registration{NoDeadline: true, AlertAfter: forTime(10 * time.Second)}},
		{"silence", laneswap.Registration{Interval: 5 * time.Second, StaleAfter: 10 * time.Second, AlertAfter: beats(2)}}, // 5 s later
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newFakeNotifier()
				m := startUngrouped(t, d)
				other := registerHealthy(t, m, "other")
				c.reg.ID = "svc"
				h := register(t, m, c.reg)
				h.Beat()
				time.Sleep(9 * time.Second)
				d.takes(25 * time.Second) // slow, but within its 30 seconds
				require.NoError(t, other.Report(laneswap.Heartbeat{Status: bad}))
				time.Sleep(time.Second)
				if c.reg.NoDeadline {
					require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad}))
				}
				time.Sleep(14 * time.Second)
				h.Beat()
				d.takes(0)
				beatAll([]*laneswap.Handle{h}, time.Minute)
				ids := noticeEventIDs(t, m, "svc")
				require.Len(t, ids, 2)
				require.Subset(t, idsOf(eventsIn(d.took()...)), ids, "%v", traceLines(d.trace(t, m, ids[0])))
			})
		})
	}
}

func TestAlertAfter_traceSaysWhenItWasReached(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		h := register(t, m, laneswap.Registration{ID: "svc", NoDeadline: true, AlertAfter: beats(2)})
		reportEach(t, h, good, bad, laneswap.StatusCritical)
		d.one(t)
		ids := noticeEventIDs(t, m, "svc")
		require.Equal(t, []string{
			"threshold 1 of 2 (alert_after)", "threshold 2 of 2 reached (alert_after)", "sent as message m1, together with " + ids[1], "state: sent",
		}, traceLines(d.trace(t, m, ids[0])))

		silent := register(t, m, laneswap.Registration{ID: "silent", AlertAfter: beats(2)})
		reportEach(t, silent, good, bad)
		time.Sleep(2 * window)
		d.one(t)
		require.Contains(t, traceLines(d.trace(t, m, noticeEventIDs(t, m, "silent")[0])), "threshold 2 of 2 reached (alert_after)")
	})
}

func TestAlertAfter_betterBelowTheFilterIsSentAsItIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := laneswap.NewManager(ungrouped(laneswap.WithNotifier(laneswap.Only(d, laneswap.MinLevel(laneswap.LevelError))))...)
		require.NoError(t, m.Start(t.Context()))
		defer func() { require.NoError(t, m.Stop(context.Background())) }()
		h := register(t, m, laneswap.Registration{ID: "svc", NoDeadline: true, AlertAfter: beats(4)})
		reportEach(t, h, good, bad, laneswap.StatusWarning, laneswap.StatusWarning, laneswap.StatusWarning)
		n := d.one(t)
		require.Equal(t, laneswap.StatusWarning, n.Event.To, "%v", traceLines(d.trace(t, m, noticeEventIDs(t, m, "svc")[1])))
		require.Len(t, n.Items[0].Earlier, 1)
		reportEach(t, h, good)
		require.Equal(t, laneswap.EventRecovered, d.one(t).Event.Kind)
	})
}
