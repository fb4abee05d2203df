// Package clock finds the times in which this process could not receive heartbeats: its
// absences. It reads no clock itself.
package clock

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Instant is one moment on both clocks, in nanoseconds: Mono since the Manager was made,
// Wall since 1970. Go's monotonic clock stands still while a Linux machine sleeps; the
// wall clock may be set.
type Instant struct{ Mono, Wall int64 }

// The rules for absences.
const (
	Tick        = int64(250 * time.Millisecond) // the watching loop observes at least this often
	tickLate    = int64(500 * time.Millisecond) // a tick that is later by more is an absence
	clockJump   = int64(2 * time.Second)        // so is a jump of the wall clock against the monotonic one
	sameReading = int64(time.Millisecond)       // two readings of the clocks that are closer agree
	maxForgiven = int64(120 * time.Second)      // silence that is forgiven after an absence, at most
	maxCounted  = 3                             // absences that count since a service's last heartbeat
	shortPause  = int64(5 * time.Second)        // sockets keep what arrives in a pause that is no longer
	MaxKept     = 256                           // absences that are kept; the oldest go first
)

// Never is an instant that does not come, and a silence that is never too long.
const Never = math.MaxInt64

// Absence is a time in which LaneSwap itself could not receive heartbeats.
type Absence struct {
	From, Back Instant
	// Lost says that heartbeats of that time may never have arrived.
	Lost bool
	// Cut says that LaneSwap was killed: it may have forgotten the heartbeats right
	// before.
	Cut bool
}

// Length returns how long it really was, in nanoseconds: only the wall clock counts a
// suspend.
func (a Absence) Length() int64 {
	return max(a.Back.Mono-a.From.Mono, a.Back.Wall-a.From.Wall)
}

// follows reports whether so little time passed after another absence that both are one:
// too little to receive and store heartbeats.
func (a Absence) follows(other Absence) bool {
	return a.From.Mono-other.Back.Mono < int64(time.Second)
}

// Absences suspects the monitor before the services. Every judgment calls Observe first.
// Its methods may be called concurrently.
type Absences struct {
	anchor atomic.Int64            // wall minus mono, as it is now
	past   atomic.Pointer[history] // replaced as a whole
	// Note is called with each absence that Observe finds, before a caller can learn
	// that LaneSwap receives again. It must not call Absences. Set it before the first use.
	Note func(Absence)

	mu        sync.Mutex // guards what follows
	seen      Instant
	candidate int64 // an anchor that was read once, and counts when it is read again
	watching  bool  // a loop ticks: a late tick is an absence
	ended     bool  // Stop was called
}

// history has the absences so far, oldest first.
type history struct {
	gone    []Absence // merged where one follows the other
	single  []Absence // one by one, for readers
	dropped int64     // mono: the end of the latest absence that is no longer in gone
}

// New makes Absences that have observed now.
func New(now Instant) *Absences {
	a := &Absences{seen: now, candidate: now.Wall - now.Mono}
	a.anchor.Store(now.Wall - now.Mono)
	a.past.Store(&history{dropped: math.MinInt64})
	return a
}

// Wall returns the wall time of a monotonic instant, by the wall clock of that time: the
// difference between the clocks before a suspend is another one than after it.
func (a *Absences) Wall(mono int64) int64 {
	anchor := a.anchor.Load()
	for _, g := range slices.Backward(a.past.Load().gone) {
		if mono > g.From.Mono {
			break
		}
		anchor = g.From.Wall - g.From.Mono
	}
	return mono + anchor
}

// Observed returns the latest observation: until then LaneSwap received heartbeats.
func (a *Absences) Observed() Instant {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen
}

// Single returns the kept absences one by one, oldest first. Do not change the slice.
func (a *Absences) Single() []Absence { return a.past.Load().single }

// LatestBack returns the end of the latest absence, on the monotonic clock.
func (a *Absences) LatestBack() int64 {
	gone := a.past.Load().gone
	if len(gone) == 0 {
		return math.MinInt64 / 2
	}
	return gone[len(gone)-1].Back.Mono
}

// Latest returns the latest absence, if there was one.
func (a *Absences) Latest() (Absence, bool) {
	gone := a.past.Load().gone
	if len(gone) == 0 {
		return Absence{}, false
	}
	return gone[len(gone)-1], true
}

// Resume continues an earlier run with its absences, oldest first, and the instant until
// which it received heartbeats. The time since then is an absence, which Resume returns.
// whole says that gone has all absences there were, cut that the earlier run was killed.
func (a *Absences) Resume(gone []Absence, until, now Instant, whole, cut bool) Absence {
	a.mu.Lock()
	defer a.mu.Unlock()
	past := &history{dropped: math.MinInt64}
	if !whole && len(gone) > 0 {
		past.dropped = gone[0].From.Mono
	}
	a.past.Store(past)
	for _, g := range gone {
		a.add(g)
	}
	a.seen = until
	return a.start(Absence{Back: now, Lost: true, Cut: cut}) // in one go: an observation in between would hide it
}

// Start begins the watching. The time before it is an absence, which Start returns. lost
// says that heartbeats were lost in it; a Manager that was only not started received them.
func (a *Absences) Start(now Instant, lost bool) Absence {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.start(Absence{Back: now, Lost: lost})
}

// start begins the watching after an absence since the last observation. mu is held.
func (a *Absences) start(gone Absence) Absence {
	gone.From = a.seen
	a.add(gone)
	a.watching = true
	a.setSeen(gone.Back)
	return gone
}

// Stop ends the watching: a late tick is no absence any more.
func (a *Absences) Stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watching, a.ended = false, true
}

// Observe compares the clocks with the last observation and returns the absence that it
// finds, if any.
func (a *Absences) Observe(now Instant) (found Absence, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	mono := now.Mono - a.seen.Mono
	if mono < 0 || a.ended {
		return Absence{}, false // an older reading of the clocks
	}
	jump := now.Wall - a.seen.Wall - mono
	late := a.watching && mono > Tick+tickLate
	jumped := jump > clockJump || jump < -clockJump
	if late || jumped {
		found = Absence{From: a.seen, Back: now}
		found.Lost = found.Length() > shortPause
		ok = true
		a.add(found)
		if a.Note != nil {
			a.Note(found)
		}
	}
	if jumped {
		a.anchor.Store(now.Wall - now.Mono)
	}
	a.setSeen(now)
	return found, ok
}

// setSeen remembers an observation. The two clocks are read one after the other, and the
// process may lose the processor in between. A new difference between the clocks counts
// only when it was read twice, so that one uneven reading moves no recorded time.
func (a *Absences) setSeen(now Instant) {
	a.seen = now
	anchor := now.Wall - now.Mono
	again := anchor-a.candidate < sameReading && a.candidate-anchor < sameReading
	if off := anchor - a.anchor.Load(); again && (off >= sameReading || off <= -sameReading) {
		a.anchor.Store(anchor)
	}
	a.candidate = anchor
}

func (a *Absences) add(found Absence) {
	old := a.past.Load()
	next := &history{dropped: old.dropped, single: old.single}
	if found.Lost { // otherwise the sockets kept what arrived
		next.single = appendBounded(old.single, found)
	}
	kept := old.gone
	if n := len(kept); n > 0 && found.follows(kept[n-1]) {
		found = Absence{From: kept[n-1].From, Back: found.Back, Lost: found.Lost || kept[n-1].Lost, Cut: found.Cut || kept[n-1].Cut}
		kept = kept[:n-1]
	}
	if len(kept) >= MaxKept {
		next.dropped = kept[0].Back.Mono
	}
	next.gone = appendBounded(kept, found)
	a.past.Store(next)
}

// appendBounded returns a new list with one more absence, and without the oldest one
// where it would be too long.
func appendBounded(old []Absence, found Absence) []Absence {
	if len(old) >= MaxKept {
		old = old[1:]
	}
	return append(append(make([]Absence, 0, len(old)+1), old...), found)
}

// Deadline returns when a service is overdue, and from when on it is certain that it fell
// silent. Its last sign of life was at last, and it may be silent for window. Between the
// two nobody can know: every heartbeat that was expected fell into an absence. interval
// is zero when the service declared none. beaten says that last was a heartbeat, rather
// than a registration, so that the interval counts from there.
func (a *Absences) Deadline(last, interval, window int64, beaten bool) (deadline, certain int64) {
	deadline = last + window
	past := a.past.Load()
	if last < past.dropped {
		return deadline, deadline // the absences that count are long over
	}
	gone := past.gone
	first := len(gone)
	for first > 0 && gone[first-1].Back.Mono > last {
		first--
	}
	// Only the first few count, so that restarts cannot hide a dead service.
	gone = gone[first:min(len(gone), first+maxCounted)]
	lost, found := int64(0), false // instants of an earlier run are negative
	cut := deadline
	for _, g := range gone {
		deadline = max(deadline, g.Back.Mono+min(window, maxForgiven))
		if g.Lost {
			lost, found = g.Back.Mono, true
		}
		if g.Cut {
			cut = g.Back.Mono + window // its last heartbeats may be forgotten
		}
	}
	certain = max(deadline, cut)
	if found && (!beaten || hidAllBeats(gone, last, interval, window, deadline)) {
		certain = max(certain, lost+window)
	}
	return deadline, certain
}

// hidAllBeats reports whether the absences hid every heartbeat that was expected between
// last and deadline.
func hidAllBeats(gone []Absence, last, interval, window, deadline int64) bool {
	if interval == 0 {
		// The service declared no interval. Gaps of up to half the window are usual, and
		// only an absence of a tenth of it or more can hide a heartbeat.
		for _, a := range gone {
			if a.Lost && a.Length() >= window/10 {
				return true
			}
		}
		return false
	}
	// By the wall clock, because the monotonic one stands still in a suspend; and by the
	// monotonic one, in case the wall clock was set.
	lastWall := gone[0].From.Wall - (gone[0].From.Mono - last)
	end := gone[len(gone)-1].Back
	return hidOn(gone, lastWall, interval, window, end.Wall+deadline-end.Mono, func(i Instant) int64 { return i.Wall }) ||
		hidOn(gone, last, interval, window, deadline, func(i Instant) int64 { return i.Mono })
}

// hidOn is hidAllBeats on one clock, for a service that declared an interval.
func hidOn(gone []Absence, last, interval, window, deadline int64, on func(Instant) int64) bool {
	tolerance := interval / 20 // the jitter of the Go client
	slack := min(interval/2, window-interval)
	expected := last + interval
	for _, a := range gone {
		from, back := on(a.From), on(a.Back)
		if !a.Lost || expected+tolerance < from || expected-tolerance > back {
			continue
		}
		// The first heartbeat that is expected after the absence.
		expected += (max(0, back+tolerance-expected)/interval + 1) * interval
	}
	return expected > last+interval && expected+slack > deadline
}

// SetSeen sets the last observation. It is for tests.
func (a *Absences) SetSeen(at Instant) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen = at
}

// Time returns the wall time of an instant, in UTC and whole milliseconds.
func (i Instant) Time() time.Time { return time.UnixMilli(i.Wall / int64(time.Millisecond)).UTC() }

// WallTime returns the time of wall milliseconds, in UTC; 0 is the zero time.
func WallTime(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
