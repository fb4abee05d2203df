package laneswap

import (
	"context"
	"fmt"
	"sync"
)

const (
	noticesBytes = 64 << 20 // owed to one notifier; the oldest go first
	noticeFrame  = 500      // what a notice costs besides its text, about
)

// courier decides which notice a notifier gets next. It has no clock and no
// goroutine; its worker drives it.
type courier struct {
	mu      sync.Mutex // guards what follows
	owed    []*Event
	bytes   int // of owed
	dropped int // since the last step
	closed  bool
	wake    chan struct{} // holds one token when there is something to do
}

func newCourier() *courier { return &courier{wake: make(chan struct{}, 1)} }

// offer owes the notifier a notice of ev. It never waits. It returns the notices
// that it had to drop for it.
func (c *courier) offer(ev *Event) (dropped []*Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.owed = append(c.owed, ev)
	c.bytes += weight(ev)
	for c.bytes > noticesBytes {
		dropped = append(dropped, c.take())
		c.dropped++
	}
	c.nudge()
	return dropped
}

func weight(ev *Event) int { return noticeFrame + len(ev.Message) }

// take removes the first notice; mu is held.
func (c *courier) take() *Event {
	ev := c.owed[0]
	c.owed[0] = nil
	c.owed = c.owed[1:]
	c.bytes -= weight(ev)
	return ev
}

// undo owes a notice again whose delivery was cut off.
func (c *courier) undo(ev *Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owed = append([]*Event{ev}, c.owed...)
	c.bytes += weight(ev)
}

// left is how many notices are owed.
func (c *courier) left() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.owed)
}

// close lets the worker end when nothing is owed any more.
func (c *courier) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.nudge()
}

func (c *courier) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// step returns the next notice, how many were dropped before it, and whether
// the work is over.
func (c *courier) step() (ev *Event, dropped int, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.owed) == 0 {
		return nil, 0, c.closed
	}
	dropped, c.dropped = c.dropped, 0
	return c.take(), dropped, false
}

// post is a notifier with its courier and the goroutine between them, which
// Start or AddNotifier starts and Stop ends.
type post struct {
	notifier Notifier
	name     string
	key      string // under which is stored what it is owed
	courier  *courier
	done     chan struct{}
}

func newPost(n Notifier, others []*post) *post {
	name := notifierName(n)
	return &post{notifier: n, name: name, key: label(others, name), courier: newCourier(), done: make(chan struct{})}
}

// notifierName is what a notifier is called in logs: its own Name, or its type.
func notifierName(n Notifier) (name string) {
	defer func() {
		if recover() != nil { // a nil pointer with a Name, say
			name = fmt.Sprintf("%T", n)
		}
	}()
	if named, ok := n.(interface{ Name() string }); ok {
		return named.Name()
	}
	return fmt.Sprintf("%T", n)
}

// work delivers until the courier is closed and nothing is owed, or ctx ends.
func (m *Manager) work(ctx context.Context, p *post) {
	over := false
	defer func() {
		if over {
			close(p.done)
			return
		}
		// The notifier has ended this goroutine by runtime.Goexit, as a failing
		// test does. The next notices are not its.
		go m.work(ctx, p) // ended by Stop
	}()
	for ctx.Err() == nil {
		ev, dropped, closed := p.courier.step()
		if closed {
			break
		}
		if dropped > 0 {
			m.log.Error("notices dropped: the notifier is too slow", "notifier", p.name, "dropped", dropped)
		}
		if ev == nil {
			select {
			case <-p.courier.wake:
			case <-ctx.Done():
			}
			continue
		}
		if _, err := Send(ctx, p.notifier, compose(NoticeEvent, []Item{{Event: *ev}})); err != nil {
			if ctx.Err() != nil {
				p.courier.undo(ev)
			} else {
				m.settled(p, ev)
			}
			m.log.Error("notice not delivered", "notifier", p.name, "service", ev.Service, "event", ev.ID, "err", err)
			continue
		}
		m.settled(p, ev)
	}
	over = true
}
