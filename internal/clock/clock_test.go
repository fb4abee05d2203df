package clock_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap/internal/clock"
)

const (
	second = int64(time.Second)
	epoch  = int64(1_000_000) * second // wall time when mono is 0
)

func at(mono int64) clock.Instant { return clock.Instant{Mono: mono, Wall: epoch + mono} }

// watching returns Absences that watch from instant 0 on.
func watching() *clock.Absences {
	a := clock.New(at(0))
	a.Start(at(0), false)
	return a
}

// ticks observes every 250 ms after from, up to to.
func ticks(a *clock.Absences, from, to int64) (found int) {
	for mono := from + clock.Tick; mono <= to; mono += clock.Tick {
		if _, ok := a.Observe(at(mono)); ok {
			found++
		}
	}
	return found
}

func TestObserve_regularTicksAreNoAbsence(t *testing.T) {
	t.Parallel()
	require.Zero(t, ticks(watching(), 0, 3600*second))
}

func TestObserve_findsALateTick(t *testing.T) {
	t.Parallel()
	a := watching()
	_, ok := a.Observe(at(750 * int64(time.Millisecond)))
	require.False(t, ok)
	found, ok := a.Observe(at(2 * second))
	require.True(t, ok)
	require.Equal(t, clock.Absence{From: at(750 * int64(time.Millisecond)), Back: at(2 * second)}, found)
	found, ok = a.Observe(at(8 * second))
	require.True(t, ok)
	require.True(t, found.Lost, "sockets do not keep what arrives for longer than 5 s")
}

func TestObserve_findsASuspendByTheWallClock(t *testing.T) {
	t.Parallel()
	a := watching()
	woke := clock.Instant{Mono: second / 4, Wall: epoch + 8*3600*second}
	found, ok := a.Observe(woke)
	require.True(t, ok)
	require.True(t, found.Lost)
	require.Equal(t, 8*3600*second, found.Length())
	require.Equal(t, epoch, a.Wall(0), "before the suspend by the clock of that time")
	require.Equal(t, woke.Wall+second, a.Wall(woke.Mono+second))
}

func TestObserve_ignoresOlderReadingsAndTimeAfterStop(t *testing.T) {
	t.Parallel()
	a := watching()
	a.Observe(at(second / 4))
	_, ok := a.Observe(clock.Instant{Mono: 0, Wall: epoch + 3600*second})
	require.False(t, ok)
	a.Stop()
	_, ok = a.Observe(at(3600 * second))
	require.False(t, ok)
	require.Equal(t, at(second/4), a.Observed())
}

func TestObserve_oneUnevenReadingMovesNoTime(t *testing.T) {
	t.Parallel()
	a := watching()
	off := 100 * int64(time.Millisecond)
	a.Observe(clock.Instant{Mono: second / 4, Wall: epoch + second/4 + off})
	require.Equal(t, epoch+second, a.Wall(second))
	a.Observe(clock.Instant{Mono: second / 2, Wall: epoch + second/2 + off})
	require.Equal(t, epoch+second+off, a.Wall(second), "read twice, it counts")
}

func TestObserve_tellsTheNote(t *testing.T) {
	t.Parallel()
	a := watching()
	var noted []clock.Absence
	a.Note = func(gone clock.Absence) { noted = append(noted, gone) }
	found, _ := a.Observe(at(10 * second))
	require.Equal(t, []clock.Absence{found}, noted)
}

func TestAbsences_closeOnesAreOne(t *testing.T) {
	t.Parallel()
	a := watching()
	a.Observe(at(10 * second))
	a.Observe(at(10*second + second/2))
	a.Observe(at(20 * second))
	latest, ok := a.Latest()
	require.True(t, ok)
	require.Equal(t, int64(0), latest.From.Mono)
	require.Equal(t, 20*second, a.LatestBack())
	require.Len(t, a.Single(), 2, "one by one for readers")
}

func TestAbsences_areBounded(t *testing.T) {
	t.Parallel()
	a := watching()
	for n := range 3 * clock.MaxKept {
		mono := int64(n) * 100 * second
		a.Observe(at(mono))
		a.Observe(at(mono + 50*second))
		ticks(a, mono+50*second, mono+52*second)
	}
	require.LessOrEqual(t, len(a.Single()), clock.MaxKept)
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	const window, interval = 60 * second, 20 * second
	for _, test := range []struct {
		name              string
		gone              []clock.Absence
		interval          int64
		beaten            bool
		deadline, certain int64
	}{
		{"without an absence it is the window", nil, interval, true, 60 * second, 60 * second},
		{"an absence before the last beat does not count", []clock.Absence{{From: at(-50 * second), Back: at(-10 * second), Lost: true}}, interval, true, 60 * second, 60 * second},
		{"after an absence the service has a window again", []clock.Absence{{From: at(30 * second), Back: at(50 * second), Lost: true}}, interval, true, 110 * second, 110 * second},
		{"all expected beats were hidden: it is certain a window later", []clock.Absence{{From: at(5 * second), Back: at(115 * second), Lost: true}}, interval, true, 175 * second, 175 * second},
		{"nothing was lost in a short pause", []clock.Absence{{From: at(58 * second), Back: at(62 * second)}}, interval, true, 122 * second, 122 * second},
		{"only three absences count", []clock.Absence{
			{From: at(10 * second), Back: at(20 * second), Lost: true}, {From: at(30 * second), Back: at(40 * second), Lost: true},
			{From: at(50 * second), Back: at(60 * second), Lost: true}, {From: at(70 * second), Back: at(600 * second), Lost: true},
		}, interval, true, 120 * second, 120 * second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := clock.New(at(-3600 * second))
			a.Start(at(-3600*second), false)
			for _, gone := range test.gone {
				a.SetSeen(gone.From)
				found, ok := a.Observe(gone.Back)
				require.True(t, ok)
				require.Equal(t, gone, found)
			}
			deadline, certain := a.Deadline(0, test.interval, window, test.beaten)
			require.Equal(t, time.Duration(test.deadline), time.Duration(deadline))
			require.Equal(t, time.Duration(test.certain), time.Duration(certain))
		})
	}
}

func TestDeadline_killedRunMayHaveForgottenBeats(t *testing.T) {
	t.Parallel()
	a := clock.New(at(61 * second))
	a.Resume(nil, at(59*second), at(61*second), true, true)
	deadline, certain := a.Deadline(0, 20*second, 300*second, true)
	require.Equal(t, 300*second, deadline)
	require.Equal(t, 361*second, certain)
}

func TestDeadline_longWindowIsForgivenTwoMinutes(t *testing.T) {
	t.Parallel()
	a := clock.New(at(0))
	a.Resume(nil, at(10*second), at(5000*second), true, false)
	deadline, certain := a.Deadline(0, 600*second, 1500*second, true)
	require.Equal(t, 5120*second, deadline)
	require.Equal(t, 6500*second, certain, "all its beats fell into the absence: unknown until then")
}
