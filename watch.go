package laneswap

import (
	"context"
	"iter"
	"sort"
	"sync"
)

// WatchQuery says which events to watch.
type WatchQuery struct {
	// After is the sequence number behind which to begin; zero begins with the
	// oldest event kept. Summary.Sequence begins with what is yet to come.
	After uint64
	// Service selects the events of one service.
	Service ServiceID
}

// Watcher is a running watch: a replay of what is kept, then what comes, without
// a gap. It costs nothing while nobody reads, but a reader that falls further
// behind than the events kept gets ErrSlowConsumer.
type Watcher struct {
	events iter.Seq2[Event, error]
	close  func()
	once   sync.Once
}

// NewWatcher makes a Watcher of its two parts, for those who provide Watch from
// somewhere else than a Manager. close is called once.
func NewWatcher(events iter.Seq2[Event, error], close func()) *Watcher {
	return &Watcher{events: events, close: close}
}

// Events yields the events, and waits for more. It ends without an error after
// Close, and with one, yielded last, when the context of the watch ends, when
// the reader was too slow (ErrSlowConsumer), or when the Manager stops and all
// events before that were yielded (ErrStopped). Called again it goes on where
// it was left. One goroutine at a time may read.
func (w *Watcher) Events() iter.Seq2[Event, error] { return w.events }

// Close ends the watch, also from another goroutine and more than once.
func (w *Watcher) Close() error {
	w.once.Do(w.close)
	return nil
}

// Watch begins a watch. It returns ErrGone when events behind After are no
// longer kept. The watch ends with ctx; close it when done.
func (m *Manager) Watch(ctx context.Context, q WatchQuery) (*Watcher, error) {
	if err := m.readable(ctx); err != nil {
		return nil, failed("watch", q.Service, err)
	}
	if q.Service != "" {
		if err := m.checkID(q.Service); err != nil {
			return nil, failed("watch", q.Service, err)
		}
	}
	cursor, err := m.ring.cursor(q.After)
	if err != nil {
		return nil, failed("watch", q.Service, err)
	}
	done := make(chan struct{})
	events := func(yield func(Event, error) bool) {
		for {
			evs, gone, more, closed := m.ring.page(cursor, 256)
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

// Events yields the events that are kept and selected, oldest first, as they
// are when asked; it does not wait for more. An error is yielded last: ErrGone
// when events behind After are no longer kept.
func (m *Manager) Events(ctx context.Context, q EventQuery) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		cursor, err := m.beginEvents(ctx, q)
		if err != nil {
			yield(Event{}, failed("events", q.Service, err))
			return
		}
		n := 0
		for end, _ := m.ring.latest(); cursor < end; {
			evs, gone, _, _ := m.ring.page(cursor, 256)
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
	return m.ring.cursor(q.After)
}

// ring gives events their sequence numbers and keeps the latest ones. Events are
// not changed once they are in it. It wakes whoever waits for more.
type ring struct {
	mu      sync.Mutex
	events  []*Event // a circle, in the order of their sequence from first on
	first   int
	size    int    // how many are kept at most
	floor   uint64 // what is above this sequence number is kept
	next    uint64 // the sequence number of the next event
	name    string // of the numbering
	changed chan struct{}
	closed  bool
}

// newEventLog makes one; the first event has the number 1.
func newEventLog(size int, name string) *ring { return &ring{size: size, next: 1, name: name} }

// append takes an event in and numbers it.
func (j *ring) append(ev *Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	ev.Sequence = j.next
	j.next++
	j.add(ev)
	j.wake()
}

// add takes in an event that has its number; mu is held.
func (j *ring) add(ev *Event) {
	if len(j.events) < j.size {
		j.events = append(j.events, ev)
		return
	}
	j.floor = j.events[j.first].Sequence
	j.events[j.first] = ev
	j.first = (j.first + 1) % j.size
}

// at is the i-th event kept, the oldest first; mu is held.
func (j *ring) at(i int) *Event { return j.events[(j.first+i)%len(j.events)] }

// find returns the event with that id, nil when it is not kept.
func (j *ring) find(id string) *Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := len(j.events) - 1; i >= 0; i-- {
		if ev := j.at(i); ev.ID == id {
			return ev
		}
	}
	return nil
}

// resume goes on with the numbering of an earlier run: with its name, its latest
// events in order, up to which number events may be missing, and the number of
// the next event. Nothing was appended before.
func (j *ring) resume(name string, earlier []*Event, floor, next uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.name, j.floor, j.next = name, floor, max(j.next, next)
	for _, ev := range earlier {
		j.add(ev)
		j.next = max(j.next, ev.Sequence+1)
	}
}

// close says that no more events come.
func (j *ring) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	j.wake()
}

func (j *ring) wake() {
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
}

// latest is the sequence number of the newest event, 0 when there was none, and
// the name of the numbering.
func (j *ring) latest() (sequence uint64, name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.next - 1, j.name
}

// cursor turns what a caller asks for into a cursor: 0 is the oldest kept.
func (j *ring) cursor(after uint64) (cursor uint64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case after == 0:
		return j.floor, nil
	case after < j.floor || after >= j.next:
		return 0, ErrGone // the future is that of an earlier run
	}
	return after, nil
}

// page returns at most n events behind the cursor. gone says that some are no
// longer kept. Where there are none it returns a channel that closes when there
// are, or closed.
func (j *ring) page(cursor uint64, n int) (evs []*Event, gone bool, more <-chan struct{}, closed bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if cursor < j.floor {
		return nil, true, nil, false
	}
	kept := len(j.events)
	for i := sort.Search(kept, func(i int) bool { return j.at(i).Sequence > cursor }); i < kept && len(evs) < n; i++ {
		evs = append(evs, j.at(i))
	}
	if len(evs) == 0 && !j.closed { // made only for who waits
		if j.changed == nil {
			j.changed = make(chan struct{})
		}
		more = j.changed
	}
	return evs, false, more, j.closed
}
