package client_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/httpapi"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// line is a Manager's way to its storage; once cut, nothing gets there any more,
// as when its process was killed.
type line struct {
	laneswap.Storage
	cut atomic.Bool
}

func (l *line) Commit(ctx context.Context, b laneswap.Batch) error {
	if l.cut.Load() {
		return errors.New("cut")
	}
	return l.Storage.Commit(ctx, b)
}

// stored is a monitor that keeps its state in store, until it is killed.
func stored(t *testing.T, store laneswap.Storage) (m *laneswap.Manager, server *recorder, kill func()) {
	t.Helper()
	way := &line{Storage: store}
	m = laneswap.NewManager(laneswap.WithStorage(way))
	require.NoError(t, m.Start(t.Context()))
	handler := httpapi.New(m)
	t.Cleanup(func() {
		handler.Close()
		if err := m.Stop(context.WithoutCancel(t.Context())); !way.cut.Load() {
			require.NoError(t, err)
		}
	})
	return m, &recorder{next: handler}, func() { way.cut.Store(true) }
}

func TestWatch_resumesAcrossRestartsOfAServerWithAStorage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		store := memorystore.New()
		m, server, kill := stored(t, store)
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "a", NoDeadline: true})
		require.NoError(t, err)
		l.serve(server)
		w, err := l.client().Watch(t.Context(), laneswap.WatchQuery{})
		require.NoError(t, err)
		seen, ended := reading(w)
		var want []string
		told := func(m *laneswap.Manager) { // what the watch has to tell, from those who know
			want = nil
			for ev, err := range m.Events(t.Context(), laneswap.EventQuery{}) {
				require.NoError(t, err)
				want = append(want, ev.ID)
			}
		}
		for range 4 {
			flip(t, m, 5)
			require.NoError(t, m.Sync(t.Context()))
			l.down() // in the middle of it
			flip(t, m, 3)
			require.NoError(t, m.Sync(t.Context()))
			kill()
			time.Sleep(7 * time.Second)
			m, server, kill = stored(t, store)
			flip(t, m, 2)
			l.serve(server)
			time.Sleep(20 * time.Second)
			synctest.Wait()
			told(m)
			var got []string
			for _, ev := range *seen.Load() {
				got = append(got, ev.ID)
			}
			require.NotEmpty(t, want)
			require.Equal(t, want, got, "no gap and no duplicate")
		}
		require.Len(t, want, 4*10)
		require.NoError(t, w.Close())
		require.NoError(t, <-ended)
	})
}

func TestAgents_areKnownToAServerThatRestartsWithAStorage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLAN(t)
		store := memorystore.New()
		m, server, kill := stored(t, store)
		l.serve(server)
		a := start(t, l.client(), laneswap.Registration{ID: "a", Interval: 10 * time.Second})
		a.Report(laneswap.Heartbeat{Status: laneswap.StatusWarning, Message: "hot"})
		require.NoError(t, a.Flush(t.Context()))
		before, err := m.Service(t.Context(), "a")
		require.NoError(t, err)
		l.down()
		kill()
		m, server, _ = stored(t, store)
		l.serve(server)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.NoError(t, a.Err())
		after, err := m.Service(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, before.CreatedAt, after.CreatedAt)
		require.Equal(t, before.Since, after.Since, "it was a warning all the time")
		require.Equal(t, before.Incident, after.Incident)
	})
}
