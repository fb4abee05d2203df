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
)

// Verdicts, removals and Stop in the same instant: what happened before Stop
// returned was told to everybody, and nothing happens after.
func TestStop_isABarrier(t *testing.T) {
	for round := range 10 {
		synctest.Test(t, func(t *testing.T) {
			rec := &recorder{}
			m := laneswap.NewManager(atOnce(laneswap.WithNotifier(rec), laneswap.WithEventBuffer(100_000))...)
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

func TestStop_inAnInterceptorLeavesAnnounceWithNothing(t *testing.T) {
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
			flip(t, register(t, m, laneswap.Registration{ID: id}), 3)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		err := m.Stop(ctx)
		require.ErrorIs(t, err, laneswap.ErrNotifier)
		require.ErrorContains(t, err, "8 notices not delivered", "the two of one service were, those of the second were cut off")
	})
}

func TestStop_takesAtMostTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		defer close(release)
		m := laneswap.NewManager(laneswap.WithNotifier(laneswap.NotifierFunc(func(context.Context, laneswap.Notification) error {
			<-release
			return nil
		})))
		require.NoError(t, m.Start(t.Context()))
		flip(t, register(t, m, laneswap.Registration{ID: "a"}), 2)
		start := time.Now()
		require.ErrorIs(t, m.Stop(context.Background()), laneswap.ErrNotifier)
		require.LessOrEqual(t, time.Since(start), 10*time.Second)
	})
}

func TestStop_leavesReadsWithoutADeadline(t *testing.T) {
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
