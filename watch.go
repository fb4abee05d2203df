package laneswap

import (
	"context"
	"iter"
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
	cursor, err := m.ring.begin(q.After)
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
	return m.ring.begin(q.After)
}
