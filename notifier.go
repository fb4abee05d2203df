package laneswap

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Notifier delivers notices to people. The Manager calls Notify from one
// goroutine per notifier, never two at once, in the order of the events of each
// service, and never on the path of a heartbeat: a notifier that blocks delays
// nobody else. The context ends after 30 seconds and when Stop runs out of time.
// An error or a panic is logged, and the next notice follows. Notify may keep
// the notification.
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

// Notification is what a notifier is given.
type Notification struct {
	Event Event
	// Text is the whole notice as one line of plain text, for receivers that
	// have no better use of Event. It holds text from the service, cleaned of
	// control characters; what else a receiver gives a meaning is for the
	// notifier to escape.
	Text string
}

// notable reports whether people are to be told of ev.
func notable(ev *Event) bool {
	return ev.Kind != EventUp && ev.Kind != EventUnknown
}

// describe puts an event into words.
func describe(ev *Event) string {
	var b strings.Builder
	b.WriteString(ev.Name)
	if ev.Service == "" {
		return ev.Name + ": " + Sanitize(ev.Message)
	}
	if string(ev.Service) != ev.Name {
		fmt.Fprintf(&b, " (%s)", ev.Service)
	}
	switch ev.Kind {
	case EventRecovered:
		fmt.Fprintf(&b, " recovered and is %s after %s, since %s", ev.To, ev.Duration.Round(time.Second/10), clock(ev.StartedAt))
	case EventRemoved:
		fmt.Fprintf(&b, " was removed while %s, bad for %s", ev.From, ev.Duration.Round(time.Second/10))
	case EventUnheard:
		fmt.Fprintf(&b, " is unknown, was %s (%s)", ev.From, ev.Cause)
	default:
		fmt.Fprintf(&b, " is %s, was %s", ev.To, ev.From)
	}
	if ev.Kind != EventRecovered && ev.Kind != EventRemoved && !ev.SilentSince.IsZero() {
		fmt.Fprintf(&b, ", silent since %s", clock(ev.SilentSince))
	}
	if ev.Message != "" {
		fmt.Fprintf(&b, ": %s", Sanitize(ev.Message))
	}
	if ev.Kind == EventRecovered && ev.Cause != "" {
		fmt.Fprintf(&b, " (it was: %s)", Sanitize(ev.Cause))
	}
	return b.String()
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }
