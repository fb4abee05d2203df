package laneswap

import (
	"context"
	"time"
)

// Explanation says what was decided about the notices of an event.
type Explanation struct {
	Event Event `json:"event"`
	// Notices has one for each notifier that was there, in the order of their
	// names; none for events of which nobody is told.
	Notices []NoticeTrace `json:"notices"`
}

// NoticeTrace is what became of the notice of one event for one notifier.
type NoticeTrace struct {
	Notifier string      `json:"notifier"`
	State    NoticeState `json:"state"`
	// MessageID is what the receiver calls the message that told it; empty when it
	// was not told, or the receiver has no name for it.
	MessageID string `json:"message_id,omitempty"`
	// Attempts is how often it was tried.
	Attempts int `json:"attempts"`
	// Steps are what was decided, oldest first: the first 8 and the last 8.
	Steps []TraceStep `json:"steps"`
}

// TraceStep is one decision about a notice.
type TraceStep struct {
	At   time.Time `json:"timestamp"`
	Text string    `json:"text"`
}

// NoticeState is how far a notice is.
type NoticeState string

// The states of a notice.
const (
	NoticeHeld    NoticeState = "held"    // Waits for a threshold, or is gathered with others.
	NoticeWaiting NoticeState = "waiting" // Is to be sent, or sent again.
	NoticeSent    NoticeState = "sent"    // The receiver has it.
	NoticeSkipped NoticeState = "skipped" // It was decided not to send it.
	NoticeDead    NoticeState = "dead"    // It could not be delivered, and was given up.
)

// NotifierStatus is how a notifier stands.
type NotifierStatus struct {
	Name  string        `json:"name"`
	State NotifierState `json:"state"`
	// Waiting is how many notices are owed to it; Oldest is when the oldest of
	// them was made, zero when there is none.
	Waiting int       `json:"waiting"`
	Oldest  time.Time `json:"oldest,omitzero"`
	// Sent is how many messages it has taken since Start, Dead how many notices
	// were given up.
	Sent uint64 `json:"sent"`
	Dead uint64 `json:"dead"`
	// LastSent is when it last took one; LastError is what it said when it last
	// failed, and LastErrorAt when.
	LastSent    time.Time `json:"last_sent,omitzero"`
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
	// RetryAt is when it is asked again; zero unless it is retrying.
	RetryAt time.Time `json:"retry_at,omitzero"`
}

// NotifierState is how a notifier is.
type NotifierState string

// The states of a notifier.
const (
	NotifierOK       NotifierState = "ok"
	NotifierRetrying NotifierState = "retrying" // The last attempt failed; it is tried again.
	NotifierStuck    NotifierState = "stuck"    // It has not returned for 30 seconds.
	NotifierDisabled NotifierState = "disabled" // It will take nothing any more: see Permanent.
)

// NotifierTest is what came back for a test message.
type NotifierTest struct {
	Notifier  string `json:"notifier"`
	Delivered bool   `json:"delivered"`
	// MessageID is what the receiver calls the message; it may be empty.
	MessageID string `json:"message_id,omitempty"`
	// Error is what the notifier said when it was not delivered.
	Error string `json:"error,omitempty"`
}

// Explain says what was decided about the notices of the event with that id. It
// returns an error that matches ErrEventNotFound when no such event is kept.
func (m *Manager) Explain(ctx context.Context, eventID string) (Explanation, error) {
	return Explanation{}, failed("explain", "", ErrEventNotFound)
}

// Notifiers says how the notifiers stand, in the order of their names.
func (m *Manager) Notifiers(ctx context.Context) ([]NotifierStatus, error) {
	return nil, failed("notifiers", "", m.usable(ctx))
}

// TestNotifier sends a test message through the notifier of that name, as
// Notifiers has it, and says what came back. It waits for its turn behind a message
// that is being sent, and for the end of a pause that the receiver asked for, as long
// as ctx allows and a minute at most; it goes ahead of what waits. A disabled notifier that delivers it is used again. The
// error matches ErrNotifierNotFound, ErrNotStarted or ErrStopped; that the message
// was not delivered is no error.
func (m *Manager) TestNotifier(ctx context.Context, name string) (NotifierTest, error) {
	return NotifierTest{}, failed("test notifier", "", ErrNotifierNotFound)
}
