package boltstore_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/boltstore"
)

// growthUnit is how long virtual services live until the file is measured, and
// seven times that until it is measured again: 24h asks for a day and a week,
// which takes some minutes.
var growthUnit = flag.Duration("growth-unit", 30*time.Minute, "virtual time until the file is measured; it is again after seven of them")

// fleetSize is how many services there are.
var fleetSize = unlessRace(1000, 100)

const (
	talkers = 20
	// spokenBytes is what the Manager keeps at most of what a service said.
	spokenBytes = 16 << 10
)

// TestGrowth_healthyBeatsAddNothing has half of the services beat often, so that
// their beats are noted at the rhythm of housekeeping, and half seldom, so that
// each of their beats is noted within a second.
func TestGrowth_healthyBeatsAddNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.add(t, fleetSize/2, 30*time.Second, (*laneswap.Handle).Beat)
		f.add(t, fleetSize/2, 5*time.Minute, (*laneswap.Handle).Beat)
		one, seven := f.live(t)
		require.Equal(t, one.Rows, seven.Rows)
		require.Equal(t, one.Open, seven.Open)
		require.Equal(t, fleetSize, one.Seen)
		require.Equal(t, fleetSize, seven.Seen)
		require.InDelta(t, one.Size, seven.Size, float64(fleetSize*pageSize), "a page per service")
		// Numbers become longer, so that rows may lie otherwise in their pages.
		require.InDelta(t, one.used, seven.used, max(4, float64(fleetSize)/100), "pages in use when compacted")
	})
}

// TestGrowth_messagesStayBounded has each beat say something else. A few services
// say little and often, and reach the number of beats that are kept; all others
// say much, and reach their size.
func TestGrowth_messagesStayBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		unit := unitOf()
		say := func(size int) func(h *laneswap.Handle) {
			filler := strings.Repeat("x", size)
			return func(h *laneswap.Handle) {
				if err := h.Report(laneswap.Heartbeat{Message: fmt.Sprintf("%09d %s", f.sent, filler)}); err != nil {
					t.Error(err)
				}
			}
		}
		f.add(t, talkers, unit/120, say(20))
		f.add(t, fleetSize-talkers, unit/6, say(4000))
		one, seven := f.live(t)
		require.Equal(t, fleetSize, one.Rows["beats"])
		require.Equal(t, one.Rows, seven.Rows)
		require.Equal(t, one.Open, seven.Open)
		// Of each service there is what it said, and its latest message is in two
		// rows besides: none of them fills its last page.
		bound := fleetSize * (spokenBytes + 5*pageSize)
		for _, now := range []footprint{one, seven} {
			require.Greater(t, now.used*pageSize, (fleetSize-talkers)*spokenBytes*3/4, "as much is kept as may be")
			require.LessOrEqual(t, now.used*pageSize, bound, "in use")
			// A file grows by 16 MiB, and a commit needs room for what it replaces.
			require.LessOrEqual(t, now.Size, int64(2*bound+16<<20), "in use and free")
		}
		require.InDelta(t, one.used, seven.used, max(4, float64(fleetSize)/100), "pages in use when compacted")
	})
}

func unitOf() time.Duration { return unlessRace(*growthUnit, 10*time.Minute) }

// unlessRace chooses less where each step takes ten times as long.
func unlessRace[T any](much, less T) T {
	if raceEnabled {
		return less
	}
	return much
}

// fleet is a Manager on a file, and services that beat, in virtual time.
type fleet struct {
	m      *laneswap.Manager
	path   string
	squads []squad
	size   int
	sent   int
}

// squad is services that beat alike.
type squad struct {
	handles []*laneswap.Handle
	steps   int // seconds from beat to beat
	beat    func(h *laneswap.Handle)
}

// newFleet is called within a bubble.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	require.GreaterOrEqual(t, unitOf(), 10*time.Minute, "every service beats within a unit")
	f := &fleet{path: newPath(t)}
	s := open(t, f.path)
	s.SkipSync()
	f.m = laneswap.NewManager(laneswap.WithStorage(s))
	require.NoError(t, f.m.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, f.m.Stop(context.Background())) })
	return f
}

func (f *fleet) add(t *testing.T, services int, interval time.Duration, beat func(h *laneswap.Handle)) {
	t.Helper()
	s := squad{steps: int(interval / time.Second), beat: beat}
	for range services {
		id := laneswap.ServiceID(fmt.Sprintf("service-%04d@host", f.size))
		f.size++
		_, err := f.m.Register(t.Context(), laneswap.Registration{ID: id, Interval: interval})
		require.NoError(t, err)
		h, err := f.m.Handle(id)
		require.NoError(t, err)
		s.handles = append(s.handles, h)
	}
	f.squads = append(f.squads, s)
}

// live lets the services beat, and measures the file after one unit and after
// seven.
func (f *fleet) live(t *testing.T) (one, seven footprint) {
	t.Helper()
	unit := int(unitOf() / time.Second)
	for n := range 7 * unit {
		for _, s := range f.squads {
			for i := n % s.steps; i < len(s.handles); i += s.steps {
				s.beat(s.handles[i])
				f.sent++
			}
		}
		time.Sleep(time.Second)
		if n+1 == unit {
			one = f.measure(t)
		}
	}
	seven = f.measure(t)
	sum, err := f.m.Summary(t.Context())
	require.NoError(t, err)
	require.Equal(t, fleetSize, sum.Counts[laneswap.StatusHealthy])
	return one, seven
}

// footprint is what a file holds, and how many of its pages that takes once it is
// compacted.
type footprint struct {
	boltstore.Report
	used int
}

// measure looks at a copy of the file, at an instant at which nobody writes.
func (f *fleet) measure(t *testing.T) footprint {
	t.Helper()
	require.NoError(t, f.m.Sync(t.Context()))
	synctest.Wait()
	file, err := os.ReadFile(f.path)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "copy.db")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	was := check(t, path)
	require.NoError(t, boltstore.Compact(path))
	is := check(t, path)
	require.NoError(t, os.Remove(path))
	t.Logf("%d beats: %d bytes, %d pages, %d free, %d in use when compacted; %v",
		f.sent, was.Size, was.Pages, was.FreePages, is.Pages-is.FreePages, was.Rows)
	return footprint{was, is.Pages - is.FreePages}
}

func check(t *testing.T, path string) boltstore.Report {
	t.Helper()
	report, err := boltstore.Check(path)
	require.NoError(t, err)
	require.Empty(t, report.Problems)
	return report
}
