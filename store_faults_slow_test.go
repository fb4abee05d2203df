package laneswap_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// slowly is a storage that takes all of a batch or, when its context ends before
// that, nothing of it; so much time for each row, of what was seen for 200 of them.
func slowly(disk laneswap.Storage, perRow time.Duration) func(context.Context, laneswap.Batch) error {
	return func(ctx context.Context, b laneswap.Batch) error {
		rows := len(b.Insert) + len(b.Put) + len(b.Delete) + (len(b.Seen)+199)/200
		timer := time.NewTimer(time.Duration(rows) * perRow)
		defer timer.Stop()
		select {
		case <-timer.C:
			return disk.Commit(ctx, b)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// startOverloaded runs on a disk that was away while services became a warning, and then
// an error, and has come back so slow that a thousand rows take 20 s.
func startOverloaded(t *testing.T, disk laneswap.Storage, services int) *run {
	t.Helper()
	p := &hookStorage{Storage: disk}
	m := startWithStorage(t, p)
	p.replace(func() { p.commit = func(context.Context, laneswap.Batch) error { return errCrashed } })
	for n := range services {
		reg := laneswap.Registration{ID: laneswap.ServiceID(fmt.Sprint("svc-", n)), NoDeadline: true}
		for _, status := range []laneswap.Status{laneswap.StatusHealthy, laneswap.StatusWarning, laneswap.StatusError} {
			require.NoError(t, m.AnnounceBeat(t.Context(), reg, laneswap.Heartbeat{Status: status}))
		}
	}
	time.Sleep(10 * time.Second)
	require.Greater(t, m.Health().Storage.Backlog, 3*services)
	p.replace(func() { p.commit = slowly(disk, 20*time.Millisecond) })
	return m
}

// TestStorage_slowOneAcceptsABacklogInParts has much wait for a storage that is away,
// and comes back too slow to take a thousand rows before a commit is given up.
func TestStorage_slowOneAcceptsABacklogInParts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const services = 1000
		disk := memorystore.New()
		m := startOverloaded(t, disk, services)
		time.Sleep(5 * time.Minute)
		require.Equal(t, "ok", m.Health().Storage.State)
		require.NoError(t, m.Sync(t.Context()))
		_, err := m.Register(t.Context(), laneswap.Registration{ID: "late"})
		require.NoError(t, err)
		require.NoError(t, m.Sync(t.Context()))
		m.kill()

		m = startWithStorage(t, disk)
		for n := range services {
			st := statusOf(t, m.Manager, laneswap.ServiceID(fmt.Sprint("svc-", n)))
			require.Equal(t, laneswap.StatusError, st.Status)
		}
		sum, err := m.Summary(t.Context())
		require.NoError(t, err)
		require.Equal(t, services+1, sum.Total)
		h, err := m.History(t.Context(), "svc-7", laneswap.HistoryQuery{})
		require.NoError(t, err)
		require.Len(t, h.Events, 3)
		require.Len(t, h.Spans, 4)
		m.stop(t)
	})
}

// TestStorage_killBetweenPartsLeavesWholeChanges kills it while it catches up. What
// is found then of each service is as it was at some moment, and in itself right.
func TestStorage_killBetweenPartsLeavesWholeChanges(t *testing.T) {
	t.Parallel()
	for after := 15 * time.Second; after < 2*time.Minute; after += scaled[time.Duration](4, 2, 1) * 7300 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			disk := memorystore.New()
			m := startOverloaded(t, disk, 400)
			time.Sleep(after)
			m.kill()

			m = startWithStorage(t, disk)
			found := 0
			for n := range 400 {
				id := laneswap.ServiceID(fmt.Sprint("svc-", n))
				st, err := m.Service(t.Context(), id)
				if err != nil {
					require.ErrorIs(t, err, laneswap.ErrServiceNotFound)
					continue
				}
				found++
				h, err := m.History(t.Context(), id, laneswap.HistoryQuery{})
				require.NoError(t, err)
				last := laneswap.StatusUnknown
				for _, ev := range h.Events {
					require.Equal(t, last, ev.From)
					last = ev.To
				}
				require.Equal(t, last, st.Status, "after %v: %s", after, id)
				require.Len(t, h.Spans, len(h.Events)+1, "after %v: %s", after, id)
				require.Equal(t, st.Incident != nil, last.Bad())
			}
			t.Logf("after %v: %d services", after, found)
			m.stop(t)
		})
	}
}

// A service that was removed and registered again was seen since.
func TestStorage_partsLeaveTheSameAsTheWhole(t *testing.T) {
	b := laneswap.Batch{
		Epoch: 1, Delete: []laneswap.Key{{Kind: laneswap.KindSeen, ID: "svc"}},
		Seen: []laneswap.Seen{{Service: "svc", At: time.UnixMilli(1).UTC()}},
	}
	seen := func(s laneswap.Storage) (n int) {
		for row, err := range s.Load(t.Context()) {
			require.NoError(t, err)
			if row.Kind == laneswap.KindSeen {
				n++
			}
		}
		return n
	}
	for n := range 3 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			disk := memorystore.New()
			part, rest := b.Cut(n)
			require.NoError(t, disk.Commit(t.Context(), part))
			require.NoError(t, disk.Commit(t.Context(), rest))
			require.Equal(t, 1, seen(disk))
		})
	}
}
