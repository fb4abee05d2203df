package laneswap_test

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// What came while a message was under way is told by Stop as well, or Stop says
// that it was not.
func TestStop_sendsWhatCameDuringADelivery(t *testing.T) {
	t.Parallel()
	for _, patience := range []time.Duration{4 * time.Second, 10 * time.Second} {
		for _, flapping := range []bool{false, true} {
			t.Run(fmt.Sprint(patience, flapping), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := newFakeNotifier()
					m := startWithNotifier(t, d)
					h := registerHealthy(t, m, "svc")
					if flapping {
						for range 3 {
							reportEach(t, h, bad, good)
						}
						time.Sleep(20 * time.Minute)
					}
					d.calls()
					d.takes(2 * time.Second)
					report := func(s laneswap.Status) { require.NoError(t, h.Report(laneswap.Heartbeat{Status: s})) }
					report(bad)
					time.Sleep(laneswap.DefaultGroupWait + time.Second) // it is under way
					report(good)
					ctx, cancel := context.WithTimeout(context.Background(), patience)
					defer cancel()
					before := time.Now()
					err := m.Stop(ctx)
					var kinds []laneswap.EventKind
					for _, ev := range eventsIn(d.took()...) {
						kinds = append(kinds, ev.Kind)
					}
					if err == nil {
						require.Equal(t, []laneswap.EventKind{laneswap.EventDown, laneswap.EventRecovered}, kinds, "it said that all was told")
					}
					require.LessOrEqual(t, time.Since(before), 4*time.Second)
				})
			})
		}
	}
}

// The change with which it begins to flap comes while a message of it is under way:
// that it flaps was not said by that message.
func TestFlapping_beginningDuringADeliveryIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		h := registerHealthy(t, m, "svc")
		reportEach(t, h, bad, good) // the second and the third change: it was unknown
		time.Sleep(time.Minute)
		d.calls()
		d.takes(3 * time.Second)
		report := func(s laneswap.Status) { require.NoError(t, h.Report(laneswap.Heartbeat{Status: s})) }
		report(bad) // the fourth
		time.Sleep(laneswap.DefaultGroupWait + time.Second)
		report(good)
		time.Sleep(time.Second)
		report(bad) // the sixth, and it stays so
		time.Sleep(time.Minute)
		calls := d.calls()
		require.Len(t, calls, 2, "within a minute people know that it is down and flaps")
		require.Equal(t, laneswap.NoticeEvent, calls[0].note.Kind)
		require.Equal(t, laneswap.NoticeFlapping, calls[1].note.Kind)
	})
}

// Who was told that a service is bad is told that it is good again, whatever its
// filter says, and though it could not be heard and LaneSwap was restarted in
// between.
func TestRoutes_recoveryIsSentAfterAnUnknown(t *testing.T) {
	skipShort(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newFakeNotifier()
		only := laneswap.Only(d, laneswap.MinLevel(laneswap.LevelWarning))
		s := newCrashStorage(disk)
		m := startWithStorage(t, s, laneswap.WithNotifier(only))
		h := register(t, m.Manager, laneswap.Registration{ID: "svc", Interval: 24 * time.Hour, StaleAfter: 25 * time.Hour})
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad}))
		time.Sleep(23 * time.Hour)
		require.Equal(t, laneswap.EventDown, d.one(t).Event.Kind)
		m.crash(s)
		time.Sleep(4 * time.Hour) // it was expected in this time
		s = newCrashStorage(disk)
		m = startWithStorage(t, s, laneswap.WithNotifier(only))
		time.Sleep(10 * time.Minute)
		require.Equal(t, laneswap.StatusUnknown, statusOf(t, m.Manager, "svc").Status)
		d.calls()
		m.crash(s)
		m = startWithStorage(t, disk, laneswap.WithNotifier(only))
		require.NoError(t, handleOf(t, m.Manager, "svc").Report(laneswap.Heartbeat{}))
		time.Sleep(time.Minute)
		evs := eventsIn(d.took()...)
		require.NotEmpty(t, evs, "nobody is left with an alarm")
		require.Equal(t, laneswap.EventRecovered, evs[len(evs)-1].Kind)
		m.stop(t)
	})
}

// A job that fails each night is alerted although LaneSwap restarts each day.
func TestThreshold_restartsDoNotHideWhatStaysBad(t *testing.T) {
	skipShort(t)
	t.Parallel()
	for _, crash := range []bool{true, false} {
		t.Run(fmt.Sprint("reported, crash ", crash), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk, d := memorystore.New(), newFakeNotifier()
				s := newCrashStorage(disk)
				m := startWithStorage(t, s, laneswap.WithNotifier(d))
				h := register(t, m.Manager, laneswap.Registration{ID: "nightly", NoDeadline: true, AlertAfter: beats(3)})
				h.Beat()
				for range 8 {
					require.NoError(t, handleOf(t, m.Manager, "nightly").Report(laneswap.Heartbeat{Status: bad}))
					time.Sleep(time.Hour)
					if crash {
						m.crash(s)
					} else {
						m.stop(t)
					}
					s = newCrashStorage(disk)
					m = startWithStorage(t, s, laneswap.WithNotifier(d))
					time.Sleep(time.Hour)
				}
				require.Len(t, d.took(), 1, "eight heartbeats were bad, three are needed")
				m.stop(t)
			})
		})
		t.Run(fmt.Sprint("silent, crash ", crash), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk, d := memorystore.New(), newFakeNotifier()
				s := newCrashStorage(disk)
				m := startWithStorage(t, s, laneswap.WithNotifier(d))
				h := register(t, m.Manager, laneswap.Registration{ID: "hourly", Interval: time.Hour, StaleAfter: 90 * time.Minute, AlertAfter: beats(3)})
				h.Beat()
				time.Sleep(100 * time.Minute)
				require.Equal(t, laneswap.StatusStale, statusOf(t, m.Manager, "hourly").Status)
				for range 20 {
					time.Sleep(30 * time.Minute)
					if crash {
						m.crash(s)
					} else {
						m.stop(t)
					}
					s = newCrashStorage(disk)
					m = startWithStorage(t, s, laneswap.WithNotifier(d))
				}
				require.Len(t, d.took(), 1, "silent for ten hours, three are needed")
				m.stop(t)
			})
		})
	}
}

// That a digest failed once, long ago, is forgotten: the next storm does not fall
// apart because one attempt fails.
func TestBurst_oldFailureDoesNotSplitDigests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		handles := registerMany(t, m, 200)
		back, over := time.Now().Add(100*time.Second), false
		d.answers(func(n laneswap.Notification) error { // away until something small comes
			if !over && (len(n.Items) > 1 || time.Now().Before(back)) {
				return errAway
			}
			over = true
			return nil
		})
		reportAll(t, handles[:11], bad)
		time.Sleep(time.Hour)
		calls := d.calls()
		require.Len(t, servicesIn(notesOf(calls)...), 11)
		for _, h := range handles[:11] { // one by one
			reportEach(t, h, good)
		}
		time.Sleep(24 * time.Hour)
		d.calls()
		first := true
		d.answers(func(laneswap.Notification) error {
			if first {
				first = false
				return errAway
			}
			return nil
		})
		reportAll(t, handles, bad)
		time.Sleep(time.Hour)
		calls = d.calls()
		notes := notesOf(calls)
		require.Len(t, servicesIn(notes...), 200)
		require.LessOrEqual(t, len(notes), 3, "one attempt has failed")
	})
}

// Programs return typed nils by mistake.
func TestNotifier_typedNilErrorDoesNotPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		d.answers(func(laneswap.Notification) error {
			var err *url.Error
			return err
		})
		m := startWithNotifier(t, d, laneswap.WithGroupWait(0))
		reportEach(t, registerHealthy(t, m, "svc"), bad)
		require.NotEmpty(t, d.calls())
		d.answers(nil)
		time.Sleep(10 * time.Minute)
		require.Len(t, d.took(), 1)
	})
}

// What lets a notice go stores it, and so does the worker that sends it at once:
// where the two change places it is told again after a restart.
func TestOrder_fastDeliveryIsStoredAsSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, rec := memorystore.New(), &namedNotifier{name: "team"}
		m := startWithStorage(t, disk, ungrouped(laneswap.WithNotifier(laneswap.Immediately(rec)))...)
		var group sync.WaitGroup
		for g := range 16 {
			group.Go(func() {
				for i := range 100 {
					id := laneswap.ServiceID(fmt.Sprintf("s%d-%d", g, i))
					_ = m.AnnounceBeat(t.Context(), laneswap.Registration{ID: id, NoDeadline: true, AlertAfter: beats(2)}, laneswap.Heartbeat{Status: bad})
					time.Sleep(2 * time.Millisecond)
					_ = m.Beat(t.Context(), id, laneswap.Heartbeat{Status: bad})
				}
			})
		}
		group.Wait()
		m.stop(t)
		told := len(rec.ids())
		require.Equal(t, 16*100, told)
		again := &namedNotifier{name: "team"}
		m = startWithStorage(t, disk, ungrouped(laneswap.WithNotifier(laneswap.Immediately(again)))...)
		time.Sleep(time.Second)
		m.stop(t)
		require.Empty(t, again.ids())
	})
}
