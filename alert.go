package laneswap

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/laneswap/laneswap/internal/journal"
	"github.com/laneswap/laneswap/internal/outbox"
)

// alerts are the notifiers and what they are owed. It decides nothing of services.
type alerts struct {
	opts     *options
	log      *slog.Logger
	now      func() instant
	judge    *judge
	registry *registry
	journal  *journal.Journal[lastSeen] // nil without a storage
	past     *past
	storing  context.Context
	cancel   context.CancelFunc
	await    func(ctx context.Context, ticket uint64) error
	logLater func(func())

	storageHealth func() *StorageHealth

	posts    atomic.Pointer[[]*post] // replaced under the Manager's life
	archive  archive                 // without a storage
	silences silences
	checks   selfChecks

	orphaned sync.Mutex     // guards what follows
	orphans  []storedNotice // owed to notifiers that are not there
}

// bad reports whether ev says that a service is bad.
func (e *Event) bad() bool {
	return e.Kind == EventDown || e.Kind == EventWorse || e.Kind == EventBetter
}

// ends reports whether ev ends an incident.
func (e *Event) ends() bool { return e.Kind == EventRecovered || e.Kind == EventRemoved }

// owed is an event as the couriers have it.
func owed(ev *Event) *outbox.Event {
	return &outbox.Event{
		ID: ev.ID, Service: string(ev.Service), Incident: ev.Incident, Kind: outbox.Kind(ev.Kind), To: string(ev.To),
		Silent: ev.To == StatusStale, Sequence: ev.Sequence, At: ev.At, StartedAt: ev.StartedAt, Size: len(ev.Message), Of: ev,
	}
}

func eventOf(n outbox.Notice) *Event { return n.Event.Of.(*Event) }

// traceOf is what became of a notice, for people.
func traceOf(n outbox.Notice, notifier string) NoticeTrace {
	t := NoticeTrace{Notifier: notifier, State: NoticeState(n.State), MessageID: n.MessageID, Attempts: n.Attempts}
	for _, s := range n.Steps {
		t.Steps = append(t.Steps, TraceStep(s))
	}
	return t
}

// notificationOf puts a message into words.
func notificationOf(msg *outbox.Message, now instant) Notification {
	if msg.Kind == outbox.KindTest {
		return testNotification(now)
	}
	items := make([]Item, len(msg.Parts))
	for i, p := range msg.Parts {
		items[i] = itemOf(p, now)
	}
	n := compose(NoticeKind(msg.Kind), items)
	n.ID, n.Attempt = msg.ID, msg.Attempt
	return n
}

// itemOf is what a part tells.
func itemOf(p outbox.Part, now instant) Item {
	last := len(p.Events) - 1
	it := Item{Event: *p.Events[last].Of.(*Event), Flapping: p.Flapping}
	if p.Reminder {
		it.Reminder = max(time.Duration(now.Wall-it.Event.StartedAt.UnixNano()), time.Millisecond)
	}
	for _, ev := range p.Events[:last] {
		it.Earlier = append(it.Earlier, *ev.Of.(*Event))
	}
	return it
}

// resultOf is what came of a call of a notifier.
func resultOf(id string, err error, stopped bool) outbox.Result {
	if err == nil {
		return outbox.Result{MessageID: id}
	}
	f := failureOf(err)
	res := outbox.Result{Verdict: outbox.Failed, After: f.after, Text: excuse(err)}
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

// excuse is an error in one line that may be shown.
func excuse(err error) string {
	return cutBytes(Sanitize(strings.TrimPrefix(err.Error(), ErrNotifier.Error()+": ")), 500)
}

// statusOf is how a notifier stands.
func statusOf(s outbox.Status) NotifierStatus {
	return NotifierStatus{
		State: NotifierState(s.State), Waiting: s.Waiting, Oldest: s.Oldest, Sent: s.Sent, Dead: s.Dead,
		LastSent: s.LastSent, LastError: s.LastError, LastErrorAt: s.LastErrorAt, RetryAt: s.RetryAt,
	}
}

func testOf(name string, res outbox.Result) NotifierTest {
	t := NotifierTest{Notifier: name, Delivered: res.Verdict == outbox.Delivered, MessageID: res.MessageID}
	if !t.Delivered {
		t.Error = res.Text
	}
	return t
}
