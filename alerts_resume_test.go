package laneswap_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// A receiver that takes no digests is not asked again and again when it is to be
// reminded of many services.
func TestReminders_refusedDigestIsSplit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		count := 0
		var at time.Time
		d.answers(func(n laneswap.Notification) error {
			if len(n.Items) == 1 {
				return nil
			}
			if !time.Now().Equal(at) {
				at, count = time.Now(), 0
			}
			if count++; count > 100 {
				return nil // or time would stand still
			}
			return laneswap.Refused(errors.New("no digests"))
		})
		m := startWithNotifier(t, d, laneswap.WithRemindEvery(time.Hour))
		reportAll(t, registerMany(t, m, 12), laneswap.StatusError)
		time.Sleep(time.Minute)
		d.calls()
		time.Sleep(time.Hour)
		calls := d.calls()
		require.LessOrEqual(t, len(calls), 2*12, "a digest, its halves, and so on")
		require.Len(t, servicesIn(notesOf(calls)...), 12)
	})
}

func notesOf(calls []delivery) (notes []laneswap.Notification) {
	for _, c := range calls {
		if c.err == nil {
			notes = append(notes, c.note)
		}
	}
	return notes
}

// A notifier that is added once the Manager runs is told what it is owed all the
// same, also what waits for a threshold.
func TestAddNotifier_afterStartContinuesDelayedNotices(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newFakeNotifier()
		s := newCrashStorage(disk)
		m := startWithStorage(t, s, laneswap.WithNotifier(d))
		h := register(t, m.Manager, laneswap.Registration{ID: "svc", NoDeadline: true, AlertAfter: beats(3)})
		reportEach(t, h, good, bad)
		m.crash(s)
		m = startWithStorage(t, disk)
		require.NoError(t, m.AddNotifier(d))
		reportEach(t, handleOf(t, m.Manager, "svc"), bad, bad, bad, bad, bad)
		time.Sleep(time.Minute)
		require.Len(t, d.took(), 1, "five more heartbeats were bad")
		require.NoError(t, m.CheckBooks())
		m.stop(t)
	})
}

// A notifier that was not there when a service recovered is not reminded of it for
// ever.
func TestAddNotifier_afterStartGetsNoReminderOfTheEnded(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]bool{"added after the recovery": true, "added before it": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk, d := memorystore.New(), newFakeNotifier()
				s := newCrashStorage(disk)
				m := startWithStorage(t, s, laneswap.WithNotifier(d))
				h := registerHealthy(t, m.Manager, "svc")
				reportEach(t, h, bad)
				time.Sleep(time.Minute)
				d.one(t)
				m.crash(s)
				m = startWithStorage(t, disk, laneswap.WithRemindEvery(time.Hour))
				if !late {
					require.NoError(t, m.AddNotifier(d))
				}
				reportEach(t, handleOf(t, m.Manager, "svc"), good)
				if late {
					require.NoError(t, m.AddNotifier(d))
				}
				time.Sleep(5 * time.Hour)
				for _, n := range d.took() {
					require.NotEqual(t, laneswap.NoticeReminder, n.Kind, n.Text)
				}
				require.Zero(t, pendingNotices(t, disk))
				m.stop(t)
			})
		})
	}
}

// The same where the last message reported flapping.
func TestReminders_endAfterFlappingDuringAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newFakeNotifier()
		s := newCrashStorage(disk)
		m := startWithStorage(t, s, laneswap.WithNotifier(d), laneswap.WithFlapLimit(5))
		h := registerHealthy(t, m.Manager, "svc")
		reportEach(t, h, bad, good, bad, good, bad, good, bad)
		time.Sleep(20 * time.Minute)
		m.crash(s)
		d.calls()
		m = startWithStorage(t, disk, laneswap.WithFlapLimit(5)) // without the notifier
		reportEach(t, handleOf(t, m.Manager, "svc"), good)
		m.stop(t)
		m = startWithStorage(t, disk, laneswap.WithNotifier(d), laneswap.WithFlapLimit(5), laneswap.WithRemindEvery(time.Hour))
		time.Sleep(5 * time.Hour)
		for _, n := range d.took() {
			require.NotEqual(t, laneswap.NoticeReminder, n.Kind, n.Text)
		}
		m.stop(t)
	})
}

// After a restart a reminder shows the current state, not the one last sent.
func TestReminders_afterARestartShowTheCurrentState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newFakeNotifier()
		only := laneswap.Only(d, laneswap.OnStatuses(laneswap.StatusWarning))
		m := startWithStorage(t, disk, laneswap.WithNotifier(only), laneswap.WithRemindEvery(time.Hour))
		reportEach(t, registerHealthy(t, m.Manager, "svc"), laneswap.StatusWarning, laneswap.StatusCritical)
		m.stop(t)
		d.calls()
		m = startWithStorage(t, disk, laneswap.WithNotifier(only), laneswap.WithRemindEvery(time.Hour))
		time.Sleep(90 * time.Minute)
		for _, n := range d.took() {
			require.NotContains(t, n.Text, "still warning", "it is critical")
		}
		m.stop(t)
	})
}

// What happens while a reminder is under way is gathered, and held back where the
// service flaps, as at any other time.
func TestReminders_whatComesDuringOneIsGathered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d, laneswap.WithRemindEvery(time.Hour))
		h := registerHealthy(t, m, "svc")
		reportEach(t, h, bad)
		time.Sleep(time.Minute)
		d.one(t)
		d.takes(3 * time.Second)
		time.Sleep(time.Hour - 63*time.Second) // a reminder is under way
		said := time.Now()
		reportEach(t, h, good)
		time.Sleep(time.Minute)
		calls := d.calls()
		require.Len(t, calls, 2)
		require.Equal(t, laneswap.NoticeReminder, calls[0].note.Kind)
		require.GreaterOrEqual(t, calls[1].at.Sub(said), laneswap.DefaultGroupWait)
	})
}

// A beat that comes while the storage is taken up must not make the downtime
// something that was heard.
func TestLoading_downtimeIsAnAbsenceDespiteBeats(t *testing.T) {
	t.Parallel()
	for try := range scaled(1, 1, 3) {
		synctest.Test(t, func(t *testing.T) {
			disk := storageAfter(t, func(m *laneswap.Manager) {
				require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "job", Interval: 3 * time.Hour, StaleAfter: 4 * time.Hour}, laneswap.Heartbeat{}))
				time.Sleep(2 * time.Hour)
			})
			at := time.Now().UTC()
			var owed []laneswap.Row // what is owed to a notifier that is not there
			for n := range 2_000 {
				id := fmt.Sprintf("x%d/1-1/1", n)
				ev := laneswap.Event{ID: id, Service: laneswap.ServiceID(fmt.Sprint("x", n)), At: at, Kind: laneswap.EventDown, Sequence: 1}
				data, err := json.Marshal(map[string]any{"v": 1, "notifier": "gone", "event": ev})
				require.NoError(t, err)
				owed = append(owed, laneswap.Row{Kind: kindOutbox, ID: "gone/" + id, Service: string(ev.Service), At: at, Open: true, Data: data})
			}
			putRows(t, disk, owed...)
			time.Sleep(4 * time.Hour)
			claimed := make(chan struct{})
			once := sync.OnceFunc(func() { close(claimed) })
			p := &hookStorage{Storage: disk, load: failingRows}
			m := startWithStorage(t, p)
			chatty := register(t, m.Manager, laneswap.Registration{ID: "chatty"})
			p.replace(func() {
				p.load = nil
				p.commit = func(ctx context.Context, b laneswap.Batch) error { once(); return disk.Commit(ctx, b) }
			})
			<-claimed // it is about to be taken up
			for m.Ready(t.Context()) != nil {
				chatty.Beat()
			}
			h, err := m.History(t.Context(), "job", laneswap.HistoryQuery{From: at.Add(-time.Hour)})
			require.NoError(t, err)
			time.Sleep(10 * time.Minute)
			require.NotEqual(t, laneswap.StatusStale, statusOf(t, m.Manager, "job").Status, "try %d: its heartbeat was expected while LaneSwap was down; absent %v", try, h.Absent)
			require.GreaterOrEqual(t, h.Absent, 4*time.Hour, "try %d", try)
			m.stop(t)
		})
	}
}
