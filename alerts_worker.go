package laneswap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
	"github.com/laneswap/laneswap/internal/outbox"
	"github.com/laneswap/laneswap/internal/text"
)

// worker sends the messages of one queue to its notifier. Start or AddNotifier starts
// its goroutine, Stop ends it.
type worker struct {
	notifier Notifier
	name     string
	key      string // the name of the notifier in Notifiers and in the storage
	queue    *outbox.Queue
	done     chan struct{}
	msg      *outbox.Message // that is being sent; only the goroutine uses it
}

func (a *alerts) newWorker(n Notifier, others []*worker) *worker {
	name := notifierName(n)
	key := uniqueName(others, name)
	filters, single := route(n)
	q := outbox.New(outbox.Config{
		GroupWait: a.opts.groupWait, Remind: a.opts.remindEvery, FlapLimit: a.opts.flapLimit, Single: single, Durable: a.opts.storage != nil,
		Wants: func(ev *outbox.Event) (bool, string) { return passes(filters, ev.Of.(*Event)) },
		Save:  func(notices []outbox.Notice) { a.save(key, notices) },
	})
	return &worker{notifier: n, name: name, key: key, queue: q, done: make(chan struct{})}
}

// notifierName returns the Name of a notifier, or its type.
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

// errGoexit is the error of a notifier that called runtime.Goexit.
var errGoexit = errors.New("the notifier has ended its goroutine")

// runWorker sends until the queue is closed and has nothing more to send, or ctx ends.
func (a *alerts) runWorker(ctx context.Context, w *worker) {
	over := false
	defer func() {
		if over {
			close(w.done)
			return
		}
		// The notifier called runtime.Goexit, as a failing test does. The next messages
		// need a new goroutine.
		if w.msg != nil {
			a.logDropped(w, w.queue.Done(w.msg, resultOf("", fmt.Errorf("%w: %w", ErrNotifier, errGoexit), false), a.now()))
		}
		go a.runWorker(ctx, w) // ended by Stop
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		now := a.now()
		msg, next, done := w.queue.Next(now)
		a.flush(w, now)
		if done {
			break
		}
		if msg != nil {
			a.send(ctx, w, msg, now)
			continue
		}
		timer.Reset(time.Duration(min(next-now.Mono, int64(time.Hour))))
		select {
		case <-w.queue.Wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	a.flush(w, a.now())
	over = true
}

// send sends one message. It waits until the storage has its notices, or is degraded:
// after a crash LaneSwap would not know what it has sent.
func (a *alerts) send(ctx context.Context, w *worker, msg *outbox.Message, now clock.Instant) {
	w.msg = msg
	_ = a.await(ctx, msg.LSN) // a degraded storage does not stop alerts
	note := notificationOf(msg, now)
	if msg.Kind == outbox.KindMassSilence {
		note.addFinding(a.checkSelf(ctx))
	}
	id, err := "", ctx.Err()
	if err == nil {
		id, err = Send(ctx, w.notifier, note)
	}
	w.msg = nil
	if err != nil {
		level := slog.LevelWarn // there will be another attempt
		if IsPermanent(err) || IsRefused(err) {
			level = slog.LevelError
		}
		if what := failureOf(err).panicked; what != nil {
			a.log.Error("notifier panicked", "notifier", w.key, "panic", what.String(), "stack", string(what.stack))
		}
		ev := &note.Event
		a.log.Log(ctx, level, "notice not delivered", "notifier", w.key, "service", ev.Service, "event", ev.ID, "services", len(msg.Parts), "attempt", note.Attempt, "err", err)
	}
	a.logDropped(w, w.queue.Done(msg, resultOf(id, err, ctx.Err() != nil), a.now()))
}

// resultOf converts the result of a call of a notifier.
func resultOf(id string, err error, stopped bool) outbox.Result {
	if err == nil {
		return outbox.Result{MessageID: id}
	}
	f := failureOf(err)
	text := text.Cut(text.Line(strings.TrimPrefix(err.Error(), ErrNotifier.Error()+": ")), 500)
	res := outbox.Result{Verdict: outbox.Failed, After: f.after, Text: text}
	switch {
	case stopped:
		res.Verdict = outbox.Stopped
	case f.kind == failLater:
		res.Verdict = outbox.Later
	case f.kind == failRefused:
		res.Verdict = outbox.Refused
	case f.kind == failPermanent:
		res.Verdict = outbox.Permanent
	}
	return res
}

// reviewQueues ends delays and expires notices of notifiers that hang, perhaps for ever.
func (a *alerts) reviewQueues(now clock.Instant) {
	for _, w := range *a.workers.Load() {
		w.queue.Review(now)
		a.logLater(func() { a.flush(w, now) })
	}
}

// drain lets the workers deliver pending notices until ctx ends. Shortly before, it
// cancels their calls, so that notifiers that obey their context can return.
func (a *alerts) drain(ctx context.Context) error {
	var errs []error
	workers := *a.workers.Load()
	deadline, _ := ctx.Deadline() // Stop has set one
	left := time.Until(deadline)
	left -= min(left/4, time.Second)
	for _, w := range workers {
		w.queue.Close(a.now().Mono + int64(left))
	}
	soon := time.AfterFunc(left, a.cancel)
	defer soon.Stop()
	for _, w := range workers {
		if !w.ended(ctx) {
			errs = append(errs, fmt.Errorf("%w: %s did not return", ErrNotifier, w.name))
		} else if n := w.queue.Undelivered(); n > 0 {
			errs = append(errs, fmt.Errorf("%w: %s: %s not delivered", ErrNotifier, w.name, plural(n, "notice")))
		}
	}
	return errors.Join(errs...)
}

// ended waits for the worker until ctx ends, and reports whether it has ended.
func (w *worker) ended(ctx context.Context) bool {
	select {
	case <-w.done:
	case <-ctx.Done():
		select {
		case <-w.done: // it ended while another one used up the time
		default:
			return false
		}
	}
	return true
}

// statuses returns the status of each notifier, in the order of their names.
func (a *alerts) statuses() (all []NotifierStatus) {
	now := a.now()
	for _, w := range *a.workers.Load() {
		s := w.queue.Status(now)
		all = append(all, NotifierStatus{
			Name: w.key, State: NotifierState(s.State), Waiting: s.Waiting, Oldest: s.Oldest, Sent: s.Sent, Dead: s.Dead,
			LastSent: s.LastSent, LastError: s.LastError, LastErrorAt: s.LastErrorAt, RetryAt: s.RetryAt,
		})
	}
	slices.SortFunc(all, func(a, b NotifierStatus) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// NotifierStatus is the state of a notifier.
type NotifierStatus struct {
	Name  string        `json:"name"`
	State NotifierState `json:"state"`
	// Waiting is the number of pending notices; Oldest is the time of the oldest of
	// them, zero when there is none.
	Waiting int       `json:"waiting"`
	Oldest  time.Time `json:"oldest,omitzero"`
	// Sent is the number of messages delivered since Start, Dead the number of notices
	// that were dropped.
	Sent uint64 `json:"sent"`
	Dead uint64 `json:"dead"`
	// LastSent is the time of the last delivery. LastError is the last error, and
	// LastErrorAt its time.
	LastSent    time.Time `json:"last_sent,omitzero"`
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
	// RetryAt is the time of the next attempt; zero unless the notifier is retrying.
	RetryAt time.Time `json:"retry_at,omitzero"`
}

// NotifierState says whether a notifier delivers.
type NotifierState string

// The states of a notifier.
const (
	NotifierOK       NotifierState = "ok"
	NotifierRetrying NotifierState = "retrying" // The last attempt failed; there will be another one.
	NotifierStuck    NotifierState = "stuck"    // A call has not returned for 30 seconds.
	NotifierDisabled NotifierState = "disabled" // It accepts no message any more: see Permanent.
)

// NotifierTest is the result of a test message.
type NotifierTest struct {
	Notifier  string `json:"notifier"`
	Delivered bool   `json:"delivered"`
	// MessageID is the receiver's id of the message; it may be empty.
	MessageID string `json:"message_id,omitempty"`
	// Error is the error when the message was not delivered.
	Error string `json:"error,omitempty"`
}

// Notifiers returns the state of each notifier, in the order of their names.
func (m *Manager) Notifiers(ctx context.Context) ([]NotifierStatus, error) {
	if err := m.readable(ctx); err != nil {
		return nil, failed("notifiers", "", err)
	}
	return m.alerts.statuses(), nil
}

// testPatience bounds how long TestNotifier waits.
const testPatience = time.Minute

// TestNotifier sends a test message through the notifier with that name, which is a
// Name that Notifiers returns, and returns the result. The message goes before pending
// notices. It waits for a message that is being sent and for a pause that the receiver
// asked for, until ctx ends, at most for a minute. If a disabled notifier delivers it,
// the notifier is enabled again. The error matches ErrNotifierNotFound, ErrNotStarted
// or ErrStopped. A message that was not delivered is no error: see NotifierTest.Error.
func (m *Manager) TestNotifier(ctx context.Context, name string) (NotifierTest, error) {
	result, err := m.testNotifier(ctx, name)
	return result, failed("test notifier", ServiceID(name), err)
}

func (m *Manager) testNotifier(ctx context.Context, name string) (NotifierTest, error) {
	if err := m.writable(ctx); err != nil {
		return NotifierTest{}, err
	}
	workers := *m.alerts.workers.Load()
	i := slices.IndexFunc(workers, func(w *worker) bool { return w.key == name })
	if i < 0 {
		return NotifierTest{}, ErrNotifierNotFound
	}
	ctx, cancel := context.WithTimeout(ctx, testPatience)
	defer cancel()
	patience := testPatience
	if end, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(end))
	}
	queue, test := workers[i].queue, outbox.NewTest(m.now().Mono+int64(patience))
	queue.SendTest(test)
	select {
	case res := <-test.Done:
		if res.Verdict == outbox.Delivered {
			return NotifierTest{Notifier: name, Delivered: true, MessageID: res.MessageID}, nil
		}
		return NotifierTest{Notifier: name, Error: res.Text}, nil
	case <-m.ctx.Done():
		return NotifierTest{}, ErrStopped
	case <-ctx.Done():
		return NotifierTest{Notifier: name, Error: queue.CancelTest(test, m.now())}, nil
	}
}

// AddNotifier adds a notifier, also to a running Manager. The notifier receives notices of
// events from now on, and undelivered ones of an earlier run. It returns an error that
// matches ErrNotifier for nil, and ErrStopped after Stop.
func (m *Manager) AddNotifier(n Notifier) error {
	if err := checkNotifier(n); err != nil {
		return failed("add notifier", "", fmt.Errorf("%w: %w", ErrNotifier, err))
	}
	m.life.Lock()
	defer m.life.Unlock()
	stage := m.stage.Load()
	if stage == stageStopped {
		return failed("add notifier", "", ErrStopped)
	}
	w := m.alerts.newWorker(n, *m.alerts.workers.Load())
	m.alerts.addWorker(w)
	if m.running {
		go m.alerts.runWorker(m.ctx, w) // ended by Stop
	}
	return nil
}
