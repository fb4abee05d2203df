package laneswap_test

import (
	"maps"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// rehearsal is the scenario without a fault.
type rehearsal struct {
	want  outcome
	calls int // of the storage; another run has a few more or less
}

// rehearse plays the scenario without a fault.
func rehearse(t *testing.T) (r rehearsal) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		p := &scenario{t: t, faulty: storagetest.NewFaulty(disk)}
		p.playAll()
		r.calls = p.faulty.Calls(storagetest.Any)
		r.want = p.outcome(disk)
		p.check(r.want)
		require.False(t, p.late)
		require.Len(t, p.acknowledged, 26)
		for _, d := range p.acknowledged {
			require.True(t, d.durable, "%+v", d)
		}
		require.Empty(t, r.want.own)
	})
	said := map[laneswap.ServiceID]string{}
	for id, evs := range r.want.Events {
		for _, ev := range evs {
			said[id] += " " + string(ev.Kind)
		}
	}
	require.Equal(t, map[laneswap.ServiceID]string{
		"steady": " up down recovered down recovered",
		"worker": " up down recovered down recovered",
		"silent": " up down recovered down recovered down better worse",
		"doomed": " down removed up down worse recovered",
	}, said)
	return r
}

// callFaults are the faults of one call.
var callFaults = map[string]storagetest.Fault{
	"ENOSPC": {How: storagetest.Refuse, Err: syscall.ENOSPC},
	"EIO":    {How: storagetest.Refuse, Err: syscall.EIO},
	"lost":   {How: storagetest.LoseAnswer, Err: syscall.EIO},
	"half":   {How: storagetest.Half, Err: syscall.ENOSPC},
	"hang":   {How: storagetest.Hang},
	"slow":   {How: storagetest.Slow, Delay: 3 * time.Second},
}

// stride is how many calls lie between two that are tried.
func stride(n int) int { return n * scaled(26, len(callFaults), 1) }

func TestFaults_oneAtEachCallLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	r := rehearse(t)
	for i, name := range slices.Sorted(maps.Keys(callFaults)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fault, exact := callFaults[name], 0
			for n := 1 + i%stride(1); n <= r.calls; n += stride(1) { // together they try each call
				synctest.Test(t, func(t *testing.T) {
					t.Helper()
					disk := memorystore.New()
					p := &scenario{t: t, faulty: storagetest.NewFaulty(disk)}
					fault.Op, fault.At = storagetest.Any, n
					p.faulty.Inject(fault)
					defer p.locate(name, n)
					p.playAll()
					o := p.outcome(disk)
					p.check(o)
					// What happened so shortly before a crash may not be stored, and nobody was
					// told that it was.
					struck := p.firstFault() // in this run: the n-th call comes seconds earlier or later in others
					near := slices.ContainsFunc(p.crashes, func(crash time.Duration) bool {
						return struck <= crash && crash <= struck+15*time.Second
					})
					if !near && !p.late {
						o.same(t, r.want)
						exact++
					}
				})
			}
			require.Greater(t, exact, r.calls/stride(2), "too few are compared")
		})
	}
}

func TestFaults_aMinuteOfThemLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	r := rehearse(t)
	for i, name := range slices.Sorted(maps.Keys(callFaults)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fault := callFaults[name]
			for n := 1 + 4*i; n <= r.calls; n += stride(4) {
				synctest.Test(t, func(t *testing.T) {
					t.Helper()
					disk := memorystore.New()
					p := &scenario{t: t, faulty: storagetest.NewFaulty(disk)}
					fault.Op, fault.At, fault.Times, fault.For = storagetest.Any, n, -1, time.Minute
					p.faulty.Inject(fault)
					if fault.How != storagetest.Slow { // a slow one is not away
						p.away = fault.For
					}
					defer p.locate(name, n)
					p.playAll()
					p.check(p.outcome(disk))
				})
			}
		})
	}
}
