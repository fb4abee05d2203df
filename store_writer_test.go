package laneswap_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// taken is a storage in which the ids of some rows are taken by something else.
type taken struct {
	laneswap.Storage
	by func(laneswap.Row) bool
}

func (s taken) Commit(ctx context.Context, b laneswap.Batch) error {
	for i, row := range b.Insert {
		if s.by(row) {
			b = laneswap.Batch{Epoch: b.Epoch, Insert: b.Insert[:i]} // and nothing behind it
			if err := s.Storage.Commit(ctx, b); err != nil {
				return err
			}
			return laneswap.ErrExists
		}
	}
	return s.Storage.Commit(ctx, b)
}

func TestStorage_takenIDBlocksNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		s := newCrashStorage(taken{disk, func(row laneswap.Row) bool { return holdsEvent(row, laneswap.EventDown) && row.Service == "b" }})
		m := startWithStorage(t, s)
		for _, id := range []laneswap.ServiceID{"a", "b", "c"} {
			require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: id}, laneswap.Heartbeat{}))
		}
		for _, id := range []laneswap.ServiceID{"a", "b", "c"} {
			st, err := m.Report(t.Context(), id, laneswap.Heartbeat{Status: laneswap.StatusError})
			require.NoError(t, err)
			require.False(t, st.NotDurable, id)
		}
		require.NoError(t, m.Sync(t.Context()))
		require.Equal(t, "ok", m.Health().Storage.State)
		require.Equal(t, 1, countKind(kindsOf(t, m.Manager), laneswap.EventStorageLost), "it is said once")
		time.Sleep(2 * time.Second)
		m.crash(s)
		m = startWithStorage(t, disk)
		var down []laneswap.ServiceID
		for _, ev := range eventsOf(t, m.Manager, laneswap.EventQuery{}) {
			if ev.Kind == laneswap.EventDown {
				down = append(down, ev.Service)
			}
		}
		require.Equal(t, []laneswap.ServiceID{"a", "c"}, down)
		require.Contains(t, kindsOf(t, m.Manager), laneswap.EventStorageLost)
		for _, id := range []laneswap.ServiceID{"a", "b", "c"} {
			require.Equal(t, laneswap.StatusError, statusOf(t, m.Manager, id).Status, "the state is stored, whatever became of the event")
		}
		st, err := m.Report(t.Context(), "b", laneswap.Heartbeat{})
		require.NoError(t, err)
		require.False(t, st.NotDurable)
		require.Equal(t, laneswap.EventRecovered, lastEvent(t, m.Manager).Kind)
		m.stop(t)
	})
}

// fenced is a storage that a newer writer takes over.
type fenced struct {
	laneswap.Storage
	over atomic.Bool
	late atomic.Int64 // commits that came after
}

func (s *fenced) Commit(ctx context.Context, b laneswap.Batch) error {
	if s.over.Load() {
		s.late.Add(1)
		return fmt.Errorf("another one: %w", laneswap.ErrFenced)
	}
	return s.Storage.Commit(ctx, b)
}

func TestStorage_fencedWriterStoresNothingAndWatchesOn(t *testing.T) {
	t.Parallel()
	for _, away := range []bool{false, true} {
		t.Run(fmt.Sprint("away before ", away), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { takeOver(t, away) })
		})
	}
}

func takeOver(t *testing.T, away bool) {
	disk := memorystore.New()
	faulty := storagetest.NewFaulty(disk)
	s := &fenced{Storage: faulty}
	told := &recorder{}
	m := startWithStorage(t, s, laneswap.WithNotifier(told))
	h := register(t, m.Manager, laneswap.Registration{ID: "svc"})
	register(t, m.Manager, laneswap.Registration{ID: "silent"})
	h.Beat()
	require.NoError(t, m.Sync(t.Context()))
	time.Sleep(2 * time.Second)
	if away {
		faulty.Inject(storagetest.Fault{Op: storagetest.Commit, Times: -1})
		time.Sleep(20 * time.Second)
		require.Equal(t, "degraded", m.Health().Storage.State)
	}
	s.over.Store(true)
	faulty.Heal()
	time.Sleep(10 * time.Second) // those who stay away are asked again
	require.Equal(t, "fenced", m.Health().Storage.State)
	require.False(t, m.Health().Storage.Since.IsZero())
	tried := s.late.Load()
	require.NotZero(t, tried)
	before := time.Now()
	st, err := m.Report(t.Context(), "svc", laneswap.Heartbeat{Status: laneswap.StatusError})
	require.NoError(t, err)
	require.True(t, st.NotDurable)
	st, err = m.Register(t.Context(), laneswap.Registration{ID: "late"})
	require.NoError(t, err)
	require.True(t, st.NotDurable)
	require.ErrorIs(t, m.Remove(t.Context(), "late"), laneswap.ErrDegraded)
	require.ErrorIs(t, m.Sync(t.Context()), laneswap.ErrDegraded)
	require.Zero(t, time.Since(before), "nobody waits for what is over")
	time.Sleep(2 * window)
	require.Equal(t, laneswap.StatusStale, statusOf(t, m.Manager, "silent").Status, "watching goes on")
	require.Equal(t, laneswap.StatusStale, statusOf(t, m.Manager, "svc").Status)
	require.Equal(t, tried, s.late.Load(), "nothing is offered any more")
	require.Contains(t, told.kinds(), laneswap.EventDown)
	require.Contains(t, told.kinds(), laneswap.EventStorageAway, "people hear of it")
	before = time.Now()
	m.stopped = true
	require.ErrorIs(t, m.Stop(t.Context()), laneswap.ErrDegraded)
	require.LessOrEqual(t, time.Since(before), 2*time.Second)
	require.Equal(t, tried, s.late.Load())

	m = startWithStorage(t, disk)
	require.NotEqual(t, laneswap.StatusError, statusOf(t, m.Manager, "svc").ReportedStatus, "what came after was not stored")
	m.stop(t)
}

func TestSync_manyReportsShareFewCommits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const services = 1000
		disk := memorystore.New()
		faulty := storagetest.NewFaulty(disk)
		m := startWithStorage(t, faulty)
		id := func(i int) laneswap.ServiceID { return laneswap.ServiceID(fmt.Sprint("svc", i)) }
		for i := range services {
			require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: id(i)}, laneswap.Heartbeat{}))
		}
		require.NoError(t, m.Sync(t.Context()))
		faulty.Inject(storagetest.Fault{Op: storagetest.Commit, Times: -1, How: storagetest.Slow, Delay: 5 * time.Millisecond})
		commits, began := faulty.Calls(storagetest.Commit), time.Now()
		var group sync.WaitGroup
		var durable atomic.Int64
		for i := range services {
			group.Go(func() {
				st, err := m.Report(t.Context(), id(i), laneswap.Heartbeat{Status: laneswap.StatusError})
				if err == nil && !st.NotDurable {
					durable.Add(1)
				}
			})
		}
		group.Wait()
		require.Equal(t, int64(services), durable.Load())
		require.Less(t, faulty.Calls(storagetest.Commit)-commits, 12, "they are stored in groups")
		require.Less(t, time.Since(began), 100*time.Millisecond)
		require.Equal(t, 2*services, countRows(t, disk, laneswap.KindEvent)) // up and down of each
		m.stop(t)
	})
}

func TestBeat_neverWaitsForAStorageThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		faulty := storagetest.NewFaulty(disk)
		m := startWithStorage(t, faulty)
		h := register(t, m.Manager, laneswap.Registration{ID: "svc"})
		require.NoError(t, m.Sync(t.Context()))
		faulty.Inject(storagetest.Fault{Op: storagetest.Commit, Times: -1, How: storagetest.Hang})
		for i := range 60 {
			began := time.Now()
			h.Beat()
			status := []laneswap.Status{laneswap.StatusError, laneswap.StatusHealthy}[i%2]
			require.NoError(t, m.Beat(t.Context(), "svc", laneswap.Heartbeat{Status: status, Message: "still here"}))
			require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: laneswap.ServiceID(fmt.Sprint("new", i))}, laneswap.Heartbeat{}))
			statusOf(t, m.Manager, "svc")
			require.Zero(t, time.Since(began))
			time.Sleep(time.Second)
		}
		began := time.Now()
		st, err := m.Report(t.Context(), "svc", laneswap.Heartbeat{Status: laneswap.StatusCritical})
		require.NoError(t, err)
		require.True(t, st.NotDurable)
		require.Zero(t, time.Since(began), "it is known to be away")
		faulty.Heal()
		time.Sleep(20 * time.Second)
		require.NoError(t, m.Sync(t.Context()))
		m.stop(t)
	})
}

func TestReport_waitsFiveSecondsOnceForAHangingStorage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		faulty := storagetest.NewFaulty(memorystore.New())
		m := startWithStorage(t, faulty)
		for _, id := range []laneswap.ServiceID{"a", "b"} {
			require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: id}, laneswap.Heartbeat{}))
		}
		require.NoError(t, m.Sync(t.Context()))
		time.Sleep(1500 * time.Millisecond) // between two rounds of the writer
		faulty.Inject(storagetest.Fault{Op: storagetest.Commit, Times: -1, How: storagetest.Hang})
		began := time.Now()
		var group sync.WaitGroup
		for _, id := range []laneswap.ServiceID{"a", "b"} {
			group.Go(func() { // both wait
				_, _ = m.Report(t.Context(), id, laneswap.Heartbeat{Status: laneswap.StatusError})
			})
		}
		group.Wait()
		require.Equal(t, 5*time.Second, time.Since(began))
		for range 100 {
			for _, status := range []laneswap.Status{laneswap.StatusWarning, laneswap.StatusHealthy} {
				st, err := m.Report(t.Context(), "a", laneswap.Heartbeat{Status: status})
				require.NoError(t, err)
				require.True(t, st.NotDurable)
			}
		}
		require.Equal(t, 5*time.Second, time.Since(began), "once")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, m.Sync(ctx), laneswap.ErrDegraded)
		require.Equal(t, 1, countKind(kindsOf(t, m.Manager), laneswap.EventStorageAway))
		faulty.Heal()
		time.Sleep(20 * time.Second)
		require.Equal(t, 1, countKind(kindsOf(t, m.Manager), laneswap.EventStorageBack))
		require.NoError(t, m.Sync(t.Context()))
		m.stop(t)
	})
}
