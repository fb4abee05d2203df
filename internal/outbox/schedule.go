package outbox

import (
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

// step returns the next message, or until when there is none: math.MaxInt64 for
// ever. over says that the work is done.
func (c *Courier) Step(now clock.Instant) (msg *Message, next int64, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = math.MinInt64
	if now.Mono >= c.ageAt {
		c.age(now)
	}
	if len(c.tests) > 0 && now.Mono >= c.asked && !c.closing {
		call := c.tests[0]
		c.tests = c.tests[1:]
		c.busy = max(1, now.Mono)
		return &Message{ID: fmt.Sprintf("test/%x", now.Wall), Kind: KindTest, Attempt: 1, test: call}, 0, false
	}
	if now.Mono >= c.barred() {
		if msg = c.pick(now); msg != nil {
			c.busy = max(1, now.Mono)
			return msg, 0, false
		}
	}
	next = c.nextAt(now)
	if c.closing && (next == math.MaxInt64 || next >= c.deadline) {
		return nil, 0, true
	}
	c.next = next
	return nil, next, false
}

// barred is until when the notifier is asked nothing; mu is held.
func (c *Courier) barred() int64 {
	if c.disabled {
		return math.MaxInt64
	}
	return max(c.asked, c.pause)
}

// age releases what has waited for its threshold, gives up what could not be
// delivered for a day, and says when it is to be called again; mu is held.
func (c *Courier) age(now clock.Instant) {
	c.ageAt = math.MaxInt64
	for t := range c.lines() {
		if t.hold != nil && now.Mono >= t.hold.Until {
			c.release(t, "", now)
		}
		for t.free > t.flying && now.Mono-t.waiting[t.flying].Since >= int64(OwedFor) {
			c.changed = append(c.changed, c.giveUp(t, t.flying, 1, now, "given up: it could not be delivered for 24 hours")...)
		}
		c.watch(t)
	}
	c.queue, c.apart = c.compact(c.queue, now), c.compact(c.apart, now)
	if now.Mono < c.swept {
		return
	}
	c.swept = now.Mono + int64(FlapWindow)
	for _, t := range c.threads {
		if t.said != nil && t.said.Flaps && !t.announced && now.Mono > t.flapAt+int64(FlapWindow) {
			t.said.Standing = false
			c.changed = append(c.changed, t.said)
			t.said = nil
		}
		if !t.queued {
			c.tidy(t, now)
		}
	}
}

// overdue is age while the worker is busy, for a notifier may hang for ever.
func (c *Courier) Overdue(now clock.Instant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy != 0 && now.Mono >= c.ageAt {
		c.age(now)
	}
}

// watch sees to it that a thread is looked at when it comes of age; mu is held.
func (c *Courier) watch(t *thread) {
	if t.free > 0 {
		c.ageAt = min(c.ageAt, t.waiting[0].Since+int64(OwedFor))
	}
	if t.hold != nil {
		c.ageAt = min(c.ageAt, t.hold.Until)
	}
}

// compact takes the threads out of a queue that have nothing to tell any more; mu is
// held.
func (c *Courier) compact(queue []*thread, now clock.Instant) []*thread {
	kept := queue[:0]
	for _, t := range queue {
		if len(t.waiting) > 0 {
			kept = append(kept, t)
			continue
		}
		t.queued = false
		c.tidy(t, now)
	}
	clear(queue[len(kept):])
	return kept
}

// lines are the threads with notices that wait; mu is held.
func (c *Courier) lines() iter.Seq[*thread] {
	return func(yield func(*thread) bool) {
		for _, queue := range [][]*thread{c.queue, c.apart} {
			for _, t := range queue {
				if !yield(t) {
					return
				}
			}
		}
	}
}

// pick takes what is told next: what goes together, and by turns what is told
// alone. mu is held.
func (c *Courier) pick(now clock.Instant) *Message {
	c.scan = 0
	company, apart := c.ready(now)
	if c.alone = !c.alone || len(company) == 0; c.alone {
		parts := c.lonely(now)
		if len(parts) == 0 && len(apart) > 0 {
			parts = apart[:1]
		}
		if len(parts) > 1 {
			return c.compose(parts, now)
		}
		if len(parts) == 1 {
			msg := &Message{Kind: KindEvent, Parts: parts}
			msg.fill()
			return msg
		}
	}
	if len(company) == 0 {
		return nil
	}
	return c.compose(company, now)
}

// lonely returns the first of those that are told apart which is ready, with the
// others of its half of a digest that was refused; mu is held.
func (c *Courier) lonely(now clock.Instant) (parts []Part) {
	for len(c.apart) > 0 && len(c.apart[0].waiting) == 0 {
		c.apart[0].queued = false
		c.tidy(c.apart[0], now)
		c.apart[0] = nil
		c.apart = c.apart[1:]
	}
	for _, t := range c.apart {
		if len(parts) > 0 && (t.half == 0 || t.half != parts[0].t.half) {
			break
		}
		if at, ok := t.readyAt(); ok && at <= now.Mono {
			parts = append(parts, t.part())
		}
	}
	return parts
}

func (t *thread) part() Part {
	return Part{t: t, notices: t.waiting[:t.free:t.free], flapping: t.flapping}
}

// reminds returns when the notifier is to be reminded of a thread; mu is held.
func (c *Courier) reminds(t *thread) int64 {
	if c.remind == 0 || t.said == nil || !t.said.Event.bad() || !t.announced || t.unheard || t.free > 0 || t.hold != nil || c.closing {
		return math.MaxInt64
	}
	return max(t.saidAt+c.remind, t.retryAt)
}

// ready returns what may be sent now, and together, and the reminders that go alone;
// mu is held.
func (c *Courier) ready(now clock.Instant) (parts, apart []Part) {
	kept := c.queue[:0]
	for _, t := range c.queue {
		switch at, ok := t.readyAt(); {
		case len(t.waiting) == 0:
			t.queued = false
			c.tidy(t, now)
			continue
		case t.alone, t.half != 0:
			c.apart = append(c.apart, t)
			continue
		case ok && at <= now.Mono:
			parts = append(parts, t.part())
		}
		kept = append(kept, t)
	}
	clear(c.queue[len(kept):])
	c.queue = kept
	if c.remind == 0 {
		return parts, nil
	}
	var again []Part
	for _, t := range c.threads {
		if c.reminds(t) <= now.Mono {
			again = append(again, Part{t: t, notices: []*Notice{t.said}, Reminder: true})
		}
	}
	slices.SortFunc(again, func(a, b Part) int {
		return int(min(1, max(-1, int64(a.notices[0].Event.Sequence)-int64(b.notices[0].Event.Sequence))))
	})
	for _, p := range again {
		if p.t.alone {
			apart = append(apart, p)
		} else {
			parts = append(parts, p)
		}
	}
	return parts, apart
}

// readyAt returns when what is free of a thread may be sent; false for nothing.
func (t *thread) readyAt() (int64, bool) {
	if t.free == 0 || slices.ContainsFunc(t.waiting[:t.free], func(n *Notice) bool { return !n.noted }) {
		return 0, false
	}
	return max(t.due, t.retryAt), true
}

// nextAt returns when there is something to do; mu is held.
func (c *Courier) nextAt(now clock.Instant) int64 {
	next, barred := c.ageAt, c.barred()
	for t := range c.lines() {
		if at, ok := t.readyAt(); ok {
			next = min(next, max(at, barred))
		}
	}
	if c.remind != 0 {
		for _, t := range c.threads {
			if at := c.reminds(t); at != math.MaxInt64 {
				next = min(next, max(at, barred))
			}
		}
	}
	if len(c.tests) > 0 && !c.closing {
		next = min(next, c.asked)
	}
	return next
}

// Backoff is the pause after that many failures in a row: a second at first,
// twice as long each time, five minutes at most, and a fifth more or less, so that
// not all who wait for one receiver come back at once.
func Backoff(failures int) int64 {
	d := min(int64(time.Second)<<min(failures-1, 10), int64(5*time.Minute))
	return int64(float64(d) * (0.8 + 0.4*rand.Float64()))
}
