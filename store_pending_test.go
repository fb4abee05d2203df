package laneswap_test

import (
	"context"
	"fmt"
	"iter"
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

func TestLoading_startsWithoutTheStorageAndMergesLater(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]storagetest.Fault{
		"refused":  {Op: storagetest.Load, Times: -1},
		"half":     {Op: storagetest.Load, Times: -1, How: storagetest.Half},
		"hanging":  {Op: storagetest.Load, Times: -1, How: storagetest.Hang},
		"no rows":  {Op: storagetest.Rows, Times: -1},
		"all away": {Op: storagetest.Any, Times: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { mergeLater(t, fault) })
		})
	}
}

func mergeLater(t *testing.T, fault storagetest.Fault) {
	disk := storageAfter(t, func(m *laneswap.Manager) {
		reg := laneswap.Registration{ID: "known", Name: "Known", Interval: time.Minute, Metadata: map[string]any{"old": "1", "both": "old"}}
		require.NoError(t, m.AnnounceBeat(t.Context(), reg, laneswap.Heartbeat{Status: laneswap.StatusError, Message: "ill"}))
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "silent"}, laneswap.Heartbeat{}))
	})
	faulty := storagetest.NewFaulty(disk)
	faulty.Inject(fault)
	told := &recorder{}
	begun := time.Now()
	m := startWithStorage(t, faulty, laneswap.WithNotifier(told))
	require.LessOrEqual(t, time.Since(begun), 5*time.Second)
	require.Equal(t, "loading", m.Health().Storage.State)
	require.ErrorIs(t, m.Ready(t.Context()), laneswap.ErrLoading)

	// Nobody knows what it does not know yet.
	_, err := m.Service(t.Context(), "silent")
	require.ErrorIs(t, err, laneswap.ErrLoading)
	require.ErrorIs(t, m.Beat(t.Context(), "silent", laneswap.Heartbeat{}), laneswap.ErrLoading)
	_, err = m.Handle("silent")
	require.ErrorIs(t, err, laneswap.ErrLoading)
	_, err = m.Summary(t.Context())
	require.ErrorIs(t, err, laneswap.ErrLoading)
	require.ErrorIs(t, m.Remove(t.Context(), "known"), laneswap.ErrLoading)
	_, err = m.Register(t.Context(), laneswap.Registration{Name: "a new one"})
	require.ErrorIs(t, err, laneswap.ErrLoading, "it may be one that is stored")
	for _, err := range m.Services(t.Context(), laneswap.ServiceQuery{}) {
		require.ErrorIs(t, err, laneswap.ErrLoading)
	}

	// What comes with an id is held.
	st, err := m.Register(t.Context(), laneswap.Registration{ID: "known", Interval: 2 * time.Minute, Metadata: map[string]any{"both": "new"}})
	require.NoError(t, err)
	require.True(t, st.NotDurable)
	h, err := m.Handle("known")
	require.NoError(t, err)
	st, err = m.Register(t.Context(), laneswap.Registration{ID: "fresh"})
	require.NoError(t, err)
	require.True(t, st.NotDurable)
	for range 1000 {
		h.Beat()
		require.NoError(t, m.Beat(t.Context(), "fresh", laneswap.Heartbeat{Message: "hi", Metadata: map[string]any{"k": 1.0}}))
	}
	st, err = m.Report(t.Context(), "fresh", laneswap.Heartbeat{Status: laneswap.StatusWarning, Message: "hot"})
	require.NoError(t, err)
	require.True(t, st.NotDurable)
	require.ErrorIs(t, m.Sync(t.Context()), laneswap.ErrDegraded)
	time.Sleep(time.Hour)
	synctest.Wait()
	require.Empty(t, told.kinds(), "nobody is judged")

	h.Beat()
	faulty.Heal()
	time.Sleep(35 * time.Second) // a call that hangs is given up after 30
	require.NoError(t, m.Ready(t.Context()))
	require.Equal(t, "ok", m.Health().Storage.State)
	got := statusOf(t, m.Manager, "known")
	require.Equal(t, "Known", got.Name)
	require.Equal(t, 2*time.Minute, got.Interval)
	require.Equal(t, map[string]any{"old": "1", "both": "new"}, got.Metadata)
	require.Equal(t, laneswap.StatusHealthy, got.Status)
	require.Equal(t, uint64(1002), got.Beats)
	require.Equal(t, begun.UTC(), got.CreatedAt)
	fresh := statusOf(t, m.Manager, "fresh")
	require.Equal(t, "hot", fresh.Message)
	require.Equal(t, map[string]any{"k": 1.0}, fresh.Metadata)
	require.Equal(t, laneswap.StatusWarning, fresh.ReportedStatus)
	require.Equal(t, laneswap.StatusHealthy, statusOf(t, m.Manager, "silent").Status, "it has the benefit of the doubt")
	h.Beat()
	time.Sleep(2*time.Minute + 5*time.Second)
	require.Equal(t, laneswap.StatusStale, statusOf(t, m.Manager, "silent").Status)
	require.Equal(t, laneswap.StatusStale, statusOf(t, m.Manager, "fresh").Status)
	var known []laneswap.EventKind
	for _, ev := range eventsOf(t, m.Manager, laneswap.EventQuery{Service: "known"}) {
		known = append(known, ev.Kind)
	}
	require.Equal(t, []laneswap.EventKind{laneswap.EventDown, laneswap.EventRecovered}, known)
	require.NoError(t, m.CheckBooks())
	m.stop(t)

	m = startWithStorage(t, disk)
	require.Equal(t, laneswap.StatusStale, statusOf(t, m.Manager, "fresh").Status)
	m.stop(t)
}

func TestLoading_announceKeepsAKnownRegistration(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := storageAfter(t, func(m *laneswap.Manager) {
			_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc", Name: "Named", Interval: time.Hour, Tags: []string{"a"}})
			require.NoError(t, err)
		})
		faulty := storagetest.NewFaulty(disk)
		faulty.Inject(storagetest.Fault{Op: storagetest.Load, Times: -1})
		m := startWithStorage(t, faulty)
		require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc"}, laneswap.Heartbeat{}))
		faulty.Heal()
		time.Sleep(10 * time.Second)
		st := statusOf(t, m.Manager, "svc")
		require.Equal(t, "Named", st.Name)
		require.Equal(t, time.Hour, st.Interval)
		require.Equal(t, laneswap.StatusHealthy, st.Status)
		m.stop(t)
	})
}

func TestLoading_stopWhileTheStorageIsAwayEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		faulty := storagetest.NewFaulty(memorystore.New())
		faulty.Inject(storagetest.Fault{Op: storagetest.Load, Times: -1, How: storagetest.Hang})
		m := startWithStorage(t, faulty)
		m.stopped = true
		require.ErrorIs(t, m.Stop(t.Context()), laneswap.ErrDegraded)
	})
}

func TestStart_endsWithItsContextAndMayBeTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		faulty := storagetest.NewFaulty(memorystore.New())
		faulty.Inject(storagetest.Fault{Op: storagetest.Load, How: storagetest.Hang})
		m := laneswap.NewManager(laneswap.WithStorage(faulty))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, m.Start(ctx), context.DeadlineExceeded)
		require.ErrorIs(t, m.Ready(t.Context()), laneswap.ErrNotStarted)
		require.NoError(t, m.Start(t.Context()))
		require.NoError(t, m.Ready(t.Context()))
		require.NoError(t, m.Stop(t.Context()))
	})
}

// newerStorage is a storage that a newer LaneSwap has written.
type newerStorage struct{ *memorystore.Store }

func (s newerStorage) Load(ctx context.Context) iter.Seq2[laneswap.Row, error] {
	return func(yield func(laneswap.Row, error) bool) {
		yield(laneswap.Row{Kind: laneswap.KindService, ID: "a", Service: "a", Open: true, Data: []byte(`{"v":99,"id":"a"}`)}, nil)
	}
}

func TestStart_refusesTheStorageOfANewerLaneSwap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := laneswap.NewManager(laneswap.WithStorage(newerStorage{memorystore.New()}))
		err := m.Start(t.Context())
		require.ErrorIs(t, err, laneswap.ErrStorage)
		require.ErrorContains(t, err, "newer LaneSwap")
		require.NoError(t, m.Stop(t.Context()))
	})
}

// brokenLoad is a storage with rows that cannot be read.
type brokenLoad struct{ *memorystore.Store }

func (s brokenLoad) Load(ctx context.Context) iter.Seq2[laneswap.Row, error] {
	return func(yield func(laneswap.Row, error) bool) {
		if !yield(laneswap.Row{Kind: laneswap.KindService, ID: "torn", Service: "torn", Open: true, Data: []byte(`{"v":1,`)}, nil) {
			return
		}
		for row, err := range s.Store.Load(ctx) {
			if !yield(row, err) {
				return
			}
		}
	}
}

func TestStart_saysWhichRowsCannotBeReadAndGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := storageAfter(t, func(m *laneswap.Manager) {
			_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
			require.NoError(t, err)
		})
		m := startWithStorage(t, brokenLoad{disk}, laneswap.WithRemark("the file was damaged"))
		require.Equal(t, laneswap.StatusUnknown, statusOf(t, m.Manager, "svc").Status)
		require.Equal(t, []laneswap.EventKind{laneswap.EventStorageDamaged, laneswap.EventStorageDamaged}, kindsOf(t, m.Manager))
		m.stop(t)
	})
}

func TestLoading_anIdleStorageThatPanicsIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calm atomic.Bool
		m := startWithStorage(t, panickingStorage{memorystore.New(), &calm})
		require.ErrorIs(t, m.Ready(t.Context()), laneswap.ErrLoading)
		calm.Store(true)
		time.Sleep(10 * time.Second)
		require.NoError(t, m.Ready(t.Context()))
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
		require.NoError(t, err)
		calm.Store(false)
		st, err := m.Report(t.Context(), "svc", laneswap.Heartbeat{Status: laneswap.StatusError})
		require.NoError(t, err)
		require.True(t, st.NotDurable)
		calm.Store(true)
		time.Sleep(10 * time.Second)
		require.NoError(t, m.Sync(t.Context()))
		m.stop(t)
	})
}

// panickingStorage panics unless it is calm.
type panickingStorage struct {
	laneswap.Storage
	calm *atomic.Bool
}

func (p panickingStorage) Load(ctx context.Context) iter.Seq2[laneswap.Row, error] {
	if !p.calm.Load() {
		panic("load")
	}
	return p.Storage.Load(ctx)
}

func (p panickingStorage) Commit(ctx context.Context, b laneswap.Batch) error {
	if !p.calm.Load() {
		panic("commit")
	}
	return p.Storage.Commit(ctx, b)
}

// What is held of a service is bounded, and its registration is the last to go.
func TestLoading_keepsTheRegistrationOfABusyService(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := storageAfter(t, func(m *laneswap.Manager) {
			require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc", Interval: 10 * time.Second}, laneswap.Heartbeat{}))
		})
		p := &hookStorage{Storage: disk, load: failingRows}
		m := startWithStorage(t, p)
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc", Name: "new", Interval: time.Hour})
		require.NoError(t, err)
		for i := range 24 {
			status := []laneswap.Status{laneswap.StatusBusy, laneswap.StatusIdle}[i%2]
			require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{Status: status}))
			time.Sleep(time.Second)
		}
		p.heal()
		time.Sleep(10 * time.Second)
		require.NoError(t, m.Ready(t.Context()))
		st := statusOf(t, m.Manager, "svc")
		require.Equal(t, "new", st.Name)
		require.Equal(t, time.Hour, st.Interval)
		m.stop(t)
	})
}

func TestLoading_keepsARegistrationWithMuchMetadata(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := storageAfter(t, func(m *laneswap.Manager) {
			require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc", Interval: 10 * time.Second}, laneswap.Heartbeat{}))
		})
		p := &hookStorage{Storage: disk, load: failingRows}
		m := startWithStorage(t, p)
		large := strings.Repeat("0123456789", 750)
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc", Interval: time.Hour, Metadata: map[string]any{"env": large}})
		require.NoError(t, err)
		require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{Message: "starting " + large[:2000]}))
		p.heal()
		time.Sleep(10 * time.Second)
		require.Equal(t, time.Hour, statusOf(t, m.Manager, "svc").Interval)
		m.stop(t)
	})
}

func TestLoading_heartbeatsSurviveACleanStop(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{false, true} {
		t.Run(fmt.Sprint("known ", known), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := storageAfter(t, func(m *laneswap.Manager) {
					if known {
						require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: "svc"}, laneswap.Heartbeat{}))
					}
				})
				p := &hookStorage{Storage: disk, load: failingRows}
				m := startWithStorage(t, p)
				_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
				require.NoError(t, err)
				require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{Message: "hello"}))
				p.heal()
				time.Sleep(10 * time.Second)
				said := func() (all []string) {
					for rec, err := range m.Heartbeats(t.Context(), "svc") {
						require.NoError(t, err)
						all = append(all, rec.Message)
					}
					return all
				}
				require.Equal(t, []string{"hello"}, said())
				time.Sleep(2 * time.Minute)
				m.stop(t)
				m = startWithStorage(t, disk)
				require.Equal(t, []string{"hello"}, said())
				m.stop(t)
			})
		})
	}
}
