package laneswap_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// events are how many events a batch inserts.
func events(b laneswap.Batch) (n int) {
	for _, row := range b.Insert {
		if row.Kind == laneswap.KindEvent {
			n++
		}
	}
	return n
}

// conflictStorage is a storage that answers ErrExists to everything while it is in the
// mood.
type conflictStorage struct {
	laneswap.Storage
	mood  atomic.Bool
	calls atomic.Int64
}

func (s *conflictStorage) Commit(ctx context.Context, b laneswap.Batch) error {
	if s.mood.Load() && s.calls.Add(1) < 1000 { // it must end, or a bubble hangs
		return laneswap.ErrExists
	}
	return s.Storage.Commit(ctx, b)
}

func TestStorage_conflictingRowIsRetriedWithPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &conflictStorage{Storage: memorystore.New()}
		m := startWithStorage(t, s)
		require.NoError(t, m.Sync(t.Context()))
		s.mood.Store(true)
		time.Sleep(20 * time.Second)
		require.Less(t, s.calls.Load(), int64(50))
		require.Equal(t, "degraded", m.Health().Storage.State)
		s.mood.Store(false)
		time.Sleep(10 * time.Second)
		require.Equal(t, "ok", m.Health().Storage.State)
		m.stop(t)
	})
}

func TestStorage_slowOneAlertsOnceAnHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		p := &hookStorage{Storage: disk}
		told := &recorder{}
		m := startWithStorage(t, p, laneswap.WithNotifier(told))
		p.replace(func() {
			p.commit = func(ctx context.Context, b laneswap.Batch) error {
				time.Sleep(6 * time.Second) // longer than anybody waits for
				return disk.Commit(ctx, b)
			}
		})
		time.Sleep(time.Hour)
		require.Equal(t, []laneswap.EventKind{laneswap.EventStorageAway}, told.kinds())
		require.Equal(t, "degraded", m.Health().Storage.State)
		p.heal()
		time.Sleep(time.Minute)
		require.Equal(t, []laneswap.EventKind{laneswap.EventStorageAway, laneswap.EventStorageBack}, told.kinds())
		require.Equal(t, "ok", m.Health().Storage.State)
		m.stop(t)
	})
}

// strictNames refuses batches with a row that is not one by the contract.
type strictNames struct{ laneswap.Storage }

func (s strictNames) Commit(ctx context.Context, b laneswap.Batch) error {
	keys := append([]laneswap.Key(nil), b.Delete...)
	for _, row := range append(b.Insert[:len(b.Insert):len(b.Insert)], b.Put...) {
		keys = append(keys, laneswap.Key{Kind: row.Kind, ID: row.ID}, laneswap.Key{Kind: row.Kind, ID: "/" + row.Service})
	}
	for _, key := range keys {
		if key.ID == "" || len(key.ID) > 513 || strings.ContainsRune(key.ID, 0) || !utf8.ValidString(key.ID) {
			return fmt.Errorf("%w: %q is no id", errors.ErrUnsupported, key.ID)
		}
	}
	return s.Storage.Commit(ctx, b)
}

func TestStorage_oddNotifierNamesBlockNothing(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"pager\x00", "\xff\xfe", "", strings.Repeat("long ", 200), "two/words \U0001F4DF"} {
		t.Run(fmt.Sprintf("%.12q", name), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := startWithStorage(t, strictNames{memorystore.New()}, laneswap.WithNotifier(newHangingNotifier(name)))
				_, err := m.Register(t.Context(), laneswap.Registration{ID: "svc"})
				require.NoError(t, err)
				st, err := m.Report(t.Context(), "svc", laneswap.Heartbeat{Status: laneswap.StatusError})
				require.NoError(t, err)
				require.False(t, st.NotDurable)
				st, err = m.Register(t.Context(), laneswap.Registration{ID: "other"})
				require.NoError(t, err)
				require.False(t, st.NotDurable)
				time.Sleep(time.Minute) // the notice was given up, and is not owed any more
				require.NoError(t, m.Sync(t.Context()))
				require.Equal(t, "ok", m.Health().Storage.State)
				m.kill()
			})
		})
	}
}

func TestStorage_anEventAndItsNoticesAreOneCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		p := &hookStorage{Storage: disk}
		m := startWithStorage(t, p, laneswap.WithNotifier(newHangingNotifier("pager")))
		const services, times = 4, 200
		for n := range services {
			require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: nthID(n)}, laneswap.Heartbeat{}))
		}
		require.NoError(t, m.Sync(t.Context()))
		commits, whole, cut := 0, 0, 0
		p.replace(func() {
			p.commit = func(ctx context.Context, b laneswap.Batch) error {
				owed := map[string]bool{}
				for _, row := range append(b.Insert[:len(b.Insert):len(b.Insert)], b.Put...) {
					owed[row.ID] = row.Kind == kindOutbox
				}
				for _, row := range b.Insert {
					switch {
					case row.Kind != laneswap.KindEvent:
					case owed["pager/"+row.ID]:
						whole++
					default:
						cut++
					}
				}
				commits++
				return disk.Commit(ctx, b)
			}
		})
		var group sync.WaitGroup
		for n := range services {
			group.Go(func() { // while the writer takes what is there
				for i := range times {
					status := []laneswap.Status{laneswap.StatusError, laneswap.StatusCritical}[i%2]
					if err := m.Beat(t.Context(), nthID(n), laneswap.Heartbeat{Status: status}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		require.NoError(t, m.Sync(t.Context()))
		p.heal()
		require.Greater(t, commits, 1)
		require.Zero(t, cut)
		require.Equal(t, services*times, whole)
		m.kill()
	})
}

// A storage that yields few rows a second is slow, and has not stalled.
func TestLoading_readsASlowStorage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const services = 900
		disk := storageAfter(t, func(m *laneswap.Manager) {
			for n := range services {
				require.NoError(t, m.AnnounceBeat(t.Context(), laneswap.Registration{ID: nthID(n)}, laneswap.Heartbeat{}))
			}
		})
		p := &hookStorage{Storage: disk, load: func(ctx context.Context) iter.Seq2[laneswap.Row, error] {
			return func(yield func(laneswap.Row, error) bool) {
				for row, err := range disk.Load(ctx) {
					select {
					case <-time.After(40 * time.Millisecond): // 25 rows a second
					case <-ctx.Done():
						yield(laneswap.Row{}, ctx.Err())
						return
					}
					if !yield(row, err) {
						return
					}
				}
			}
		}}
		m := startWithStorage(t, p)
		time.Sleep(time.Hour) // reading all of it takes 75 seconds
		require.NoError(t, m.Ready(t.Context()))
		m.stop(t)
	})
}
