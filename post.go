package laneswap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// post is a notifier with its courier and the goroutine between them, which
// Start or AddNotifier starts and Stop ends.
type post struct {
	notifier Notifier
	name     string
	key      string // under which is stored what it is owed
	courier  *courier
	done     chan struct{}
	msg      *message // that is being sent; the worker's
}

func (m *Manager) newPost(n Notifier, others []*post) *post {
	name := notifierName(n)
	key := label(others, name)
	c := newCourier(&m.opts, n, key)
	c.keep = m.remember
	return &post{notifier: n, name: name, key: key, courier: c, done: make(chan struct{})}
}

// notifierName is what a notifier is called: its own Name, or its type.
func notifierName(n Notifier) (name string) {
	defer func() {
		if recover() != nil || name == "" { // a nil pointer with a Name, say
			name = fmt.Sprintf("%T", n)
		}
	}()
	if named, ok := n.(interface{ Name() string }); ok {
		return named.Name()
	}
	return ""
}

// errGoexit is what a notifier did that ended its goroutine.
var errGoexit = errors.New("the notifier has ended its goroutine")

// work sends until the courier is closed and nothing more is to be sent, or ctx
// ends.
func (m *Manager) work(ctx context.Context, p *post) {
	over := false
	defer func() {
		if over {
			close(p.done)
			return
		}
		// By runtime.Goexit, as a failing test does. What follows is not its fault.
		if p.msg != nil {
			m.settled(p, p.courier.done(p.msg, "", fmt.Errorf("%w: %w", ErrNotifier, errGoexit), false, m.now()))
		}
		go m.work(ctx, p) // ended by Stop
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		now := m.now()
		msg, next, closed := p.courier.step(now)
		m.finish(p, now)
		if closed {
			break
		}
		if msg != nil {
			m.dispatch(ctx, p, msg)
			continue
		}
		timer.Reset(time.Duration(min(next-now.mono, int64(time.Hour))))
		select {
		case <-p.courier.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	m.finish(p, m.now())
	over = true
}

// dispatch sends one message. What the storage does not have yet, and could have,
// is not told: after a crash nobody would know of it.
func (m *Manager) dispatch(ctx context.Context, p *post, msg *message) {
	p.msg = msg
	_ = m.await(ctx, msg.ticket) // away is no reason to be silent
	if msg.kind == NoticeMassSilence {
		msg.note.explain(m.checkSelf(ctx))
	}
	id, err := "", ctx.Err()
	if err == nil {
		id, err = Send(ctx, p.notifier, msg.note)
	}
	p.msg = nil
	if err != nil {
		level := slog.LevelWarn // it is tried again
		if IsPermanent(err) || IsRefused(err) {
			level = slog.LevelError
		}
		if what := failureOf(err).panicked; what != nil {
			m.log.Error("notifier panicked", "notifier", p.key, "panic", what.String(), "stack", string(what.stack))
		}
		ev := &msg.note.Event
		m.log.Log(ctx, level, "notice not delivered", "notifier", p.key, "service", ev.Service, "event", ev.ID, "services", len(msg.parts), "attempt", msg.note.Attempt, "err", err)
	}
	m.settled(p, p.courier.done(msg, id, err, ctx.Err() != nil, m.now()))
}

// agePosts sees to what notifiers are owed whose workers are busy, perhaps for ever.
func (m *Manager) agePosts(now instant) {
	for _, p := range *m.posts.Load() {
		p.courier.overdue(now)
		m.logLater(func() { m.finish(p, now) })
	}
}

// drain lets the workers deliver what is owed until ctx ends. Shortly before,
// they are told to end, so that those that listen can.
func (m *Manager) drain(ctx context.Context) error {
	var errs []error
	posts := *m.posts.Load()
	deadline, _ := ctx.Deadline() // Stop has set one
	left := time.Until(deadline)
	left -= min(left/4, time.Second)
	for _, p := range posts {
		p.courier.close(m.now().mono + int64(left))
	}
	soon := time.AfterFunc(left, m.cancel)
	defer soon.Stop()
	for _, p := range posts {
		if !p.ended(ctx) {
			errs = append(errs, fmt.Errorf("%w: %s did not return", ErrNotifier, p.name))
		} else if n := p.courier.left(); n > 0 {
			errs = append(errs, fmt.Errorf("%w: %s: %s not delivered", ErrNotifier, p.name, plural(n, "notice")))
		}
	}
	return errors.Join(errs...)
}

// ended waits for the worker until ctx ends, and reports whether it has ended.
func (p *post) ended(ctx context.Context) bool {
	select {
	case <-p.done:
	case <-ctx.Done():
		select {
		case <-p.done: // another one has used up the time
		default:
			return false
		}
	}
	return true
}
