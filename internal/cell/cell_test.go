package cell_test

import (
	"math"
	"sync"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/cell"
)

func newCell(last, window int64) *cell.Cell {
	c := new(cell.Cell)
	c.Last.Store(last)
	c.Window.Store(window)
	return c
}

func TestCell_isOneCacheLine(t *testing.T) {
	t.Parallel()
	require.EqualValues(t, 64, unsafe.Sizeof(cell.Cell{}))
}

func TestBeat(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name              string
		last, window, now int64
		slow              bool // is set before
		wantSlow          bool
		wantLast, wantGap int64
	}{
		{"raises the last beat", 100, 50, 120, false, false, 120, 20},
		{"in time at the deadline itself", 100, 50, 150, false, false, 150, 50},
		{"raises nothing after a silence that is too long", 100, 50, 151, false, true, 100, 0},
		{"is slow when told so", 100, 50, 120, true, true, 120, 20},
		{"an older beat lowers nothing", 100, 50, 90, false, false, 100, 0},
		{"any silence is allowed without a window", 100, math.MaxInt64, 1 << 60, false, false, 1 << 60, 1<<60 - 100},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newCell(test.last, test.window)
			c.Slow.Store(test.slow)
			require.Equal(t, test.wantSlow, c.Beat(test.now))
			require.Equal(t, test.wantLast, c.Last.Load())
			require.Equal(t, uint64(1), c.Beats.Load())
			gap := c.Gap.Load()
			if test.now > test.last {
				require.Equal(t, test.wantGap, gap)
			}
		})
	}
}

func TestRaise_neverLowers(t *testing.T) {
	t.Parallel()
	c := newCell(100, 50)
	c.Raise(300)
	c.Raise(200)
	require.Equal(t, int64(300), c.Last.Load())
	require.Equal(t, int64(200), c.Gap.Load())
}

// A judge that sets Slow and then reads Last, while a beat raises Last and then loads
// Slow: one of them sees the other, whatever the order.
func TestBeat_andJudgeNeverMissEachOther(t *testing.T) {
	t.Parallel()
	for range 20_000 {
		c := newCell(0, math.MaxInt64)
		var beatSawJudge, judgeSawBeat bool
		var both sync.WaitGroup
		both.Go(func() { beatSawJudge = c.Beat(1) })
		both.Go(func() {
			c.Slow.Store(true)
			judgeSawBeat = c.Last.Load() == 1
		})
		both.Wait()
		require.True(t, beatSawJudge || judgeSawBeat)
	}
}
