package laneswap_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

func TestWatch_replaysThenFollowsWithoutAGap(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	h := register(t, m, laneswap.Registration{ID: "svc"})
	alternate(t, h, 100)
	w, err := m.Watch(t.Context(), laneswap.WatchQuery{After: 40})
	require.NoError(t, err)
	defer w.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { alternate(t, h, 1001) })
	want := uint64(41)
	for ev, err := range w.Events() {
		require.NoError(t, err)
		require.Equal(t, want, ev.Sequence)
		if want++; want > 1000 {
			break
		}
	}
	for ev := range w.Events() {
		require.EqualValues(t, 1001, ev.Sequence, "read again it goes on where it was left")
		break
	}
}

func TestWatch_ofOneServiceLeavesOutTheOthers(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	a, b := register(t, m, laneswap.Registration{ID: "a"}), register(t, m, laneswap.Registration{ID: "b"})
	alternate(t, a, 3)
	alternate(t, b, 3)
	alternate(t, a, 2)
	w, err := m.Watch(t.Context(), laneswap.WatchQuery{Service: "b"})
	require.NoError(t, err)
	require.NoError(t, m.Stop(t.Context()))
	n := 0
	for ev, err := range w.Events() {
		if n == 3 {
			require.ErrorIs(t, err, laneswap.ErrStopped, "Stop ends it after the last event")
			break
		}
		require.NoError(t, err)
		require.EqualValues(t, "b", ev.Service)
		n++
	}
	require.Equal(t, 3, n)
}

func TestWatch_slowReaderGetsAnErrorAndHarmsNobody(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager(laneswap.WithEventBuffer(10))
	h := register(t, m, laneswap.Registration{ID: "svc"})
	alternate(t, h, 5)
	w, err := m.Watch(t.Context(), laneswap.WatchQuery{})
	require.NoError(t, err)
	alternate(t, h, 20)
	n := 0
	for _, err := range w.Events() {
		require.ErrorIs(t, err, laneswap.ErrSlowConsumer)
		n++
	}
	require.Equal(t, 1, n)
	require.Len(t, eventsOf(t, m, laneswap.EventQuery{}), 10, "the buffer is bounded")
}

func TestWatch_outsideTheBufferIsRefused(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager(laneswap.WithEventBuffer(10))
	h := register(t, m, laneswap.Registration{ID: "svc"})
	alternate(t, h, 25)
	for after, want := range map[uint64]error{1: laneswap.ErrGone, 14: laneswap.ErrGone, 15: nil, 25: nil, 26: laneswap.ErrGone, 1<<64 - 1: laneswap.ErrGone, 0: nil} {
		w, err := m.Watch(t.Context(), laneswap.WatchQuery{After: after})
		require.ErrorIs(t, err, want, "after %d", after)
		if err == nil {
			require.NoError(t, w.Close())
		}
		for _, err := range m.Events(t.Context(), laneswap.EventQuery{After: after, Limit: 1}) {
			require.ErrorIs(t, err, want, "after %d", after)
		}
	}
	_, err := m.Watch(t.Context(), laneswap.WatchQuery{Service: "a/b"})
	require.ErrorIs(t, err, laneswap.ErrInvalidServiceID)
	require.Len(t, eventsOf(t, m, laneswap.EventQuery{After: 20, Limit: 3}), 3)
}

func TestWatch_endsWithItsContextAndQuietlyWithClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := laneswap.NewManager()
		ctx, cancel := context.WithCancel(t.Context())
		w, err := m.Watch(ctx, laneswap.WatchQuery{})
		require.NoError(t, err)
		closed, err := m.Watch(t.Context(), laneswap.WatchQuery{})
		require.NoError(t, err)
		ended := make(chan []error, 2)
		for _, w := range []*laneswap.Watcher{w, closed} {
			go func() {
				var errs []error
				for _, err := range w.Events() {
					errs = append(errs, err)
				}
				ended <- errs
			}()
		}
		synctest.Wait()
		require.NoError(t, closed.Close())
		require.NoError(t, closed.Close())
		require.Empty(t, <-ended)
		cancel()
		errs := <-ended
		require.Len(t, errs, 1)
		require.ErrorIs(t, errs[0], context.Canceled)
	})
}
