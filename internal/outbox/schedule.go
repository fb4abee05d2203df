package outbox

import (
	"fmt"
	"math"
	"slices"

	"github.com/laneswap/laneswap/internal/clock"
)

// Next returns the message to send now or, when there is none, the instant at which
// to ask again: math.MaxInt64 for not before Wake. done says that the queue is closed
// and the worker can end.
func (q *Queue) Next(now clock.Instant) (msg *Message, at int64, done bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.nextAt = math.MinInt64
	if now.Mono >= q.reviewAt {
		q.review(now)
	}
	if len(q.tests) > 0 && now.Mono >= q.waitUntil && !q.closing {
		test := q.tests[0]
		q.tests = q.tests[1:]
		q.sendingSince = max(1, now.Mono)
		return &Message{ID: fmt.Sprintf("test/%x", now.Wall), Kind: KindTest, Attempt: 1, test: test}, 0, false
	}
	if now.Mono >= q.blockedUntil() {
		if msg = q.pick(now); msg != nil {
			q.sendingSince = max(1, now.Mono)
			return msg, 0, false
		}
	}
	at = q.earliest()
	if q.closing && (at == math.MaxInt64 || at >= q.closeBy) {
		return nil, 0, true
	}
	q.nextAt = at
	return nil, at, false
}

// earliest returns when there is something to do; mu is held.
func (q *Queue) earliest() int64 {
	next, blocked := q.reviewAt, q.blockedUntil()
	for c := range q.active() {
		if at, ok := c.readyAt(); ok {
			next = min(next, max(at, blocked))
		}
	}
	if q.remindEvery != 0 {
		for _, c := range q.conversations {
			if at := q.remindAt(c); at != never {
				next = min(next, max(at, blocked))
			}
		}
	}
	if len(q.tests) > 0 && !q.closing {
		next = min(next, q.waitUntil)
	}
	return next
}

// Review ends delays and expires notices while the worker is busy, for a notifier may
// hang for ever.
func (q *Queue) Review(now clock.Instant) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sendingSince != 0 && now.Mono >= q.reviewAt {
		q.review(now)
	}
}

// review ends the delays whose time is over, expires notices that are too old, and
// sets when it is to be called again; mu is held.
func (q *Queue) review(now clock.Instant) {
	q.reviewAt = math.MaxInt64
	for c := range q.active() {
		if c.delay != nil && now.Mono >= c.delay.Until {
			c.endDelay("", now)
		}
		for c.ready > c.inFlight && now.Mono-c.pending[c.inFlight].Since >= int64(MaxAge) {
			q.changed = append(q.changed, c.drop(c.inFlight, 1, now, "dropped: not delivered within 24 hours")...)
		}
		c.scheduleReview()
	}
	q.batches = slices.DeleteFunc(q.batches, func(b *batch) bool { return !q.compact(b, now) })
	if now.Mono >= q.nextSweep {
		q.nextSweep = now.Mono + int64(FlapWindow)
		q.sweep(now)
	}
}

// sweep forgets conversations that are over; mu is held.
func (q *Queue) sweep(now clock.Instant) {
	for _, c := range q.conversations {
		if c.lastSent != nil && c.lastSent.Flaps && !c.announced && now.Mono > c.flapSentAt+int64(FlapWindow) {
			c.lastSent.Standing = false
			q.changed = append(q.changed, c.lastSent)
			c.lastSent = nil
		}
		c.forgetIfIdle(now)
	}
}

// scheduleReview has the queue reviewed when a notice expires or a delay ends.
func (c *conversation) scheduleReview() {
	q := c.queue
	if c.ready > 0 {
		q.reviewAt = min(q.reviewAt, c.pending[0].Since+int64(MaxAge))
	}
	if c.delay != nil {
		q.reviewAt = min(q.reviewAt, c.delay.Until)
	}
}
