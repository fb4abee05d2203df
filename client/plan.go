package client

import (
	"math/rand/v2"
	"time"
)

const (
	maxFirstBeat = 5 * time.Second // the first heartbeat comes before
	minRetry     = 500 * time.Millisecond
	maxRetry     = 8 * time.Second
	retries      = 4           // within an interval
	refusedPause = time.Minute // between attempts that the server refuses
	updateSpread = time.Second // between reports that change no status
)

// plan decides when an agent sends. It has no clock: its methods get the time.
type plan struct {
	interval time.Duration
	tick     time.Time // when the next heartbeat is due
	after    time.Time // nothing is sent before
	held     bool      // the server asked for that, and Flush does not override it
	spread   time.Time // no update without a change of status is sent before
	tries    int       // retries since the last tick
}

func newPlan(interval time.Duration, now time.Time) *plan {
	// Programs that start together spread their heartbeats.
	return &plan{interval: interval, tick: now.Add(rand.N(min(interval, maxFirstBeat) + 1))}
}

// ticks reports whether a heartbeat is due, and plans the next one.
func (p *plan) ticks(now time.Time) bool {
	if now.Before(p.tick) || now.Before(p.after) {
		return false
	}
	p.tries = 0
	p.tick = p.tick.Add(jitter(p.interval))
	if p.tick.Before(now) { // a hanging server or a suspend took some beats
		p.tick = now.Add(jitter(p.interval))
	}
	return true
}

// jitter returns the interval +-5 %.
func jitter(interval time.Duration) time.Duration {
	return interval - interval/20 + rand.N(interval/10+1)
}

// free reports whether something may be sent.
func (p *plan) free(now time.Time) bool { return !now.Before(p.after) }

// calm reports whether it is time for an update that changes no status.
func (p *plan) calm(now time.Time) bool { return !now.Before(p.spread) }

// worked records a delivery.
func (p *plan) worked(now time.Time) {
	p.after, p.held, p.tries = time.Time{}, false, 0
	p.spread = now.Add(updateSpread)
}

// failed plans the next attempt: within the interval while retries are left, then at its
// end.
func (p *plan) failed(now time.Time, asked time.Duration) {
	p.held = asked > 0
	wait := max(asked, retryWait(p.tries))
	if p.tries < retries && now.Add(wait).Before(p.tick) {
		p.tries++
		p.after = now.Add(wait)
		return
	}
	p.after = p.tick
	if end := now.Add(asked); end.After(p.after) {
		p.after = end
	}
}

// retryWait returns a random pause before a retry: from half a second to one, two, four or
// eight seconds.
func retryWait(tries int) time.Duration {
	limit := min(2*minRetry<<tries, maxRetry)
	return minRetry + rand.N(limit-minRetry+1)
}

// refused plans the next attempt after a lasting refusal: without retries, and not before
// the pause is over.
func (p *plan) refused(now time.Time, pause time.Duration) {
	p.held = true
	p.after = now.Add(pause)
	if p.after.Before(p.tick) {
		p.after = p.tick
	}
}

// hurry allows a retry at once, unless the server asked for a pause.
func (p *plan) hurry() {
	if !p.held {
		p.after = time.Time{}
	}
	p.spread = time.Time{}
}

// wake returns when to continue, with something urgent to send, an update, or neither.
func (p *plan) wake(urgent, update bool) time.Time {
	at := p.tick
	switch {
	case urgent:
		at = p.after
	case update && p.spread.Before(at):
		at = p.spread
	}
	if at.Before(p.after) {
		at = p.after
	}
	return at
}
