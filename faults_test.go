package laneswap_test

import (
	"context"
	"iter"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/adapters/storagetest"
	"github.com/laneswap/laneswap/examples/memorystore"
)

// timed notes each call of a storage.
type timed struct {
	laneswap.Storage
	note func()
}

func (s *timed) Load(ctx context.Context) iter.Seq2[laneswap.Row, error] {
	s.note()
	return s.Storage.Load(ctx)
}

func (s *timed) Rows(ctx context.Context, q laneswap.RowQuery) iter.Seq2[laneswap.Row, error] {
	s.note()
	return s.Storage.Rows(ctx, q)
}

func (s *timed) Commit(ctx context.Context, b laneswap.Batch) error {
	s.note()
	return s.Storage.Commit(ctx, b)
}

func (s *timed) Prune(ctx context.Context, k laneswap.Kind, before time.Time, limit int) (int, error) {
	s.note()
	return s.Storage.Prune(ctx, k, before, limit)
}

// rehearsal is the scenario without a fault.
type rehearsal struct {
	want    outcome
	times   []time.Duration // of its calls of the storage
	crashes []time.Duration
}

// rehearse plays the scenario without a fault.
func rehearse(t *testing.T) (r rehearsal) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		disk := memorystore.New()
		begun := time.Now()
		var mu sync.Mutex
		note := func() {
			mu.Lock()
			defer mu.Unlock()
			r.times = append(r.times, time.Since(begun))
		}
		p := &drama{t: t, faulty: storagetest.NewFaulty(&timed{disk, note})}
		p.perform()
		r.crashes = p.crashes
		require.Len(t, r.times, p.faulty.Calls(storagetest.Any))
		r.want = p.outcome(disk)
		p.check(r.want)
		require.False(t, p.late)
		require.Len(t, p.ledger, 26)
		for _, d := range p.ledger {
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

// mishaps are what goes wrong with one call.
var mishaps = map[string]storagetest.Fault{
	"ENOSPC": {How: storagetest.Refuse, Err: syscall.ENOSPC},
	"EIO":    {How: storagetest.Refuse, Err: syscall.EIO},
	"lost":   {How: storagetest.LoseAnswer, Err: syscall.EIO},
	"half":   {How: storagetest.Half, Err: syscall.ENOSPC},
	"hang":   {How: storagetest.Hang},
	"slow":   {How: storagetest.Slow, Delay: 3 * time.Second},
}

// stride is how many calls lie between two that are tried.
func stride(n int) int {
	if raceEnabled {
		return 13 * n
	}
	return n
}

func TestFaults_oneAtEachCallLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	r := rehearse(t)
	for name, fault := range mishaps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			exact := 0
			for n := 1; n <= len(r.times); n += stride(1) {
				synctest.Test(t, func(t *testing.T) {
					t.Helper()
					disk := memorystore.New()
					p := &drama{t: t, faulty: storagetest.NewFaulty(disk)}
					fault.Op, fault.At = storagetest.Any, n
					p.faulty.Inject(fault)
					p.perform()
					o := p.outcome(disk)
					p.check(o)
					// What happened so shortly before a crash may not be stored, and nobody was
					// told that it was.
					near := slices.ContainsFunc(r.crashes, func(crash time.Duration) bool {
						return r.times[n-1] <= crash && crash <= r.times[n-1]+15*time.Second
					})
					if !near && !p.late {
						o.same(t, r.want)
						exact++
					}
					if t.Failed() {
						t.Logf("%s at call %d of %d, at %v", name, n, len(r.times), r.times[n-1])
					}
				})
			}
			require.Greater(t, exact, len(r.times)/stride(2), "too few are compared")
		})
	}
}

func TestFaults_aMinuteOfThemLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	r := rehearse(t)
	for name, fault := range mishaps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := 1; n <= len(r.times); n += stride(4) {
				synctest.Test(t, func(t *testing.T) {
					t.Helper()
					disk := memorystore.New()
					p := &drama{t: t, faulty: storagetest.NewFaulty(disk)}
					fault.Op, fault.At, fault.Times = storagetest.Any, n, -1
					p.faulty.Inject(fault)
					if fault.How != storagetest.Slow { // a slow one is not away
						p.away = [2]time.Duration{r.times[n-1], r.times[n-1] + time.Minute}
					}
					heal := time.AfterFunc(r.times[n-1]+time.Minute, p.faulty.Heal)
					p.perform()
					heal.Stop()
					p.faulty.Heal()
					p.check(p.outcome(disk))
					if t.Failed() {
						t.Logf("%s from call %d of %d on, at %v", name, n, len(r.times), r.times[n-1])
					}
				})
			}
		})
	}
}
