package laneswap

import (
	"context"
	"slices"
	"time"

	"github.com/laneswap/laneswap/internal/outbox"
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

// Notifiers says how the notifiers stand, in the order of their names.
func (m *Manager) Notifiers(ctx context.Context) ([]NotifierStatus, error) {
	if err := m.readable(ctx); err != nil {
		return nil, failed("notifiers", "", err)
	}
	return m.alerts.statuses(), nil
}

// testPatience is how long TestNotifier waits at most.
const testPatience = time.Minute

// TestNotifier sends a test message through the notifier of that name, as
// Notifiers has it, and says what came back. It waits for its turn behind a message
// that is being sent, and for the end of a pause that the receiver asked for, as long
// as ctx allows and a minute at most; it goes ahead of what waits. A disabled
// notifier that delivers it is used again. The error matches ErrNotifierNotFound,
// ErrNotStarted or ErrStopped; that the message was not delivered is no error.
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
