package laneswap

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// instant is one moment on both clocks, in nanoseconds: mono since the Manager
// was made, wall since 1970. The monotonic clock of Go stands still while the
// machine sleeps; the wall clock may be set.
type instant struct{ mono, wall int64 }

const (
	tick        = int64(250 * time.Millisecond) // the watching loop looks at least this often
	tickLate    = int64(500 * time.Millisecond) // a tick this much later is an absence
	clockJump   = int64(2 * time.Second)        // wall against monotonic off by this is one too
	sameReading = int64(time.Millisecond)       // two readings of the clocks this close agree
	settleMax   = int64(120 * time.Second)      // how much silence after an absence is forgiven at most
	settleCount = 3                             // how many absences count since a service's last beat
	shortPause  = int64(5 * time.Second)        // sockets hold what arrives in a pause no longer than this
	absenceKept = 256                           // the oldest are dropped
)

// absence is a time in which LaneSwap itself could not hear.
type absence struct {
	from, back instant
	// lost says that heartbeats of that time may never have arrived.
	lost bool
	// cut says that LaneSwap was killed: heartbeats that it had heard right before
	// may be forgotten.
	cut bool
}

// length is how long it really was: the wall clock saw a suspend.
func (a absence) length() int64 {
	return max(a.back.mono-a.from.mono, a.back.wall-a.from.wall)
}

// follows reports whether there was so little time after another absence that
// they are one: not enough to hear anybody, and to store that.
func (a absence) follows(other absence) bool {
	return a.from.mono-other.back.mono < int64(time.Second)
}

// absences is the machine that doubts the monitor before the services. Every
// judgement observes first. It has no clock; observe and start are given one.
type absences struct {
	anchor atomic.Int64            // wall minus mono, as it is now
	past   atomic.Pointer[history] // replaced as a whole
	// note remembers an absence that was observed, before anybody can know that we
	// listen again; nil for none. It is called while mu is held.
	note func(absence)

	mu       sync.Mutex // guards what follows
	seen     instant
	doubtful int64 // an anchor that was read once, and counts when it is read again
	watching bool  // a loop is promised: a late tick means something
	ended    bool  // nobody listens any more
}

// history is the absences so far, oldest first.
type history struct {
	gone    []absence // those with little time between them are one
	single  []absence // one by one, for people
	dropped int64     // mono: when we were back from the latest one that is no longer in gone
}

func newAbsences(now instant) *absences {
	a := &absences{seen: now, doubtful: now.wall - now.mono}
	a.anchor.Store(now.wall - now.mono)
	a.past.Store(&history{dropped: math.MinInt64})
	return a
}

// wall is when an instant of the monotonic clock was, by the wall clock of that
// time: before a suspend the two stood to each other as they did then.
func (a *absences) wall(mono int64) int64 {
	anchor := a.anchor.Load()
	for _, g := range slices.Backward(a.past.Load().gone) {
		if mono > g.from.mono {
			break
		}
		anchor = g.from.wall - g.from.mono
	}
	return mono + anchor
}

// observed is the latest observation: until then we listened.
func (a *absences) observed() instant {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.seen
}

// walls are the absences that are remembered, as they are stored.
func (a *absences) walls() []storedAbsence {
	const ms = int64(time.Millisecond)
	var out []storedAbsence
	for _, g := range a.past.Load().single {
		out = append(out, storedAbsence{storedVersion, g.from.wall / ms, g.back.wall / ms, g.lost, g.cut})
	}
	return out
}

// latestBack is when the latest absence was over, on the monotonic clock.
func (a *absences) latestBack() int64 {
	gone := a.past.Load().gone
	if len(gone) == 0 {
		return math.MinInt64 / 2
	}
	return gone[len(gone)-1].back.mono
}

// newest is the latest absence, if there was one.
func (a *absences) newest() (absence, bool) {
	gone := a.past.Load().gone
	if len(gone) == 0 {
		return absence{}, false
	}
	return gone[len(gone)-1], true
}

// resume goes on from an earlier run: with its absences, oldest first, and the
// instant until which it listened. Whatever was observed since is part of the
// absence that start is to find. whole says that those are all that there were,
// cut that the earlier run was killed.
func (a *absences) resume(gone []absence, until, now instant, whole, cut bool) absence {
	a.mu.Lock()
	defer a.mu.Unlock()
	past := &history{dropped: math.MinInt64}
	if !whole && len(gone) > 0 {
		past.dropped = gone[0].from.mono
	}
	a.past.Store(past)
	for _, g := range gone {
		a.add(g)
	}
	a.seen = until
	return a.begin(absence{back: now, lost: true, cut: cut}) // in one go: an observation in between would hide it
}

// start begins the watching. Who was not watching was absent. lost says that
// heartbeats found nobody; they did find a Manager that was merely not started.
func (a *absences) start(now instant, lost bool) absence {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.begin(absence{back: now, lost: lost})
}

// begin is start with an absence that goes back to what was seen last; mu is held.
func (a *absences) begin(gone absence) absence {
	gone.from = a.seen
	a.add(gone)
	a.watching = true
	a.see(gone.back)
	return gone
}

// stop ends the watching: late ticks mean nothing any more.
func (a *absences) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watching, a.ended = false, true
}

// observe looks at the clocks and returns the absence that it finds, if any.
func (a *absences) observe(now instant) (found absence, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	mono := now.mono - a.seen.mono
	if mono < 0 || a.ended {
		return absence{}, false // an older reading, overtaken on the way here
	}
	jump := now.wall - a.seen.wall - mono
	late := a.watching && mono > tick+tickLate
	jumped := jump > clockJump || jump < -clockJump
	if late || jumped {
		found = absence{from: a.seen, back: now}
		found.lost = found.length() > shortPause
		ok = true
		a.add(found)
		if a.note != nil {
			a.note(found)
		}
	}
	if jumped {
		a.anchor.Store(now.wall - now.mono)
	}
	a.see(now)
	return found, ok
}

// see remembers an observation. The two clocks are read one after the other, and
// we may lose the processor in between: only what is read twice is believed, so
// that an uneven reading does not move the times that people see.
func (a *absences) see(now instant) {
	a.seen = now
	anchor := now.wall - now.mono
	again := anchor-a.doubtful < sameReading && a.doubtful-anchor < sameReading
	if off := anchor - a.anchor.Load(); again && (off >= sameReading || off <= -sameReading) {
		a.anchor.Store(anchor)
	}
	a.doubtful = anchor
}

func (a *absences) add(found absence) {
	old := a.past.Load()
	next := &history{dropped: old.dropped, single: old.single}
	if found.lost { // what was heard all the same is no absence for people
		next.single = remember(old.single, found)
	}
	kept := old.gone
	if n := len(kept); n > 0 && found.follows(kept[n-1]) {
		found = absence{from: kept[n-1].from, back: found.back, lost: found.lost || kept[n-1].lost, cut: found.cut || kept[n-1].cut}
		kept = kept[:n-1]
	}
	if len(kept) >= absenceKept {
		next.dropped = kept[0].back.mono
	}
	next.gone = remember(kept, found)
	a.past.Store(next)
}

// remember returns a list with one more at its end, and without the oldest where
// it would be too long. The old list stays as it is.
func remember(old []absence, found absence) []absence {
	if len(old) >= absenceKept {
		old = old[1:]
	}
	return append(append(make([]absence, 0, len(old)+1), old...), found)
}

// settle returns when a service that was last heard at last, and may be silent
// for window, is overdue, and when it is certain that it fell silent. Between
// the two nothing honest can be said: every heartbeat that was expected until
// then fell into an absence. interval is zero when the service declared none;
// beaten says that at last it beat, rather than registered, so that the interval
// counts from there.
func (a *absences) settle(last, interval, window int64, beaten bool) (deadline, certain int64) {
	deadline = last + window
	past := a.past.Load()
	if last < past.dropped {
		return deadline, deadline // the few that count are long over
	}
	gone := past.gone
	first := len(gone)
	for first > 0 && gone[first-1].back.mono > last {
		first--
	}
	// Only the first few count, so that restarts cannot hide a dead service.
	gone = gone[first:min(len(gone), first+settleCount)]
	lost, found := int64(0), false // instants of an earlier run are negative
	cut := deadline
	for _, g := range gone {
		deadline = max(deadline, g.back.mono+min(window, settleMax))
		if g.lost {
			lost, found = g.back.mono, true
		}
		if g.cut {
			cut = g.back.mono + window // one that was heard is not known of
		}
	}
	certain = max(deadline, cut)
	if found && (!beaten || swallowed(gone, last, interval, window, deadline)) {
		certain = max(certain, lost+window)
	}
	return deadline, certain
}

// swallowed reports whether the absences took every heartbeat that was expected
// between last and deadline.
func swallowed(gone []absence, last, interval, window, deadline int64) bool {
	if interval == 0 {
		// Nothing was promised; a gap of up to half the window is usual, and only
		// a substantial part of it can hide a beat.
		for _, a := range gone {
			if a.lost && a.length() >= window/10 {
				return true
			}
		}
		return false
	}
	// By the wall clock, which saw the suspends that the monotonic one slept
	// through; and by the monotonic one, in case the other was set.
	lastWall := gone[0].from.wall - (gone[0].from.mono - last)
	end := gone[len(gone)-1].back
	return hidden(gone, lastWall, interval, window, end.wall+deadline-end.mono, func(i instant) int64 { return i.wall }) ||
		hidden(gone, last, interval, window, deadline, func(i instant) int64 { return i.mono })
}

// hidden is swallowed on one clock, for a service that promised an interval.
func hidden(gone []absence, last, interval, window, deadline int64, on func(instant) int64) bool {
	tolerance := interval / 20 // the jitter of our own client
	slack := min(interval/2, window-interval)
	expected := last + interval
	for _, a := range gone {
		from, back := on(a.from), on(a.back)
		if !a.lost || expected+tolerance < from || expected-tolerance > back {
			continue
		}
		// The first one expected after we were back.
		expected += (max(0, back+tolerance-expected)/interval + 1) * interval
	}
	return expected > last+interval && expected+slack > deadline
}
