package laneswap

import (
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what waits to be stored.
const (
	backlogRows  = 100_000   // beyond it a service keeps its first and last transition
	backlogBytes = 256 << 20 // of text in them
	batchRows    = 1000      // committed together at most
	entryFrame   = 300       // what an entry costs besides its text, about
)

// entry is a row that waits to be stored. It becomes a row when it is committed:
// nothing of what it points to is changed after it was made.
type entry struct {
	Key
	service string
	at      int64 // wall ms
	open    bool
	data    any // what the row holds, before it is JSON
	delete  bool
	vital   bool // somebody may wait for it
	size    int
	// state is that of the service right after what happened; last says that nothing
	// more happened in the same change. For what is in the log.
	state  *entry
	last   bool
	ticket uint64
}

func (e *entry) row() (Row, error) {
	data, err := encode(e.data)
	return Row{Kind: e.Kind, ID: e.ID, Service: e.service, At: wallTime(e.at), Open: e.open, Data: data}, err
}

// journal decides what to commit next. It has no clock, no goroutine and no
// storage: its writer drives it.
//
// What is noted together is a change, and a restart sees all of it or none: what
// happened (the log) and the states that it led to go in one flight, and in the
// order in which they were noted. A state that is noted again takes the place of
// the one that waits, so states are bounded by the services; where only a part of
// the log goes, the states go with it that followed from that part.
type journal struct {
	mu     sync.Mutex
	log    []*entry         // events, absences, ended runs, errors, notices: in order, each once
	logged map[string]int   // how many of them there are of a service
	states []*entry         // puts and deletes of what changes, in the order of the first note; nil where taken
	latest map[Key]*entry   // those of states
	full   map[string]*tail // by service, once the backlog was full
	lost   map[string]int   // transitions that were not kept, by service
	owing  map[Key]*entry   // notices in the log
	owed   map[Key]bool     // open notices that are stored, or in flight
	bytes  int
	tired  int64 // mono: since when the oldest waits; 0 for none

	ticket  uint64 // of the latest note
	vital   uint64 // of the latest that somebody may wait for
	away    int64  // mono: since when the storage is degraded; 0 when it is not
	flying  *flight
	wake    chan struct{} // holds one token when there is something to do
	changed chan struct{} // closed when something was committed, or the storage degraded
	stopped bool          // fenced: nothing is committed any more
	stored  atomic.Uint64 // the ticket up to which all is stored, for asking without the lock
}

func newJournal() *journal {
	return &journal{
		latest: map[Key]*entry{}, logged: map[string]int{}, owing: map[Key]*entry{}, owed: map[Key]bool{}, lost: map[string]int{},
		wake: make(chan struct{}, 1), changed: make(chan struct{}),
	}
}

// note notes a change: what happened, and the states that it led to. The first of
// states is that of the service. It returns the ticket to wait with.
func (j *journal) note(now int64, log, states []*entry) (ticket uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, e := range log {
		e.last = i == len(log)-1
		if len(states) > 0 {
			e.state = states[0]
		}
		ticket = j.happened(now, e)
	}
	for _, e := range states {
		copied := *e // the log still points to it
		ticket = j.place(now, &copied)
	}
	return ticket
}

// put notes states that are to be stored, or to be deleted.
func (j *journal) put(now int64, entries ...*entry) (ticket uint64) { return j.note(now, nil, entries) }

// happened puts one into the log; mu is held.
func (j *journal) happened(now int64, e *entry) uint64 {
	j.number(now, e)
	if j.crowded() && j.thin(e) {
		return e.ticket
	}
	j.log = append(j.log, e)
	if e.Kind == kindOutbox {
		j.owing[e.Key] = e
	}
	j.logged[e.service]++
	j.bytes += e.size
	return e.ticket
}

// place notes one state; mu is held.
func (j *journal) place(now int64, e *entry) uint64 {
	j.number(now, e)
	if old := j.latest[e.Key]; old != nil {
		j.bytes += e.size - old.size
		ticket := e.ticket
		e.ticket, e.vital = old.ticket, e.vital || old.vital
		*old = *e // it keeps its place and its age
		return ticket
	}
	j.latest[e.Key] = e
	j.states = append(j.states, e)
	j.bytes += e.size
	return e.ticket
}

// number gives an entry its ticket; mu is held.
func (j *journal) number(now int64, e *entry) {
	j.ticket++
	e.ticket = j.ticket
	e.size += entryFrame
	if e.vital {
		j.vital = j.ticket
	}
	if j.tired == 0 {
		j.tired = max(1, now)
	}
	j.nudge()
}

func (j *journal) nudge() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// waiting is how many rows wait; mu is held.
func (j *journal) waiting() int { return len(j.log) + len(j.latest) }

// roomy reports whether there is room for what can be refused.
func (j *journal) roomy() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.waiting() < backlogRows && j.bytes < backlogBytes
}

// stuck reports whether there is no room, and none is being made.
func (j *journal) stuck() bool {
	j.mu.Lock()
	away := j.away != 0
	j.mu.Unlock()
	return away && !j.roomy()
}

// landed says that the storage has taken the flight, and how long that took. It
// returns how long it was away, if it was, and what was lost meanwhile, once all
// that waited is stored. One that is too slow for anybody to wait for is away.
func (j *journal) landed(now int64, took time.Duration) (back bool, away time.Duration, lost map[string]int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.flying = nil
	j.stored.Store(j.committed())
	j.tired = 0
	waiting := j.waiting()
	if waiting > 0 {
		j.tired = max(1, now)
	}
	if waiting < batchRows {
		lost, j.lost = j.lost, map[string]int{}
	}
	if j.away != 0 && waiting < batchRows && took < durableWithin/2 {
		back, away = true, time.Duration(now-j.away)
		j.away = 0
	}
	j.broadcast()
	return back, away, lost
}

// broadcast wakes all who wait for a commit; mu is held.
func (j *journal) broadcast() {
	close(j.changed)
	j.changed = make(chan struct{})
}

// committed is the ticket up to which all is stored; mu is held.
func (j *journal) committed() uint64 {
	if j.stopped {
		return j.stored.Load() // whatever waited was dropped, and is not stored
	}
	done := j.ticket
	if j.flying != nil {
		done = min(done, j.flying.first-1)
	}
	if len(j.log) > 0 {
		done = min(done, j.log[0].ticket-1)
	}
	if len(j.states) > 0 {
		done = min(done, j.states[0].ticket-1)
	}
	return done
}

// await reports whether all up to a ticket is stored, and if not, what to wait
// for and whether the storage is away.
func (j *journal) await(ticket uint64) (stored bool, more <-chan struct{}, away bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.committed() >= ticket, j.changed, j.away != 0 || j.stopped
}

// degrade says that the storage is away; false when that was known. It counts
// from when the oldest note waits.
func (j *journal) degrade(now int64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.away != 0 {
		return false
	}
	j.away = max(1, now)
	if j.tired != 0 {
		j.away = j.tired
	}
	j.broadcast()
	return true
}

// overdue reports whether something has waited for too long, not counting a pause
// of our own that ended at back.
func (j *journal) overdue(now, back int64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.away == 0 && j.tired != 0 && now-max(j.tired, back) >= int64(durableWithin)
}

// paused reports whether a pause of our own ended a moment ago, at back: whatever
// waited did not wait for the storage.
func (j *journal) paused(now, back int64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.tired != 0 && back > j.tired && now-back < int64(durableWithin)
}

// fence says that a newer writer has the storage: nothing is committed any more.
func (j *journal) fence() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stopped, j.flying = true, nil
	j.broadcast()
}

// pending returns what of a kind and a service waits or is being committed.
func (j *journal) pending(kind Kind, service string) []any {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []any
	note := func(entries []*entry) {
		for _, e := range entries {
			if e.Kind == kind && e.service == service && !e.delete {
				out = append(out, e.data)
			}
		}
	}
	if j.flying != nil {
		note(j.flying.entries)
	}
	note(j.log)
	if kind != kindOutbox {
		return out
	}
	for _, e := range j.latest { // what became of notices
		if e.Kind == kind && e.service == service {
			out = append(out, e.data)
		}
	}
	return out
}

// backlog is how many rows wait, since when the storage is away (mono, 0 when it
// is not), how many transitions were lost, and whether it is fenced.
func (j *journal) backlog() (rows int, away int64, lost uint64, fenced bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	rows = j.waiting()
	if j.flying != nil {
		rows += len(j.flying.entries)
	}
	for _, n := range j.lost {
		lost += uint64(n)
	}
	return rows, j.away, lost, j.stopped
}
