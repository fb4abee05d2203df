package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Verdict is a status that the judge gave, and when it did in real time.
type Verdict struct {
	Real  time.Duration
	Stale bool // else: anything else
}

// Check holds verdicts, in order, against the truth of a scenario. window is
// the silence that the service is allowed. It returns what is wrong, or nil.
func Check(s Scenario, truth Truth, window time.Duration, verdicts []Verdict) error {
	for _, v := range verdicts {
		if !v.Stale {
			continue
		}
		if s.Service.Dies > 0 && v.Real >= s.Service.Dies {
			continue // early perhaps, but true
		}
		// No false alarm: really, heard or not, there was no beat for a window.
		if last, ok := lastBefore(truth.Beats, v.Real); ok && v.Real-last < window {
			return fmt.Errorf("stale at %v although the service beat at %v and may be silent for %v", v.Real, last, window)
		}
	}
	if s.Service.Dies == 0 {
		return nil
	}
	// Real silence is found: at the latest a window after we were back for the
	// third time, or 120 s where the window is shorter, whatever comes later.
	last, _ := lastBefore(truth.Heard, s.Service.Dies)
	due := last + window
	counted := 0
	for _, f := range s.Faults {
		back := f.At
		if f.Kind != Step {
			back += f.Length
		}
		if back <= last {
			continue
		}
		if f.Kind == Suspend {
			due += f.Length // the service's time stood still with the clock
		}
		if !noticed(f) {
			continue
		}
		if counted++; counted <= 3 {
			due = max(due, back+window)
		}
		if f.At <= due && due < back+time.Second {
			due = back + time.Second // nobody judges in an absence
		}
	}
	due += 2 * Tick
	if due >= s.Duration {
		return nil
	}
	for _, v := range slices.Backward(verdicts) {
		if v.Real <= due {
			if !v.Stale {
				return fmt.Errorf("not stale at %v although the last beat was heard at %v", due, last)
			}
			return nil
		}
	}
	return fmt.Errorf("no verdict at all by %v", due)
}

// noticed reports whether a fault is long enough to be certainly told from a
// busy machine; what lies between may be counted either way.
func noticed(f Fault) bool {
	length := max(f.Length, -f.Length)
	switch f.Kind {
	case Pause:
		return length > 500*time.Millisecond
	case Suspend, Step:
		return length > 2*time.Second
	}
	return true
}

func lastBefore(times []time.Duration, t time.Duration) (time.Duration, bool) {
	i, found := slices.BinarySearch(times, t)
	if !found {
		i--
	}
	if i < 0 {
		return 0, false
	}
	return times[i], true
}

// Random makes a scenario from a seed.
func Random(seed uint64) Scenario {
	rng := rand.New(rand.NewPCG(seed, 2))
	span := func(lo, hi time.Duration) time.Duration { return lo + time.Duration(rng.Int64N(int64(hi-lo))) }
	s := Scenario{Seed: seed}
	every := []time.Duration{time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 10 * time.Minute, time.Hour}[rng.IntN(6)]
	s.Service.Every = every
	s.Service.Registration.ID = "svc"
	s.Service.Registration.Interval = every
	if every <= 20*time.Second && rng.IntN(2) == 0 {
		s.Service.Registration.Interval = 0
	}
	s.Duration = min(20*every+10*time.Minute, 6*time.Hour)
	if rng.IntN(2) == 0 {
		s.Service.Dies = span(s.Duration/8, s.Duration/2)
	}
	at := time.Duration(0)
	for range rng.IntN(5) {
		at += span(time.Second, s.Duration/4)
		f := Fault{At: at, Kind: []FaultKind{Pause, Suspend, Restart, Step}[rng.IntN(4)]}
		longest := []time.Duration{time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour}[rng.IntN(5)]
		f.Length = span(10*time.Millisecond, longest)
		if f.Kind == Suspend {
			f.Length = max(f.Length, 2100*time.Millisecond) // shorter ones are not told from a clock that is set
		}
		if f.Kind == Step && rng.IntN(2) == 0 {
			f.Length = -f.Length
		}
		s.Faults = append(s.Faults, f)
		if f.Kind != Step {
			at += f.Length
		}
	}
	s.Duration += at
	return s
}

// Shrink returns the smallest scenario it finds for which fails still holds, by
// leaving faults out and making them shorter.
func Shrink(s Scenario, fails func(Scenario) bool) Scenario {
	for again := true; again; {
		again = false
		for i := range s.Faults {
			less := s
			less.Faults = slices.Delete(slices.Clone(s.Faults), i, i+1)
			if fails(less) {
				s, again = less, true
				break
			}
			shorter := s
			shorter.Faults = slices.Clone(s.Faults)
			if shorter.Faults[i].Length /= 2; shorter.Faults[i].Length > time.Second && fails(shorter) {
				s, again = shorter, true
				break
			}
		}
	}
	return s
}
