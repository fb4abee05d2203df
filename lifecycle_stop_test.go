package laneswap_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// Verdicts, removals and Stop in the same instant: what happened before Stop
// returned was told to everybody, and nothing happens after.
func TestStop_isABarrier(t *testing.T) {
	t.Parallel()
	for round := range 10 {
		synctest.Test(t, func(t *testing.T) {
			rec := &recorder{}
			m := laneswap.NewManager(ungrouped(laneswap.WithNotifier(rec), laneswap.WithEventBuffer(100_000))...)
			require.NoError(t, m.Start(t.Context()))
			for i := range 3000 {
				_, err := m.Announce(t.Context(), laneswap.Registration{ID: laneswap.ServiceID(fmt.Sprint("s", i))}, laneswap.Heartbeat{})
				require.NoError(t, err)
			}
			w, err := m.Watch(t.Context(), laneswap.WatchQuery{})
			require.NoError(t, err)
			time.Sleep(window + 1)
			var wg sync.WaitGroup
			var acknowledged atomic.Int64
			wg.Go(func() { _, _ = m.Summary(t.Context()) })
			wg.Go(func() {
				for i := range 3000 {
					id := laneswap.ServiceID(fmt.Sprint("s", i))
					if m.Remove(t.Context(), id) == nil {
						acknowledged.Add(1)
					}
				}
			})
			for range round * 1000 {
				_ = m.Ready(t.Context()) // let the others get somewhere first
			}
			require.NoError(t, m.Stop(context.Background()))
			events, notable, gone := 0, 0, int64(0)
			for ev, err := range w.Events() {
				if err != nil {
					require.ErrorIs(t, err, laneswap.ErrStopped)
					break
				}
				events++
				if ev.Kind != laneswap.EventUp {
					notable++
				}
				if ev.Kind == laneswap.EventRemoved {
					gone++
				}
			}
			wg.Wait()
			require.Len(t, rec.kinds(), notable, "every notice that was owed")
			require.Len(t, eventsOf(t, m, laneswap.EventQuery{}), events, "nothing after Stop")
			require.LessOrEqual(t, gone, acknowledged.Load())
			sum, err := m.Summary(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, 3000-acknowledged.Load(), sum.Total)
		})
	}
}

func TestStop_inAnInterceptorLeavesNoAnnouncement(t *testing.T) {
	t.Parallel()
	var m *laneswap.Manager
	m = laneswap.NewManager(laneswap.WithInterceptor(func(ctx context.Context, _ laneswap.ServiceID, hb laneswap.Heartbeat) (laneswap.Heartbeat, error) {
		return hb, m.Stop(ctx)
	}))
	_, err := m.Announce(t.Context(), laneswap.Registration{ID: "x"}, laneswap.Heartbeat{})
	require.ErrorIs(t, err, laneswap.ErrStopped)
	_, err = m.Service(t.Context(), "x")
	require.ErrorIs(t, err, laneswap.ErrServiceNotFound)
}

func TestStop_saysHowManyNoticesWereNotDelivered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := laneswap.NewManager(laneswap.WithNotifier(laneswap.NotifierFunc(func(ctx context.Context, _ laneswap.Notification) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(5 * time.Second):
				return nil
			}
		})))
		require.NoError(t, m.Start(t.Context()))
		for _, id := range []laneswap.ServiceID{"a", "b", "c", "d", "e"} {
			alternate(t, register(t, m, laneswap.Registration{ID: id}), 3)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		err := m.Stop(ctx)
		require.ErrorIs(t, err, laneswap.ErrNotifier)
		require.ErrorContains(t, err, "8 notices not delivered", "the two of one service were, those of the second were cut off")
	})
}

func TestStop_takesAtMostTenSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		m := laneswap.NewManager(laneswap.WithNotifier(laneswap.NotifierFunc(func(context.Context, laneswap.Notification) error {
			<-release
			return nil
		})))
		require.NoError(t, m.Start(t.Context()))
		alternate(t, register(t, m, laneswap.Registration{ID: "a"}), 2)
		start := time.Now()
		require.ErrorIs(t, m.Stop(context.Background()), laneswap.ErrNotifier)
		require.LessOrEqual(t, time.Since(start), 10*time.Second)
	})
}

func TestStop_leavesReadsWithoutADeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := laneswap.NewManager()
		register(t, m, laneswap.Registration{ID: "x", Interval: time.Minute}).Beat()
		require.NoError(t, m.Stop(t.Context()))
		time.Sleep(time.Hour)
		st := statusOf(t, m, "x")
		require.Equal(t, laneswap.StatusHealthy, st.Status)
		require.False(t, st.Late)
		require.True(t, st.Deadline.IsZero())
	})
}

// hooked is a log handler that does something.
type hooked struct {
	slog.Handler
	do func()
}

func (h *hooked) Enabled(context.Context, slog.Level) bool  { return true }
func (h *hooked) Handle(context.Context, slog.Record) error { h.do(); return nil }

func TestLogger_mayAskTheManagerAndMayBlock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &hooked{}
		m := laneswap.NewManager(laneswap.WithLogger(slog.New(h)))
		asked, release := false, make(chan struct{})
		defer close(release)
		h.do = func() {
			_, err := m.Service(context.Background(), "self")
			asked = err == nil
			<-release
		}
		register(t, m, laneswap.Registration{ID: "self"})
		require.NoError(t, m.Start(t.Context()))
		m.JumpSeen(10 * time.Second) // as if the process had been stopped
		time.Sleep(3 * window)
		synctest.Wait()
		require.True(t, asked)
		require.Equal(t, laneswap.StatusStale, statusOf(t, m, "self").Status, "the judging goes on")
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		require.NoError(t, m.Stop(ctx))
		require.LessOrEqual(t, time.Since(start), 200*time.Millisecond)
	})
}

// A logger that blocks over what LaneSwap says of its storage stops no watching either.
func TestStop_isBoundedWhenTheLoggerBlocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var armed atomic.Bool
		h := &hooked{do: func() {
			if armed.Load() {
				<-release
			}
		}}
		p := &hookStorage{Storage: memorystore.New()}
		m := laneswap.NewManager(laneswap.WithStorage(p), laneswap.WithLogger(slog.New(h)))
		require.NoError(t, m.Start(t.Context()))
		register(t, m, laneswap.Registration{ID: "svc"}).Beat()
		require.NoError(t, m.Sync(t.Context()))
		armed.Store(true)
		p.replace(func() {
			p.commit = func(ctx context.Context, _ laneswap.Batch) error { <-ctx.Done(); return ctx.Err() }
		})
		w, err := m.Watch(t.Context(), laneswap.WatchQuery{Service: "svc"})
		require.NoError(t, err)
		defer w.Close()
		var stale atomic.Bool
		go func() {
			for ev, err := range w.Events() {
				if err != nil {
					return
				}
				if ev.To == laneswap.StatusStale {
					stale.Store(true)
				}
			}
		}()
		time.Sleep(3 * window)
		watching := stale.Load() // nobody has asked
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		done := make(chan struct{})
		go func() { defer close(done); _ = m.Stop(ctx) }()
		ended := false
		select {
		case <-done:
			ended = true
		case <-time.After(time.Minute):
		}
		close(release)
		<-done
		require.True(t, ended, "Stop is bounded by its context")
		require.True(t, watching, "the watching goes on")
	})
}

// Whoever waits for a storage that hangs gives up after Stop, and says nothing of it.
func TestStop_noEventComesAfterIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, release := &hookStorage{Storage: memorystore.New()}, make(chan struct{})
		m := startWithStorage(t, p)
		register(t, m.Manager, laneswap.Registration{ID: "svc"})
		time.Sleep(1500 * time.Millisecond)
		p.replace(func() { p.commit = func(context.Context, laneswap.Batch) error { <-release; return nil } })
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = m.Report(t.Context(), "svc", laneswap.Heartbeat{Status: laneswap.StatusError})
		}()
		time.Sleep(time.Second)
		m.stopped = true
		_ = stopIn(t, m.Manager)
		before := len(eventsOf(t, m.Manager, laneswap.EventQuery{}))
		time.Sleep(10 * time.Second)
		after := eventsOf(t, m.Manager, laneswap.EventQuery{})
		close(release)
		<-done
		require.Len(t, after, before, "%v", after[len(after)-1].Kind)
	})
}
