package bounded_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/bounded"
)

func lists(values, bytes, total int) *bounded.Lists[int] {
	return &bounded.Lists[int]{Values: values, Bytes: bytes, Total: total}
}

func TestLists_dropTheOldestBeyondTheirValues(t *testing.T) {
	t.Parallel()
	ls, l := lists(3, 100, 100), &bounded.List[int]{}
	for v := range 5 {
		ls.Add(l, v, 1, nil)
	}
	require.Equal(t, []int{2, 3, 4}, ls.All(l))
	require.Equal(t, 3, ls.Size())
}

func TestLists_dropTheOldestBeyondTheirBytes(t *testing.T) {
	t.Parallel()
	ls, l := lists(10, 10, 100), &bounded.List[int]{}
	ls.Add(l, 1, 6, nil)
	ls.Add(l, 2, 4, nil)
	ls.Add(l, 3, 3, nil)
	require.Equal(t, []int{2, 3}, ls.All(l))
	ls.Add(l, 4, 50, nil)
	require.Equal(t, []int{4}, ls.All(l), "the newest stays, however large")
}

func TestLists_dropTheOldestOfAllBeyondTheTotal(t *testing.T) {
	t.Parallel()
	ls := lists(10, 10, 10)
	a, b := &bounded.List[int]{}, &bounded.List[int]{}
	ls.Add(a, 1, 4, nil)
	ls.Add(b, 2, 4, nil)
	ls.Add(a, 3, 2, nil)
	ls.Add(b, 4, 1, nil)
	require.Equal(t, []int{3}, ls.All(a))
	require.Equal(t, []int{2, 4}, ls.All(b))
}

func TestLists_mergeIntoTheNewest(t *testing.T) {
	t.Parallel()
	ls, l := lists(10, 10, 10), &bounded.List[int]{}
	merge := func(newest *int) bool { *newest += 10; return *newest < 20 }
	ls.Add(l, 1, 1, merge)
	ls.Add(l, 2, 1, merge)
	require.Equal(t, []int{11}, ls.All(l))
	ls.Add(l, 3, 1, merge)
	require.Equal(t, []int{21, 3}, ls.All(l))
}

func TestLists_takeANilList(t *testing.T) {
	t.Parallel()
	ls := lists(1, 1, 1)
	ls.Clear(nil)
	require.Empty(t, ls.All(nil))
}

// Whatever is added and cleared, the size of all is the sum of the lists.
func TestLists_sizeIsTheSumOfAllLists(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	ls := lists(5, 40, 100)
	all := make([]bounded.List[int], 8)
	for range 2_000 {
		l := &all[rnd.IntN(len(all))]
		if rnd.IntN(20) == 0 {
			ls.Clear(l)
		} else {
			size := rnd.IntN(20)
			ls.Add(l, size, size, nil)
		}
		sum := 0
		for i := range all {
			kept := ls.All(&all[i])
			require.LessOrEqual(t, len(kept), 5)
			for _, size := range kept {
				sum += size
			}
		}
		require.Equal(t, sum, ls.Size())
		require.LessOrEqual(t, sum, 100)
	}
}
