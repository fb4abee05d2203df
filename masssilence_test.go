package laneswap_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

// beating registers services that beat at once, and returns their handles.
func beating(t *testing.T, m *laneswap.Manager, prefix string, n int) []*laneswap.Handle {
	t.Helper()
	handles := make([]*laneswap.Handle, n)
	for i := range handles {
		handles[i] = register(t, m, laneswap.Registration{ID: laneswap.ServiceID(fmt.Sprint(prefix, i))})
		handles[i].Beat()
	}
	return handles
}

func TestMassSilence_isOneMessageWithTheFinding(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		asked := 0
		m := startWithNotifier(t, d, laneswap.WithSelfCheck(func(context.Context) string { asked++; return "the gateway\nanswers" }))
		silent, alive := beating(t, m, "silent", 5), beating(t, m, "alive", 4)
		beatAll(alive, window+10*time.Second)
		n := d.one(t)
		require.Equal(t, laneswap.NoticeMassSilence, n.Kind)
		require.Len(t, n.Items, len(silent))
		require.Equal(t, "5 services fell silent at once: the cause may be LaneSwap or its network", n.Title)
		require.Contains(t, n.Finding, "the gateway answers")
		require.Contains(t, n.Finding, "heartbeats from 4 of 9 services in the last minute")
		require.Contains(t, n.Finding, "LaneSwap has not paused")
		require.Contains(t, n.Text, n.Finding)
		require.Contains(t, n.Text, n.Title)
		for i := range silent {
			require.Contains(t, n.Text, fmt.Sprintf("silent%d is stale, was healthy, silent since", i))
		}
		require.Equal(t, 1, asked)
		for _, item := range n.Items {
			tr := d.trace(t, m, item.Event.ID)
			require.Equal(t, laneswap.NoticeSent, tr.State)
			require.Equal(t, "m1", tr.MessageID)
			require.Equal(t, "sent as message m1 (in digest 1, with 4 others)", tr.Steps[len(tr.Steps)-1].Text)
		}
	})
}

func TestMassSilence_needsHalfAndThree(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		silent, alive int
		mass          bool
	}{
		{1, 0, false}, {2, 0, false}, {2, 2, false}, {3, 0, true}, {3, 3, true}, {3, 4, false}, {4, 3, true},
		{5, 6, false}, {50, 50, true}, {50, 51, false},
	} {
		t.Run(fmt.Sprintf("%d of %d", c.silent, c.silent+c.alive), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newFakeNotifier()
				m := startWithNotifier(t, d)
				beating(t, m, "silent", c.silent)
				beatAll(beating(t, m, "alive", c.alive), window+10*time.Second)
				notes := d.took()
				require.Len(t, servicesIn(notes...), c.silent)
				for _, n := range notes {
					require.Equal(t, c.mass, n.Kind == laneswap.NoticeMassSilence, "%+v", n)
					require.Equal(t, c.mass, n.Finding != "")
				}
				if c.mass {
					require.Len(t, notes, 1)
				}
			})
		})
	}
}

func TestMassSilence_isNotWhatComesOverMoreThanAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		for i := range 6 {
			beating(t, m, fmt.Sprint("silent", i, "-"), 1)
			time.Sleep(31 * time.Second)
		}
		time.Sleep(5 * time.Minute)
		for _, n := range d.took() {
			require.Equal(t, laneswap.NoticeEvent, n.Kind, "two in a minute are not many")
		}
	})
}

// Who fell silent is who was alive: a service that never beat was not, and one that
// falls silent twice is one service.
func TestMassSilence_countsServicesThatLived(t *testing.T) {
	t.Parallel()
	t.Run("never beat", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newFakeNotifier()
			m := startWithNotifier(t, d)
			for i := range 5 {
				register(t, m, laneswap.Registration{ID: nthID(i)})
			}
			beatAll(beating(t, m, "alive", 3), window+10*time.Second)
			notes := d.took()
			require.Len(t, servicesIn(notes...), 5)
			for _, n := range notes {
				require.Equal(t, laneswap.NoticeEvent, n.Kind, "all that lived live still: %s", n.Text)
			}
		})
	})
	t.Run("twice", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newFakeNotifier()
			m := startWithNotifier(t, d, laneswap.WithGroupWait(time.Second))
			var handles []*laneswap.Handle
			for i := range 2 {
				handles = append(handles, register(t, m, laneswap.Registration{ID: nthID(i), StaleAfter: 5 * time.Second}))
			}
			alive := beating(t, m, "alive", 1)
			for range 4 { // silent, heard, silent, heard
				beatAll(append(alive, handles...), 2*time.Second)
				beatAll(alive, 8*time.Second)
			}
			for _, n := range d.took() {
				require.NotEqual(t, laneswap.NoticeMassSilence, n.Kind, "there are two: %s", n.Text)
			}
		})
	})
	t.Run("said goodbye", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newFakeNotifier()
			m := startWithNotifier(t, d)
			beating(t, m, "silent", 3)
			for _, h := range beating(t, m, "gone", 10) {
				require.NoError(t, h.Report(laneswap.Heartbeat{Status: laneswap.StatusShutdown}))
			}
			sleepPast(window + laneswap.DefaultGroupWait)
			require.Equal(t, laneswap.NoticeMassSilence, d.one(t).Kind, "those that said goodbye do not count")
		})
	})
}

func TestMassSilence_othersAreSentSeparately(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		beating(t, m, "silent", 6)
		alive := beating(t, m, "alive", 4)
		beatAll(alive, window-time.Second)
		for _, h := range alive {
			h.Beat()
		}
		time.Sleep(2 * time.Second)
		reportAll(t, alive[:2], laneswap.StatusError)
		beatAll(alive[2:], 30*time.Second)
		notes := d.took()
		require.Len(t, notes, 3)
		require.Equal(t, laneswap.NoticeMassSilence, notes[0].Kind)
		require.Len(t, notes[0].Items, 6)
		for i, n := range notes[1:] {
			require.Equal(t, laneswap.NoticeEvent, n.Kind)
			require.Equal(t, laneswap.ServiceID(fmt.Sprint("alive", i)), n.Event.Service)
			require.Empty(t, n.Finding)
		}
	})
}

// The third of three says so, also when the others were sent before it.
func TestMassSilence_isReportedWithTheLastOneAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		for i := range 3 {
			beating(t, m, fmt.Sprint("svc", i, "-"), 1)
			time.Sleep(20 * time.Second)
		}
		time.Sleep(time.Minute)
		notes := d.took()
		require.Len(t, notes, 3)
		require.Empty(t, notes[0].Finding)
		require.Empty(t, notes[1].Finding, "two are not three")
		require.NotEmpty(t, notes[2].Finding, "three of three within a minute: it may be us")
	})
}

func TestMassSilence_selfChecksMayHangOrPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		defer time.Sleep(2 * time.Hour) // they end
		var inside, most atomic.Int64
		stuck := func(context.Context) string {
			most.Store(max(most.Load(), inside.Add(1)))
			defer inside.Add(-1)
			time.Sleep(30 * time.Minute) // it does not listen
			return "at last"
		}
		m := startWithNotifier(t, d, laneswap.WithFlapLimit(0),
			laneswap.WithSelfCheck(stuck),
			laneswap.WithSelfCheck(func(context.Context) string { panic("a secret") }),
			laneswap.WithSelfCheck(func(context.Context) string { return "" }),
			laneswap.WithSelfCheck(func(ctx context.Context) string { <-ctx.Done(); return "obedient" }),
			laneswap.WithSelfCheck(func(context.Context) string { return "the disk is full" }))
		handles := beating(t, m, "svc", 4)
		sleepPast(window + laneswap.DefaultGroupWait)
		require.Empty(t, d.took(), "it waits for the checks")
		sleepPast(10 * time.Second)
		n := d.one(t)
		require.Contains(t, n.Finding, "a self-check did not return in time")
		require.Contains(t, n.Finding, "a self-check panicked")
		require.NotContains(t, n.Finding, "a secret")
		require.Contains(t, n.Finding, "the disk is full")
		for range 3 {
			for _, h := range handles {
				h.Beat()
			}
			time.Sleep(2 * time.Minute)
		}
		mass := 0
		for _, n := range d.took() {
			if n.Kind == laneswap.NoticeMassSilence {
				mass++
			}
		}
		require.Equal(t, 3, mass)
		require.Equal(t, int64(1), most.Load(), "a check is called by one goroutine at a time, also one that hangs")
	})
}

func TestMassSilence_notifiersShareTheFinding(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, other := newFakeNotifier(), newFakeNotifier()
		other.name = "other"
		asked := 0
		m := startWithNotifier(t, d, laneswap.WithNotifier(other), laneswap.WithSelfCheck(func(context.Context) string { asked++; return fmt.Sprint("asked ", asked) }))
		beating(t, m, "svc", 4)
		sleepPast(window + laneswap.DefaultGroupWait)
		require.Equal(t, d.one(t).Finding, other.one(t).Finding)
		require.Equal(t, 1, asked)
	})
}

// When it is our own network, the receiver cannot be reached either. What comes
// through in the end still says that it may have been us.
func TestMassSilence_isReportedAfterAReceiverOutage(t *testing.T) {
	t.Parallel()
	for _, services := range []int{4, 30} {
		t.Run(fmt.Sprint(services), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newFakeNotifier()
				d.answers(alwaysReturn(errAway))
				m := startWithNotifier(t, d)
				beating(t, m, "svc", services)
				time.Sleep(window + 10*time.Minute)
				d.calls()
				d.answers(nil)
				time.Sleep(10 * time.Minute)
				n := d.one(t)
				require.Equal(t, laneswap.NoticeMassSilence, n.Kind)
				require.NotEmpty(t, n.Finding)
				require.Len(t, n.Items, services)
			})
		})
	}
}

func TestMassSilence_recoveriesAreFewMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		handles := beating(t, m, "svc", 40)
		time.Sleep(window + 10*time.Minute)
		require.Equal(t, laneswap.NoticeMassSilence, d.one(t).Kind)
		for _, h := range handles {
			h.Beat()
		}
		sleepPast(laneswap.DefaultGroupWait)
		n := d.one(t)
		require.Equal(t, laneswap.NoticeDigest, n.Kind)
		require.Equal(t, "40 services: 40 recovered", n.Title)
		require.Len(t, servicesIn(n), 40)
		for _, ev := range eventsIn(n) {
			require.Equal(t, laneswap.EventRecovered, ev.Kind)
			require.InDelta(t, (10 * time.Minute).Seconds(), ev.Duration.Seconds(), 1)
		}
	})
}

// Who is silent and back before it is told is told as one thing, with all the
// others.
func TestMassSilence_aShortOneTellsOfBoth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		handles := beating(t, m, "svc", 20)
		time.Sleep(window + 2*time.Second)
		for _, h := range handles[:10] {
			h.Beat()
		}
		time.Sleep(10 * time.Second)
		notes := d.took()
		require.LessOrEqual(t, len(notes), 2)
		require.Len(t, servicesIn(notes...), 20)
		ids := idsOf(eventsIn(notes...))
		slices.Sort(ids)
		var want []string
		for _, h := range handles {
			want = append(want, noticeEventIDs(t, m, h.ID())...)
		}
		slices.Sort(want)
		require.Equal(t, want, ids)
	})
}

// Those that fell silent an hour apart did not fall at once, though the receiver
// hears of all of them together.
func TestMassSilence_namesThoseThatFellTogether(t *testing.T) {
	t.Parallel()
	for _, late := range []int{1, 2, 20} {
		t.Run(fmt.Sprint(late, " later"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newFakeNotifier()
				d.answers(alwaysReturn(errAway))
				m := startWithNotifier(t, d)
				beating(t, m, "early", 5)
				beatAll(beating(t, m, "late", late), 50*time.Minute)
				time.Sleep(5 * time.Minute)
				d.calls()
				d.answers(nil)
				time.Sleep(20 * time.Minute)
				notes := d.took()
				require.Len(t, servicesIn(notes...), 5+late)
				for _, n := range notes {
					if n.Kind != laneswap.NoticeMassSilence {
						continue
					}
					for _, item := range n.Items {
						require.WithinDuration(t, n.Event.At, item.Event.At, time.Minute, n.Text)
						require.True(t, late >= 3 || item.Event.Name < "late", n.Text)
					}
				}
			})
		})
	}
}

// A message that is tried alone, because a digest failed, says it only of its own.
func TestMassSilence_excludesALaterOneRetriedAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		d.answers(alwaysReturn(errAway))
		m := startWithNotifier(t, d)
		beating(t, m, "early", 5)
		beatAll(beating(t, m, "late", 1), 50*time.Minute)
		time.Sleep(5 * time.Minute)
		d.answers(func(n laneswap.Notification) error { // 400 for digests
			if len(n.Items) > 1 {
				return errAway
			}
			return nil
		})
		time.Sleep(2 * time.Hour)
		notes := d.took()
		require.Contains(t, servicesIn(notes...), laneswap.ServiceID("late0"))
		for _, n := range notes {
			require.False(t, n.Event.Service == "late0" && n.Finding != "", n.Text)
		}
	})
}
