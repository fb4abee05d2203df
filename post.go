package laneswap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/laneswap/laneswap/internal/outbox"
)

// post is a notifier with its courier and the goroutine between them, which
// Start or AddNotifier starts and Stop ends.
type post struct {
	notifier Notifier
	name     string
	key      string // under which is stored what it is owed
	courier  *outbox.Courier
	done     chan struct{}
	msg      *outbox.Message // that is being sent; the worker's
}

func (a *alerts) newPost(n Notifier, others []*post) *post {
	name := notifierName(n)
	key := label(others, name)
	filters, single := route(n)
	c := outbox.New(outbox.Config{
		GroupWait: a.opts.groupWait, Remind: a.opts.remindEvery, FlapLimit: a.opts.flapLimit, Single: single, Durable: a.opts.storage != nil,
		Wants: func(ev *outbox.Event) (bool, string) { return passes(filters, ev.Of.(*Event)) },
		Keep:  func(notices []outbox.Notice) { a.remember(key, notices) },
	})
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
func (a *alerts) work(ctx context.Context, p *post) {
	over := false
	defer func() {
		if over {
			close(p.done)
			return
		}
		// By runtime.Goexit, as a failing test does. What follows is not its fault.
		if p.msg != nil {
			a.settled(p, p.courier.Done(p.msg, resultOf("", fmt.Errorf("%w: %w", ErrNotifier, errGoexit), false), a.now()))
		}
		go a.work(ctx, p) // ended by Stop
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		now := a.now()
		msg, next, closed := p.courier.Step(now)
		a.finish(p, now)
		if closed {
			break
		}
		if msg != nil {
			a.dispatch(ctx, p, msg, now)
			continue
		}
		timer.Reset(time.Duration(min(next-now.Mono, int64(time.Hour))))
		select {
		case <-p.courier.Wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	a.finish(p, a.now())
	over = true
}

// dispatch sends one message. What the storage does not have yet, and could have,
// is not told: after a crash nobody would know of it.
func (a *alerts) dispatch(ctx context.Context, p *post, msg *outbox.Message, now instant) {
	p.msg = msg
	_ = a.await(ctx, msg.Ticket) // away is no reason to be silent
	note := notificationOf(msg, now)
	if msg.Kind == outbox.KindMassSilence {
		note.explain(a.checkSelf(ctx))
	}
	id, err := "", ctx.Err()
	if err == nil {
		id, err = Send(ctx, p.notifier, note)
	}
	p.msg = nil
	if err != nil {
		level := slog.LevelWarn // it is tried again
		if IsPermanent(err) || IsRefused(err) {
			level = slog.LevelError
		}
		if what := failureOf(err).panicked; what != nil {
			a.log.Error("notifier panicked", "notifier", p.key, "panic", what.String(), "stack", string(what.stack))
		}
		ev := &note.Event
		a.log.Log(ctx, level, "notice not delivered", "notifier", p.key, "service", ev.Service, "event", ev.ID, "services", len(msg.Parts), "attempt", note.Attempt, "err", err)
	}
	a.settled(p, p.courier.Done(msg, resultOf(id, err, ctx.Err() != nil), a.now()))
}

// agePosts sees to what notifiers are owed whose workers are busy, perhaps for ever.
func (a *alerts) agePosts(now instant) {
	for _, p := range *a.posts.Load() {
		p.courier.Overdue(now)
		a.logLater(func() { a.finish(p, now) })
	}
}

// drain lets the workers deliver what is owed until ctx ends. Shortly before,
// they are told to end, so that those that listen can.
func (a *alerts) drain(ctx context.Context) error {
	var errs []error
	posts := *a.posts.Load()
	deadline, _ := ctx.Deadline() // Stop has set one
	left := time.Until(deadline)
	left -= min(left/4, time.Second)
	for _, p := range posts {
		p.courier.Close(a.now().Mono + int64(left))
	}
	soon := time.AfterFunc(left, a.cancel)
	defer soon.Stop()
	for _, p := range posts {
		if !p.ended(ctx) {
			errs = append(errs, fmt.Errorf("%w: %s did not return", ErrNotifier, p.name))
		} else if n := p.courier.Left(); n > 0 {
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
