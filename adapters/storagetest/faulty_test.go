package storagetest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
)

var errDisk = errors.New("disk on fire")

func row(id string) laneswap.Row {
	return laneswap.Row{Kind: laneswap.KindEvent, ID: id, Open: true, Data: []byte(`1`)}
}

func put(ids ...string) laneswap.Batch {
	b := laneswap.Batch{Epoch: 1}
	for _, id := range ids {
		b.Put = append(b.Put, row(id))
	}
	return b
}

// ids are the rows of a storage, by Load or by Rows, and the error they end with.
func ids(t *testing.T, s laneswap.Storage, load bool) (out []string, err error) {
	t.Helper()
	source := s.Rows(t.Context(), laneswap.RowQuery{Kind: laneswap.KindEvent})
	if load {
		source = s.Load(t.Context())
	}
	for row, e := range source {
		if e != nil {
			require.NoError(t, err, "one error")
			err = e
			continue
		}
		out = append(out, row.ID)
	}
	return out, err
}

func TestFaulty_withoutFaultsKeepsTheContract(t *testing.T) {
	t.Parallel()
	storagetest.Run(t, func(*testing.T) laneswap.Storage { return storagetest.NewFaulty(storagetest.NewMemory("")) })
}

func TestFaulty_meetsTheCallsThatItIsTold(t *testing.T) {
	t.Parallel()
	f := storagetest.NewFaulty(storagetest.NewMemory(""))
	f.Inject(storagetest.Fault{Op: storagetest.Commit, At: 3, Times: 2, Err: errDisk})
	var failed []int
	for i := 1; i <= 6; i++ {
		if err := f.Commit(t.Context(), put(fmt.Sprint(i))); err != nil {
			require.ErrorIs(t, err, errDisk)
			failed = append(failed, i)
		}
		_, err := ids(t, f, true)
		require.NoError(t, err, "other methods are not met")
	}
	require.Equal(t, []int{3, 4}, failed)
	require.Equal(t, 6, f.Calls(storagetest.Commit))
	require.Equal(t, 6, f.Calls(storagetest.Load))
	require.Equal(t, 12, f.Calls(storagetest.Any))
	got, err := ids(t, f, false)
	require.NoError(t, err)
	require.Equal(t, []string{"1", "2", "5", "6"}, got, "what was refused was not done")

	f.Inject(storagetest.Fault{Times: -1})
	for range 5 {
		require.ErrorIs(t, f.Commit(t.Context(), put("never")), storagetest.ErrFault)
		_, err = f.Prune(t.Context(), laneswap.KindEvent, time.Now(), 1)
		require.ErrorIs(t, err, storagetest.ErrFault)
		for _, load := range []bool{true, false} {
			got, err = ids(t, f, load)
			require.ErrorIs(t, err, storagetest.ErrFault)
			require.Empty(t, got)
		}
	}
	f.Heal()
	require.NoError(t, f.Commit(t.Context(), put("healed")))
}

func TestFaulty_saysWhenCallsMetAFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := storagetest.NewFaulty(storagetest.NewMemory(""))
		f.Inject(storagetest.Fault{Op: storagetest.Commit, At: 2, Times: 2})
		begun := time.Now()
		for range 5 {
			_ = f.Commit(t.Context(), put("1"))
			time.Sleep(time.Second)
		}
		met := f.Met()
		require.Equal(t, []time.Time{begun.Add(time.Second), begun.Add(2 * time.Second)}, met)
		met[0] = time.Time{}
		require.Equal(t, begun.Add(time.Second), f.Met()[0], "the caller has its own")
		f.Heal()
		require.Len(t, f.Met(), 2, "what was stays")
	})
}

func TestFaulty_endsAFaultAfterItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := storagetest.NewFaulty(storagetest.NewMemory(""))
		f.Inject(storagetest.Fault{Op: storagetest.Commit, At: 3, Times: -1, For: 4 * time.Second})
		time.Sleep(time.Minute) // it counts from the first call that is met
		var failed []int
		for i := range 10 {
			if f.Commit(t.Context(), put("1")) != nil {
				failed = append(failed, i)
			}
			time.Sleep(time.Second)
		}
		require.Equal(t, []int{2, 3, 4, 5}, failed)
	})
}

func TestFaulty_losesAnswersAndDoesHalf(t *testing.T) {
	t.Parallel()
	f := storagetest.NewFaulty(storagetest.NewMemory(""))
	f.Inject(storagetest.Fault{How: storagetest.LoseAnswer, Err: errDisk})
	require.ErrorIs(t, f.Commit(t.Context(), put("1", "2", "3", "4")), errDisk)
	got, err := ids(t, f, true)
	require.NoError(t, err)
	require.Equal(t, []string{"1", "2", "3", "4"}, got)

	for _, load := range []bool{true, false} {
		f.Inject(storagetest.Fault{How: storagetest.LoseAnswer})
		got, err = ids(t, f, load)
		require.ErrorIs(t, err, storagetest.ErrFault)
		require.Len(t, got, 4)
		f.Inject(storagetest.Fault{How: storagetest.Half})
		got, err = ids(t, f, load)
		require.ErrorIs(t, err, storagetest.ErrFault)
		require.Equal(t, []string{"1"}, got)
	}

	f.Inject(storagetest.Fault{Op: storagetest.Commit, How: storagetest.Half})
	b := put("5", "6")
	b.Delete = []laneswap.Key{{Kind: laneswap.KindEvent, ID: "1"}, {Kind: laneswap.KindEvent, ID: "2"}}
	b.Insert = []laneswap.Row{row("7")}
	require.ErrorIs(t, f.Commit(t.Context(), b), storagetest.ErrFault)
	got, err = ids(t, f, true)
	require.NoError(t, err)
	require.Equal(t, []string{"1", "2", "3", "4", "5", "7"}, got)
	require.NoError(t, f.Commit(t.Context(), b), "again, as a whole")
	got, err = ids(t, f, true)
	require.NoError(t, err)
	require.Equal(t, []string{"3", "4", "5", "6", "7"}, got)

	closed := put("3", "4", "5", "6")
	for i := range closed.Put {
		closed.Put[i].Open = false
	}
	require.NoError(t, f.Commit(t.Context(), closed))
	f.Inject(storagetest.Fault{Op: storagetest.Prune, How: storagetest.Half})
	n, err := f.Prune(t.Context(), laneswap.KindEvent, time.Now(), 4)
	require.ErrorIs(t, err, storagetest.ErrFault)
	require.Equal(t, 2, n)
	got, err = ids(t, f, false)
	require.NoError(t, err)
	require.Equal(t, []string{"5", "6", "7"}, got)
}

func TestFaulty_isSlowAndHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := storagetest.NewFaulty(storagetest.NewMemory(""))
		f.Inject(storagetest.Fault{How: storagetest.Slow, Delay: time.Minute})
		began := time.Now()
		require.NoError(t, f.Commit(t.Context(), put("slow")))
		require.Equal(t, time.Minute, time.Since(began))

		for _, how := range []storagetest.How{storagetest.Slow, storagetest.Hang} {
			for _, call := range []func(context.Context) error{
				func(ctx context.Context) error { return f.Commit(ctx, put("never")) },
				func(ctx context.Context) error { _, err := f.Prune(ctx, laneswap.KindEvent, time.Now(), 1); return err },
				func(ctx context.Context) (err error) {
					for _, err = range f.Load(ctx) {
					}
					return err
				},
			} {
				f.Inject(storagetest.Fault{How: how, Delay: 24 * time.Hour})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				began = time.Now()
				require.ErrorIs(t, call(ctx), context.DeadlineExceeded)
				require.Equal(t, time.Second, time.Since(began))
				cancel()
			}
		}
		got, err := ids(t, f, true)
		require.NoError(t, err)
		require.Equal(t, []string{"slow"}, got)
	})
}
