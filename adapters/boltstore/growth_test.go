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

// Services beat for one growthUnit of virtual time until the file is measured, and
// for seven until it is measured again. With 24h, a day and a week, the tests take
// some minutes.
var (
	growthUnit     = flag.Duration("growth-unit", 10*time.Minute, "virtual time until the file is measured; it is again after seven of them")
	growthServices = flag.Int("growth-services", 100, "number of services, at least 50")
)

const (
	// talkers is the number of services that send many short messages.
	talkers = 20
	// maxMessageBytes is how much the Manager keeps of the messages of a service.
	maxMessageBytes = 16 << 10
)

// TestGrowth_healthyBeatsAddNothing lets half of the services beat often: LaneSwap
// stores their beats now and then. The others beat seldom: LaneSwap stores each of
// their beats within a second.
func TestGrowth_healthyBeatsAddNothing(t *testing.T) {
	t.Parallel()
	needsTime(t)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		f.add(t, *growthServices/2, 30*time.Second, (*laneswap.Handle).Beat)
		f.add(t, *growthServices/2, 5*time.Minute, (*laneswap.Handle).Beat)
		one, seven := f.live(t)
		require.Equal(t, one.Rows, seven.Rows)
		require.Equal(t, one.Open, seven.Open)
		require.Equal(t, *growthServices, one.Seen)
		require.Equal(t, *growthServices, seven.Seen)
		require.InDelta(t, one.Size, seven.Size, float64(*growthServices*pageSize), "a page per service")
		// Numbers become longer, so that rows may lie otherwise in their pages.
		require.InDelta(t, one.used, seven.used, max(4, float64(*growthServices)/100), "pages in use when compacted")
	})
}

// TestGrowth_messagesStayBounded sends another message with each beat. A few
// services send short ones often, and reach the number of beats that are kept; the
// others send long ones, and reach the limit of bytes.
func TestGrowth_messagesStayBounded(t *testing.T) {
	t.Parallel()
	needsTime(t)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		unit := *growthUnit
		report := func(size int) func(h *laneswap.Handle) {
			filler := strings.Repeat("x", size)
			return func(h *laneswap.Handle) {
				if err := h.Report(laneswap.Heartbeat{Message: fmt.Sprintf("%09d %s", f.sent, filler)}); err != nil {
					t.Error(err)
				}
			}
		}
		f.add(t, talkers, unit/120, report(20))
		f.add(t, *growthServices-talkers, unit/6, report(4000))
		one, seven := f.live(t)
		require.Equal(t, *growthServices, one.Rows["beats"])
		require.Equal(t, one.Rows, seven.Rows)
		require.Equal(t, one.Open, seven.Open)
		// The messages of a service are in one row, and its latest message is in two
		// more: none of them fills its last page.
		bound := *growthServices * (maxMessageBytes + 5*pageSize)
		for _, now := range []footprint{one, seven} {
			require.Greater(t, now.used*pageSize, (*growthServices-talkers)*maxMessageBytes*3/4, "the limit is used")
			require.LessOrEqual(t, now.used*pageSize, bound, "in use")
			// A file grows by 16 MiB, and a commit needs room for what it replaces.
			require.LessOrEqual(t, now.Size, int64(2*bound+16<<20), "in use and free")
		}
		require.InDelta(t, one.used, seven.used, max(4, float64(*growthServices)/100), "pages in use when compacted")
	})
}

func needsTime(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes seconds; run it without -short")
	}
}

// fleet is a Manager on a file, and services that beat, in virtual time.
type fleet struct {
	m      *laneswap.Manager
	path   string
	groups []group
	size   int
	sent   int
}

// group holds services that beat alike.
type group struct {
	handles  []*laneswap.Handle
	interval int // in seconds
	beat     func(h *laneswap.Handle)
}

// newFleet is called within a bubble.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	require.GreaterOrEqual(t, *growthUnit, 10*time.Minute, "every service beats within a unit")
	f := &fleet{path: newPath(t)}
	s := openFast(t, f.path)
	f.m = laneswap.NewManager(laneswap.WithStorage(s))
	require.NoError(t, f.m.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, f.m.Stop(context.Background())) })
	return f
}

func (f *fleet) add(t *testing.T, services int, interval time.Duration, beat func(h *laneswap.Handle)) {
	t.Helper()
	g := group{interval: int(interval / time.Second), beat: beat}
	for range services {
		id := laneswap.ServiceID(fmt.Sprintf("service-%04d@host", f.size))
		f.size++
		_, err := f.m.Register(t.Context(), laneswap.Registration{ID: id, Interval: interval})
		require.NoError(t, err)
		h, err := f.m.Handle(id)
		require.NoError(t, err)
		g.handles = append(g.handles, h)
	}
	f.groups = append(f.groups, g)
}

// live lets the services beat, and measures the file after one unit and after
// seven.
func (f *fleet) live(t *testing.T) (one, seven footprint) {
	t.Helper()
	unit := int(*growthUnit / time.Second)
	for n := range 7 * unit {
		for _, g := range f.groups {
			for i := n % g.interval; i < len(g.handles); i += g.interval {
				g.beat(g.handles[i])
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
	require.Equal(t, *growthServices, sum.Counts[laneswap.StatusHealthy])
	return one, seven
}

// footprint is the content of a file, and the number of pages that it takes once
// it is compacted.
type footprint struct {
	boltstore.Report
	used int
}

// measure checks a copy of the file, at an instant without a write.
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
