package laneswap

import (
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
	sameClock   = int64(100 * time.Millisecond) // wall against monotonic off by less is no change
	settleMax   = int64(120 * time.Second)      // how much silence after an absence is forgiven at most
	settleCount = 3                             // how many absences count since a service's last beat
	shortPause  = int64(5 * time.Second)        // sockets hold what arrives in a pause no longer than this
	// absenceKept is enough for any judgement: two absences are at least
	// tick+tickLate apart, so this many reach back further than settleMax.
	absenceKept = 256
)

// absence is a time in which LaneSwap itself could not hear.
type absence struct {
	from, back instant
	// lost says that heartbeats of that time may never have arrived.
	lost bool
}

// length is how long it really was: the wall clock saw a suspend.
func (a absence) length() int64 {
	return max(a.back.mono-a.from.mono, a.back.wall-a.from.wall)
}

// absences is the machine that doubts the monitor before the services. Every
// judgement observes first. It has no clock; observe and start are given one.
type absences struct {
	anchor atomic.Int64              // wall minus mono, as last seen
	list   atomic.Pointer[[]absence] // oldest first, replaced as a whole

	mu       sync.Mutex // guards what follows
	seen     instant
	watching bool // a loop is promised: a late tick means something
}

func newAbsences(now instant) *absences {
	a := &absences{seen: now}
	a.anchor.Store(now.wall - now.mono)
	a.list.Store(new([]absence))
	return a
}

// wall is when an instant of the monotonic clock was, by the wall clock as it
// goes now.
func (a *absences) wall(mono int64) int64 { return mono + a.anchor.Load() }

// start begins the watching. Who was not watching was absent. lost says that
// heartbeats found nobody; they did find a Manager that was merely not started.
func (a *absences) start(now instant, lost bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.add(absence{from: a.seen, back: now, lost: lost})
	a.watching = true
	a.see(now)
}

// stop ends the watching: late ticks mean nothing any more.
func (a *absences) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.watching = false
}

// observe looks at the clocks and returns the absence that it finds, if any.
func (a *absences) observe(now instant) (found absence, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	mono := now.mono - a.seen.mono
	if mono < 0 {
		return absence{}, false // an older reading, overtaken on the way here
	}
	jump := now.wall - a.seen.wall - mono
	late := a.watching && mono > tick+tickLate
	if late || jump > clockJump || jump < -clockJump {
		found = absence{from: a.seen, back: now}
		found.lost = found.length() > shortPause
		ok = true
		a.add(found)
	}
	a.see(now)
	return found, ok
}

func (a *absences) see(now instant) {
	a.seen = now
	// The two clocks are read one after the other, and we may lose the processor
	// in between: a small difference is the reading, not the clocks, and must not
	// move the times that people see.
	anchor := now.wall - now.mono
	if off := anchor - a.anchor.Load(); off > sameClock || off < -sameClock {
		a.anchor.Store(anchor)
	}
}

func (a *absences) add(found absence) {
	old := *a.list.Load()
	if len(old) >= absenceKept {
		old = old[len(old)-absenceKept+1:]
	}
	list := make([]absence, 0, len(old)+1)
	list = append(append(list, old...), found)
	a.list.Store(&list)
}

// settle returns when a service that was last heard at last, and may be silent
// for window, is overdue, and when it is certain that it fell silent. Between
// the two nothing honest can be said: every heartbeat that was expected until
// then fell into an absence. interval is zero when the service declared none;
// beaten says that at last it beat, rather than registered, so that the interval
// counts from there.
func (a *absences) settle(last, interval, window int64, beaten bool) (deadline, certain int64) {
	deadline = last + window
	gone := *a.list.Load()
	first := len(gone)
	for first > 0 && gone[first-1].back.mono > last {
		first--
	}
	// Only the first few count, so that restarts cannot hide a dead service.
	gone = gone[first:min(len(gone), first+settleCount)]
	lost := int64(-1)
	for _, g := range gone {
		deadline = max(deadline, g.back.mono+min(window, settleMax))
		if g.lost {
			lost = g.back.mono
		}
	}
	certain = deadline
	if lost >= 0 && (!beaten || swallowed(gone, last, interval, window, deadline)) {
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
