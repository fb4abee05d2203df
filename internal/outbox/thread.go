package outbox

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

// thread is what one notifier is and was told of one service. It is guarded by
// its courier.
type thread struct {
	service string
	waiting []*Notice // oldest first; those from free on wait for hold, or are parked
	free    int
	hold    *Hold
	queued  bool  // in the courier's queue
	flying  int   // how many of waiting are being sent
	due     int64 // mono: when those that are free may be told
	after   int64 // mono: the same of those that became free during the flight
	retryAt int64 // mono: not before it, for an attempt has failed

	failures int
	alone    bool // a digest that it was in has failed, where others got through
	half     int  // which half it is in of a digest that was refused; 0 for none

	announced bool    // a bad notice of the open incident is owed, or was told
	said      *Notice // the latest that was told, while the incident is open or the service flaps
	saidAt    int64   // mono
	current   *Event  // the latest that says that the service is bad, told or not
	unheard   bool    // nobody knows how the service is
	changes   int     // transitions in 30 minutes, when there last was one
	flapping  int     // transitions in 30 minutes, when they are too many
	flapAt    int64   // mono: when that was said; 0 for not yet
}

// intake is what is known of a service when something happened to it.
type Intake struct {
	Changes int    // transitions in 30 minutes
	Hold    *Hold  // what a notice of it would wait for
	Reached bool   // what an older notice of it waits for is reached by now
	Mass    bool   // many services have fallen silent within a minute
	Have    uint64 // heartbeats since it became good or bad
	Had     uint64 // heartbeats of the time that is over: before it turned, or was removed
}

// Flapping.
const (
	FlapWindow = 30 * time.Minute
	flapPause  = int64(15 * time.Minute) // between two messages of one service that flaps
)

// withheld reports whether nobody was told yet that the service is bad.
func (t *thread) withheld() bool { return t.hold != nil && !t.hold.Recovery }

// take decides about a new notice: whether it is to be told at all, and what it
// waits for. It returns the older ones that it makes needless, or has wait for it.
func (c *Courier) take(t *thread, n *Notice, in Intake, now clock.Instant) (ended []*Notice) {
	ev := n.Event
	// The worker, which looks at the time, may be busy with another message.
	if t.hold != nil && (t.hold.Until <= now.Mono || t.withheld() && ev.bad() && in.Hold == nil && in.Reached) {
		c.release(t, "", now)
	}
	before := t.free
	t.changes = in.Changes
	switch {
	case ev.bad():
		t.current, t.unheard = ev, false
	case ev.ends():
		t.current, t.unheard = nil, false
	default:
		t.unheard = true
	}
	switch {
	case t.withheld() && ev.ends():
		why := "good again before it was to be told: "
		if ev.Kind == Removed {
			why = "removed before it was to be told: "
		}
		why += t.hold.progress(now, in.Had)
		ended = t.cancel(now, why)
		n.End(now, Skipped, "nobody was told that it was bad")
		return ended
	case t.hold != nil && t.hold.Recovery && ev.bad() && !t.announced:
		ended = t.cancel(now, "bad again before it was to be told: "+t.hold.progress(now, in.Had))
	case t.hold != nil && t.hold.Recovery && ev.bad():
		ended = t.park("bad again before it was to be told: "+t.hold.progress(now, in.Had), now)
		if last := t.latest(); last != nil && last.Event.To == ev.To {
			n.park(now, "the notifier knows it as "+ev.To+" already, and its recovery was not told")
			t.push(c, n)
			return ended
		}
	}
	follows := t.announced && !ev.bad() || (t.announced || t.withheld()) && ev.Kind == Better
	if ok, not := c.wants(ev); !ok && !follows {
		n.End(now, Skipped, "not for this notifier: "+not)
		t.announced = t.announced && !ev.ends()
		return ended
	} else if !ok {
		n.Step(now, "told in spite of its filter ("+not+"): the notifier was told that it was bad")
	}
	n.State = Waiting
	switch {
	case t.withheld() && ev.bad() && in.Hold == nil: // it was registered anew
		t.push(c, n)
		c.release(t, "it has another threshold now", now)
		return ended
	case t.withheld():
		if ev.bad() {
			t.hold = in.Hold // silence counts in another way than heartbeats
		}
		n.wait(now, t.hold, in.Have)
	case in.Hold != nil && ev.bad() && !t.announced, in.Hold != nil && ev.Kind == Recovered:
		t.hold = in.Hold
		n.wait(now, t.hold, in.Have)
	default:
		t.announced = ev.bad() || ev.Kind == StorageAway || t.announced && !ev.ends() && ev.Kind != StorageBack
	}
	t.push(c, n)
	if t.hold == nil {
		for _, parked := range t.waiting[t.free : len(t.waiting)-1] {
			c.free(parked, "told with "+ev.ID, now)
		}
		t.free = len(t.waiting)
		c.gather(t, n, before, now)
	}
	return ended
}

// park has a recovery that was to be told after its threshold wait for what is told
// next: without it what people were told of would never end, and what ends then is
// another incident.
func (t *thread) park(why string, now clock.Instant) (parked []*Notice) {
	for _, n := range t.waiting[t.free:] {
		if n.Hold != nil && !n.Hold.Parked {
			n.park(now, why)
			parked = append(parked, n)
		}
	}
	t.hold = nil
	return parked
}

func (n *Notice) park(now clock.Instant, why string) {
	n.State, n.Hold = Held, &Hold{Recovery: true, Parked: true, Until: never}
	n.Step(now, why+"; told with what follows")
}

// free has a notice wait no more; mu is held.
func (c *Courier) free(n *Notice, why string, now clock.Instant) {
	c.changed = append(c.changed, n)
	n.State, n.Hold, n.Since = Waiting, nil, now.Mono
	n.Step(now, why)
}

// wait says that n waits for a threshold.
func (n *Notice) wait(now clock.Instant, h *Hold, beats uint64) {
	n.State, n.Hold = Held, h
	n.Step(now, h.progress(now, beats))
}

// push adds a notice behind those that wait.
func (t *thread) push(c *Courier, n *Notice) {
	t.waiting = append(t.waiting, n)
	c.bytes += n.weight()
	if !t.queued {
		t.queued = true
		if c.single || t.alone {
			c.apart = append(c.apart, t)
		} else {
			c.queue = append(c.queue, t)
		}
	}
}

// cancel takes back what waits for a threshold.
func (t *thread) cancel(now clock.Instant, why string) (ended []*Notice) {
	for _, n := range t.waiting[t.free:] {
		n.End(now, Skipped, why)
		ended = append(ended, n)
	}
	t.waiting = slices.Delete(t.waiting, t.free, len(t.waiting))
	t.hold = nil
	return ended
}

// latest is the last notice that was told, or will be.
func (t *thread) latest() *Notice {
	if t.free > 0 {
		return t.waiting[t.free-1]
	}
	return t.said
}

// release lets go what waits for a threshold: it is reached, or does not matter any
// more because of why.
func (c *Courier) release(t *thread, why string, now clock.Instant) {
	h := t.hold
	if h == nil {
		return
	}
	t.hold = nil
	for _, n := range t.waiting[t.free:] {
		if n.State == Held {
			c.free(n, cmp.Or(why, h.reached()), now)
		}
		t.announced = n.Event.bad() || t.announced && !n.Event.ends()
	}
	before := t.free
	if t.free = len(t.waiting); t.free > before {
		c.gather(t, t.waiting[t.free-1], before, now)
		c.watch(t)
	}
}

// reached says that the threshold is.
func (h *Hold) reached() string {
	name := "alert_after"
	if h.Recovery {
		name = "recover_after"
	}
	if h.Threshold.For != 0 {
		return fmt.Sprintf("threshold of %v reached (%s)", h.Threshold.For, name)
	}
	return fmt.Sprintf("threshold %d of %d reached (%s)", h.Threshold.Beats, h.Threshold.Beats, name)
}

// gather says when a notice is told that became free: with those that come at the
// same time, or, of a service that flaps, a while after the last message. before is
// how many were free before it.
func (c *Courier) gather(t *thread, n *Notice, before int, now clock.Instant) {
	wait := c.wait
	if now.Mono < c.storm {
		wait *= stormFactor
	}
	if c.until <= now.Mono {
		c.until = now.Mono + wait
	}
	due := c.until
	t.flapping = 0
	if c.flapLimit > 0 && t.changes > c.flapLimit && n.Event.Service != "" {
		t.flapping = t.changes
		if t.flapAt != 0 && due < t.flapAt+flapPause {
			due = t.flapAt + flapPause
			t.wait(n, due, now)
		} else {
			n.Step(now, "flapping: "+ChangesIn(t.changes))
		}
	} else {
		t.flapAt = 0
	}
	if n.FlapDue == 0 && due > now.Mono {
		n.Step(now, "gathered with what comes until "+ClockAt(now, due))
	}
	if c.closing && !t.flapHeld(c) {
		due = 0
	}
	switch {
	case t.flying > 0 && (before <= t.flying || due < t.after):
		t.after = due
	case t.flying == 0 && (before == 0 || due < t.due):
		t.due = due
	}
}

// wait holds a notice back because that the service flaps was said already.
func (t *thread) wait(n *Notice, due int64, now clock.Instant) {
	n.FlapDue, n.Changes = (now.Wall+due-now.Mono)/int64(time.Millisecond), t.changes
	n.Step(now, fmt.Sprintf("flapping, %s, which was said already: told with what follows until %s", ChangesIn(t.changes), ClockAt(now, due)))
}

// flapHeld reports whether what waits is held back because the service flaps, and
// outlives Stop.
func (t *thread) flapHeld(c *Courier) bool { return c.durable && t.flapping > 0 && t.flapAt != 0 }

// landed says when those are told that became free during a flight that succeeded.
func (t *thread) landed(c *Courier, now clock.Instant) {
	if t.free == 0 {
		return
	}
	t.due = t.after
	if c.closing && !t.flapHeld(c) {
		t.due = 0
		return
	}
	if t.flapping > 0 && t.flapAt != 0 && t.due < t.flapAt+flapPause {
		t.due = t.flapAt + flapPause
		for _, n := range t.waiting[:t.free] {
			t.wait(n, t.due, now)
		}
	}
}

// changesIn counts transitions; of a service no more than 10 are remembered.
// mostCounted is how many transitions of a service are remembered.
const mostCounted = 10

func ChangesIn(n int) string {
	if n >= mostCounted {
		return fmt.Sprintf("%d changes or more in 30 minutes", mostCounted)
	}
	return fmt.Sprintf("%d changes in 30 minutes", n)
}

// clockAt is the time of day, in UTC, at the clock.Instant mono.
func ClockAt(now clock.Instant, mono int64) string {
	return time.Unix(0, now.Wall+mono-now.Mono).UTC().Format("15:04:05")
}

// idle reports whether nothing is left to remember.
func (t *thread) idle(now clock.Instant) bool {
	return len(t.waiting) == 0 && t.said == nil && !t.announced && (t.flapAt == 0 || now.Mono > t.flapAt+int64(FlapWindow))
}
