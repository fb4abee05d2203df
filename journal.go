package laneswap

import "sync"

// journal gives events their sequence numbers and keeps the latest ones. Events
// are not changed once they are in it. It wakes whoever waits for more.
type journal struct {
	mu      sync.Mutex
	ring    []*Event // grows to size, then the oldest is overwritten
	size    int
	next    uint64 // the sequence number of the next event; the first is 1
	changed chan struct{}
	closed  bool
}

func newJournal(size int) *journal { return &journal{size: size, next: 1} }

// append takes an event in and numbers it.
func (j *journal) append(ev *Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	ev.Sequence = j.next
	j.next++
	if len(j.ring) < j.size {
		j.ring = append(j.ring, ev)
	} else {
		j.ring[(ev.Sequence-1)%uint64(j.size)] = ev
	}
	j.wake()
}

// close says that no more events come.
func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	j.wake()
}

func (j *journal) wake() {
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
}

// latest is the sequence number of the newest event, 0 when there was none.
func (j *journal) latest() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.next - 1
}

// oldest is the sequence number of the oldest event kept; mu is held.
func (j *journal) oldest() uint64 { return j.next - uint64(len(j.ring)) }

// begin turns what a caller asks for into a cursor: 0 is the oldest kept.
func (j *journal) begin(after uint64) (cursor uint64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case after == 0:
		return j.oldest() - 1, nil
	case after+1 < j.oldest() || after >= j.next:
		return 0, ErrGone // the future is that of an earlier run
	}
	return after, nil
}

// page returns at most n events behind the cursor. gone says that some are no
// longer kept. Where there are none it returns a channel that closes when there
// are, or closed.
func (j *journal) page(cursor uint64, n int) (evs []*Event, gone bool, more <-chan struct{}, closed bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if cursor+1 < j.oldest() {
		return nil, true, nil, false
	}
	for seq := cursor + 1; seq < j.next && len(evs) < n; seq++ {
		evs = append(evs, j.ring[(seq-1)%uint64(j.size)])
	}
	if len(evs) == 0 && !j.closed { // made only for who waits
		if j.changed == nil {
			j.changed = make(chan struct{})
		}
		more = j.changed
	}
	return evs, false, more, j.closed
}
