// Package simulation drives a judge through a made-up world: services that beat
// and die, and a monitor that is paused, suspended, restarted and whose clock is
// set. It knows what really happened, and holds the verdicts against that.
//
// It knows time by three clocks: the real one, which counts everything; the
// monotonic one of the monitor, which stands still in a suspend; and the wall
// clock, which may be set.
package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/laneswap/laneswap"
)

// System is what the simulation drives: a judge that is handed instants.
type System interface {
	Start(mono, wall int64, lost bool)
	Register(reg laneswap.Registration, mono, wall int64)
	Beat(id laneswap.ServiceID, hb laneswap.Heartbeat, mono, wall int64)
	Tick(mono, wall int64)
}

// Tick is how often the monitor looks, as the Manager does.
const Tick = 250 * time.Millisecond

// FaultKind is what happens to the monitor.
type FaultKind string

// The faults.
const (
	Pause   FaultKind = "pause"   // stopped: heartbeats wait in the sockets up to 5 s, else they are lost
	Suspend FaultKind = "suspend" // the monotonic clock stands still, heartbeats are lost
	Restart FaultKind = "restart" // gone and back, heartbeats are lost
	Step    FaultKind = "step"    // the wall clock is set by Length, which may be negative
)

// Fault happens to the monitor at a real time.
type Fault struct {
	Kind   FaultKind
	At     time.Duration
	Length time.Duration
}

// Service beats every Interval with some jitter, until it dies.
type Service struct {
	Registration laneswap.Registration
	Every        time.Duration // how often it really beats
	Dies         time.Duration // real time; 0 for never
}

// Scenario is one history of a world.
type Scenario struct {
	Seed     uint64
	Service  Service
	Faults   []Fault // in order of time, not overlapping
	Duration time.Duration
}

// String is how a failing scenario is told.
func (s Scenario) String() string {
	return fmt.Sprintf("seed %d: %v, every %v, interval %v, stale_after %v, dies %v, faults %v",
		s.Seed, s.Duration, s.Service.Every, s.Service.Registration.Interval, s.Service.Registration.StaleAfter, s.Service.Dies, s.Faults)
}

// Truth is what really happened, for the oracle.
type Truth struct {
	Beats []time.Duration // real times of all heartbeats, heard or not
	Heard []time.Duration // those that reached the monitor
}

// world walks through a scenario.
type world struct {
	real  time.Duration
	mono  int64
	wall  int64
	truth Truth
}

const epoch = int64(1_800_000_000) * int64(time.Second)

// advance lets time pass on all clocks.
func (w *world) advance(to time.Duration) {
	d := int64(to - w.real)
	w.real = to
	w.mono += d
	w.wall += d
}

// Run plays the scenario against sys. The look after each tick is given to
// after, with the real time, so that the oracle sees when a verdict was given.
func Run(s Scenario, sys System, after func(real time.Duration)) Truth {
	rng := rand.New(rand.NewPCG(s.Seed, 1))
	w := &world{wall: epoch}
	id := s.Service.Registration.ID
	sys.Start(w.mono, w.wall, false)
	sys.Register(s.Service.Registration, w.mono, w.wall)
	nextBeat := time.Duration(rng.Int64N(int64(s.Service.Every)))
	if s.Service.Dies > 0 && nextBeat >= s.Service.Dies {
		nextBeat = s.Duration + 1
	}
	nextTick := Tick
	faults := slices.Clone(s.Faults)
	hear := func() {
		w.truth.Heard = append(w.truth.Heard, w.real)
		sys.Beat(id, laneswap.Heartbeat{}, w.mono, w.wall)
	}
	beat := func() {
		w.truth.Beats = append(w.truth.Beats, nextBeat)
		jitter := float64(s.Service.Every) * (rng.Float64()*0.06 - 0.03)
		nextBeat += s.Service.Every + time.Duration(jitter)
		if s.Service.Dies > 0 && nextBeat >= s.Service.Dies {
			nextBeat = s.Duration + 1
		}
	}
	for w.real < s.Duration {
		at := min(nextBeat, nextTick)
		if len(faults) > 0 && faults[0].At <= at {
			f := faults[0]
			faults = faults[1:]
			w.advance(max(f.At, w.real))
			queued := 0
			if f.Kind == Step {
				w.wall += int64(f.Length)
				continue
			}
			frozen := w.mono
			w.advance(w.real + f.Length)
			for nextBeat <= w.real && nextBeat <= s.Duration {
				beat()
				queued++
			}
			switch f.Kind {
			case Suspend:
				w.mono = frozen
			case Restart:
				sys.Start(w.mono, w.wall, true)
			case Pause:
				if queued > 0 && f.Length <= 5*time.Second {
					hear()
				}
			}
			nextTick = w.real
			continue
		}
		w.advance(at)
		if at == nextBeat {
			beat()
			hear()
		}
		if at == nextTick {
			sys.Tick(w.mono, w.wall)
			nextTick += Tick
		}
		after(w.real)
	}
	return w.truth
}
