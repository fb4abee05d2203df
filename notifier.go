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
	"github.com/laneswap/laneswap/internal/text"
)

// Notifier delivers alerts to a receiver, such as Discord or a webhook. The Manager
// calls Notify from one goroutine per notifier, one call at a time, in the order of the
// events of each service. A notifier that blocks delays no heartbeat and no other
// notifier. The context ends after 30 seconds, or when the context of Stop ends.
//
// Notify returns nil once the receiver has accepted the message. It should pass the
// receiver's id of the message to Notification.Receipt. After an error the Manager
// retries for 24 hours, at growing intervals. A retry may carry different content,
// because later events are added. Notify can wrap its error: RetryAfter sets when to
// retry, Refused drops this message, and Permanent disables the notifier. An error must
// not contain a secret, such as the URL of a webhook, because it is logged and shown.
// Notify may keep the notification, but must not change it.
//
// A notifier with a method Name() string has that name in logs, answers and the
// storage. Its pending notices are stored under the name, so that delivery continues
// after a restart.
//
// The Manager makes a notice when a service turns bad, gets worse or better, recovers,
// is removed while bad, or becomes unknown because LaneSwap could not receive its
// heartbeats. It makes none for a first good heartbeat, or when a service itself
// reports unknown.
type Notifier interface {
	Notify(ctx context.Context, n Notification) error
}

// NotifierFunc is a function that implements Notifier.
type NotifierFunc func(ctx context.Context, n Notification) error

// Notify calls f.
func (f NotifierFunc) Notify(ctx context.Context, n Notification) error { return f(ctx, n) }

// notifyTimeout bounds one call of Notify. It is 30 seconds.
const notifyTimeout = outbox.NotifyTimeout

// Send calls Notify once, as the Manager does: with a context that ends after 30
// seconds, and it returns a panic as an error. messageID is the receiver's id of the
// message, or "" when the notifier gave no receipt. Errors match ErrNotifier.
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
		// Send inspects the error here, where it recovers from a panic: the error may be
		// a nil pointer.
		f := failureOf(err)
		f.err = fmt.Errorf("%w: %w", ErrNotifier, err)
		return "", &f
	}
	return note.receipt.take(), nil
}

// panicked is the panic of a notifier, for the log.
type panicked struct {
	value any
	stack []byte
}

// String returns the value if it is a string or a runtime error. For other values it
// returns the type, because an error of net/http contains the URL of a webhook.
func (p *panicked) String() string {
	switch v := p.value.(type) {
	case string:
		return v
	case runtime.Error:
		return v.Error()
	}
	return fmt.Sprintf("%T", p.value)
}

// Permanent marks err as a failure of the receiver that retries cannot mend, such as a
// deleted webhook. The Manager disables the notifier until the next start, or until
// TestNotifier succeeds. Pending notices wait for up to 24 hours. Permanent(nil) is nil.
func Permanent(err error) error { return verdict(err, failure{kind: failPermanent}) }

// Refused marks err as a failure of this one message. The Manager drops the message and
// goes on with the next one. Refused(nil) is nil.
func Refused(err error) error { return verdict(err, failure{kind: failRefused}) }

// RetryAfter marks err as a request of the receiver to wait for d. The Manager does not
// call this notifier for that time, and does not count the attempt as a failure. A
// negative d counts as zero. d is capped at 6 hours, because pending notices expire
// after 24. Repeated delays below a second back off up to a minute. RetryAfter(nil, d)
// is nil.
func RetryAfter(err error, d time.Duration) error {
	return verdict(err, failure{kind: failLater, after: min(max(d, 0), outbox.MaxRetryAfter)})
}

// IsPermanent reports whether Permanent made err or an error that it wraps.
func IsPermanent(err error) bool { return failureOf(err).kind == failPermanent }

// IsRefused reports whether Refused made err or an error that it wraps.
func IsRefused(err error) bool { return failureOf(err).kind == failRefused }

// RetryDelay returns the delay of RetryAfter. ok reports whether RetryAfter made err or
// an error that it wraps.
func RetryDelay(err error) (d time.Duration, ok bool) {
	f := failureOf(err)
	return f.after, f.kind == failLater
}

// failKind says how the Manager reacts to a failure.
type failKind uint8

const (
	failAny failKind = iota
	failLater
	failRefused
	failPermanent
)

// failure is an error of a notifier with the reaction that it asks for.
type failure struct {
	kind  failKind
	after time.Duration
	err   error
	// panicked is set by Send. Only Send inspects the error of a notifier, because the
	// inspection may panic too.
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

// failureOf returns the outermost failure in err.
func failureOf(err error) failure {
	var f *failure
	if errors.As(err, &f) {
		return *f
	}
	return failure{err: err}
}

// NoticeKind is the kind of a notification.
type NoticeKind string

// The kinds of notifications.
const (
	// NoticeEvent reports events of one service.
	NoticeEvent NoticeKind = "event"
	// NoticeDigest groups the notices of several services.
	NoticeDigest NoticeKind = "digest"
	// NoticeMassSilence reports that many services fell silent within a minute. The
	// cause may be LaneSwap or its network. Finding holds the results of its self checks.
	NoticeMassSilence NoticeKind = "mass_silence"
	// NoticeFlapping summarizes the changes of a flapping service.
	NoticeFlapping NoticeKind = "flapping"
	// NoticeReminder repeats that a service is still bad.
	NoticeReminder NoticeKind = "reminder"
	// NoticeTest reports no event. TestNotifier sends it to test the delivery.
	NoticeTest NoticeKind = "test"
)

// Notification is one message to a notifier. Its texts come from services and contain
// no control characters. The notifier escapes everything else that its receiver
// interprets, such as markdown or mentions, and cuts texts to the limits of the
// receiver.
type Notification struct {
	// ID identifies the message. It is the same for each attempt with the same content,
	// also after a restart. A receiver can detect repeated messages by it, or by the ids
	// of the events and of their incidents.
	ID   string
	Kind NoticeKind
	// Event is the event of the first item.
	Event Event
	// Items are the contents, one per service, oldest notice first. Only digests and
	// mass silence have more than one. Items is never empty.
	Items []Item
	// Title is one short line, such as "billing is down" or "14 services fell silent".
	Title string
	// Text is the whole message as plain text. Digests have a line per service, at most
	// 50 lines.
	Text string
	// Finding holds the results of the self checks for mass silence, otherwise "".
	Finding string
	// Attempt is the number of this attempt, starting with 1.
	Attempt int

	receipt *receipt
}

// Item is the part of a notification that is about one service.
type Item struct {
	// Event is the latest event.
	Event Event
	// Earlier are the undelivered events before it, oldest first. For example, Event is
	// the recovery and Earlier holds the start of the incident.
	Earlier []Event
	// Flapping is the number of transitions in the last 30 minutes if the service is
	// flapping, and 0 otherwise. The count stops at 10, which means 10 or more.
	Flapping int
	// Reminder is how long the service has been bad if the item is a reminder, and 0
	// otherwise.
	Reminder time.Duration
	// Text is the item as one line of plain text.
	Text string
}

// Receipt stores the receiver's id of the message, such as the id of a Discord message.
// Explain shows it. Notify calls Receipt before it returns: later calls have no effect,
// and neither do calls on a zero Notification.
func (n Notification) Receipt(messageID string) {
	if n.receipt != nil {
		n.receipt.give(messageID)
	}
}

// receipt holds the id of a message until Send reads it.
type receipt struct {
	mu    sync.Mutex // guards the fields below
	id    string
	taken bool
}

func (r *receipt) give(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.taken {
		r.id = text.Cut(text.Line(id), maxIDLength)
	}
}

func (r *receipt) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken = true
	return r.id
}
