package laneswap

import (
	"context"
	"slices"
	"time"

	"github.com/laneswap/laneswap/internal/outbox"
)

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
