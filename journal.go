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
	ticket  uint64
	size    int
}

func (e *entry) row() (Row, error) {
	data, err := encode(e.data)
	return Row{Kind: e.Kind, ID: e.ID, Service: e.service, At: wallTime(e.at), Open: e.open, Data: data}, err
}

// flight is a batch that is being committed: the same one until the storage has
// taken it.
type flight struct {
	batch   Batch
	entries []*entry
	first   uint64 // the oldest ticket in it
	seen    []sighting
	broken  []error // rows that could not be encoded
}

// journal decides what to commit next. It has no clock, no goroutine and no
// storage: its writer drives it.
//
// Two rules make a restart see either none or all of a change. What happened is
// in the storage before the state that it led to: entries of the log go first,
// and states only when no log waits. And a state that is noted again takes the
// place of the one that waits, so what waits is bounded by the services.
type journal struct {
	mu     sync.Mutex
	log    []*entry         // events, absences, ended runs, errors: in order, each once
	states []*entry         // puts and deletes of what changes, in the order of the first note; nil where taken
	latest map[Key]*entry   // those of states
	full   map[string]*tail // by service, once the backlog was full
	lost   map[string]int   // transitions that were not kept, by service
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

// tail is what waits of one service while the backlog is full.
type tail struct {
	events, runs int
	event, run   *entry
}

func newJournal() *journal {
	return &journal{
		latest: map[Key]*entry{}, lost: map[string]int{},
		wake: make(chan struct{}, 1), changed: make(chan struct{}),
	}
}

// append notes what happened. It returns the ticket to wait with.
func (j *journal) append(now int64, e *entry) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.number(now, e)
	if j.crowded() && j.thin(e) {
		return e.ticket
	}
	j.log = append(j.log, e)
	j.bytes += e.size
	return e.ticket
}

// put notes states that are to be stored, or to be deleted. It returns the ticket
// of the last.
func (j *journal) put(now int64, entries ...*entry) (ticket uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range entries {
		ticket = j.place(now, e)
	}
	return ticket
}

// place is put of one; mu is held.
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

// crowded reports whether the backlog is full; mu is held.
func (j *journal) crowded() bool {
	if len(j.log)+len(j.states) < backlogRows && j.bytes < backlogBytes {
		j.full = nil
		return false
	}
	if j.full != nil {
		return true
	}
	j.full = map[string]*tail{}
	for _, e := range j.log {
		j.tail(e).add(e)
	}
	return true
}

func (j *journal) tail(e *entry) *tail {
	t := j.full[e.service]
	if t == nil {
		t = &tail{}
		j.full[e.service] = t
	}
	return t
}

func (t *tail) add(e *entry) {
	switch e.Kind {
	case KindEvent:
		t.events, t.event = t.events+1, e
	case kindSpan:
		t.runs, t.run = t.runs+1, e
	}
}

// thin makes room in a full backlog: the event or run takes the place of the
// latest of its service that waits, unless that is the first. mu is held.
func (j *journal) thin(e *entry) bool {
	t := j.tail(e)
	switch {
	case e.Kind == KindEvent && t.events >= 2:
		j.replace(t.event, e)
		j.lost[e.service]++
	case e.Kind == kindSpan && t.runs >= 2:
		j.replace(t.run, e)
	default:
		t.add(e)
		return false
	}
	return true
}

func (j *journal) replace(old, e *entry) {
	j.bytes += e.size - old.size
	ticket := old.ticket
	*old = *e
	old.ticket = ticket
}

// roomy reports whether there is room for what can be refused.
func (j *journal) roomy() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.log)+len(j.states) < backlogRows && j.bytes < backlogBytes
}

// next returns what to commit, nil when there is nothing: the same again until
// landed was called. gather adds what services were last seen; it is called
// without the lock, and only when all that was noted goes with it.
func (j *journal) next(gather func() []sighting) *flight {
	j.mu.Lock()
	if j.flying != nil || j.stopped {
		defer j.mu.Unlock()
		return j.flying
	}
	f := &flight{first: j.committed() + 1}
	take := min(len(j.log), batchRows)
	f.entries = append(f.entries, j.log[:take]...)
	clear(j.log[:take])
	j.log = j.log[take:]
	if len(j.log) == 0 {
		j.log = nil
		take = min(len(j.states), max(0, batchRows-take))
		for _, e := range j.states[:take] {
			f.entries = append(f.entries, e)
			delete(j.latest, e.Key)
		}
		clear(j.states[:take])
		if j.states = j.states[take:]; len(j.states) == 0 {
			j.states = nil
		}
	}
	for _, e := range f.entries {
		j.bytes -= e.size
	}
	j.full = nil // what it points to may have been taken
	whole := len(j.log) == 0 && len(j.states) == 0
	if len(f.entries) > 0 {
		j.flying = f
	}
	j.mu.Unlock()

	if whole {
		f.seen = gather()
	}
	if len(f.entries) == 0 && len(f.seen) == 0 {
		return nil
	}
	f.fill()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.flying = f
	return f
}

// fill makes the batch.
func (f *flight) fill() {
	f.batch.Epoch = 1
	for _, e := range f.entries {
		if e.delete {
			f.batch.Delete = append(f.batch.Delete, e.Key)
			continue
		}
		row, err := e.row()
		switch {
		case err != nil:
			f.broken = append(f.broken, err)
		case e.Kind == KindEvent || e.Kind == kindAbsence:
			f.batch.Insert = append(f.batch.Insert, row)
		default:
			f.batch.Put = append(f.batch.Put, row)
		}
	}
	for _, s := range f.seen {
		f.batch.Seen = append(f.batch.Seen, Seen{Service: s.service, At: wallTime(s.at)})
	}
}

// landed says that the storage has taken the flight. It returns how long it was
// away, if it was, and what was lost meanwhile, once all that waited is stored.
func (j *journal) landed(now int64) (back bool, away time.Duration, lost map[string]int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.flying = nil
	j.stored.Store(j.committed())
	j.tired = 0
	waiting := len(j.log) + len(j.states)
	if waiting > 0 {
		j.tired = max(1, now)
	}
	if j.away != 0 && waiting < batchRows {
		back, away, lost = true, time.Duration(now-j.away), j.lost
		j.away, j.lost = 0, map[string]int{}
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

// overdue reports whether something has waited since before an instant.
func (j *journal) overdue(before int64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.away == 0 && j.tired != 0 && j.tired <= before
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
	return out
}

// backlog is how many rows wait, since when the storage is away (mono, 0 when it
// is not), how many transitions were lost, and whether it is fenced.
func (j *journal) backlog() (rows int, away int64, lost uint64, fenced bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	rows = len(j.log) + len(j.states)
	if j.flying != nil {
		rows += len(j.flying.entries)
	}
	for _, n := range j.lost {
		lost += uint64(n)
	}
	return rows, j.away, lost, j.stopped
}
