package outbox

import (
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

// group sets when a notice is sent that became ready: together with others that come
// at the same time or, of a flapping service, some time after the last message.
// before is how many were ready before it.
func (c *conversation) group(n *Notice, before int, now clock.Instant) {
	due := c.queue.groupEnd(now)
	c.flapping = 0
	if limit := c.queue.flapLimit; limit > 0 && c.changes > limit && n.Event.Service != "" {
		c.flapping = c.changes
		if c.flapSentAt != 0 && due < c.flapSentAt+flapPause {
			due = c.flapSentAt + flapPause
			c.delayForFlapping(n, due, now)
		} else {
			n.AddStep(now, "flapping: "+ChangesIn(c.changes))
		}
	} else {
		c.flapSentAt = 0
	}
	if n.FlapDue == 0 && due > now.Mono {
		n.AddStep(now, "grouped with other notices until "+ClockAt(now, due))
	}
	if c.queue.closing && !c.waitsForFlapping() {
		due = 0
	}
	switch {
	case c.inFlight > 0 && (before <= c.inFlight || due < c.dueNext):
		c.dueNext = due
	case c.inFlight == 0 && (before == 0 || due < c.due):
		c.due = due
	}
}

// groupEnd returns until when a new notice is grouped with others; mu is held.
func (q *Queue) groupEnd(now clock.Instant) int64 {
	wait := q.groupWait
	if now.Mono < q.burstUntil {
		wait *= burstFactor
	}
	if q.groupUntil <= now.Mono {
		q.groupUntil = now.Mono + wait
	}
	return q.groupUntil
}

// regroup sets when the notices are sent that became ready while others were
// delivered.
func (c *conversation) regroup(now clock.Instant) {
	if c.ready == 0 {
		return
	}
	c.due = c.dueNext
	if c.queue.closing && !c.waitsForFlapping() {
		c.due = 0
		return
	}
	if c.flapping > 0 && c.flapSentAt != 0 && c.due < c.flapSentAt+flapPause {
		c.due = c.flapSentAt + flapPause
		for _, n := range c.pending[:c.ready] {
			c.delayForFlapping(n, c.due, now)
		}
	}
}

// ClockAt returns the time of day, in UTC, at an instant.
func ClockAt(now clock.Instant, mono int64) string {
	return time.Unix(0, now.Wall+mono-now.Mono).UTC().Format("15:04:05")
}
