package boltstore_test

import (
	"path/filepath"
	"testing"

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

func newPath(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "laneswap.db")
}

func TestStore_keepsTheContract(t *testing.T) {
	t.Parallel()
	storagetest.Run(t,
		func(t *testing.T) laneswap.Storage { return open(t, newPath(t)) },
		storagetest.WithReopen(func(t *testing.T, s laneswap.Storage) laneswap.Storage {
			store := s.(*boltstore.Store)
			require.NoError(t, store.Close())
			return open(t, store.Path())
		}))
}

func BenchmarkStore(b *testing.B) {
	storagetest.Benchmark(b, func(b *testing.B) laneswap.Storage { return open(b, newPath(b)) })
}
