package laneswap_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
	"github.com/laneswap/laneswap/examples/memorystore"
)

func TestExplain_unknownEventsAreNotFound(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]laneswap.Option{"memory": nil, "stored": {laneswap.WithStorage(memorystore.New())}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newFakeNotifier()
				m := startUngrouped(t, d, opts...)
				reportEach(t, registerHealthy(t, m, "svc"), bad)
				known := noticeEventIDs(t, m, "svc")[0]
				for _, id := range []string{"", "svc", "/", "svc/1", known + "0", "x" + known, "nobody/c2wfoqo0-1/2", "/laneswap/", "/laneswap/zzz", "/laneswap/" + strings.Repeat("z", 40), strings.Repeat("/", 1000), "a\x00b/1-1/1", strings.ToUpper(known)} {
					_, err := m.Explain(t.Context(), id)
					require.ErrorIs(t, err, laneswap.ErrEventNotFound, "%q", id)
				}
				x, err := m.Explain(t.Context(), known)
				require.NoError(t, err)
				require.Equal(t, lastEvent(t, m), x.Event)
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				_, err = m.Explain(ctx, known)
				require.ErrorIs(t, err, context.Canceled)
			})
		})
	}
}

func TestExplain_unsentEventsHaveNoNotices(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		reportEach(t, registerHealthy(t, m, "svc"), laneswap.StatusUnknown)
		for _, ev := range eventsOf(t, m, laneswap.EventQuery{}) {
			x, err := m.Explain(t.Context(), ev.ID)
			require.NoError(t, err)
			require.Equal(t, ev, x.Event)
			require.Equal(t, []laneswap.NoticeTrace{}, x.Notices, "not nil: it becomes JSON")
		}
		require.Len(t, kindsOf(t, m), 2)
	})
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		reportEach(t, registerHealthy(t, m, "svc"), bad)
		x, err := m.Explain(t.Context(), noticeEventIDs(t, m, "svc")[0])
		require.NoError(t, err)
		require.Empty(t, x.Notices, "there is no notifier")
	})
}

// fates brings notices into every state, and returns the events and what their
// traces are to end with.
func fates(t *testing.T, m *laneswap.Manager, d *fakeNotifier) map[string][]string {
	t.Helper()
	fate := map[string][]string{}
	d.answers(func(n laneswap.Notification) error {
		switch n.Event.Service {
		case "dead":
			return laneswap.Refused(errAway)
		case "waiting":
			return errAway
		}
		return nil
	})
	held := register(t, m, laneswap.Registration{ID: "held", NoDeadline: true, AlertAfter: forTime(20 * time.Hour)})
	reportEach(t, registerHealthy(t, m, "sent"), bad, good)
	reportEach(t, registerHealthy(t, m, "dead"), bad)
	reportEach(t, held, bad)
	reportEach(t, register(t, m, laneswap.Registration{ID: "skipped", NoDeadline: true, AlertAfter: beats(2)}), bad, good)
	reportEach(t, registerHealthy(t, m, "waiting"), bad)
	last := func(id laneswap.ServiceID, n int, want ...string) { fate[noticeEventIDs(t, m, id)[n]] = want }
	last("sent", 0, "sent as message m1", "state: sent")
	last("sent", 1, "sent as message m2", "state: sent")
	last("dead", 0, "dropped: the receiver refused it: no answer", "state: dead")
	last("held", 0, "threshold 0s of 20h0m0s (alert_after)", "state: held")
	last("skipped", 0, "recovered before the alert was due: threshold 1 of 2 (alert_after)", "state: skipped")
	last("skipped", 1, "no alert had been sent", "state: skipped")
	return fate
}

func TestExplain_isTheSameAfterARestart(t *testing.T) {
	t.Parallel()
	for _, crash := range []bool{true, false} {
		t.Run(fmt.Sprint("crash ", crash), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk, d := memorystore.New(), newFakeNotifier()
				s := newCrashStorage(disk)
				m := startWithStorage(t, s, laneswap.WithNotifier(d))
				fate := fates(t, m.Manager, d)
				waiting := noticeEventIDs(t, m.Manager, "waiting")[0]
				before := map[string]laneswap.NoticeTrace{}
				for id, want := range fate {
					before[id] = d.trace(t, m.Manager, id)
					lines := traceLines(before[id])
					require.Equal(t, want, lines[len(lines)-2:], "%s", id)
				}
				tr := d.trace(t, m.Manager, waiting)
				require.Equal(t, laneswap.NoticeWaiting, tr.State)
				require.Equal(t, "attempt 1 failed: no answer; next attempt at 00:01:0", tr.Steps[0].Text[:52])
				if crash {
					m.crash(s)
				} else {
					m.stopped = true
					_ = m.Stop(context.Background())
				}
				for _, notifiers := range [][]laneswap.Option{{laneswap.WithNotifier(d)}, nil} { // also when the notifier is gone
					s = newCrashStorage(disk)
					m = startWithStorage(t, s, append(notifiers, laneswap.WithEventBuffer(1))...)
					for id, want := range before {
						got := d.trace(t, m.Manager, id)
						if want.State == laneswap.NoticeHeld {
							require.Equal(t, want.Steps, got.Steps[:len(want.Steps)])
							continue
						}
						require.Equal(t, want, got, "%s", id)
					}
					require.NotEqual(t, laneswap.NoticeSent, d.trace(t, m.Manager, waiting).State)
					m.crash(s)
				}
			})
		})
	}
}

// Without a storage what was decided is kept as well, as far as it fits.
func TestExplain_isTheSameWithoutAStorage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		for id, want := range fates(t, m, d) {
			lines := traceLines(d.trace(t, m, id))
			require.Equal(t, want, lines[len(lines)-2:], "%s", id)
		}
		d.answers(nil)
		require.NoError(t, m.Stop(context.Background()))
		tr := d.trace(t, m, noticeEventIDs(t, m, "waiting")[0])
		require.Equal(t, laneswap.NoticeSent, tr.State, "reading goes on after Stop")
	})
}

func TestExplain_saysWhyItTookLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		n := 0
		d.answers(func(laneswap.Notification) error {
			if n++; n < 3 {
				return laneswap.RetryAfter(errAway, 30*time.Second)
			}
			return nil
		})
		m := startWithNotifier(t, d)
		reportEach(t, registerHealthy(t, m, "svc"), bad)
		time.Sleep(5 * time.Minute)
		id := noticeEventIDs(t, m, "svc")[0]
		require.Equal(t, []string{
			"grouped with other notices until 00:00:05",
			"no answer; the receiver asked to wait until 00:00:35",
			"no answer; the receiver asked to wait until 00:01:05",
			"sent as message m1, attempt 3", "state: sent",
		}, traceLines(d.trace(t, m, id)))
		tr := d.trace(t, m, id)
		require.Equal(t, 3, tr.Attempts)
		require.Equal(t, "m1", tr.MessageID)
		require.True(t, tr.Steps[3].At.Equal(lastEvent(t, m).At.Add(65*time.Second)), "each step says when")
	})
}

// Nobody changes what is kept by changing what he was given.
func TestExplain_answersAreCopies(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startUngrouped(t, d)
		reportEach(t, registerHealthy(t, m, "svc"), bad, good)
		for _, id := range noticeEventIDs(t, m, "svc") {
			want := traceLines(d.trace(t, m, id))
			x, err := m.Explain(t.Context(), id)
			require.NoError(t, err)
			x.Notices[0].Steps[0].Text = "nonsense"
			require.Equal(t, want, traceLines(d.trace(t, m, id)))
		}
	})
}

// The storage may be slow, away or broken when somebody asks.
func TestExplain_readsPendingNoticesWithoutTheStorage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		faulty, d := storagetest.NewFaulty(memorystore.New()), newFakeNotifier()
		d.answers(alwaysReturn(errAway))
		m := startWithStorage(t, faulty, laneswap.WithNotifier(d))
		h := registerHealthy(t, m.Manager, "svc")
		require.NoError(t, m.Sync(t.Context()))
		faulty.Inject(storagetest.Fault{Op: storagetest.Commit, Times: -1, How: storagetest.Refuse})
		say := func(s laneswap.Status) { require.NoError(t, h.Report(laneswap.Heartbeat{Status: s})) }
		say(bad)
		time.Sleep(time.Minute)
		tr := d.trace(t, m.Manager, noticeEventIDs(t, m.Manager, "svc")[0])
		require.Equal(t, laneswap.NoticeWaiting, tr.State)
		require.Contains(t, tr.Steps[0].Text, "attempt 1 failed")
		d.answers(nil)
		time.Sleep(5 * time.Minute)
		tr = d.trace(t, m.Manager, noticeEventIDs(t, m.Manager, "svc")[0])
		require.Equal(t, laneswap.NoticeSent, tr.State, "what was told and is not stored yet")
		faulty.Heal()
		time.Sleep(time.Minute)
		require.Equal(t, laneswap.NoticeSent, d.trace(t, m.Manager, noticeEventIDs(t, m.Manager, "svc")[0]).State)
		m.stop(t)
	})
}

func TestExplain_memoryIsBoundedWithoutAStorage(t *testing.T) {
	skipHeavy(t)
	synctest.Test(t, func(t *testing.T) { // not parallel: it measures the heap
		d := newFakeNotifier()
		long := laneswap.Where(strings.Repeat("long ", 2000), func(laneswap.Event) bool { return false })
		m := laneswap.NewManager(ungrouped(laneswap.WithNotifier(laneswap.Only(d, long)), laneswap.WithEventBuffer(100_000))...)
		require.NoError(t, m.Start(t.Context()))
		defer func() { require.NoError(t, m.Stop(context.Background())) }()
		heap := func() int {
			var stats runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&stats)
			return int(stats.HeapAlloc)
		}
		h := registerHealthy(t, m, "svc")
		before := heap()
		const events = 20_000 // of 10 kB each
		alternate(t, h, events+1)
		require.Less(t, heap()-before, 150<<20)
		ids := noticeEventIDs(t, m, "svc")
		require.Len(t, ids, events)
		x, err := m.Explain(t.Context(), ids[0])
		require.NoError(t, err)
		require.Empty(t, x.Notices, "the oldest are forgotten")
		require.Equal(t, laneswap.NoticeSkipped, d.trace(t, m, ids[events-1]).State)
		kept := 0
		for _, id := range ids {
			x, err := m.Explain(t.Context(), id)
			require.NoError(t, err)
			kept += len(x.Notices)
		}
		require.InDelta(t, 64<<20/10_000, kept, 1000)
	})
}

func TestExplain_countsTheTriesOfEachNotice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		d.answers(alwaysReturn(errAway))
		m := startUngrouped(t, d)
		h := registerHealthy(t, m, "svc")
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad}))
		time.Sleep(2 * time.Second)
		h.Beat()
		d.answers(nil)
		time.Sleep(time.Minute)
		ids := noticeEventIDs(t, m, "svc")
		require.Equal(t, []string{"sent as message m1", "state: sent"}, traceLines(d.trace(t, m, ids[1])))
		require.Equal(t, 1, d.trace(t, m, ids[1]).Attempts)
		require.Contains(t, traceLines(d.trace(t, m, ids[0])), "sent as message m1, attempt 3, together with "+ids[1])
	})
}
