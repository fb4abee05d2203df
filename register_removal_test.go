package laneswap_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
)

func TestHistory_removalAtABoundaryEndsOneIncident(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := startWithStorage(t, memorystore.New())
		from := time.Now()
		alternateHourly(t, m.Manager, "svc", 1)
		time.Sleep(time.Minute)
		require.NoError(t, m.Remove(t.Context(), "svc"))
		at := time.Now()
		time.Sleep(time.Minute)
		alternateHourly(t, m.Manager, "svc", 0)
		time.Sleep(time.Minute)
		whole := historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{From: from})
		require.Equal(t, 1, whole.Recovered)
		before := historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{From: from, To: at})
		after := historyOf(t, m.Manager, "svc", laneswap.HistoryQuery{From: at})
		require.Equal(t, 1, before.Recovered+after.Recovered)
		m.stop(t)
	})
}

func TestRemove_nextServiceOfTheIDStartsEmpty(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const kept = 10
		disk := memorystore.New()
		m := startWithStorage(t, disk)
		for range 2 {
			if err := m.Remove(t.Context(), "svc"); !errors.Is(err, laneswap.ErrServiceNotFound) {
				require.NoError(t, err)
			}
			time.Sleep(time.Second)
			_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
			require.NoError(t, err)
			_, err = m.Report(t.Context(), "svc", laneswap.Heartbeat{Status: laneswap.StatusError})
			require.NoError(t, err)
			require.Empty(t, errorsOf(t, m.Manager, "svc", laneswap.ErrorQuery{}))
			reportError(t, m.Manager, "svc", laneswap.ErrorReport{Message: "no"})
		}
		before := statusOf(t, m.Manager, "svc").Events
		require.Len(t, before, 1)
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "noisy"})
		require.NoError(t, err)
		alternate(t, handleOf(t, m.Manager, "noisy"), 4*kept)
		m.stop(t)

		// Those of svc are not among the events that a start keeps.
		m = startWithStorage(t, disk, laneswap.WithEventBuffer(kept))
		for _, ev := range eventsOf(t, m.Manager, laneswap.EventQuery{}) {
			require.Equal(t, laneswap.ServiceID("noisy"), ev.Service)
		}
		require.Equal(t, before, statusOf(t, m.Manager, "svc").Events)
		require.Len(t, errorsOf(t, m.Manager, "svc", laneswap.ErrorQuery{}), 1)
		m.stop(t)
	})
}

// The errors of one service may be more than one commit deletes.
func TestRemove_tornOneDeletesItsErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		p := &hookStorage{Storage: disk}
		m := startWithStorage(t, p)
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
		require.NoError(t, err)
		for range 1000 {
			_, err := m.ReportError(t.Context(), "svc", laneswap.ErrorReport{Message: "old"})
			require.NoError(t, err)
		}
		dead := false
		p.replace(func() {
			p.commit = func(ctx context.Context, b laneswap.Batch) error {
				if dead {
					return errCrashed
				}
				dead = len(b.Delete) > 0 // killed right after it
				return disk.Commit(ctx, b)
			}
		})
		require.ErrorIs(t, m.Remove(t.Context(), "svc"), laneswap.ErrDegraded)
		m.kill()
		m = startWithStorage(t, disk)
		if _, err := m.Service(t.Context(), "svc"); err != nil {
			_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
			require.NoError(t, err)
			for rec, err := range m.Errors(t.Context(), "svc", laneswap.ErrorQuery{}) {
				require.NoError(t, err)
				t.Fatalf("an error of one that was removed: %+v", rec)
			}
		}
		m.stop(t)
	})
}
