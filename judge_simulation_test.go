package laneswap_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/simulation"
)

// play runs a scenario and returns what the oracle says of it.
func play(s simulation.Scenario) error {
	court := laneswap.NewCourt(laneswap.DefaultStaleThreshold, 0, int64(1_800_000_000)*int64(time.Second))
	var verdicts []simulation.Verdict
	seen := 0
	truth := simulation.Run(s, court, func(real time.Duration) {
		for ; seen < len(court.Events); seen++ {
			verdicts = append(verdicts, simulation.Verdict{Real: real, Stale: court.Events[seen].To == laneswap.StatusStale})
		}
	})
	return simulation.Check(s, truth, windowOf(s.Service.Registration), verdicts)
}

// windowOf says what DESIGN says of windows, in its own words.
func windowOf(reg laneswap.Registration) time.Duration {
	switch {
	case reg.StaleAfter > 0:
		return reg.StaleAfter
	case reg.Interval > 30*time.Second:
		return reg.Interval + min(reg.Interval*3/2, time.Hour)
	}
	return time.Minute
}

// Random histories: no stale verdict while the service really beat within
// its window, whatever happened to the monitor; and real silence is found.
func TestSimulation_noFalseAlarmAndNoBlindness(t *testing.T) {
	t.Parallel()
	for seed := range scaled[uint64](200, 1000, 20_000) {
		s := simulation.Random(seed)
		if err := play(s); err != nil {
			small := simulation.Shrink(s, func(s simulation.Scenario) bool { return play(s) != nil })
			require.NoError(t, play(small), "%v", small)
		}
	}
}

// The oracle must be able to say no.
func TestSimulation_oracleSeesFalseAlarmsAndBlindness(t *testing.T) {
	t.Parallel()
	s := simulation.Scenario{Duration: time.Hour, Service: simulation.Service{Every: time.Minute, Dies: 4 * time.Minute}}
	truth := simulation.Truth{Beats: []time.Duration{time.Minute, 2 * time.Minute}, Heard: []time.Duration{time.Minute, 2 * time.Minute}}
	require.ErrorContains(t, simulation.Check(s, truth, 5*time.Minute, []simulation.Verdict{{Real: 3 * time.Minute, Stale: true}}), "although the service beat")
	require.ErrorContains(t, simulation.Check(s, truth, 5*time.Minute, []simulation.Verdict{{Real: time.Minute}}), "not stale")
	require.NoError(t, simulation.Check(s, truth, 5*time.Minute, []simulation.Verdict{{Real: 7 * time.Minute, Stale: true}}))
}
