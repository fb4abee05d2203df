package laneswap_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
	"github.com/laneswap/laneswap/examples/memorystore"
)

func aliveRow(data string) laneswap.Row {
	return laneswap.Row{Kind: kindAlive, ID: "alive", At: time.Now().UTC(), Open: true, Data: []byte(data)}
}

// aliveOf is the alive row that is stored.
func aliveOf(t *testing.T, s laneswap.Storage) (alive laneswap.Row) {
	t.Helper()
	for row, err := range s.Rows(t.Context(), laneswap.RowQuery{Kind: kindAlive}) {
		require.NoError(t, err)
		alive = row
	}
	require.Equal(t, kindAlive, alive.Kind)
	return alive
}

func TestStart_damagedAliveRowStopsNoWatching(t *testing.T) {
	t.Parallel()
	for _, damaged := range []string{`{"v":1,`, ``, `null`, `{"v":1,"next":-1}`, `[]`} {
		t.Run(damaged, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				disk := storageAfter(t, func(m *laneswap.Manager) {
					require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc"}, laneswap.Heartbeat{}))
				})
				putRows(t, disk, aliveRow(damaged))
				m := startWithStorage(t, disk)
				require.NoError(t, m.Ready(t.Context()))
				time.Sleep(time.Hour)
				require.Equal(t, laneswap.StatusStale, statusOf(t, m.Manager, "svc").Status)
				damages := countKind(kindsOf(t, m.Manager), laneswap.EventStorageDamaged)
				m.stop(t)
				m = startWithStorage(t, disk)
				require.Equal(t, damages, countKind(kindsOf(t, m.Manager), laneswap.EventStorageDamaged), "the next start finds it whole")
				m.stop(t)
			})
		})
	}
}

func TestStart_unreadableServiceIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		now := time.Now().UTC()
		bad := laneswap.Row{Kind: laneswap.KindService, ID: "svc", Service: "svc", At: now, Open: true, Data: []byte(`{"v":1,"id":"svc","created_at":"2024-13-45"}`)}
		seen := []laneswap.Seen{{Service: "svc", At: now}, {Service: "stray", At: now}}
		require.NoError(t, disk.Commit(t.Context(), laneswap.Batch{Epoch: 1, Put: []laneswap.Row{bad}, Seen: seen}))
		for range 2 {
			m := startWithStorage(t, disk)
			require.Contains(t, kindsOf(t, m.Manager), laneswap.EventStorageDamaged)
			time.Sleep(2 * time.Second)
			m.stop(t)
		}
		for row, err := range disk.Rows(t.Context(), laneswap.RowQuery{Kind: laneswap.KindService}) {
			require.NoError(t, err)
			require.Equal(t, bad, row)
		}
		require.Equal(t, 1, countRows(t, disk, laneswap.KindService))
		left := 0
		for row, err := range disk.Load(t.Context()) {
			require.NoError(t, err)
			if row.Kind == laneswap.KindSeen {
				require.Equal(t, "svc", row.Service, "there is no service of the other one")
				left++
			}
		}
		require.Equal(t, 1, left)
	})
}

// One row that no version can have written must not keep LaneSwap from watching.
func TestStart_newerBeatsOrNoticeIsLeftAsItIs(t *testing.T) {
	t.Parallel()
	for _, kind := range []laneswap.Kind{"beats", "outbox"} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				disk := storageAfter(t, func(m *laneswap.Manager) {
					require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc"}, laneswap.Heartbeat{}))
				})
				putRows(t, disk, laneswap.Row{Kind: kind, ID: "svc", Service: "svc", At: time.Now().UTC(), Open: true, Data: []byte(`{"v":99}`)})
				m := startWithStorage(t, disk)
				require.NoError(t, m.Ready(t.Context()))
				require.Contains(t, kindsOf(t, m.Manager), laneswap.EventStorageDamaged)
				m.stop(t)
				require.Equal(t, 1, countRows(t, disk, kind))
			})
		})
	}
}

func TestLoading_newerStorageIsNamedAfterAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		putRows(t, disk, aliveRow(`{"v":99}`))
		faulty := storagetest.NewFaulty(disk)
		faulty.Inject(storagetest.Fault{Op: storagetest.Load})
		var logged logBuffer
		m := startWithStorage(t, faulty, laneswap.WithLogger(slog.New(slog.NewTextHandler(&logged, nil))))
		time.Sleep(time.Hour)
		require.Contains(t, logged.String(), "newer LaneSwap")
		require.ErrorIs(t, m.Ready(t.Context()), laneswap.ErrLoading)
		require.Equal(t, "loading", m.Health().Storage.State)
		require.JSONEq(t, `{"v":99}`, string(aliveOf(t, disk).Data), "it is not touched")
		m.kill()
	})
}

// The clock was wrong when LaneSwap was killed, and is right again.
func TestStart_futureAliveRowJudgesNobodyTooEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		s := newCrashStorage(disk)
		m := startWithStorage(t, s)
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "hourly", Interval: time.Hour}, laneswap.Heartbeat{}))
		made, err := m.Register(t.Context(), laneswap.Registration{Name: "worker"}) // it is forgotten a day after its end
		require.NoError(t, err)
		time.Sleep(10 * time.Minute)
		require.Equal(t, laneswap.StatusStale, statusOf(t, m.Manager, made.ID).Status)
		require.NoError(t, m.Sync(t.Context()))
		m.crash(s)
		alive := aliveOf(t, disk)
		alive.At = alive.At.AddDate(1, 0, 0)
		putRows(t, disk, alive)

		m = startWithStorage(t, disk)
		time.Sleep(40 * time.Minute)
		require.Equal(t, laneswap.StatusHealthy, statusOf(t, m.Manager, "hourly").Status)
		require.Equal(t, laneswap.StatusStale, statusOf(t, m.Manager, made.ID).Status, "it ended minutes ago")
		time.Sleep(3 * time.Hour)
		require.Equal(t, laneswap.StatusStale, statusOf(t, m.Manager, "hourly").Status)
		m.stop(t)
	})
}

// The jump of the clock was seen as an absence, and that is stored too.
func TestStart_futureAbsenceJudgesNobodyTooEarly(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{time.Hour, 26 * time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				disk := memorystore.New()
				s := newCrashStorage(disk)
				m := startWithStorage(t, s)
				require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "hourly", Interval: time.Hour}, laneswap.Heartbeat{}))
				time.Sleep(10 * time.Minute)
				require.NoError(t, m.Sync(t.Context()))
				m.crash(s)
				alive := aliveOf(t, disk)
				from := alive.At
				alive.At = from.Add(ahead)
				gone := laneswap.Row{Kind: kindAbsence, ID: "x", At: alive.At, Data: fmt.Appendf(nil, `{"v":1,"from":%d,"back":%d,"lost":true}`, from.UnixMilli(), alive.At.UnixMilli())}
				putRows(t, disk, alive, gone)

				m = startWithStorage(t, disk)
				time.Sleep(45 * time.Minute) // it beat 55 min ago
				require.Equal(t, laneswap.StatusHealthy, statusOf(t, m.Manager, "hourly").Status, "%v", kindsOf(t, m.Manager))
				m.stop(t)
			})
		})
	}
}

func TestStart_futureSeenRowHidesNoSilence(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{0, 365 * 24 * time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				disk := memorystore.New()
				m := startWithStorage(t, disk)
				require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc", StaleAfter: 10 * time.Minute}, laneswap.Heartbeat{}))
				time.Sleep(3 * time.Second)
				m.stop(t)
				wrong := laneswap.Seen{Service: "svc", At: time.Now().UTC().Add(ahead)}
				require.NoError(t, disk.Commit(t.Context(), laneswap.Batch{Epoch: 1, Seen: []laneswap.Seen{wrong}}))
				for range 10 { // each lives shorter than the window
					m = startWithStorage(t, disk)
					time.Sleep(8 * time.Minute)
					m.stop(t)
				}
				m = startWithStorage(t, disk)
				require.Equal(t, laneswap.StatusStale, statusOf(t, m.Manager, "svc").Status)
				require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{}))
				at := time.Now().UTC()
				time.Sleep(3 * time.Second)
				m.stop(t)
				m = startWithStorage(t, disk)
				require.Equal(t, at, statusOf(t, m.Manager, "svc").LastHeartbeat)
				m.stop(t)
			})
		})
	}
}

// The storage orders by time, and the latest events are not the youngest by it.
func TestEvents_clockSetBackLeavesNoneOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		begun := time.Now().UTC().Add(-time.Hour)
		for i := 1; i <= 25; i++ {
			at := begun.Add(time.Duration(i) * time.Second)
			if i > 20 {
				at = at.Add(-30 * time.Minute)
			}
			ev := laneswap.Event{ID: fmt.Sprint("/laneswap/", i), Sequence: uint64(i), Kind: laneswap.EventStorageAway, At: at}
			data, err := json.Marshal(map[string]any{"v": 1, "event": ev})
			require.NoError(t, err)
			putRows(t, disk, laneswap.Row{Kind: laneswap.KindEvent, ID: ev.ID, At: at, Data: data})
		}
		putRows(t, disk, aliveRow(`{"v":1,"journal":"j","next":26,"born":1}`))
		m := startWithStorage(t, disk, laneswap.WithEventBuffer(10))
		for _, after := range []uint64{15, 20, 24} {
			var got, want []uint64
			for _, ev := range eventsOf(t, m.Manager, laneswap.EventQuery{After: after}) {
				got = append(got, ev.Sequence)
			}
			for n := after + 1; n <= 25; n++ {
				want = append(want, n)
			}
			require.Equal(t, want, got)
		}
		for _, err := range m.Events(t.Context(), laneswap.EventQuery{After: 10}) {
			require.ErrorIs(t, err, laneswap.ErrGone, "it says what it does not keep")
		}
		m.stop(t)
	})
}
