package clock

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Instant is one moment on both clocks, in nanoseconds: mono since the Manager
// was made, wall since 1970. The monotonic clock of Go stands still while the
// machine sleeps; the wall clock may be set.
type Instant struct{ Mono, Wall int64 }

const (
	Tick        = int64(250 * time.Millisecond) // the watching loop looks at least this often
	tickLate    = int64(500 * time.Millisecond) // a tick this much later is an absence
	clockJump   = int64(2 * time.Second)        // wall against monotonic off by this is one too
	sameReading = int64(time.Millisecond)       // two readings of the clocks this close agree
	maxForgiven   = int64(120 * time.Second)      // how much silence after an Absence is forgiven at most
	maxCounted = 3                             // how many Absences count since a service's last beat
	shortPause  = int64(5 * time.Second)        // sockets hold what arrives in a pause no longer than this
	MaxKept        = 256                           // the oldest are dropped
)

// Absence is a time in which LaneSwap itself could not hear.
type Absence struct {
	From, Back Instant
	// lost says that heartbeats of that time may never have arrived.
	Lost bool
	// cut says that LaneSwap was killed: heartbeats that it had heard right before
	// may be forgotten.
	Cut bool
}

// Length is how long it really was: the wall clock saw a suspend.
func (a Absence) Length() int64 {
	return max(a.Back.Mono-a.From.Mono, a.Back.Wall-a.From.Wall)
}

// follows reports whether there was so little time after another Absence that
// they are one: not enough to hear anybody, and to store that.
func (a Absence) follows(other Absence) bool {
	return a.From.Mono-other.Back.Mono < int64(time.Second)
}

// Absences is the machine that doubts the monitor before the services. Every
// judgement observes first. It has no clock; observe and start are given one.
type Absences struct {
	anchor atomic.Int64            // wall minus mono, as it is now
	past   atomic.Pointer[history] // replaced as a whole
	// note remembers an Absence that was observed, before anybody can know that we
	// listen again; nil for none. It is called while mu is held.
	Note func(Absence)

	mu       sync.Mutex // guards what follows
	seen     Instant
	candidate int64 // an anchor that was read once, and counts when it is read again
	watching bool  // a loop is promised: a late tick means something
	ended    bool  // nobody listens any more
}

// history is the Absences so far, oldest first.
type history struct {
	gone    []Absence // those with little time between them are one
	single  []Absence // one by one, for people
	dropped int64     // mono: when we were back from the latest one that is no longer in gone
}

func New(now Instant) *Absences {
	a := &Absences{seen: now, candidate: now.Wall - now.Mono}
	a.anchor.Store(now.Wall - now.Mono)
	a.past.Store(&history{dropped: math.MinInt64})
	return a
}

// Wall is when an Instant of the monotonic clock was, by the wall clock of that
// time: before a suspend the two stood to each other as they did then.
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

// Observed is the latest observation: until then we listened.
func (a *Absences) Observed() Instant {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen
}

// Single are the absences that are remembered, one by one, oldest first.
func (a *Absences) Single() []Absence { return a.past.Load().single }

// LatestBack is when the latest Absence was over, on the monotonic clock.
func (a *Absences) LatestBack() int64 {
	gone := a.past.Load().gone
	if len(gone) == 0 {
		return math.MinInt64 / 2
	}
	return gone[len(gone)-1].Back.Mono
}

// Newest is the latest Absence, if there was one.
func (a *Absences) Newest() (Absence, bool) {
	gone := a.past.Load().gone
	if len(gone) == 0 {
		return Absence{}, false
	}
	return gone[len(gone)-1], true
}

// Resume goes on from an earlier run: with its Absences, oldest first, and the
// Instant until which it listened. Whatever was observed since is part of the
// Absence that start is to find. whole says that those are all that there were,
// cut that the earlier run was killed.
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

// Start begins the watching. Who was not watching was absent. lost says that
// heartbeats found nobody; they did find a Manager that was merely not started.
func (a *Absences) Start(now Instant, lost bool) Absence {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.start(Absence{Back: now, Lost: lost})
}

// start is start with an Absence that goes back to what was seen last; mu is held.
func (a *Absences) start(gone Absence) Absence {
	gone.From = a.seen
	a.add(gone)
	a.watching = true
	a.setSeen(gone.Back)
	return gone
}

// Stop ends the watching: late ticks mean nothing any more.
func (a *Absences) Stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watching, a.ended = false, true
}

// Observe looks at the clocks and returns the Absence that it finds, if any.
func (a *Absences) Observe(now Instant) (found Absence, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	mono := now.Mono - a.seen.Mono
	if mono < 0 || a.ended {
		return Absence{}, false // an older reading, overtaken on the way here
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

// setSeen remembers an observation. The two clocks are read one after the other, and
// we may lose the processor in between: only what is read twice is believed, so
// that an uneven reading does not move the times that people see.
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
	if found.Lost { // what was heard all the same is no Absence for people
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

// appendBounded returns a list with one more at its end, and without the oldest where
// it would be too long. The old list stays as it is.
func appendBounded(old []Absence, found Absence) []Absence {
	if len(old) >= MaxKept {
		old = old[1:]
	}
	return append(append(make([]Absence, 0, len(old)+1), old...), found)
}

// Deadline returns when a service that was last heard at last, and may be silent
// for window, is overdue, and when it is certain that it fell silent. Between
// the two nothing honest can be said: every heartbeat that was expected until
// then fell into an absence. interval is zero when the service declared none;
// beaten says that at last it beat, rather than registered, so that the interval
// counts from there.
func (a *Absences) Deadline(last, interval, window int64, beaten bool) (deadline, certain int64) {
	deadline = last + window
	past := a.past.Load()
	if last < past.dropped {
		return deadline, deadline // the few that count are long over
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
			cut = g.Back.Mono + window // one that was heard is not known of
		}
	}
	certain = max(deadline, cut)
	if found && (!beaten || hidAllBeats(gone, last, interval, window, deadline)) {
		certain = max(certain, lost+window)
	}
	return deadline, certain
}

// hidAllBeats reports whether the Absences took every heartbeat that was expected
// between last and deadline.
func hidAllBeats(gone []Absence, last, interval, window, deadline int64) bool {
	if interval == 0 {
		// Nothing was promised; a gap of up to half the window is usual, and only
		// a substantial part of it can hide a beat.
		for _, a := range gone {
			if a.Lost && a.Length() >= window/10 {
				return true
			}
		}
		return false
	}
	// By the wall clock, which saw the suspends that the monotonic one slept
	// through; and by the monotonic one, in case the other was set.
	lastWall := gone[0].From.Wall - (gone[0].From.Mono - last)
	end := gone[len(gone)-1].Back
	return hidOn(gone, lastWall, interval, window, end.Wall+deadline-end.Mono, func(i Instant) int64 { return i.Wall }) ||
		hidOn(gone, last, interval, window, deadline, func(i Instant) int64 { return i.Mono })
}

// hidOn is swallowed on one clock, for a service that promised an interval.
func hidOn(gone []Absence, last, interval, window, deadline int64, on func(Instant) int64) bool {
	tolerance := interval / 20 // the jitter of our own client
	slack := min(interval/2, window-interval)
	expected := last + interval
	for _, a := range gone {
		from, back := on(a.From), on(a.Back)
		if !a.Lost || expected+tolerance < from || expected-tolerance > back {
			continue
		}
		// The first one expected after we were back.
		expected += (max(0, back+tolerance-expected)/interval + 1) * interval
	}
	return expected > last+interval && expected+slack > deadline
}

// SetSeen says what was observed last. It is for tests.
func (a *Absences) SetSeen(at Instant) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen = at
}

// Time is the wall time of an instant, in whole milliseconds.
func (i Instant) Time() time.Time { return time.UnixMilli(i.Wall / int64(time.Millisecond)).UTC() }
