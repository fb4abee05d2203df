package laneswap

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

const (
	noticesKept   = 100_000          // owed to one notifier; the oldest go first
	notifyTimeout = 30 * time.Second // for one call of Notify
)

// courier decides which notice a notifier gets next. It has no clock and no
// goroutine; its worker drives it.
type courier struct {
	mu      sync.Mutex // guards what follows
	owed    []*Event
	dropped int // since the last step
	closed  bool
	wake    chan struct{} // holds one token when there is something to do
}

func newCourier() *courier { return &courier{wake: make(chan struct{}, 1)} }

// offer owes the notifier a notice of ev. It never waits.
func (c *courier) offer(ev *Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	if len(c.owed) >= noticesKept {
		c.owed[0] = nil
		c.owed = c.owed[1:]
		c.dropped++
	}
	c.owed = append(c.owed, ev)
	c.nudge()
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
	ev, dropped = c.owed[0], c.dropped
	c.owed[0] = nil
	c.owed = c.owed[1:]
	c.dropped = 0
	return ev, dropped, false
}

// post is a notifier with its courier and the goroutine between them, which
// Start or AddNotifier starts and Stop ends.
type post struct {
	notifier Notifier
	name     string
	courier  *courier
	done     chan struct{}
}

func newPost(n Notifier) *post {
	return &post{notifier: n, name: notifierName(n), courier: newCourier(), done: make(chan struct{})}
}

// notifierName is what a notifier is called in logs: its own Name, or its type.
func notifierName(n Notifier) string {
	if named, ok := n.(interface{ Name() string }); ok {
		return named.Name()
	}
	return fmt.Sprintf("%T", n)
}

// work delivers until the courier is closed and nothing is owed, or ctx ends.
func (m *Manager) work(ctx context.Context, p *post) {
	defer close(p.done)
	for ctx.Err() == nil {
		ev, dropped, over := p.courier.step()
		if over {
			return
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
		if err := deliver(ctx, p.notifier, ev); err != nil {
			m.log.Error("notice not delivered", "notifier", p.name, "service", ev.Service, "event", ev.ID, "err", err)
		}
	}
}

// deliver calls the notifier; a panic becomes an error.
func deliver(ctx context.Context, n Notifier, ev *Event) (err error) {
	ctx, cancel := context.WithTimeout(ctx, notifyTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: panic: %v\n%s", ErrNotifier, p, debug.Stack())
		}
	}()
	if err := n.Notify(ctx, Notification{Event: *ev, Text: describe(ev)}); err != nil {
		return fmt.Errorf("%w: %w", ErrNotifier, err)
	}
	return nil
}
