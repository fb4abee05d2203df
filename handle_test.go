package laneswap_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
)

func TestHandle_ofAForgottenServiceKeepsTheNewOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		old := register(t, m, laneswap.Registration{ID: "x", Name: "old", ForgetAfter: time.Minute})
		old.Beat()
		time.Sleep(3 * time.Minute)
		register(t, m, laneswap.Registration{ID: "x", Name: "new", Interval: time.Hour})
		old.Beat()
		st := statusOf(t, m, "x")
		require.Equal(t, "new", st.Name)
		require.Equal(t, time.Hour, st.Interval)
		require.EqualValues(t, 1, st.Beats)
	})
}

func TestHandle_endsWhenTheSuccessorWasRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := started(t)
		first := register(t, m, laneswap.Registration{ID: "x", ForgetAfter: time.Minute, Metadata: map[string]any{"k": "v"}})
		second, err := m.Handle("x")
		require.NoError(t, err)
		first.Beat()
		time.Sleep(3 * time.Minute) // forgotten
		first.Beat()                // registered again
		require.Equal(t, map[string]any{"k": "v"}, statusOf(t, m, "x").Metadata)
		require.NoError(t, m.Remove(t.Context(), "x"))
		second.Beat()
		require.ErrorIs(t, second.Err(), laneswap.ErrServiceNotFound)
		_, err = m.Service(t.Context(), "x")
		require.ErrorIs(t, err, laneswap.ErrServiceNotFound)
	})
}

// The fast path must not acknowledge a beat before the silence that it ends was
// judged: a stale verdict would follow a younger beat.
func TestHandle_interruptedBeatHidesNoSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := laneswap.NewManager() // not started: nobody has judged
		h := register(t, m, laneswap.Registration{ID: "x"})
		h.Beat()
		time.Sleep(window + time.Second)
		finish := h.HalfBeat()
		time.Sleep(time.Millisecond)
		require.NoError(t, m.Beat(t.Context(), "x", laneswap.Heartbeat{Status: laneswap.StatusWarning}))
		finish()
		evs := eventsOf(t, m, laneswap.EventQuery{})
		require.Equal(t, []laneswap.EventKind{"up", "down", "better", "recovered"}, kindsOf(t, m))
		require.Equal(t, laneswap.StatusStale, evs[1].To)
		require.Equal(t, evs[1].SilentSince.Add(window), evs[1].At)
	})
}

// Random verbs in any order: after each, every service that owes a heartbeat is
// looked at in time, and the counts are right; at the end all silence is found.
func TestManager_anyOrderOfCallsKeepsStateConsistent(t *testing.T) {
	t.Parallel()
	statuses := []laneswap.Status{"", "healthy", "warning", "error", "busy", "shutdown", "unknown", "idle"}
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 9))
			m := laneswap.NewManager()
			if seed%3 != 0 {
				require.NoError(t, m.Start(t.Context()))
			}
			handles := map[laneswap.ServiceID]*laneswap.Handle{}
			span := func() time.Duration { return time.Duration(1+rng.IntN(100)) * time.Second }
			for range 120 {
				id := laneswap.ServiceID(fmt.Sprint("s", rng.IntN(4)))
				switch rng.IntN(8) {
				case 0:
					reg := laneswap.Registration{ID: id, MustRun: rng.IntN(3) == 0}
					switch rng.IntN(5) {
					case 0:
						reg.NoDeadline = true
					case 1:
						reg.Interval = span()
					case 2:
						reg.StaleAfter = span()
					case 3:
						reg.ForgetAfter = time.Minute
					}
					handles[id] = register(t, m, reg)
				case 1, 2:
					_ = m.Beat(t.Context(), id, laneswap.Heartbeat{Status: statuses[rng.IntN(len(statuses))]})
				case 3, 4:
					if h := handles[id]; h != nil {
						h.Beat()
					}
				case 5:
					if rng.IntN(4) == 0 {
						_ = m.Remove(t.Context(), id)
					}
				case 6:
					_, err := m.Announce(t.Context(), laneswap.Registration{ID: id}, laneswap.Heartbeat{Message: "hi"})
					require.NoError(t, err)
				default:
					time.Sleep(time.Duration(rng.IntN(40_000)) * time.Millisecond)
				}
				synctest.Wait()
				require.NoError(t, m.CheckBooks(), "seed %d", seed)
			}
			time.Sleep(10 * time.Minute)
			for st, err := range m.Services(t.Context(), laneswap.ServiceQuery{}) {
				require.NoError(t, err)
				require.True(t, st.Window == 0 || st.Status == laneswap.StatusStale || st.Status == laneswap.StatusShutdown, "seed %d: %+v", seed, st)
			}
			seen := map[string]bool{}
			for _, ev := range eventsOf(t, m, laneswap.EventQuery{}) {
				require.False(t, seen[ev.ID], "seed %d: %s twice", seed, ev.ID)
				seen[ev.ID] = true
			}
			require.NoError(t, m.Stop(context.Background()))
		})
	}
}
