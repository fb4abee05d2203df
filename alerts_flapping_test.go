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

// swing has a service change to and fro, with a pause after each change.
func swing(t *testing.T, h *laneswap.Handle, times int, pause time.Duration) {
	t.Helper()
	for i := range times {
		status := []laneswap.Status{laneswap.StatusError, laneswap.StatusHealthy}[i%2]
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: status}))
		time.Sleep(pause)
	}
}

// sort of messages: single events, and reports of flapping.
func sorts(calls []delivery) (single, flaps []delivery) {
	for _, c := range calls {
		if c.note.Kind == laneswap.NoticeFlapping {
			flaps = append(flaps, c)
		} else {
			single = append(single, c)
		}
	}
	return single, flaps
}

func TestFlapping_isReportedOnceAndEvery15Minutes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		h := registerHealthy(t, m, "svc") // its first transition
		time.Sleep(time.Minute)
		const minutes = 100
		for range minutes / 2 {
			swing(t, h, 2, time.Minute)
		}
		single, flaps := sorts(d.calls())
		require.Len(t, single, 4, "with the first there were five: these are told one by one")
		require.NotEmpty(t, flaps)
		for i, c := range flaps {
			require.Greater(t, c.note.Items[0].Flapping, laneswap.DefaultFlapLimit)
			require.Equal(t, "svc is flapping", c.note.Title)
			require.Contains(t, c.note.Text, "is flapping")
			require.Contains(t, c.note.Text, "and is "+string(c.note.Event.To)+" now")
			if i > 0 {
				require.InDelta(t, (15 * time.Minute).Seconds(), c.at.Sub(flaps[i-1].at).Seconds(), 61, "every quarter of an hour")
			}
		}
		require.InDelta(t, (minutes-4)/15.0+1, len(flaps), 1)
		time.Sleep(20 * time.Minute) // it is over: what remains is told
		rest, last := sorts(d.calls())
		require.Empty(t, rest)
		require.Len(t, last, 1)
		var all []laneswap.Notification
		for _, c := range append(append(single, flaps...), last...) {
			all = append(all, c.note)
		}
		require.Equal(t, noticeEventIDs(t, m, "svc"), idsOf(eventsIn(all...)), "none is left out, and each is told once, in order")
		require.Equal(t, laneswap.StatusHealthy, last[0].note.Event.To, "the final state")
		time.Sleep(2 * time.Hour)
		require.Empty(t, d.calls(), "nothing new, nothing to say")
	})
}

func TestFlapping_endsWhenThereAreFewChangesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		h := registerHealthy(t, m, "svc")
		swing(t, h, 8, 10*time.Second)
		time.Sleep(40 * time.Minute)
		require.Equal(t, noticeEventIDs(t, m, "svc"), idsOf(eventsIn(d.took()...)))
		swing(t, h, 1, laneswap.DefaultGroupWait+moment)
		n := d.one(t)
		require.Equal(t, laneswap.NoticeEvent, n.Kind, "it flaps no more: told at once, and by itself")
		require.Equal(t, "svc is error, was healthy", n.Text)
		require.Zero(t, n.Items[0].Flapping)
	})
}

// While a service flaps no single change is sent, however the notifier behaves.
func TestFlapping_isReportedOnceToASlowNotifier(t *testing.T) {
	t.Parallel()
	for _, slow := range []time.Duration{0, 2 * time.Second, 20 * time.Second} {
		t.Run(slow.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newFakeNotifier()
				d.takes(slow)
				m := startWithNotifier(t, d)
				h := registerHealthy(t, m, "svc")
				swing(t, h, 600, time.Second)
				_, flaps := sorts(d.calls())
				require.Equal(t, 1, len(flaps), "in the first ten minutes")
				time.Sleep(30 * time.Minute)
				_, flaps = sorts(d.calls())
				require.Equal(t, 1, len(flaps), "what came of it, a quarter of an hour later")
				require.Equal(t, laneswap.StatusHealthy, flaps[0].note.Event.To)
				d.requireNoOverlap(t)
			})
		})
	}
}

func TestFlapping_isReportedOnceAfterFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		h := registerHealthy(t, m, "svc")
		d.answers(alwaysReturn(errAway))
		swing(t, h, 120, time.Second)
		d.answers(nil)
		swing(t, h, 600, time.Second)
		_, flaps := sorts(d.calls())
		taken := 0
		for _, c := range flaps {
			if c.err == nil {
				taken++
			}
		}
		require.Equal(t, 1, taken)
	})
}

func TestFlapping_limitZeroTellsEveryChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d, laneswap.WithFlapLimit(0))
		h := registerHealthy(t, m, "svc")
		swing(t, h, 30, 10*time.Second)
		single, flaps := sorts(d.calls())
		require.Empty(t, flaps)
		require.Len(t, single, 30)
	})
}

func TestFlapping_limitsAreKeptExactly(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 3, 9} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newFakeNotifier()
				m := startWithNotifier(t, d, laneswap.WithFlapLimit(limit))
				h := register(t, m, laneswap.Registration{ID: "svc", NoDeadline: true})
				swing(t, h, limit, 7*time.Second)
				single, flaps := sorts(d.calls())
				require.Len(t, single, limit, "as many as that are not too many")
				require.Empty(t, flaps)
				require.NoError(t, h.Report(laneswap.Heartbeat{Status: laneswap.StatusCritical}))
				sleepPast(laneswap.DefaultGroupWait)
				n := d.one(t)
				require.Equal(t, laneswap.NoticeFlapping, n.Kind, "one more is")
				require.Equal(t, limit+1, n.Items[0].Flapping)
			})
		})
	}
	for _, limit := range []int{-1, 10} {
		require.ErrorContains(t, laneswap.NewManager(laneswap.WithFlapLimit(limit)).Start(t.Context()), "flap_limit")
	}
}

func TestFlapping_isPerService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		noisy, calm := registerHealthy(t, m, "noisy"), registerHealthy(t, m, "calm")
		swing(t, noisy, 60, time.Second)
		d.calls()
		swing(t, calm, 1, 0)
		sleepPast(laneswap.DefaultGroupWait)
		n := d.one(t)
		require.Equal(t, laneswap.ServiceID("calm"), n.Event.Service)
		require.Equal(t, laneswap.NoticeEvent, n.Kind)
	})
}

// A restart remembers that flapping was reported.
func TestFlapping_isNotRepeatedAfterARestart(t *testing.T) {
	t.Parallel()
	for _, crash := range []bool{true, false} {
		t.Run(fmt.Sprint("crash ", crash), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk, d := memorystore.New(), newFakeNotifier()
				s := newCrashStorage(disk)
				m := startWithStorage(t, s, laneswap.WithNotifier(d), laneswap.WithGroupWait(5*time.Second), laneswap.WithFlapLimit(5))
				h := registerHealthy(t, m.Manager, "svc")
				swing(t, h, 60, 2*time.Second)
				before := d.took()
				require.Equal(t, laneswap.NoticeFlapping, before[len(before)-1].Kind)
				time.Sleep(2 * time.Second)
				if crash {
					m.crash(s)
				} else {
					m.stopped = true
					require.NoError(t, m.Stop(context.Background()))
				}
				require.Empty(t, d.calls(), "what waits for the quarter of an hour outlives it")
				m = startWithStorage(t, disk, laneswap.WithNotifier(d), laneswap.WithGroupWait(5*time.Second), laneswap.WithFlapLimit(5))
				h = handleOf(t, m.Manager, "svc")
				swing(t, h, 60, 2*time.Second)
				require.Empty(t, d.calls(), "it was said 4 minutes ago")
				time.Sleep(15 * time.Minute)
				last := d.one(t)
				require.Equal(t, laneswap.NoticeFlapping, last.Kind)
				require.Equal(t, laneswap.StatusHealthy, last.Event.To)
				require.Equal(t, noticeEventIDs(t, m.Manager, "svc"), idsOf(eventsIn(append(before, last)...)), "each once")
				m.stop(t)
			})
		})
	}
}

// The same when nothing is pending at the restart.
func TestFlapping_isNotRepeatedAfterAnIdleRestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newFakeNotifier()
		m := startWithStorage(t, disk, laneswap.WithNotifier(d), laneswap.WithGroupWait(5*time.Second), laneswap.WithFlapLimit(5))
		swing(t, registerHealthy(t, m.Manager, "svc"), 6, 900*time.Millisecond)
		time.Sleep(10 * time.Second)
		require.Equal(t, laneswap.NoticeFlapping, d.one(t).Kind)
		said := time.Now()
		m.stop(t)
		m = startWithStorage(t, disk, laneswap.WithNotifier(d), laneswap.WithGroupWait(5*time.Second), laneswap.WithFlapLimit(5))
		swing(t, handleOf(t, m.Manager, "svc"), 6, 20*time.Second)
		require.Empty(t, d.calls(), "it was said a moment ago")
		time.Sleep(15 * time.Minute)
		calls := d.calls()
		require.Len(t, calls, 1)
		require.InDelta(t, (15 * time.Minute).Seconds(), calls[0].at.Sub(said).Seconds(), 20)
		require.Len(t, eventsIn(calls[0].note), 6)
		m.stop(t)
	})
}

// Services with thresholds flap as well.
func TestFlapping_isReportedWithThresholds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		two := laneswap.Threshold{Beats: 2}
		h := register(t, m, laneswap.Registration{ID: "svc", NoDeadline: true, AlertAfter: two, RecoverAfter: two})
		for i := range 60 { // a change each 30 seconds, and each is confirmed
			status := []laneswap.Status{laneswap.StatusHealthy, laneswap.StatusError}[i%2]
			for range 3 {
				require.NoError(t, h.Report(laneswap.Heartbeat{Status: status}))
				time.Sleep(10 * time.Second)
			}
		}
		single, flaps := sorts(d.calls())
		require.LessOrEqual(t, len(single), 5)
		require.NotEmpty(t, flaps)
		require.LessOrEqual(t, len(flaps), 3)
	})
}

func TestFlapping_traceSaysWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		h := registerHealthy(t, m, "svc")
		swing(t, h, 4, 6*time.Second)
		swing(t, h, 4, 6*time.Second) // 00:00:24 is the sixth change
		ids := noticeEventIDs(t, m, "svc")
		require.Len(t, ids, 8)
		require.Equal(t, []string{"flapping: 6 changes in 30 minutes", "grouped with other notices until 00:00:29", "sent as message m5", "state: sent"},
			traceLines(d.trace(t, m, ids[4])))
		require.Equal(t, []string{"flapping, 7 changes in 30 minutes, already reported: grouped with later changes until 00:15:29", "state: waiting"},
			traceLines(d.trace(t, m, ids[5])))
		time.Sleep(15 * time.Minute)
		require.Equal(t, []string{
			"flapping, 7 changes in 30 minutes, already reported: grouped with later changes until 00:15:29",
			"sent as message m6, together with " + ids[7], "state: sent",
		}, traceLines(d.trace(t, m, ids[5])))
		require.Equal(t, "m6", d.trace(t, m, ids[7]).MessageID)
	})
}

// What follows of a service that flaps is told later: that it was removed as well.
func TestFlapping_removalIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		h := registerHealthy(t, m, "svc")
		swing(t, h, 9, 10*time.Second) // ends bad
		_, flaps := sorts(d.calls())
		require.NotEmpty(t, flaps)
		require.NoError(t, m.Remove(t.Context(), "svc"))
		time.Sleep(time.Hour)
		n := d.one(t)
		require.Equal(t, laneswap.NoticeEvent, n.Kind)
		require.Equal(t, "svc was removed", n.Title)
		require.Contains(t, n.Text, "svc was removed while error, bad for 10s")
		require.Zero(t, n.Items[0].Flapping, "for those that write their own texts")
	})
}

// No more than ten changes of a service are remembered, and more than those are not
// told as ten.
func TestFlapping_saysTrueNumbers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		h := registerHealthy(t, m, "svc") // its first change
		swing(t, h, 5, 10*time.Second)
		_, flaps := sorts(d.calls())
		require.Len(t, flaps, 1)
		require.Equal(t, "svc is flapping, 6 changes in 30 minutes, and is error now; further changes are summarized every 15 minutes", flaps[0].note.Text)
		swing(t, h, 200, 10*time.Second)
		_, flaps = sorts(d.calls())
		require.Len(t, flaps, 2)
		for _, c := range flaps {
			require.Equal(t, 10, c.note.Items[0].Flapping)
			require.Contains(t, c.note.Text, "svc is flapping, 10 changes or more in 30 minutes, and is ")
		}
	})
}

func TestFlapping_saysTrueNumbersAfterARestart(t *testing.T) {
	t.Parallel()
	for changes, text := range map[int]string{7: "7 changes in 30 minutes", 30: "10 changes or more in 30 minutes"} {
		synctest.Test(t, func(t *testing.T) {
			disk, d := memorystore.New(), newFakeNotifier()
			m := startWithStorage(t, disk, laneswap.WithNotifier(d), laneswap.WithFlapLimit(3))
			swing(t, registerHealthy(t, m.Manager, "svc"), changes-1, 10*time.Second) // the first was that it is well
			m.stop(t)
			d.took()
			m = startWithStorage(t, disk, laneswap.WithNotifier(d), laneswap.WithFlapLimit(5))
			time.Sleep(16 * time.Minute)
			require.Contains(t, d.one(t).Text, "svc is flapping, "+text)
			m.stop(t)
		})
	}
}

func TestFlapping_restartWithoutALimitSaysNothingOfIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newFakeNotifier()
		m := startWithStorage(t, disk, laneswap.WithNotifier(d), laneswap.WithFlapLimit(3))
		swing(t, registerHealthy(t, m.Manager, "svc"), 12, 10*time.Second)
		m.stop(t)
		d.took()
		m = startWithStorage(t, disk, laneswap.WithNotifier(d), laneswap.WithFlapLimit(0))
		time.Sleep(time.Second)
		n := d.one(t)
		require.Equal(t, laneswap.NoticeEvent, n.Kind, "what waited is told, and need not wait: %s", n.Text)
		require.Contains(t, n.Text, "svc was error for 10s")
		m.stop(t)
	})
}

// How it is now stands together, and what is said of the messages at the end.
func TestFlapping_textIsReadable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		h := register(t, m, laneswap.Registration{ID: "svc", StaleAfter: 20 * time.Second})
		for range 3 {
			require.NoError(t, h.Report(laneswap.Heartbeat{Message: "step 3"}))
			time.Sleep(30 * time.Second)
		}
		_, flaps := sorts(d.calls())
		require.Len(t, flaps, 1)
		require.Equal(t, "svc is flapping, 6 changes in 30 minutes, and is stale now, silent since 2000-01-01T00:01:00Z for 20s: step 3; further changes are summarized every 15 minutes",
			flaps[0].note.Text)
	})
}
