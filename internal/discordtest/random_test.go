package discordtest_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/examples/memorystore"
	"github.com/laneswap/laneswap/internal/fakediscord"
)

var randomRuns = flag.Uint64("random-runs", 3, "how many random hours of trouble to play")

// trouble draws an answer: Discord's own, or with probability much any failure that has
// been seen. lost reports that the message may be accepted without its answer arriving.
func trouble(r *rand.Rand, much float64) (a fakediscord.Answer, lost bool) {
	if r.Float64() > much {
		return fakediscord.Answer{}, false
	}
	taken := r.IntN(2) == 0
	wait := time.Duration(r.IntN(90_000)) * time.Millisecond
	switch r.IntN(16) {
	case 0, 1, 2:
		return forms[r.IntN(len(forms))].make(wait), false
	case 3:
		return fakediscord.Reset(taken), taken
	case 4:
		return fakediscord.HangAfterHeaders(taken), taken
	case 5:
		return fakediscord.HangBeforeHeaders(taken), taken
	case 6:
		return fakediscord.Slow(time.Duration(r.IntN(20_000)) * time.Millisecond), true // some come too late
	case 7:
		return fakediscord.BadForm(), false
	case 8:
		return ends[r.IntN(len(ends))].answer, false
	}
	return failures[r.IntN(len(failures))].answer, false
}

// For an hour services change and Discord answers at random. What can be delivered
// arrives in order, and twice only if an answer was lost; the rest is dropped and
// counted.
func TestRandomTrouble_losesNothing(t *testing.T) {
	t.Parallel()
	runs := *randomRuns
	if testing.Short() {
		runs = min(runs, 1)
	}
	for seed := range runs {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 4))
				opts := []laneswap.Option{
					laneswap.WithGroupWait([]time.Duration{laneswap.DefaultGroupWait, 0, 2 * time.Second, time.Minute}[r.IntN(4)]),
					laneswap.WithFlapLimit([]int{laneswap.DefaultFlapLimit, 0}[r.IntN(2)]),
				}
				if r.IntN(2) == 0 {
					opts = append(opts, laneswap.WithRemindEvery(7*time.Minute))
				}
				var disk laneswap.Storage
				if seed%3 > 0 {
					disk = memorystore.New()
				}
				playRandom(t, r, newHarness(t, disk, with(opts...)), seed%3 == 2)
			})
		})
	}
}

func playRandom(t *testing.T, r *rand.Rand, s *harness, restarts bool) {
	services := 1 + r.IntN(30)
	for i := range services {
		s.known(name(i))
	}
	// A source of its own: requests come when they like.
	much, answers, mayComeTwice := r.Float64(), rand.New(rand.NewPCG(r.Uint64(), 1)), 0
	end := s.begun.Add(time.Hour)
	s.fake.Respond(func(req fakediscord.Request) fakediscord.Answer {
		if req.At.After(end) {
			return fakediscord.Answer{}
		}
		a, lost := trouble(answers, much)
		if lost {
			mayComeTwice++
		}
		return a
	})
	statuses := []laneswap.Status{laneswap.StatusHealthy, laneswap.StatusHealthy, laneswap.StatusWarning, laneswap.StatusError, laneswap.StatusCritical}
	pace := []time.Duration{time.Second, 20 * time.Second, 2 * time.Minute}[r.IntN(3)]
	for time.Now().Before(end) {
		time.Sleep(time.Duration(r.ExpFloat64() * float64(pace)))
		s.report(name(r.IntN(services)), statuses[r.IntN(len(statuses))], fmt.Sprint("message ", r.IntN(100)))
		if s.notifier().State == laneswap.NotifierDisabled && r.IntN(10) == 0 {
			_, err := s.TestNotifier(t.Context(), "discord")
			require.NoError(t, err)
		}
		if restarts && r.IntN(100) == 0 {
			s.restart(time.Duration(r.IntN(600)) * time.Second)
		}
	}
	for i := range services {
		s.report(name(i), laneswap.StatusHealthy, "")
	}
	for range 20 {
		if s.notifier().State == laneswap.NotifierDisabled {
			_, err := s.TestNotifier(t.Context(), "discord")
			require.NoError(t, err)
		}
		time.Sleep(5 * time.Minute)
	}
	synctest.Wait()
	st := s.notifier()
	require.Zero(t, st.Waiting)
	require.Equal(t, laneswap.NotifierOK, st.State)
	var dead []string
	for _, ev := range s.events("") {
		if s.trace(ev).State == laneswap.NoticeDead {
			s.dead(ev, "refused")
			dead = append(dead, ev.ID)
		}
	}
	if restarts { // it counts since the last one
		require.LessOrEqual(t, st.Dead, uint64(len(dead)))
	} else {
		require.EqualValues(t, st.Dead, len(dead))
	}
	twice := 0
	for _, m := range s.verify(dead...) {
		if text := textOf(m); !strings.Contains(text, "This is a test message") && !strings.Contains(text, " still") {
			twice++
		}
	}
	require.LessOrEqual(t, twice, mayComeTwice)
}
