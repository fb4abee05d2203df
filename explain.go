package laneswap

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
	"github.com/laneswap/laneswap/internal/outbox"
)

// Explanation is what LaneSwap decided about the notices of an event.
type Explanation struct {
	Event Event `json:"event"`
	// Notices has one trace for each notifier, in the order of their names; none for an
	// event that is not alerted.
	Notices []NoticeTrace `json:"notices"`
}

// NoticeTrace is the history of the notice of one event for one notifier.
type NoticeTrace struct {
	Notifier string      `json:"notifier"`
	State    NoticeState `json:"state"`
	// MessageID is the receiver's id of the message; empty when the notice was not sent
	// or the receiver returns no id.
	MessageID string `json:"message_id,omitempty"`
	// Attempts is the number of attempts to deliver it.
	Attempts int `json:"attempts"`
	// Steps are the decisions, oldest first: at most the first 8 and the last 8.
	Steps []TraceStep `json:"steps"`
}

// TraceStep is one decision about a notice.
type TraceStep struct {
	At   time.Time `json:"timestamp"`
	Text string    `json:"text"`
}

// NoticeState is the state of a notice.
type NoticeState string

// The states of a notice.
const (
	NoticeHeld    NoticeState = "held"    // It waits for a threshold, or for the next notice of its service.
	NoticeWaiting NoticeState = "waiting" // It will be sent, alone or in a digest, or another attempt follows.
	NoticeSent    NoticeState = "sent"    // It was delivered.
	NoticeSkipped NoticeState = "skipped" // LaneSwap decided not to send it.
	NoticeDead    NoticeState = "dead"    // It could not be delivered, and was dropped.
)

// Explain returns what LaneSwap decided about the notices of the event with that id.
// The error matches ErrEventNotFound when no such event is kept.
func (m *Manager) Explain(ctx context.Context, eventID string) (Explanation, error) {
	x, err := m.explain(ctx, eventID)
	return x, failed("explain", ServiceID(eventID), err)
}

func (m *Manager) explain(ctx context.Context, eventID string) (Explanation, error) {
	if err := m.readable(ctx); err != nil {
		return Explanation{}, err
	}
	ev, err := m.findEvent(ctx, eventID)
	if err != nil {
		return Explanation{}, err
	}
	traces := map[string]NoticeTrace{}
	if err := m.storedTraces(ctx, ev, traces); err != nil {
		return Explanation{}, err
	}
	for _, t := range m.alerts.traces.of(ev.ID) {
		traces[t.Notifier] = t
	}
	for _, w := range *m.alerts.workers.Load() {
		if n, ok := w.queue.Find(outboxEvent(ev)); ok {
			traces[w.key] = traceOf(n, w.key)
		}
	}
	x := Explanation{Event: *ev, Notices: []NoticeTrace{}}
	for _, name := range slices.Sorted(maps.Keys(traces)) {
		t := traces[name]
		t.Steps = slices.Clone(t.Steps)
		x.Notices = append(x.Notices, t)
	}
	return x, nil
}

// findEvent returns the event with that id, from memory or from the storage.
func (m *Manager) findEvent(ctx context.Context, id string) (*Event, error) {
	if ev := m.events.find(id); ev != nil {
		return ev, nil
	}
	q := RowQuery{Kind: KindEvent, Descending: true}
	if _, _, _, ok := transitionOf(id); ok {
		incident := id[:strings.LastIndexByte(id, '/')]
		q.Service = incident[:strings.LastIndexByte(incident, '/')]
	} else if q.From, q.To, ok = ownTimes(id); !ok {
		return nil, ErrEventNotFound
	}
	for row, err := range m.store.rows(ctx, q) {
		if err != nil {
			return nil, storageFailed(ctx, err)
		}
		if row.ID == id {
			read, err := decodeEvent(row)
			if err != nil {
				return nil, storageFailed(ctx, err)
			}
			return read.Event, nil
		}
	}
	return nil, ErrEventNotFound
}

// ownTimes returns the period in which the event of LaneSwap itself with that id
// happened: its number is the time, or a little more if several had the same.
func ownTimes(id string) (from, to time.Time, ok bool) {
	number, ok := strings.CutPrefix(id, ownEvents)
	if !ok {
		return from, to, false
	}
	ms, err := strconv.ParseInt(number, 36, 64)
	if err != nil || ms < 0 || ms > maxWallMS {
		return from, to, false
	}
	return clock.WallTime(max(1, ms-int64(time.Hour/time.Millisecond))), clock.WallTime(ms + 1), true
}

// maxWallMS is the last millisecond of the year 9999.
const maxWallMS = 253402300799999

// storedTraces adds the traces of an event that are in the storage or the backlog.
func (m *Manager) storedTraces(ctx context.Context, ev *Event, traces map[string]NoticeTrace) error {
	add := func(s *storedNotice) {
		id := s.EventID
		if s.Event != nil {
			id = s.Event.ID
		}
		if id != ev.ID {
			return
		}
		t := NoticeTrace{Notifier: s.Notifier, State: s.State, MessageID: s.Message, Attempts: s.Attempts, Steps: s.Steps}
		if t.State == "" {
			t.State = NoticeWaiting
		}
		traces[s.Notifier] = t
	}
	q := RowQuery{Kind: kindOutbox, Service: string(ev.Service), From: ev.At, To: ev.At.Add(time.Millisecond)}
	for row, err := range m.store.rows(ctx, q) {
		if err != nil {
			return storageFailed(ctx, err)
		}
		var s storedNotice
		if err := decode(row, &s, &s.Version); err != nil {
			return storageFailed(ctx, err)
		}
		add(&s)
	}
	for _, data := range m.store.journal.Pending(string(kindOutbox), string(ev.Service)) {
		add(data.(*storedNotice))
	}
	return nil
}

// traceOf converts the steps of a notice for Explain.
func traceOf(n outbox.Notice, notifier string) NoticeTrace {
	t := NoticeTrace{Notifier: notifier, State: NoticeState(n.State), MessageID: n.MessageID, Attempts: n.Attempts}
	for _, s := range n.Steps {
		t.Steps = append(t.Steps, TraceStep(s))
	}
	return t
}

// Bounds of the traces that are kept without a storage.
const (
	tracesBytes   = 64 << 20
	traceOverhead = 300 // bytes of a trace besides its text, about
)

// recentTraces keeps the latest traces of all notifiers where there is no storage. It
// is safe for concurrent use.
type recentTraces struct {
	mu       sync.Mutex               // guards what follows
	byEvent  map[string][]NoticeTrace // one of each notifier
	order    []string                 // ids of events, oldest first
	bytes    int
	maxBytes int
}

func newRecentTraces() recentTraces {
	return recentTraces{byEvent: map[string][]NoticeTrace{}, maxBytes: tracesBytes}
}

// remember keeps a trace of an event, instead of an earlier one of the same notifier.
func (r *recentTraces) remember(event string, t NoticeTrace) {
	r.mu.Lock()
	defer r.mu.Unlock()
	traces, known := r.byEvent[event]
	if !known {
		r.order = append(r.order, event)
	}
	for i := range traces {
		if traces[i].Notifier == t.Notifier {
			r.bytes += t.memory() - traces[i].memory()
			traces[i] = t
			return
		}
	}
	r.byEvent[event] = append(traces, t)
	r.bytes += t.memory()
	for r.bytes > r.maxBytes {
		for _, old := range r.byEvent[r.order[0]] {
			r.bytes -= old.memory()
		}
		delete(r.byEvent, r.order[0])
		r.order[0] = ""
		r.order = r.order[1:]
	}
}

// of returns the traces of an event.
func (r *recentTraces) of(event string) []NoticeTrace {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.byEvent[event])
}

// memory is about how many bytes the trace takes.
func (t *NoticeTrace) memory() int {
	n := traceOverhead + len(t.MessageID)
	for _, s := range t.Steps {
		n += 40 + len(s.Text)
	}
	return n
}
