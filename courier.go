package laneswap

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Bounds of what is owed to one notifier.
const (
	noticesBytes = 64 << 20 // the oldest go first
	noticeFrame  = 500      // what a notice costs besides its text, about
	digestAbove  = 10       // more than that are told in one message
	digestMost   = 10_000   // services in one message
	stormFactor  = 6        // how much longer notices are gathered after a digest
	stormLasts   = 12       // for how many times the usual wait
)

// courier decides which message a notifier gets next, and when. It has no clock
// and no goroutine; its worker drives it.
type courier struct {
	key       string // of the notifier
	filters   []Filter
	wait      int64 // ns: how long notices are gathered
	remind    int64 // ns: between reminders; 0 for none
	single    bool  // each service is told by itself
	flapLimit int   // transitions in 30 minutes that are not too many; 0 for no limit
	durable   bool  // what is owed outlives Stop

	mu      sync.Mutex // guards what follows
	threads map[ServiceID]*thread
	queue   []*thread // those with notices that wait, in the order in which they came
	bytes   int       // of the notices that wait
	until   int64     // mono: until when notices are gathered
	storm   int64     // mono: until then many come
	rest    bool      // more of those that were too many for single messages
	digests int

	failures int   // attempts in a row
	spoiled  int   // digests among them
	pause    int64 // mono: no attempt before it, for the last one failed
	asked    int64 // mono: no request before it, for the receiver asked for that
	disabled bool
	tests    []*testCall
	next     int64         // mono: when the worker looks again; math.MinInt64 while it works
	wake     chan struct{} // holds one token when it is to look earlier
	closing  bool
	deadline int64 // mono: when closing ends
	busy     int64 // mono: since when it sends; 0 for not

	swept       int64 // mono: when threads are tidied next
	sent, dead  uint64
	lastSent    instant
	lastError   string
	lastErrorAt instant
	ended       []*notice // that became over since the worker last asked
}

func newCourier(o *options, n Notifier, key string) *courier {
	c := &courier{
		key: key, wait: int64(o.groupWait), remind: int64(o.remindEvery), flapLimit: o.flapLimit, durable: o.storage != nil,
		threads: map[ServiceID]*thread{}, next: math.MinInt64, wake: make(chan struct{}, 1), until: math.MinInt64,
	}
	if c.filters, c.single = route(n); c.single {
		c.wait, c.flapLimit = 0, 0
	}
	return c
}

// message is what a notifier is given in one call.
type message struct {
	kind   NoticeKind
	parts  []part
	number int // of the digest
	ticket uint64
	test   *testCall
	note   Notification
}

// part is what a message tells of one service.
type part struct {
	t        *thread
	notices  []*notice
	reminder bool
}

// testCall is somebody who waits for a test message.
type testCall struct {
	done chan NotifierTest // holds one
}

// letter is what came of an event for one notifier.
type letter struct {
	c       *courier
	n       *notice  // the new one; not sent before it was confirmed
	reports []report // of it, and then of the older ones that it made needless
	held    bool     // something of the service waits for a threshold
}

// offer owes the notifier a notice of ev.
func (c *courier) offer(ev *Event, in intake, now instant) letter {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.thread(ev.Service)
	n := &notice{ev: ev, since: now.mono, mass: in.mass}
	ended := c.take(t, n, in, now)
	c.weigh(ended)
	held := t.hold != nil
	c.tidy(t, now)
	ended = append(ended, c.bound(now)...)
	return letter{c, n, c.report(append([]*notice{n}, ended...), now), held}
}

// restore takes up a notice of an earlier run. Those of a service come in the
// order of their events.
func (c *courier) restore(n *notice, now instant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.thread(n.ev.Service)
	if n.standing {
		t.said, t.announced = n, n.ev.bad()
		t.saidAt = now.mono - max(0, now.wall-n.sentAt*int64(time.Millisecond))
		if n.flaps {
			t.flapAt = t.saidAt
		}
		return
	}
	if n.state == NoticeHeld && t.hold == nil {
		t.hold = n.hold
	}
	t.push(c, n)
	if t.hold == nil {
		t.free = len(t.waiting)
		t.announced = n.ev.bad() || t.announced && !n.ev.ends()
	}
	t.due = now.mono
	if wait := n.flapDue*int64(time.Millisecond) - now.wall; n.flapDue != 0 && wait > 0 {
		t.due = now.mono + wait
		t.changes, t.flapAt = c.flapLimit+1, t.due-flapPause
		t.flapping = t.changes
	}
	c.nudge()
}

// rehold has what waits for a threshold since an earlier run count anew: how many
// heartbeats a service has had says beats, and whether it is bad says bad; false for
// one that is not there. It returns how many heartbeats it waits for, 0 for none.
func (c *courier) rehold(service ServiceID, beats uint64, bad, there bool, now instant) (target uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.threads[service]
	if t == nil {
		return 0
	}
	if t.hold == nil {
		return 0
	}
	if !there || bad == t.hold.recovery {
		c.release(t, now)
		return 0
	}
	if t.hold.from = now.mono; t.hold.threshold.Beats > 0 {
		t.hold.target = beats + uint64(t.hold.threshold.Beats)
	}
	return t.hold.target
}

// standing are the services of which a notice stands as the latest that was told
// of an open incident.
func (c *courier) standing() (ids []ServiceID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, t := range c.threads {
		if t.said != nil && len(t.waiting) == 0 && !t.said.flaps {
			ids = append(ids, id)
		}
	}
	return ids
}

// lower says that a service has no open incident, or is gone.
func (c *courier) lower(service ServiceID, now instant) []report {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.threads[service]
	if t == nil || t.said == nil {
		return nil
	}
	said := t.said
	said.standing, t.said, t.announced = false, nil, false
	c.tidy(t, now)
	return c.report([]*notice{said}, now)
}

// holding are the services of which something waits for a threshold.
func (c *courier) holding() (ids []ServiceID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, t := range c.threads {
		if t.hold != nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// find returns the trace of the notice of an event, if it is here.
func (c *courier) find(ev *Event) (NoticeTrace, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.threads[ev.Service]
	if t == nil {
		return NoticeTrace{}, false
	}
	if t.said != nil && t.said.ev.ID == ev.ID {
		return t.said.trace(c.key), true
	}
	for _, n := range t.waiting {
		if n.ev.ID == ev.ID {
			return n.trace(c.key), true
		}
	}
	return NoticeTrace{}, false
}

func (c *courier) thread(service ServiceID) *thread {
	t := c.threads[service]
	if t == nil {
		t = &thread{service: service}
		c.threads[service] = t
	}
	return t
}

// tidy forgets a thread of which nothing is left; mu is held.
func (c *courier) tidy(t *thread, now instant) {
	if t.idle(now) && !t.queued {
		delete(c.threads, t.service)
	}
}

// weigh takes notices off what waits; mu is held.
func (c *courier) weigh(gone []*notice) {
	for _, n := range gone {
		c.bytes -= n.weight()
	}
}

// bound gives up the oldest notices while too much waits; mu is held.
func (c *courier) bound(now instant) (ended []*notice) {
	for i := 0; c.bytes > noticesBytes && i < len(c.queue); {
		t := c.queue[i]
		if t.flying > 0 || t.free == 0 {
			i++
			continue
		}
		ended = append(ended, c.giveUp(t, 1, now, "given up: too much waits for this notifier")...)
	}
	return ended
}

// giveUp ends the first n notices of a thread; mu is held.
func (c *courier) giveUp(t *thread, n int, now instant, why string) (ended []*notice) {
	for _, gone := range t.waiting[:n] {
		gone.end(now, NoticeDead, why)
		ended = append(ended, gone)
		c.dead++
	}
	c.weigh(ended)
	t.drop(n)
	if t.said != nil && !t.announced { // what was to say that it is over is gone
		t.said.standing = false
		ended = append(ended, t.said)
		t.said = nil
	}
	return ended
}

// drop takes the first n notices off a thread.
func (t *thread) drop(n int) {
	clear(t.waiting[:n])
	t.waiting = t.waiting[n:]
	t.free -= n
	if len(t.waiting) == 0 {
		t.waiting = nil
	}
}

// confirm says that a notice has been noted, under a ticket if there is a storage:
// it may be sent.
func (c *courier) confirm(n *notice, ticket uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n.noted, n.ticket = true, ticket
	if t := c.threads[n.ev.Service]; t != nil && (t.free > 0 && t.due < c.next || t.hold != nil && t.hold.until < c.next) {
		c.nudge()
	}
}

// reached says that a service has had as many heartbeats as its notices wait for.
func (c *courier) reached(service ServiceID, now instant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.threads[service]; t != nil && t.hold != nil {
		c.release(t, now)
		c.nudge()
	}
}

func (c *courier) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// close has the worker send what may be sent until the instant deadline, and then
// end. What waits for company waits no more; what waits for a threshold does, and
// where it outlives Stop what is held back because a service flaps.
func (c *courier) close(deadline int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing, c.deadline, c.until, c.storm = true, deadline, math.MinInt64, 0
	for _, t := range c.queue {
		if t.flapAt == 0 || !c.durable || t.flapping == 0 {
			t.due = 0
		}
	}
	c.nudge()
}

// left is how many notices a courier that was closed has not delivered.
func (c *courier) left() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.queue {
		if t.due == 0 {
			n += t.free
		}
	}
	return n
}

// step returns the next message, or until when there is none: math.MaxInt64 for
// ever. over says that the work is done.
func (c *courier) step(now instant) (msg *message, next int64, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = math.MinInt64
	c.age(now)
	if len(c.tests) > 0 && now.mono >= c.asked && !c.closing {
		call := c.tests[0]
		c.tests = c.tests[1:]
		c.busy = max(1, now.mono)
		return &message{kind: NoticeTest, test: call, note: testNotification(now)}, 0, false
	}
	barred := max(c.asked, c.pause)
	if c.disabled {
		barred = math.MaxInt64
	}
	if now.mono >= barred {
		if msg = c.compose(c.ready(now), now); msg != nil {
			c.busy = max(1, now.mono)
			return msg, 0, false
		}
	}
	next = c.nextAt(now, barred)
	if c.closing && (next == math.MaxInt64 || next >= c.deadline) {
		return nil, 0, true
	}
	c.next = next
	return nil, next, false
}

// age releases what has waited for its threshold, and gives up what could not be
// delivered for a day; mu is held.
func (c *courier) age(now instant) {
	kept := c.queue[:0]
	for _, t := range c.queue {
		if t.hold != nil && now.mono >= t.hold.until {
			c.release(t, now)
		}
		for t.free > 0 && now.mono-t.waiting[0].since >= int64(owedFor) {
			c.ended = append(c.ended, c.giveUp(t, 1, now, "given up: it could not be delivered for 24 hours")...)
		}
		if len(t.waiting) > 0 {
			kept = append(kept, t)
			continue
		}
		t.queued = false
		c.tidy(t, now)
	}
	clear(c.queue[len(kept):])
	c.queue = kept
	if now.mono >= c.swept {
		c.swept = now.mono + int64(flapWindow)
		for _, t := range c.threads {
			if t.said != nil && t.said.flaps && !t.announced && now.mono > t.flapAt+int64(flapWindow) {
				t.said.standing = false
				c.ended = append(c.ended, t.said)
				t.said = nil
			}
			if !t.queued {
				c.tidy(t, now)
			}
		}
	}
}

// reminds returns when the notifier is to be reminded of a thread; mu is held.
func (c *courier) reminds(t *thread) int64 {
	if c.remind == 0 || t.said == nil || !t.said.ev.bad() || !t.announced || len(t.waiting) > 0 || c.closing {
		return math.MaxInt64
	}
	return max(t.saidAt+c.remind, t.retryAt)
}

// ready returns what may be sent now; mu is held.
func (c *courier) ready(now instant) (parts []part) {
	for _, t := range c.queue {
		if at, ok := t.readyAt(); ok && at <= now.mono {
			parts = append(parts, part{t: t, notices: t.waiting[:t.free:t.free]})
		}
	}
	if c.remind == 0 {
		return parts
	}
	var again []part
	for _, t := range c.threads {
		if c.reminds(t) <= now.mono {
			again = append(again, part{t: t, notices: []*notice{t.said}, reminder: true})
		}
	}
	slices.SortFunc(again, func(a, b part) int {
		return int(min(1, max(-1, int64(a.notices[0].ev.Sequence)-int64(b.notices[0].ev.Sequence))))
	})
	return append(parts, again...)
}

// readyAt returns when what is free of a thread may be sent; false for nothing.
func (t *thread) readyAt() (int64, bool) {
	if t.free == 0 || slices.ContainsFunc(t.waiting[:t.free], func(n *notice) bool { return !n.noted }) {
		return 0, false
	}
	return max(t.due, t.retryAt), true
}

// nextAt returns when there is something to do; mu is held.
func (c *courier) nextAt(now instant, barred int64) int64 {
	next := int64(math.MaxInt64)
	for _, t := range c.queue {
		if at, ok := t.readyAt(); ok {
			// In a day it is given up.
			next = min(next, max(at, barred), t.waiting[0].since+int64(owedFor))
		}
		if t.hold != nil {
			next = min(next, t.hold.until)
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

// compose makes the next message of what is ready; mu is held.
func (c *courier) compose(ready []part, now instant) *message {
	if len(ready) == 0 {
		return nil
	}
	var company, silent []part
	mass := false
	for _, p := range ready {
		if !p.t.alone && !c.single {
			company = append(company, p)
			if p.silent() {
				silent = append(silent, p)
				mass = mass || p.notices[len(p.notices)-1].mass
			}
		}
	}
	msg := &message{kind: NoticeEvent, parts: ready[:1]}
	switch {
	case c.spoiled >= spoiledMost && c.spoiled%2 == 1:
		c.spoiled++ // perhaps it is the digest that cannot be taken
	case mass:
		msg.kind, msg.parts = NoticeMassSilence, silent
	case len(company) > digestAbove, (c.rest || now.mono < c.storm) && len(company) > 1:
		msg.kind, msg.parts = NoticeDigest, company
	}
	msg.parts = msg.parts[:min(len(msg.parts), digestMost)]
	if len(msg.parts) > 1 {
		c.digests++
		msg.number = c.digests
		if len(company) > digestAbove {
			c.storm = now.mono + stormLasts*c.wait
		}
	}
	c.rest = len(msg.parts) > 1 && len(company) > max(digestAbove, len(msg.parts))
	var ids []string
	items := make([]Item, len(msg.parts))
	for i := range msg.parts {
		p := &msg.parts[i]
		p.notices = slices.Clone(p.notices) // those of the thread move on
		p.t.flying = len(p.notices)
		items[i] = p.item(now)
		for _, n := range p.notices {
			if !p.reminder {
				n.attempts++
			}
			msg.ticket = max(msg.ticket, n.ticket)
			ids = append(ids, n.ev.ID)
		}
	}
	if p := msg.parts[0]; len(msg.parts) == 1 {
		switch {
		case p.reminder:
			msg.kind = NoticeReminder
			ids = append(ids, fmt.Sprint("reminder ", p.notices[0].reminders+1))
		case items[0].Flapping > 0:
			msg.kind = NoticeFlapping
		}
	}
	msg.note = compose(msg.kind, items)
	msg.note.ID = messageID(ids)
	if msg.note.Attempt = msg.parts[0].notices[0].attempts; msg.parts[0].reminder {
		msg.note.Attempt = msg.parts[0].t.failures + 1
	}
	return msg
}

// messageID names what tells of these events.
func messageID(events []string) string {
	if len(events) == 1 {
		return events[0]
	}
	sum := sha256.New()
	for _, id := range events {
		sum.Write(append([]byte(id), 0))
	}
	return "notice/" + hex.EncodeToString(sum.Sum(nil)[:12])
}

// silent reports whether a part says that a service is silent.
func (p part) silent() bool {
	return !p.reminder && p.notices[len(p.notices)-1].ev.To == StatusStale
}

// item is what a part tells.
func (p part) item(now instant) Item {
	last := len(p.notices) - 1
	it := Item{Event: *p.notices[last].ev}
	if p.reminder {
		if p.t.current != nil {
			it.Event = *p.t.current
		}
		it.Reminder = max(time.Duration(now.wall-it.Event.StartedAt.UnixNano()), time.Millisecond)
		return it
	}
	it.Flapping = p.t.flapping
	for _, n := range p.notices[:last] {
		it.Earlier = append(it.Earlier, *n.ev)
	}
	return it
}

// backoff is the pause after that many failures in a row: a second at first,
// twice as long each time, five minutes at most, and a fifth more or less, so that
// not all who wait for one receiver come back at once.
func backoff(failures int) int64 {
	d := min(int64(time.Second)<<min(failures-1, 10), int64(5*time.Minute))
	return int64(float64(d) * (0.8 + 0.4*rand.Float64()))
}
