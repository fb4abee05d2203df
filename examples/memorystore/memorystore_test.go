package memorystore_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

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

func TestStore_repeatsAHalfCommitWithoutHarm(t *testing.T) {
	t.Parallel()
	store := storagetest.NewFaulty(memorystore.New())
	batch := laneswap.Batch{
		Epoch:  1,
		Insert: []laneswap.Row{{Kind: laneswap.KindEvent, ID: "1", Data: []byte(`"went stale"`)}},
		Put:    []laneswap.Row{{Kind: laneswap.KindService, ID: "billing", Open: true, Data: []byte(`"stale"`)}},
	}
	store.Inject(storagetest.Fault{Op: storagetest.Commit, How: storagetest.Half})
	require.ErrorIs(t, store.Commit(t.Context(), batch), storagetest.ErrFault)
	require.Equal(t, []string{"1"}, ids(t, store, laneswap.KindEvent), "half of it is there")
	require.Empty(t, ids(t, store, laneswap.KindService))

	require.NoError(t, store.Commit(t.Context(), batch))
	require.Equal(t, []string{"1"}, ids(t, store, laneswap.KindEvent))
	require.Equal(t, []string{"billing"}, ids(t, store, laneswap.KindService))
}

// ids are those of all rows of a kind.
func ids(t *testing.T, s laneswap.Storage, kind laneswap.Kind) (out []string) {
	t.Helper()
	for row, err := range s.Rows(t.Context(), laneswap.RowQuery{Kind: kind}) {
		require.NoError(t, err)
		out = append(out, row.ID)
	}
	return out
}

func ExampleNew() {
	ctx := context.Background()
	store := memorystore.New()
	first := laneswap.NewManager(laneswap.WithStorage(store))
	fmt.Println(first.Start(ctx)) // loads what is there
	_, err := first.Register(ctx, laneswap.Registration{ID: "billing"})
	fmt.Println(err)
	fmt.Println(first.Stop(ctx)) // stores what is left; who opened the storage closes it now

	second := laneswap.NewManager(laneswap.WithStorage(store))
	fmt.Println(second.Start(ctx))
	st, err := second.Service(ctx, "billing")
	fmt.Println(st.ID, err)
	fmt.Println(second.Stop(ctx))
	// Output:
	// <nil>
	// <nil>
	// <nil>
	// <nil>
	// billing <nil>
	// <nil>
}
