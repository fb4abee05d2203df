package laneswap_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// LaneSwap's own alarms end as well: the storage is back.
func TestRoutes_ownAlarmsAreEndedInSpiteOfTheFilter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		faulty := storagetest.NewFaulty(memorystore.New())
		d := newFakeNotifier()
		m := startWithStorage(t, faulty, laneswap.WithNotifier(laneswap.Only(d, laneswap.MinLevel(laneswap.LevelError))))
		faulty.Inject(storagetest.Fault{Op: storagetest.Commit, Times: -1})
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc", NoDeadline: true})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		faulty.Heal()
		time.Sleep(time.Minute)
		var kinds []laneswap.EventKind
		for _, ev := range eventsIn(d.took()...) {
			kinds = append(kinds, ev.Kind)
		}
		require.Equal(t, []laneswap.EventKind{laneswap.EventStorageAway, laneswap.EventStorageBack}, kinds)
		m.stop(t)
	})
}

// A clock that was set back while LaneSwap was down must not hold back what waits
// because its service flaps.
func TestFlapping_isToldThoughTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	disk := memorystore.New()
	d := newFakeNotifier()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(100 * time.Hour)
		s := newCrashStorage(disk)
		m := startWithStorage(t, s, laneswap.WithNotifier(d), laneswap.WithFlapLimit(5))
		reportEach(t, registerHealthy(t, m.Manager, "svc"), good, bad, good, bad, good, bad, good, bad, good, bad)
		m.crash(s)
		for _, c := range d.calls() {
			t.Log(c.at, c.note.Text)
		}
	})
	synctest.Test(t, func(t *testing.T) { // begins 100 hours earlier
		m := startWithStorage(t, disk, laneswap.WithNotifier(d), laneswap.WithFlapLimit(5))
		time.Sleep(16 * time.Minute)
		require.NotEmpty(t, d.took(), "the service is bad, and nobody knows")
		m.stop(t)
	})
}

// Pending notices are delivered although the clock was set forward or back by years.
func TestNotices_surviveAWrongClock(t *testing.T) {
	t.Parallel()
	for _, from := range []time.Duration{0, 200 * time.Hour, 20000 * time.Hour} {
		for _, to := range []time.Duration{0, 200 * time.Hour, 20000 * time.Hour} {
			disk, d := memorystore.New(), newFakeNotifier()
			d.answers(alwaysReturn(errAway))
			t.Run(fmt.Sprint(from, to), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					time.Sleep(from)
					s := newCrashStorage(disk)
					m := startWithStorage(t, s, laneswap.WithNotifier(d))
					reportEach(t, registerHealthy(t, m.Manager, "svc"), bad)
					m.crash(s)
				})
				d.calls()
				d.answers(nil)
				synctest.Test(t, func(t *testing.T) {
					time.Sleep(to)
					m := startWithStorage(t, disk, laneswap.WithNotifier(d))
					time.Sleep(time.Minute)
					require.Len(t, d.took(), 1)
					m.stop(t)
				})
			})
		}
	}
}

// Notices of a notifier that is not configured expire after a day, also without a restart.
func TestNotices_ofAMissingNotifierExpireWhileRunning(t *testing.T) {
	skipShort(t)
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newFakeNotifier()
		d.answers(alwaysReturn(errAway))
		s := newCrashStorage(disk)
		m := startWithStorage(t, s, laneswap.WithNotifier(d))
		reportEach(t, registerHealthy(t, m.Manager, "svc"), bad)
		m.crash(s)
		m = startWithStorage(t, disk)
		time.Sleep(25 * time.Hour)
		require.Zero(t, pendingNotices(t, disk))
		m.stop(t)
	})
}

// A panic is for the log: what it holds may be a secret, and a stack is for nobody
// else.
func TestNotifiers_showNoStackOfAPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		d.answers(func(laneswap.Notification) error {
			panic(errors.New("Post https://discord/api/webhooks/1/CANARY: eof"))
		})
		m := startWithNotifier(t, d, laneswap.WithGroupWait(0))
		reportEach(t, registerHealthy(t, m, "svc"), bad)
		st := d.status(t, m)
		x, err := m.Explain(t.Context(), noticeEventIDs(t, m, "svc")[0])
		require.NoError(t, err)
		all := st.LastError + fmt.Sprint(x)
		require.NotContains(t, all, "goroutine ")
		require.NotContains(t, all, ".go:")
		require.NotContains(t, all, "CANARY")
		d.answers(nil)
	})
}

// A recovery that waits together with the next alarm is in the text.
func TestAlertText_namesARecoveryBetweenTwoAlarms(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeNotifier()
		m := startWithNotifier(t, d)
		h := registerHealthy(t, m, "svc")
		reportEach(t, h, bad)
		require.Len(t, d.took(), 1)
		d.answers(alwaysReturn(errAway))
		reportEach(t, h, good, laneswap.StatusCritical)
		d.answers(nil)
		time.Sleep(time.Hour)
		n := d.one(t)
		require.Len(t, n.Items[0].Earlier, 1)
		require.NotContains(t, n.Text, "was error", "it was healthy")
		require.Contains(t, strings.ToLower(n.Text), "healthy")
	})
}

// The notices of a kill between the event and the rest wait for their thresholds.
func TestThreshold_countsForNoticesRestoredAfterAKill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, d := memorystore.New(), newFakeNotifier()
		torn := &tornStore{Storage: disk}
		s := newCrashStorage(torn)
		m := startWithStorage(t, s, laneswap.WithNotifier(d))
		h := register(t, m.Manager, laneswap.Registration{ID: "svc", NoDeadline: true, AlertAfter: beats(3)})
		h.Beat()
		time.Sleep(time.Minute)
		torn.only.Store(true)
		require.NoError(t, h.Report(laneswap.Heartbeat{Status: bad}))
		synctest.Wait() // its first half is stored
		m.crash(s)
		m = startWithStorage(t, disk, laneswap.WithNotifier(d))
		time.Sleep(time.Minute)
		require.Equal(t, laneswap.StatusError, statusOf(t, m.Manager, "svc").Status)
		require.Empty(t, d.took(), "one of three")
		reportEach(t, handleOf(t, m.Manager, "svc"), bad, bad)
		require.Len(t, d.took(), 1)
		m.stop(t)
	})
}

// tornStore stores the inserts of a batch only, once it is told to, as a storage
// without transactions does when it is killed.
type tornStore struct {
	laneswap.Storage
	only atomic.Bool
}

func (s *tornStore) Commit(ctx context.Context, b laneswap.Batch) error {
	if s.only.Load() && len(b.Insert) > 0 {
		b.Put, b.Delete, b.Seen = nil, nil, nil
		_ = s.Storage.Commit(ctx, b)
		return errCrashed
	}
	return s.Storage.Commit(ctx, b)
}

// Invalid rows prevent neither the start nor the delivery of other notices.
func TestNotices_invalidRowsDoNoHarm(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(row map[string]any){
		"no service":       func(row map[string]any) { row["event"].(map[string]any)["service"] = "" },
		"unknown state":    func(row map[string]any) { row["state"] = "telegraphed" },
		"unknown notifier": func(row map[string]any) { row["notifier"] = "nobody" },
		"huge flap due":    func(row map[string]any) { row["flap_due"] = 1e17; row["flaps"] = true },
		"negative":         func(row map[string]any) { row["attempts"] = -5; row["sent_at"] = -1; row["reminders"] = -3 },
		"held for ever": func(row map[string]any) {
			row["state"] = "held"
			row["hold"] = map[string]any{"beats": 1000, "until": 0}
		},
		"held until never": func(row map[string]any) { row["state"] = "held"; row["hold"] = map[string]any{"for": 1, "until": 9e15} },
		"held recovery": func(row map[string]any) {
			row["state"] = "held"
			row["hold"] = map[string]any{"recovery": true, "beats": 3}
		},
		"sent":        func(row map[string]any) { row["state"] = "sent" },
		"dead, open":  func(row map[string]any) { row["state"] = "dead" },
		"far future":  func(row map[string]any) { row["event"].(map[string]any)["timestamp"] = "9999-12-31T23:59:59Z" },
		"long ago":    func(row map[string]any) { row["event"].(map[string]any)["timestamp"] = "1970-01-02T00:00:00Z" },
		"more fields": func(row map[string]any) { row["sound"] = []any{1, 2, 3} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk, d := memorystore.New(), newFakeNotifier()
				d.answers(alwaysReturn(errAway))
				s := newCrashStorage(disk)
				m := startWithStorage(t, s, laneswap.WithNotifier(d))
				reportEach(t, registerHealthy(t, m.Manager, "spoilt"), bad)
				reportEach(t, registerHealthy(t, m.Manager, "other"), bad)
				m.crash(s)
				for row, err := range disk.Rows(t.Context(), laneswap.RowQuery{Kind: "outbox", Service: "spoilt"}) {
					require.NoError(t, err)
					var data map[string]any
					require.NoError(t, json.Unmarshal(row.Data, &data))
					spoil(data)
					row.Data, _ = json.Marshal(data)
					require.NoError(t, disk.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: []laneswap.Row{row}}))
				}
				d.answers(nil)
				d.calls()
				m = startWithStorage(t, disk, laneswap.WithNotifier(d), laneswap.WithRemindEvery(time.Hour))
				time.Sleep(5 * time.Minute)
				notes := d.took()
				t.Log(texts(notes))
				require.Contains(t, servicesIn(notes...), laneswap.ServiceID("other"))
				for _, id := range []laneswap.ServiceID{"spoilt", "other"} {
					reportEach(t, handleOf(t, m.Manager, id), good, bad, good)
				}
				time.Sleep(20 * time.Minute)
				m.stop(t)
				t.Log("owed", pendingNotices(t, disk))
				m = startWithStorage(t, disk, laneswap.WithNotifier(d))
				time.Sleep(20 * time.Minute)
				m.stop(t)
				if name != "unknown notifier" {
					require.Zero(t, pendingNotices(t, disk))
				}
			})
		})
	}
}
