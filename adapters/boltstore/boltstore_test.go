package boltstore_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/boltstore"
	"github.com/laneswap/laneswap/adapters/storagetest"
)

// open opens a store that must be sound, and closes it with the test.
func open(t testing.TB, path string) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(path, boltstore.WithOnDamage(func(d boltstore.Damage) { t.Error(d) }))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// openFast is open for tests of many commits that pull no plug: they do not wait
// for the disk.
func openFast(t testing.TB, path string) *boltstore.Store {
	t.Helper()
	s := open(t, path)
	s.SkipSync()
	return s
}

func newPath(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "laneswap.db")
}

func TestStore_keepsTheContract(t *testing.T) {
	t.Parallel()
	storagetest.Run(t,
		func(t *testing.T) laneswap.Storage { return openFast(t, newPath(t)) },
		storagetest.WithReopen(func(t *testing.T, s laneswap.Storage) laneswap.Storage {
			store := s.(*boltstore.Store)
			require.NoError(t, store.Close())
			return openFast(t, store.Path())
		}))
}

func BenchmarkStore(b *testing.B) {
	storagetest.Benchmark(b, func(b *testing.B) laneswap.Storage { return open(b, newPath(b)) })
}

// BenchmarkOpen opens a store of 100,000 services and 200,000 events, all of which
// it reads once to see that they are sound.
func BenchmarkOpen(b *testing.B) {
	path := newPath(b)
	s := open(b, path)
	for first := 0; first < 100_000; first += 1000 {
		batch := laneswap.Batch{Epoch: 1}
		for i := first; i < first+1000; i++ {
			id := fmt.Sprint("service-", i)
			at := noon.Add(time.Duration(i) * time.Second)
			batch.Put = append(batch.Put, laneswap.Row{Kind: laneswap.KindService, ID: id, Service: id, At: at, Open: true, Data: fmt.Appendf(nil, `{"padding":"%0300d"}`, i)})
			for j := range 2 {
				batch.Insert = append(batch.Insert, laneswap.Row{Kind: laneswap.KindEvent, ID: fmt.Sprintf("%012d", 2*i+j), Service: id, At: at, Data: fmt.Appendf(nil, `{"padding":"%0186d"}`, i)})
			}
			batch.Seen = append(batch.Seen, laneswap.Seen{Service: id, At: at})
		}
		require.NoError(b, s.Commit(b.Context(), batch))
	}
	require.NoError(b, s.Close())
	info, err := os.Stat(path)
	require.NoError(b, err)
	b.SetBytes(info.Size())
	for b.Loop() {
		s, err := boltstore.Open(path)
		require.NoError(b, err)
		require.NoError(b, s.Close())
	}
}

// From is not before At, At before To, and what is pruned before its bound, for times
// between two milliseconds too.
func TestStore_boundsBetweenMillisecondsAreExact(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t))
	require.NoError(t, s.Commit(t.Context(), one("at noon")))
	later := noon.Add(500 * time.Microsecond)
	count := func(q laneswap.RowQuery) (n int) {
		q.Kind = laneswap.KindEvent
		for _, err := range s.Rows(t.Context(), q) {
			require.NoError(t, err)
			n++
		}
		return n
	}
	require.Equal(t, 1, count(laneswap.RowQuery{From: noon, To: later}))
	require.Zero(t, count(laneswap.RowQuery{From: later}))
	n, err := s.Prune(t.Context(), laneswap.KindEvent, noon, 10)
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = s.Prune(t.Context(), laneswap.KindEvent, later, 10)
	require.NoError(t, err)
	require.Equal(t, 1, n)
}
