package laneswap

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/laneswap/laneswap/internal/outbox"
)

// Notifier delivers notices to people. The Manager calls Notify from one
// goroutine per notifier, never two at once, in the order of the events of each
// service, and never on the path of a heartbeat: a notifier that blocks delays
// nobody else. The context ends after 30 seconds and when Stop runs out of time.
//
// Notify returns nil when the receiver has the message, and should say with
// Notification.Receipt what the receiver calls it. Any error is tried again, at
// growing intervals for 24 hours, and by then what waits may be told differently:
// together with what happened since. RetryAfter says when to try again, Refused that
// this message will never be taken, Permanent that no message will. An error must not hold a
// secret, such as the URL of a webhook: it is logged and shown. Notify may keep the
// notification, and must change nothing in it.
//
// A notifier with a method Name() string has that name in logs, in answers and in
// the storage, where what is owed to it is found again after a restart.
//
// Notices are made when a service turns bad, gets worse, better, recovers, is
// removed while bad, or could not be heard; never for a first good heartbeat, nor
// when a service itself reports unknown.
type Notifier interface {
	Notify(ctx context.Context, n Notification) error
}

// NotifierFunc makes a function a Notifier.
type NotifierFunc func(ctx context.Context, n Notification) error

// Notify calls f.
func (f NotifierFunc) Notify(ctx context.Context, n Notification) error { return f(ctx, n) }

// notifyTimeout bounds one call of Notify.
const notifyTimeout = outbox.NotifyTimeout

// Send calls Notify once, as the Manager does: with a context that ends after 30
// seconds, and with a panic turned into an error. It returns what the receiver
// calls the message, "" when the notifier does not know. Errors match ErrNotifier.
func Send(ctx context.Context, n Notifier, note Notification) (messageID string, err error) {
	ctx, cancel := context.WithTimeout(ctx, notifyTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = &failure{err: fmt.Errorf("%w: the notifier panicked", ErrNotifier), panicked: &panicked{p, debug.Stack()}}
		}
	}()
	note.receipt = &receipt{}
	if err := n.Notify(ctx, note); err != nil {
		// What it means is found out here, where a panic does no harm: an error may be a
		// nil pointer.
		f := failureOf(err)
		f.err = fmt.Errorf("%w: %w", ErrNotifier, err)
		return "", &f
	}
	return note.receipt.take(), nil
}

// panicked is what a notifier panicked with, for the log.
type panicked struct {
	value any
	stack []byte
}

// String is what can be said of the value: what somebody wrote for the purpose, and
// what the runtime says. Of other errors it is the type, for one of net/http holds the
// URL of a webhook.
func (p *panicked) String() string {
	switch v := p.value.(type) {
	case string:
		return v
	case runtime.Error:
		return v.Error()
	}
	return fmt.Sprintf("%T", p.value)
}

// Permanent says that the receiver will take nothing any more, such as a webhook
// that was deleted. The Manager asks this notifier no more until it is started
// again or TestNotifier gets through; what is owed waits, for 24 hours at most. A
// nil error stays nil.
func Permanent(err error) error { return verdict(err, failure{kind: failPermanent}) }

// Refused says that this message will never be taken, whoever tries it again:
// it is given up, and the next one follows. A nil error stays nil.
func Refused(err error) error { return verdict(err, failure{kind: failRefused}) }

// RetryAfter says that the receiver asked to be left alone for d: the Manager
// asks this notifier nothing until then. Such a failure is not counted as one. A
// negative d counts as zero; of one above 6 hours no more is waited, for what is owed
// is given up after 24. Who asks for less than a second again and again is left alone
// for longer each time, a minute at most. A nil error stays nil.
func RetryAfter(err error, d time.Duration) error {
	return verdict(err, failure{kind: failLater, after: min(max(d, 0), outbox.MaxRetryAfter)})
}

// IsPermanent reports whether err, or one that it wraps, was made by Permanent.
func IsPermanent(err error) bool { return failureOf(err).kind == failPermanent }

// IsRefused reports whether err, or one that it wraps, was made by Refused.
func IsRefused(err error) bool { return failureOf(err).kind == failRefused }

// RetryDelay returns the time of RetryAfter, and whether err, or one that it
// wraps, was made by it.
func RetryDelay(err error) (d time.Duration, ok bool) {
	f := failureOf(err)
	return f.after, f.kind == failLater
}

// failKind is what a failure means for what comes next.
type failKind uint8

const (
	failAny failKind = iota
	failLater
	failRefused
	failPermanent
)

// failure is an error with what it means.
type failure struct {
	kind  failKind
	after time.Duration
	err   error
	// panicked is set by Send: the error of a notifier is not looked into anywhere
	// else, for that may panic too.
	panicked *panicked
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func verdict(err error, f failure) error {
	if err == nil {
		return nil
	}
	f.err = err
	return &f
}

// failureOf is what err means; the outermost of several.
func failureOf(err error) failure {
	var f *failure
	if errors.As(err, &f) {
		return *f
	}
	return failure{err: err}
}

// NoticeKind says what a notification tells.
type NoticeKind string

// The kinds of notifications.
const (
	// NoticeEvent tells what happened to one service.
	NoticeEvent NoticeKind = "event"
	// NoticeDigest tells of several services at once.
	NoticeDigest NoticeKind = "digest"
	// NoticeMassSilence tells that many services fell silent within a minute: it may
	// be LaneSwap or its network. Finding says what LaneSwap found out about itself.
	NoticeMassSilence NoticeKind = "mass_silence"
	// NoticeFlapping tells that a service changes so often that not every change is
	// told by itself.
	NoticeFlapping NoticeKind = "flapping"
	// NoticeReminder tells that a service is still bad.
	NoticeReminder NoticeKind = "reminder"
	// NoticeTest tells nothing: somebody wants to see whether messages arrive.
	NoticeTest NoticeKind = "test"
)

// Notification is what a notifier is given: one message. It holds text from
// services, cleaned of control characters; what else a receiver gives a meaning,
// such as markdown or mentions, is for the notifier to escape, and to cut to what
// the receiver takes.
type Notification struct {
	// ID names the message: the same each time it is tried with the same content,
	// also after a restart. A receiver can tell by it, or by the ids of the events
	// and of their incidents, what it has seen already.
	ID   string
	Kind NoticeKind
	// Event is that of the first item.
	Event Event
	// Items are what it tells, one per service, in the order in which they came to
	// be told: one item, except of digests and of mass silence. Never empty.
	Items []Item
	// Title is one short line: "billing is down", "14 services fell silent".
	Title string
	// Text is the whole notice as plain text, for receivers that have no better use
	// of the rest. Digests have a line per service, of which at most 50 are in Text.
	Text string
	// Finding is what LaneSwap found out about itself, for mass silence.
	Finding string
	// Attempt counts how often this was tried, this time included.
	Attempt int

	receipt *receipt
}

// Item is what a notification tells of one service.
type Item struct {
	// Event is the latest.
	Event Event
	// Earlier are the events before it which were not told before, oldest first:
	// that the service went down, say, when it is back already.
	Earlier []Event
	// Flapping says how many transitions there were in the last 30 minutes when
	// they are too many; else 0. No more than 10 are counted: 10 are 10 or more.
	Flapping int
	// Reminder says for how long the service has been bad, when that is all that
	// there is to tell; else 0.
	Reminder time.Duration
	// Text is the item in one line of plain text.
	Text string
}

// Receipt says what the receiver calls the message, such as the id of a Discord
// message. It is kept with the notice and shown by Explain. Calls after Notify has
// returned are ignored; the zero Notification ignores all.
func (n Notification) Receipt(messageID string) {
	if n.receipt != nil {
		n.receipt.give(messageID)
	}
}

// receipt takes the id of a message once.
type receipt struct {
	mu    sync.Mutex // guards what follows
	id    string
	taken bool
}

func (r *receipt) give(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.taken {
		r.id = cutBytes(Sanitize(id), maxIDLength)
	}
}

func (r *receipt) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken = true
	return r.id
}

// notable reports whether people are to be told of ev.
func notable(ev *Event) bool {
	return ev.Kind != EventUp && ev.Kind != EventUnknown
}
