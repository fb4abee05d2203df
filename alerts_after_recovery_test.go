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

// staleAndAlerted registers a service that recovers slowly, and has turned bad, which the
// notifier was alerted about.
func staleAndAlerted(t *testing.T, m *laneswap.Manager, d *fakeNotifier, after laneswap.Threshold) *laneswap.Handle {
	t.Helper()
	h := register(t, m, laneswap.Registration{ID: "svc", NoDeadline: true, RecoverAfter: after})
	reportEach(t, h, good, bad)
	require.Equal(t, laneswap.EventDown, d.one(t).Event.Kind)
	return h
}

func TestRecoverAfter_countsFromTheFirstGoodBeat(t *testing.T) {
	t.Parallel()
	for n := 2; n <= 5; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newFakeNotifier()
				m := startUngrouped(t, d)
				h := staleAndAlerted(t, m, d, beats(n))
				recovered := time.Now()
				for range n - 1 {
					h.Beat()
					time.Sleep(10 * time.Second)
				}
				require.Empty(t, d.took())
				ids := noticeEventIDs(t, m, "svc")
				require.Equal(t, laneswap.NoticeHeld, d.trace(t, m, ids[1]).State)
				require.Equal(t, laneswap.StatusHealthy, statusOf(t, m, "svc").Status)
				h.Beat()
				synctest.Wait()
				ev := d.one(t).Event
				require.Equal(t, laneswap.EventRecovered, ev.Kind)
				require.True(t, ev.At.Equal(recovered), "dated when it was good")
				require.Equal(t, 10*time.Second, ev.Duration, "so long was it down, whenever that is told")
				require.Equal(t, []string{
					fmt.Sprintf("threshold 1 of %d (recover_after)", n), fmt.Sprintf("threshold %d of %d reached (recover_after)", n, n), "sent as message m2", "state: sent",
				}, traceLines(d.trace(t, m, ids[1])))
			})
		})
	}
}

// An agent sends empty beats through a handle, which cost nothing: while some are
// counted they cost a lock, and after that nothing again.
func TestRecoverAfter_handlesAllocateNothingOnceReached(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	synctest.Test(t, func(t *testing.T) { // not parallel: it counts allocations
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		h := register(t, m, laneswap.Registration{ID: "svc", NoDeadline: true, AlertAfter: beats(3), RecoverAfter: beats(5)})
		h.Beat()
		require.Zero(t, testing.AllocsPerRun(1000, h.Beat))
		for range 3 {
			require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad}))
		}
		synctest.Wait()
		for range 5 {
			h.Beat()
		}
		require.NoError(t, m.CheckBooks())
		require.Zero(t, testing.AllocsPerRun(1000, h.Beat))
		for range 2 {
			require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad})) // held, and then not told
		}
		h.Beat()
		require.NoError(t, m.CheckBooks())
		require.Zero(t, testing.AllocsPerRun(1000, h.Beat))
		synctest.Wait()
		require.Len(t, d.took(), 2)
	})
}

func TestRecoverAfter_aTimeIsKeptToTheMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		h := staleAndAlerted(t, m, d, forTime(5*time.Minute))
		h.Beat()
		time.Sleep(5*time.Minute - moment)
		require.Empty(t, d.took())
		time.Sleep(2 * moment)
		require.Equal(t, laneswap.EventRecovered, d.one(t).Event.Kind, "also when no more beats come")
	})
}

func TestRecoverAfter_badAgainBeforeItWasConfirmed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		h := staleAndAlerted(t, m, d, beats(3))
		for range 5 {
			reportEach(t, h, good, good, bad)
		}
		require.Empty(t, d.took(), "it was never good for long, and people know that it is bad")
		ids := noticeEventIDs(t, m, "svc")
		require.Len(t, ids, 1+10)
		require.Equal(t, []string{"threshold 1 of 3 (recover_after)", "bad again before the recovery was due: threshold 2 of 3 (recover_after); sent with the next notice", "state: held"}, traceLines(d.trace(t, m, ids[1])))
		require.Equal(t, []string{"the notifier already knows it as error, and its recovery was not sent; sent with the next notice", "state: held"}, traceLines(d.trace(t, m, ids[2])))
		reportEach(t, h, good, good, laneswap.StatusCritical)
		require.Equal(t, laneswap.StatusCritical, d.one(t).Event.To, "that it is worse is news")
		reportEach(t, h, good, good)
		require.Empty(t, d.took())
		reportEach(t, h, good)
		require.Equal(t, laneswap.EventRecovered, d.one(t).Event.Kind)
		time.Sleep(25 * time.Hour)
		require.Empty(t, d.took())
	})
}

// What comes between the good beats must not stop the count for a day.
func TestRecoverAfter_goesOnThroughAReportedUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		h := staleAndAlerted(t, m, d, beats(4))
		reportEach(t, h, good, laneswap.StatusUnknown, good, good, good, good, good)
		require.Equal(t, laneswap.EventRecovered, d.one(t).Event.Kind)
		require.NoError(t, m.CheckBooks())
	})
}

func TestRecoverAfter_goesOnThroughAnAbsence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		h := register(t, m, laneswap.Registration{ID: "svc", Interval: time.Hour, StaleAfter: 65 * time.Minute, RecoverAfter: beats(3)})
		reportEach(t, h, good, bad)
		d.one(t)
		h.Beat()
		time.Sleep(64 * time.Minute)
		m.JumpSeen(10 * time.Minute)
		time.Sleep(3 * time.Minute)
		require.Equal(t, laneswap.EventUnheard, lastEvent(t, m).Kind)
		for range 4 {
			h.Beat()
			time.Sleep(time.Hour)
		}
		notes := d.took()
		require.NotEmpty(t, notes)
		require.Contains(t, idsOf(eventsIn(notes...)), noticeEventIDs(t, m, "svc")[1], "the recovery")
	})
}

func TestRecoverAfter_shutdownConfirmsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		h := staleAndAlerted(t, m, d, beats(10))
		reportEach(t, h, good, good)
		require.Empty(t, d.took())
		reportEach(t, h, laneswap.StatusShutdown)
		require.Equal(t, laneswap.EventRecovered, d.one(t).Event.Kind, "no more beats come")
	})
}

func TestRecoverAfter_removedWhileDelayedIsARecovery(t *testing.T) {
	t.Parallel()
	for name, threshold := range map[string]laneswap.Threshold{"beats": beats(10), "time": forTime(time.Hour)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newFakeNotifier()
				m := startUngrouped(t, d)
				h := staleAndAlerted(t, m, d, threshold)
				reportEach(t, h, good)
				require.NoError(t, m.Remove(t.Context(), "svc"))
				time.Sleep(2 * time.Hour)
				require.Equal(t, laneswap.EventRecovered, d.one(t).Event.Kind, "nobody is left with an alarm")
				require.Zero(t, d.status(t, m).Waiting)
			})
		})
	}
}

func TestRecoverAfter_registeredWithoutItSendsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		h := staleAndAlerted(t, m, d, beats(100))
		reportEach(t, h, good)
		require.Empty(t, d.took())
		register(t, m, laneswap.Registration{ID: "svc", NoDeadline: true})
		h.Beat()
		time.Sleep(time.Second)
		require.Equal(t, laneswap.EventRecovered, d.one(t).Event.Kind)
	})
}

// restarted restarts while a notice is delayed, and returns what is sent after it.
func restarted(t *testing.T, crash bool, threshold laneswap.Registration, before, after func(h *laneswap.Handle)) *fakeNotifier {
	t.Helper()
	disk, d := memorystore.New(), newFakeNotifier()
	s := newCrashStorage(disk)
	m := startWithStorage(t, s, laneswap.WithNotifier(d))
	threshold.ID, threshold.NoDeadline = "svc", true
	before(register(t, m.Manager, threshold))
	time.Sleep(2 * time.Second)
	if crash {
		m.crash(s)
	} else {
		m.stop(t)
	}
	m = startWithStorage(t, disk, laneswap.WithNotifier(d))
	after(handleOf(t, m.Manager, "svc"))
	time.Sleep(moment)
	require.NoError(t, m.CheckBooks())
	t.Cleanup(func() { m.stop(t) })
	return d
}

func TestThreshold_delaySurvivesARestart(t *testing.T) {
	t.Parallel()
	for _, crash := range []bool{true, false} {
		for _, c := range []struct {
			name          string
			reg           laneswap.Registration
			before, after []laneswap.Status
			told          []laneswap.EventKind
		}{
			{"alert, good again", laneswap.Registration{AlertAfter: beats(3)}, []laneswap.Status{good, bad, bad}, []laneswap.Status{good, good}, nil},
			{"alert, reached", laneswap.Registration{AlertAfter: beats(3)}, []laneswap.Status{good, bad, bad}, []laneswap.Status{bad, bad, bad}, []laneswap.EventKind{"down"}},
			{"alert, time", laneswap.Registration{AlertAfter: forTime(time.Minute)}, []laneswap.Status{good, bad, bad}, []laneswap.Status{bad, bad, bad, bad, bad}, []laneswap.EventKind{"down"}},
			{"recovery, bad again", laneswap.Registration{RecoverAfter: beats(3)}, []laneswap.Status{good, bad, good}, []laneswap.Status{bad, bad}, []laneswap.EventKind{"down"}},
			{"recovery, reached", laneswap.Registration{RecoverAfter: beats(3)}, []laneswap.Status{good, bad, good}, []laneswap.Status{good, good, good}, []laneswap.EventKind{"down", "recovered"}},
			{"recovery, time", laneswap.Registration{RecoverAfter: forTime(time.Minute)}, []laneswap.Status{good, bad, good}, []laneswap.Status{good, good, good, good, good}, []laneswap.EventKind{"down", "recovered"}},
		} {
			t.Run(fmt.Sprint(c.name, " crash ", crash), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := restarted(t, crash, c.reg,
						func(h *laneswap.Handle) { reportEach(t, h, c.before...) },
						func(h *laneswap.Handle) { reportEach(t, h, c.after...) })
					var told []laneswap.EventKind
					for _, ev := range eventsIn(d.took()...) {
						told = append(told, ev.Kind)
					}
					require.Equal(t, c.told, told)
				})
			})
		}
	}
}

// What was reached, and could not be delivered, need not be reached again.
func TestThreshold_reachedBeforeACrashIsSentAfterIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newFakeNotifier()
		d.answers(alwaysReturn(errAway))
		s := newCrashStorage(disk)
		m := startWithStorage(t, s, laneswap.WithNotifier(d))
		h := register(t, m.Manager, laneswap.Registration{ID: "svc", NoDeadline: true, AlertAfter: beats(3)})
		reportEach(t, h, good, bad, bad, bad, bad)
		require.NotEmpty(t, d.calls(), "it was tried")
		m.crash(s)
		d.answers(nil)
		m = startWithStorage(t, disk, laneswap.WithNotifier(d))
		time.Sleep(time.Minute)
		require.Len(t, d.took(), 1, "no further heartbeat came, and none is needed")
		m.stop(t)
	})
}

// A time counts from when the service turned bad, also over a restart and a change.
func TestThreshold_aTimeCountsFromTheTurnOverARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newFakeNotifier()
		m := startWithStorage(t, disk, laneswap.WithNotifier(d))
		h := register(t, m.Manager, laneswap.Registration{ID: "svc", NoDeadline: true, AlertAfter: forTime(10 * time.Minute)})
		began := time.Now()
		reportEach(t, h, laneswap.StatusWarning)
		time.Sleep(5 * time.Minute)
		reportEach(t, h, bad)
		m.stop(t)
		m = startWithStorage(t, disk, laneswap.WithNotifier(d))
		reportEach(t, handleOf(t, m.Manager, "svc"), laneswap.StatusCritical)
		time.Sleep(20 * time.Minute)
		calls := d.calls()
		require.Len(t, calls, 1)
		require.Len(t, eventsIn(calls[0].note), 3)
		require.InDelta(t, (10 * time.Minute).Seconds(), calls[0].at.Sub(began).Seconds(), 1)
		m.stop(t)
	})
}

func TestRecoverAfter_reachedWhileTheNotifierIsBusy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		other := registerHealthy(t, m, "other")
		h := staleAndAlerted(t, m, d, forTime(10*time.Second))
		d.takes(28 * time.Second)
		require.NoError(t, other.Report(laneswap.Heartbeat{Status: bad}))
		time.Sleep(time.Second)
		reportEach(t, h, good)
		time.Sleep(12 * time.Second) // good for 22 s
		reportEach(t, h, bad)
		d.takes(0)
		time.Sleep(time.Hour)
		ids := noticeEventIDs(t, m, "svc")
		require.Len(t, ids, 3)
		require.Subset(t, idsOf(eventsIn(d.took()...)), ids[1:], "%v", traceLines(d.trace(t, m, ids[1])))
	})
}

// A pager closes what carries the incident that it has opened.
func TestRecoverAfter_recoveryHasTheIncidentOfTheAlarm(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		for _, then := range []laneswap.Status{good, laneswap.StatusCritical, laneswap.StatusUnknown} {
			t.Run(fmt.Sprint(restart, then), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					disk, d := memorystore.New(), newFakeNotifier()
					opts := ungrouped(laneswap.WithNotifier(d), laneswap.WithRemindEvery(time.Hour))
					m := startWithStorage(t, disk, opts...)
					h := register(t, m.Manager, laneswap.Registration{ID: "svc", NoDeadline: true, RecoverAfter: beats(2)})
					reportEach(t, h, good, bad)
					alarm := d.one(t)
					reportEach(t, h, good, bad, good, bad)
					require.Empty(t, d.took(), "it was never good for long")
					if restart {
						m.stop(t)
						m = startWithStorage(t, disk, opts...)
						h = handleOf(t, m.Manager, "svc")
					}
					time.Sleep(time.Hour)
					require.Equal(t, laneswap.NoticeReminder, d.one(t).Kind)
					reportEach(t, h, then, then)
					ids := noticeEventIDs(t, m.Manager, "svc")
					if then == laneswap.StatusUnknown { // nobody is told of that
						require.Empty(t, d.took())
						reportEach(t, h, good, good)
						ids = noticeEventIDs(t, m.Manager, "svc")
					}
					over := d.one(t)
					require.Equal(t, ids[1:], idsOf(eventsIn(over)), "all that happened since, in order")
					require.Equal(t, alarm.Event.Incident, over.Items[0].Earlier[0].Incident)
					require.Equal(t, laneswap.EventRecovered, over.Items[0].Earlier[0].Kind)
					for _, id := range ids {
						require.Equal(t, laneswap.NoticeSent, d.trace(t, m.Manager, id).State)
					}
					require.Zero(t, d.status(t, m.Manager).Waiting)
					m.stop(t)
				})
			})
		}
	}
}

func TestRecoverAfter_delaysWithoutAnAlarm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := laneswap.NewManager(ungrouped(laneswap.WithNotifier(laneswap.Only(d, laneswap.OnStatuses(good))))...)
		require.NoError(t, m.Start(t.Context()))
		defer func() { require.NoError(t, m.Stop(context.Background())) }()
		h := register(t, m, laneswap.Registration{ID: "svc", NoDeadline: true, RecoverAfter: beats(3)})
		reportEach(t, h, good, bad, good, good, bad)
		require.Empty(t, d.took(), "threshold 2 of 3")
		reportEach(t, h, good, good)
		require.Empty(t, d.took())
		reportEach(t, h, good)
		n := d.one(t)
		require.Equal(t, laneswap.EventRecovered, n.Event.Kind)
		require.Empty(t, n.Items[0].Earlier)
		ids := noticeEventIDs(t, m, "svc")
		require.Equal(t, []string{"threshold 1 of 3 (recover_after)", "bad again before the recovery was due: threshold 2 of 3 (recover_after)", "state: skipped"}, traceLines(d.trace(t, m, ids[1])))
		require.Zero(t, d.status(t, m).Waiting)
	})
}
