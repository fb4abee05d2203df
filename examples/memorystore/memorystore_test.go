package memorystore_test

import (
	"testing"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
	"github.com/laneswap/laneswap/examples/memorystore"
)

func TestStore_keepsTheContract(t *testing.T) {
	t.Parallel()
	storagetest.Run(t,
		func(t *testing.T) laneswap.Storage { return memorystore.New() },
		// What is in memory lives as long as its value: nothing is closed and opened.
		storagetest.WithReopen(func(t *testing.T, s laneswap.Storage) laneswap.Storage { return s }))
}

func TestStore_zeroValueKeepsTheContract(t *testing.T) {
	t.Parallel()
	storagetest.Run(t, func(t *testing.T) laneswap.Storage { return new(memorystore.Store) })
}

func BenchmarkStore(b *testing.B) {
	storagetest.Benchmark(b, func(b *testing.B) laneswap.Storage { return memorystore.New() })
}
