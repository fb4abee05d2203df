package laneswap_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

func TestCell_isOneCacheLineOfItsOwn(t *testing.T) {
	t.Parallel()
	m := laneswap.NewManager()
	for i := range 100 {
		st, err := m.Register(t.Context(), laneswap.Registration{ID: laneswap.ServiceID(fmt.Sprintf("svc%d", i))})
		require.NoError(t, err)
		h, err := m.Handle(st.ID)
		require.NoError(t, err)
		require.EqualValues(t, 64, unsafe.Sizeof(*h.CellAddress()))
		require.Zero(t, uintptr(unsafe.Pointer(h.CellAddress()))%64)
	}
}

// Beats, with -long a million, within nanoseconds of the deadline, from 8 goroutines that
// wake in the same instants as the watching loop. Virtual time makes the truth
// exact: every gap above the window is one incident, and nothing else is.
func TestHandle_beatsAroundDeadlinesGiveTheTrueVerdicts(t *testing.T) {
	t.Parallel()
	const (
		goroutines = 8
		services   = 4
		window     = 10 * time.Millisecond
	)
	rounds := scaled(5_000, 25_000, 125_000)
	synctest.Test(t, func(t *testing.T) {
		m := laneswap.NewManager()
		require.NoError(t, m.Start(t.Context()))
		var handles [services]*laneswap.Handle
		for i := range handles {
			id := laneswap.ServiceID(fmt.Sprintf("svc%d", i))
			_, err := m.Register(t.Context(), laneswap.Registration{ID: id, StaleAfter: window})
			require.NoError(t, err)
			handles[i], err = m.Handle(id)
			require.NoError(t, err)
			handles[i].Beat()
		}
		start := time.Now()
		var beats [goroutines][]time.Duration
		var wg sync.WaitGroup
		for g := range goroutines {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(g), 7))
				h := handles[g%services]
				beats[g] = make([]time.Duration, 0, rounds)
				for r := range rounds {
					// Two goroutines share a service; half of the rounds end with a gap
					// just above the window, the others just below or at it.
					at := time.Duration(r+1)*(window+1) + time.Duration(rng.IntN(3))
					time.Sleep(at - time.Since(start))
					h.Beat()
					beats[g] = append(beats[g], at)
				}
			})
		}
		watched := make(chan map[laneswap.ServiceID][]laneswap.Event)
		w, err := m.Watch(t.Context(), laneswap.WatchQuery{})
		require.NoError(t, err)
		go func() {
			got := map[laneswap.ServiceID][]laneswap.Event{}
			for ev, err := range w.Events() {
				if err != nil {
					break
				}
				got[ev.Service] = append(got[ev.Service], ev)
			}
			watched <- got
		}()
		wg.Wait()
		require.NoError(t, m.Stop(t.Context()))
		events := <-watched

		for s := range services {
			all := append([]time.Duration{0}, beats[s]...)
			all = append(all, beats[s+services]...)
			slices.Sort(all)
			var gaps []time.Duration // where they began
			for i := 1; i < len(all); i++ {
				if all[i]-all[i-1] > window {
					gaps = append(gaps, all[i-1])
				}
			}
			require.NotEmpty(t, gaps)
			require.Less(t, len(gaps), rounds, "some rounds end in time")
			got := events[handles[s].ID()][1:] // without the first up
			require.Equal(t, 2*len(gaps), len(got), "one incident for each gap")
			ids := map[string]bool{}
			for i, gap := range gaps {
				stale, back := got[2*i], got[2*i+1]
				if stale.Kind != laneswap.EventDown || stale.To != laneswap.StatusStale || back.Kind != laneswap.EventRecovered ||
					!stale.SilentSince.Equal(start.Add(gap).Truncate(time.Millisecond)) ||
					!stale.At.Equal(start.Add(gap+window).Truncate(time.Millisecond)) ||
					back.At.Before(stale.At) || ids[stale.ID] || ids[back.ID] || stale.Incident != back.Incident {
					require.Fail(t, "wrong incident", "gap at %v: %+v, %+v", gap, stale, back)
				}
				ids[stale.ID], ids[back.ID] = true, true
			}
		}
	})
}
