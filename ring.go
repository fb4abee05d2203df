package laneswap

import (
	"sort"
	"sync"
)

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

// newRing makes one; the first event has the number 1.
func newRing(size int, name string) *ring { return &ring{size: size, next: 1, name: name} }

// append takes an event in and numbers it.
func (j *ring) append(ev *Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	ev.Sequence = j.next
	j.next++
	j.push(ev)
	j.wake()
}

// push takes in an event that has its number; mu is held.
func (j *ring) push(ev *Event) {
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
		j.push(ev)
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

// begin turns what a caller asks for into a cursor: 0 is the oldest kept.
func (j *ring) begin(after uint64) (cursor uint64, err error) {
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
