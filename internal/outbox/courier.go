package outbox

import (
	"math"
	"slices"
	"sync"

	"github.com/laneswap/laneswap/internal/clock"
)

// Bounds of what is owed to one notifier.
const (
	noticesBytes = 64 << 20 // of a service its oldest go first
	noticeFrame  = 1500     // what a notice costs besides its text, with its event and trace, about
	digestAbove  = 10       // more than that are told in one message
	digestMost   = 10_000   // services in one message
	stormFactor  = 6        // how much longer notices are gathered after a digest
	stormLasts   = 12       // for how many times the usual wait
)

// courier decides which message a notifier gets next, and when. It has no clock
// and no goroutine; its worker drives it.
type Courier struct {
	keep      func([]Notice) // remembers notices; called while mu is held, so that what is stored last is the latest
	wants     func(*Event) (ok bool, not string)
	wait      int64 // ns: how long notices are gathered
	remind    int64 // ns: between reminders; 0 for none
	single    bool  // each service is told by itself
	flapLimit int   // transitions in 30 minutes that are not too many; 0 for no limit
	durable   bool  // what is owed outlives Stop

	mu      sync.Mutex // guards what follows
	threads map[string]*thread
	queue   []*thread // those with notices that wait, in the order in which they came
	apart   []*thread // of those the ones that are told alone, and halves of digests, each in a row
	scan    int       // where bound goes on, in queue and apart
	alone   bool      // the last message was of apart
	ageAt   int64     // mono: when one of them comes of age
	bytes   int       // of the notices that wait
	until   int64     // mono: until when notices are gathered
	storm   int64     // mono: until then many come
	rest    bool      // more of those that were too many for single messages
	digests int
	halves  int // of digests that were refused

	failures int   // attempts in a row
	spoiled  int   // digests among them
	probed   bool  // a single message got through since
	pause    int64 // mono: no attempt before it, for the last one failed
	asked    int64 // mono: no request before it, for the receiver asked for that
	brief    int   // how often in a row it asked for next to nothing
	disabled bool
	tests    []*Test
	next     int64         // mono: when the worker looks again; math.MinInt64 while it works
	Wake     chan struct{} // holds one token when it is to look earlier
	closing  bool
	deadline int64 // mono: when closing ends
	busy     int64 // mono: since when it sends; 0 for not

	swept       int64 // mono: when threads are tidied next
	sent, dead  uint64
	lost        int // of dead those for want of room that were not logged yet
	lastSent    clock.Instant
	lastError   string
	lastErrorAt clock.Instant
	changed     []*Notice // of which something is to be remembered still
}

// New makes a courier.
func New(cfg Config) *Courier {
	c := &Courier{
		wants: cfg.Wants, keep: cfg.Keep, wait: int64(cfg.GroupWait), remind: int64(cfg.Remind), single: cfg.Single, flapLimit: cfg.FlapLimit, durable: cfg.Durable,
		threads: map[string]*thread{}, next: math.MinInt64, Wake: make(chan struct{}, 1), until: math.MinInt64, ageAt: math.MaxInt64,
	}
	if c.single {
		c.wait, c.flapLimit = 0, 0
	}
	return c
}

// letter is what came of an event for one notifier.
type Letter struct {
	c       *Courier
	n       *Notice  // the new one; not sent before it was confirmed
	Notices []Notice // it, and then the older ones that it changed
	Held    bool     // something of the service waits for a threshold
}

// offer owes the notifier a notice of ev.
func (c *Courier) Offer(ev *Event, in Intake, now clock.Instant) Letter {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.thread(ev.Service)
	n := &Notice{Event: ev, Since: now.Mono, Mass: in.Mass}
	ended := c.take(t, n, in, now)
	for _, old := range ended {
		if old.Over() {
			c.weigh([]*Notice{old})
		}
	}
	held := t.hold != nil
	c.tidy(t, now)
	ended = append(ended, c.bound(now)...)
	return Letter{c, n, copies(append([]*Notice{n}, ended...)), held}
}

// find returns the trace of the notice of an event, if it is here.
func (c *Courier) Find(ev *Event) (Notice, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.threads[ev.Service]
	if t == nil {
		return Notice{}, false
	}
	if t.said != nil && t.said.Event.ID == ev.ID {
		return t.said.copy(), true
	}
	for _, n := range t.waiting {
		if n.Event.ID == ev.ID {
			return n.copy(), true
		}
	}
	return Notice{}, false
}

func (c *Courier) thread(service string) *thread {
	t := c.threads[service]
	if t == nil {
		t = &thread{service: service}
		c.threads[service] = t
	}
	return t
}

// tidy forgets a thread of which nothing is left; mu is held.
func (c *Courier) tidy(t *thread, now clock.Instant) {
	if t.idle(now) && !t.queued {
		delete(c.threads, t.service)
	}
}

// weigh takes notices off what waits; mu is held.
func (c *Courier) weigh(gone []*Notice) {
	for _, n := range gone {
		c.bytes -= n.weight()
	}
}

const WhyLost = "given up: too much waits for this notifier"

// bound gives up old notices while too much waits; mu is held. It goes on where it
// was, or those that are being sent would be looked at again and again.
func (c *Courier) bound(now clock.Instant) (ended []*Notice) {
	for tries := len(c.queue) + len(c.apart); c.bytes > noticesBytes && tries > 0; tries-- {
		if c.scan >= len(c.queue)+len(c.apart) {
			c.scan = 0
		}
		t := c.line(c.scan)
		if len(t.waiting) == t.flying {
			c.scan++
			continue
		}
		ended = append(ended, c.giveUp(t, t.flying, 1, now, WhyLost)...)
		c.lost++
	}
	return ended
}

// line is a thread of queue, or of apart behind it; mu is held.
func (c *Courier) line(i int) *thread {
	if i < len(c.queue) {
		return c.queue[i]
	}
	return c.apart[i-len(c.queue)]
}

// giveUp ends n notices of a thread, behind the first few; mu is held.
func (c *Courier) giveUp(t *thread, behind, n int, now clock.Instant, why string) (ended []*Notice) {
	for _, gone := range t.waiting[behind : behind+n] {
		if gone.State == Held && gone.Event.ends() {
			t.announced = false // it is over, though nobody will be told
		}
		gone.End(now, Dead, why)
		ended = append(ended, gone)
		c.dead++
	}
	c.weigh(ended)
	if behind == 0 {
		t.drop(n)
	} else {
		t.waiting = slices.Delete(t.waiting, behind, behind+n)
		t.free -= min(n, max(0, t.free-behind))
	}
	if len(t.waiting) == 0 {
		t.hold = nil
	}
	if t.said != nil && !t.announced && t.free == 0 { // what was to say that it is over is gone
		t.said.Standing = false
		ended = append(ended, t.said)
		t.said = nil
	}
	return ended
}

// drop takes the first n notices off a thread.
func (t *thread) drop(n int) {
	clear(t.waiting[:n])
	t.waiting = t.waiting[n:]
	t.free = max(0, t.free-n)
	if len(t.waiting) == 0 {
		t.waiting = nil
	}
}

// Confirm says that a notice has been noted, under a ticket if there is a storage:
// it may be sent.
func (l Letter) Confirm(ticket uint64) {
	c, n := l.c, l.n
	c.mu.Lock()
	defer c.mu.Unlock()
	n.noted, n.ticket = true, ticket
	t := c.threads[n.Event.Service]
	if t == nil {
		return
	}
	c.watch(t)
	if t.free > 0 && max(t.due, t.retryAt, c.barred()) < c.next || c.ageAt < c.next {
		c.nudge()
	}
}

// rehold has what waits for a threshold wait for another one; for none, with nil,
// because of why: "" when the threshold is reached.
func (c *Courier) Rehold(service string, h *Hold, why string, now clock.Instant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.threads[service]
	if t == nil || t.hold == nil {
		return
	}
	if h == nil || h.Recovery != t.hold.Recovery {
		c.release(t, why, now)
	} else {
		if h.Threshold == t.hold.Threshold && t.hold.Until < h.Until { // nobody waits longer for a restart
			merged := *h
			merged.Until = t.hold.Until
			h = &merged
		}
		t.hold = h
		c.watch(t)
	}
	c.nudge()
	c.settle(nil, now)
}

// settle remembers what has changed of notices, and returns that; mu is held.
func (c *Courier) settle(changed []*Notice, now clock.Instant) []Notice {
	reports := copies(append(changed, c.changed...))
	c.changed = nil
	c.keep(reports)
	return reports
}

func (c *Courier) nudge() {
	select {
	case c.Wake <- struct{}{}:
	default:
	}
}

// close has the worker send what may be sent until the clock.Instant deadline, and then
// end. What waits for company waits no more; what waits for a threshold does, and
// where it outlives Stop what is held back because a service flaps.
func (c *Courier) Close(deadline int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing, c.deadline, c.until, c.storm = true, deadline, math.MinInt64, 0
	for t := range c.lines() {
		if !t.flapHeld(c) {
			t.due, t.after = 0, 0
		}
	}
	c.nudge()
}

// left is how many notices a courier that was closed has not delivered.
func (c *Courier) Left() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for t := range c.lines() {
		if t.due == 0 || !t.flapHeld(c) {
			n += t.free
		}
	}
	return n
}
