package laneswap_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// randomRuns are several runs of a Manager on one storage, each ended by a crash or a
// stop, with services of every kind and one receiver, which fails at random.
type randomRuns struct {
	t      *testing.T
	random *rand.Rand
	disk   *memorystore.Store
	s      *crashStorage
	m      *run
	d      *unreliable
	opts   []laneswap.Option
	ends   []time.Time // of lives
	ids    []laneswap.ServiceID
	loud   bool // the receiver is told of errors only
}

// registration is the service of that number: every third has thresholds, every
// fourth is silent at times.
func (g *randomRuns) registration(i int) laneswap.Registration {
	reg := laneswap.Registration{ID: nthID(i), NoDeadline: i%4 != 3}
	if i%4 == 3 {
		reg.Interval, reg.StaleAfter = 30*time.Second, 80*time.Second
	}
	switch i % 6 {
	case 1:
		reg.AlertAfter = beats(3)
	case 2:
		reg.RecoverAfter = forTime(time.Minute)
	case 3:
		reg.AlertAfter, reg.RecoverAfter = forTime(40*time.Second), beats(2)
	}
	return reg
}

// immediate reports whether every notice of a service is sent.
func (g *randomRuns) immediate(id laneswap.ServiceID) bool {
	i := slices.Index(g.ids, id)
	return i%6 != 1 && i%6 != 2 && i%6 != 3
}

func (g *randomRuns) begin() {
	g.s = newCrashStorage(g.disk)
	g.m = startWithStorage(g.t, g.s, g.opts...)
	for i, id := range g.ids {
		_ = g.m.AnnounceBeat(g.t.Context(), g.registration(i), laneswap.Heartbeat{})
		require.NotEmpty(g.t, id)
	}
}

func (g *randomRuns) end(crash bool) {
	if crash {
		g.ends = append(g.ends, time.Now())
		g.m.crash(g.s)
		return
	}
	g.m.stopped = true
	_ = g.m.Stop(g.t.Context()) // what could not be told is owed
	g.ends = append(g.ends, time.Now())
}

// live has services change at random for a while.
func (g *randomRuns) live(d time.Duration) {
	statuses := []laneswap.Status{good, good, good, bad, laneswap.StatusWarning, laneswap.StatusCritical, laneswap.StatusUnknown}
	for end := time.Now().Add(d); time.Now().Before(end); {
		for range g.random.IntN(4) {
			i := g.random.IntN(len(g.ids))
			switch g.random.IntN(60) {
			case 0:
				_ = g.m.Remove(g.t.Context(), g.ids[i])
			case 1:
				_ = g.m.AnnounceBeat(g.t.Context(), g.registration(i), laneswap.Heartbeat{Status: bad})
			default:
				_ = g.m.Beat(g.t.Context(), g.ids[i], laneswap.Heartbeat{Status: statuses[g.random.IntN(len(statuses))]})
			}
		}
		time.Sleep(time.Duration(1+g.random.IntN(20_000)) * time.Millisecond)
		if g.random.IntN(20) == 0 {
			enable(g.t, g.m.Manager, g.d)
		}
	}
}

// settle keeps all services healthy until everything is delivered.
func (g *randomRuns) settle() {
	g.d.stopFailing()
	for range 4 {
		for end := time.Now().Add(10 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Second) {
			for i := range g.ids {
				require.NoError(g.t, g.m.AnnounceBeat(g.t.Context(), g.registration(i), laneswap.Heartbeat{}))
			}
		}
		enable(g.t, g.m.Manager, g.d)
	}
	s := g.d.status(g.t, g.m.Manager)
	require.Zero(g.t, s.Waiting)
	require.Zero(g.t, s.Dead)
}

// check asserts what holds over all runs.
func (g *randomRuns) check() {
	t := g.t
	g.d.requireNoOverlap(t)
	g.d.guard.Lock()
	defer g.d.guard.Unlock()
	told := map[laneswap.ServiceID][]laneswap.Event{}
	known, sure := map[string]bool{}, map[string]bool{}
	for _, a := range g.d.arrived {
		if a.note.Kind == laneswap.NoticeTest {
			continue
		}
		for _, ev := range eventsIn(a.note) {
			require.False(t, sure[ev.ID], "%s is told again, and no answer was lost", ev.ID)
			if !known[ev.ID] {
				told[ev.Service] = append(told[ev.Service], ev)
			}
			known[ev.ID], sure[ev.ID] = true, !a.lost && !slices.Contains(g.ends, a.at)
		}
	}
	t.Log(len(g.ids), "services", len(g.d.arrived), "messages", len(sure), "events", len(g.ends), "lives")
	for _, id := range g.ids {
		var sent []string
		for _, ev := range noticeEventIDs(t, g.m.Manager, id) {
			switch tr := g.d.trace(t, g.m.Manager, ev); tr.State {
			case laneswap.NoticeSent:
				sent = append(sent, ev)
			case laneswap.NoticeSkipped:
				require.False(t, g.immediate(id) && !g.loud, "%s: %v", ev, traceLines(tr))
			default:
				require.Fail(t, "neither told nor skipped", "%s: %v", ev, traceLines(tr))
			}
		}
		require.Equal(t, sent, idsOf(told[id]), "of %s", id)
		if n := len(told[id]); n > 0 {
			last := told[id][n-1]
			require.Contains(t, []laneswap.EventKind{laneswap.EventRecovered, laneswap.EventRemoved, laneswap.EventUnheard}, last.Kind, "%s is well, and people are left with an alarm", id)
		}
	}
}

func TestRestarts_randomOnesLoseNoNotice(t *testing.T) {
	t.Parallel()
	for seed := range scaled[uint64](2, 8, 100) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 44))
				g := &randomRuns{t: t, random: random, disk: memorystore.New(), d: newUnreliable(seed, []float64{0, 0.3, 0.8}[seed%3])}
				for i := range 1 + random.IntN(18) {
					g.ids = append(g.ids, nthID(i))
				}
				var n laneswap.Notifier = g.d
				if g.loud = random.IntN(2) == 0; g.loud {
					n = laneswap.Only(n, laneswap.MinLevel(laneswap.LevelError))
				}
				g.opts = []laneswap.Option{
					laneswap.WithNotifier(n), laneswap.WithEventBuffer(100_000),
					laneswap.WithGroupWait([]time.Duration{0, 5 * time.Second, time.Minute}[random.IntN(3)]),
					laneswap.WithFlapLimit([]int{0, 3, 5}[random.IntN(3)]),
				}
				if random.IntN(2) == 0 {
					g.opts = append(g.opts, laneswap.WithRemindEvery(10*time.Minute))
				}
				for range 2 + random.IntN(5) {
					g.begin()
					g.live(time.Duration(1+random.IntN(1200)) * time.Second)
					g.end(random.IntN(3) > 0)
					time.Sleep(time.Duration(random.IntN(90)) * time.Second)
				}
				g.begin()
				g.settle()
				g.check()
				g.m.stop(t)
			})
		})
	}
}
