package laneswap

import (
	"context"
	"iter"
	"sort"
	"sync"
)

// WatchQuery selects the events of a watch. The zero value selects all.
type WatchQuery struct {
	// After selects events with a greater sequence number. Zero starts with the oldest
	// event kept. With Summary.Sequence the watch starts with the next event.
	After uint64
	// Service selects the events of one service. "" selects the events of all.
	Service ServiceID
}

// Watcher is a running watch. It yields the events that are kept and then each new one,
// without a gap. It never delays the Manager: a reader that falls behind the events kept
// receives ErrSlowConsumer.
type Watcher struct {
	events iter.Seq2[Event, error]
	close  func()
	once   sync.Once
}

// NewWatcher makes a Watcher that yields events, for implementations of Watch such as the
// client's. The first call of Close calls close.
func NewWatcher(events iter.Seq2[Event, error], close func()) *Watcher {
	return &Watcher{events: events, close: close}
}

// Events yields the events and waits for more. After Close it ends without an error.
// Otherwise it yields an error last: the cause of the ended context, ErrSlowConsumer, or
// ErrStopped after all events of a stopped Manager. A second call continues after the
// last event read. Only one goroutine at a time may read.
func (w *Watcher) Events() iter.Seq2[Event, error] { return w.events }

// Close ends the watch. It returns nil. It may be called concurrently and repeatedly.
func (w *Watcher) Close() error {
	w.once.Do(w.close)
	return nil
}

// Watch starts a watch. It returns ErrGone when events behind After are no longer kept.
// The watch ends when ctx ends. The caller closes it when done.
func (m *Manager) Watch(ctx context.Context, q WatchQuery) (*Watcher, error) {
	if err := m.readable(ctx); err != nil {
		return nil, failed("watch", q.Service, err)
	}
	if q.Service != "" {
		if err := m.checkID(q.Service); err != nil {
			return nil, failed("watch", q.Service, err)
		}
	}
	cursor, err := m.events.cursor(q.After)
	if err != nil {
		return nil, failed("watch", q.Service, err)
	}
	done := make(chan struct{})
	events := func(yield func(Event, error) bool) {
		for {
			evs, gone, more, closed := m.events.page(cursor, 256)
			if gone {
				yield(Event{}, failed("watch", q.Service, ErrSlowConsumer))
				return
			}
			for _, ev := range evs {
				select {
				case <-done:
					return
				default:
				}
				cursor = ev.Sequence
				if err := ctx.Err(); err != nil {
					yield(Event{}, failed("watch", q.Service, context.Cause(ctx)))
					return
				}
				if (q.Service == "" || ev.Service == q.Service) && !yield(*ev, nil) {
					return
				}
			}
			if len(evs) > 0 {
				continue
			}
			if closed {
				yield(Event{}, failed("watch", q.Service, ErrStopped))
				return
			}
			select {
			case <-more:
			case <-done:
				return
			case <-ctx.Done():
				yield(Event{}, failed("watch", q.Service, context.Cause(ctx)))
				return
			}
		}
	}
	return NewWatcher(events, func() { close(done) }), nil
}

// Events yields the events that q selects, oldest first, and does not wait for more. When
// it fails, it yields an error last, such as ErrGone when events behind After are no
// longer kept.
func (m *Manager) Events(ctx context.Context, q EventQuery) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		cursor, err := m.beginEvents(ctx, q)
		if err != nil {
			yield(Event{}, failed("events", q.Service, err))
			return
		}
		n := 0
		for end, _ := m.events.latest(); cursor < end; {
			evs, gone, _, _ := m.events.page(cursor, 256)
			if gone {
				yield(Event{}, failed("events", q.Service, ErrGone))
				return
			}
			if len(evs) == 0 {
				return // the numbers up to end were reserved by an earlier run
			}
			for _, ev := range evs {
				cursor = ev.Sequence
				if q.Service != "" && ev.Service != q.Service {
					continue
				}
				if err := ctx.Err(); err != nil {
					yield(Event{}, failed("events", q.Service, err))
					return
				}
				if !yield(*ev, nil) {
					return
				}
				if n++; n == q.Limit {
					return
				}
			}
		}
	}
}

func (m *Manager) beginEvents(ctx context.Context, q EventQuery) (cursor uint64, err error) {
	if err := m.readable(ctx); err != nil {
		return 0, err
	}
	if q.Limit < 0 {
		return 0, invalid(ErrInvalidQuery, "limit", "is %d, it must not be negative", q.Limit)
	}
	if q.Service != "" {
		if err := m.checkID(q.Service); err != nil {
			return 0, err
		}
	}
	m.catchUp(m.now())
	return m.events.cursor(q.After)
}

// ring numbers events, keeps the latest ones, and wakes the watches that wait for more.
// Events in it do not change.
type eventLog struct {
	mu      sync.Mutex
	events  []*Event // circular, in ascending order of Sequence, starting at first
	first   int
	size    int           // maximum number of events kept
	floor   uint64        // events with greater sequence numbers are kept
	next    uint64        // the sequence number of the next event
	name    string        // Summary.Journal
	changed chan struct{} // closed at the next event; nil while no watch waits
	closed  bool
}

// newEventLog makes a ring. Its first event has the sequence number 1.
func newEventLog(size int, name string) *eventLog { return &eventLog{size: size, next: 1, name: name} }

// append numbers an event and keeps it.
func (l *eventLog) append(ev *Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ev.Sequence = l.next
	l.next++
	l.add(ev)
	l.wake()
}

// add keeps an event that has its number. mu is held.
func (l *eventLog) add(ev *Event) {
	if len(l.events) < l.size {
		l.events = append(l.events, ev)
		return
	}
	l.floor = l.events[l.first].Sequence
	l.events[l.first] = ev
	l.first = (l.first + 1) % l.size
}

// at returns the i-th event, oldest first. mu is held.
func (l *eventLog) at(i int) *Event { return l.events[(l.first+i)%len(l.events)] }

// find returns the event with this id, or nil when it is not kept.
func (l *eventLog) find(id string) *Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := len(l.events) - 1; i >= 0; i-- {
		if ev := l.at(i); ev.ID == id {
			return ev
		}
	}
	return nil
}

// resume continues the numbering of an earlier run: its name, its latest events in
// order, the number up to which events may be missing, and the number of the next
// event. Nothing was appended before.
func (l *eventLog) resume(name string, earlier []*Event, floor, next uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.name, l.floor, l.next = name, floor, max(l.next, next)
	for _, ev := range earlier {
		l.add(ev)
		l.next = max(l.next, ev.Sequence+1)
	}
}

// close ends the waiting of all watches: no more events follow.
func (l *eventLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wake()
}

func (l *eventLog) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// latest returns the sequence number of the newest event, 0 before the first one, and
// the name of the numbering.
func (l *eventLog) latest() (sequence uint64, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next - 1, l.name
}

// cursor checks a sequence number of a query and returns it as a cursor. 0 stands for
// the event before the oldest one kept.
func (l *eventLog) cursor(after uint64) (cursor uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case after == 0:
		return l.floor, nil
	case after < l.floor || after >= l.next:
		return 0, ErrGone // a number not yet given was given by an earlier run
	}
	return after, nil
}

// page returns at most n events behind the cursor. gone reports that some of them are no
// longer kept. When there are none, page returns a channel that closes at the next event,
// or closed when no more events follow.
func (l *eventLog) page(cursor uint64, n int) (evs []*Event, gone bool, more <-chan struct{}, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if cursor < l.floor {
		return nil, true, nil, false
	}
	kept := len(l.events)
	for i := sort.Search(kept, func(i int) bool { return l.at(i).Sequence > cursor }); i < kept && len(evs) < n; i++ {
		evs = append(evs, l.at(i))
	}
	if len(evs) == 0 && !l.closed { // made only when a watch waits
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		more = l.changed
	}
	return evs, false, more, l.closed
}
