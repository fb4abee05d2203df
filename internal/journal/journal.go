package journal

import (
	"sync"
	"sync/atomic"
	"time"
)

// Patience is how long anybody waits for a commit; a storage that takes longer is away.
const Patience = 5 * time.Second

// Bounds of what waits to be stored.
const (
	maxRows  = 100_000   // beyond it a service keeps its first and last transition
	maxBytes = 256 << 20 // of text in them
	MaxCommitRows    = 1000      // committed together at most
	entryBytes   = 300       // what an entry costs besides its text, about
)

// Key is the identity of a row.
type Key struct{ Kind, ID string }

// Entry is a row that waits to be stored. Nothing of what it points to is changed
// after it was made.
type Entry struct {
	Key
	Service string
	At      int64 // wall ms
	Open    bool
	Data    any // what the row holds, before it is encoded
	Delete  bool
	Durable   bool // somebody may wait for it
	Size    int  // bytes of text
	Policy
	// state is that of the service right after what happened; last says that nothing
	// more happened in the same change. For what is in the log.
	state  *Entry
	endsChange   bool
	lsn uint64
}

// Policy is how entries of a kind are treated.
type Policy struct {
	Insert  bool // stored once and never replaced
	Amended bool // its content may still change while it waits, and after
	Keep    int  // how many of a service wait in a full backlog; 0 for all
	CountLoss bool // where one of them is dropped, that is told
}

// Journal decides what to commit next. It has no clock, no goroutine and no
// storage: its writer drives it. A nil Journal is one without a storage: it keeps
// nothing, and to it everything is stored.
//
// What is noted together is a change, and a restart sees all of it or none: what
// happened (the log) and the states that it led to go in one flight, and in the
// order in which they were noted. A state that is noted again takes the place of
// the one that waits, so states are bounded by the services; where only a part of
// the log goes, the states go with it that followed from that part.
type Journal[S any] struct {
	mu     sync.Mutex
	log    []*Entry         // events, absences, ended runs, errors, notices: in order, each once
	logged map[string]int   // how many of them there are of a service
	states []*Entry         // puts and deletes of what changes, in the order of the first note; nil where taken
	latest map[Key]*Entry   // those of states
	full   map[string]*backlogOf // by service, once the backlog was full
	lost   map[string]int   // transitions that were not kept, by service
	amendable  map[Key]*Entry   // notices in the log
	storedOpen   map[Key]bool     // open notices that are stored, or in flight
	bytes  int
	oldestSince  int64 // mono: since when the oldest waits; 0 for none

	lsn  uint64 // of the latest note
	durable   uint64 // of the latest that somebody may wait for
	degradedSince    int64  // mono: since when the storage is degraded; 0 when it is not
	inFlight  *Commit[S]
	Wake    chan struct{} // holds one token when there is something to do
	changed chan struct{} // closed when something was committed, or the storage degraded
	fenced bool          // fenced: nothing is committed any more
	stored  atomic.Uint64 // the ticket up to which all is stored, for asking without the lock
}

// New makes an empty journal; S is what a sighting is.
func New[S any]() *Journal[S] {
	return &Journal[S]{
		latest: map[Key]*Entry{}, logged: map[string]int{}, amendable: map[Key]*Entry{}, storedOpen: map[Key]bool{}, lost: map[string]int{},
		Wake: make(chan struct{}, 1), changed: make(chan struct{}),
	}
}

// Note notes a change: what happened, and the states that it led to. The first of
// states is that of the service. It returns the ticket to wait with.
func (j *Journal[S]) Note(now int64, log, states []*Entry) (ticket uint64) {
	if j == nil {
		return 0
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, e := range log {
		e.endsChange = i == len(log)-1
		if len(states) > 0 {
			e.state = states[0]
		}
		ticket = j.appendLog(now, e)
	}
	for _, e := range states {
		copied := *e // the log still points to it
		ticket = j.putState(now, &copied)
	}
	return ticket
}

// Put notes states that are to be stored, or to be deleted.
func (j *Journal[S]) Put(now int64, entries ...*Entry) (ticket uint64) {
	return j.Note(now, nil, entries)
}

// appendLog puts one into the log; mu is held.
func (j *Journal[S]) appendLog(now int64, e *Entry) uint64 {
	j.assignLSN(now, e)
	if j.isFull() && j.compact(e) {
		return e.lsn
	}
	j.log = append(j.log, e)
	if e.Amended {
		j.amendable[e.Key] = e
	}
	j.logged[e.Service]++
	j.bytes += e.Size
	return e.lsn
}

// putState notes one state; mu is held.
func (j *Journal[S]) putState(now int64, e *Entry) uint64 {
	j.assignLSN(now, e)
	if old := j.latest[e.Key]; old != nil {
		j.bytes += e.Size - old.Size
		ticket := e.lsn
		e.lsn, e.Durable = old.lsn, e.Durable || old.Durable
		*old = *e // it keeps its place and its age
		return ticket
	}
	j.latest[e.Key] = e
	j.states = append(j.states, e)
	j.bytes += e.Size
	return e.lsn
}

// assignLSN gives an entry its ticket; mu is held.
func (j *Journal[S]) assignLSN(now int64, e *Entry) {
	j.lsn++
	e.lsn = j.lsn
	e.Size += entryBytes
	if e.Durable {
		j.durable = j.lsn
	}
	if j.oldestSince == 0 {
		j.oldestSince = max(1, now)
	}
	j.wakeWriter()
}

func (j *Journal[S]) wakeWriter() {
	select {
	case j.Wake <- struct{}{}:
	default:
	}
}

// waiting is how many rows wait; mu is held.
func (j *Journal[S]) waiting() int { return len(j.log) + len(j.latest) }

// HasRoom reports whether there is room for what can be refused.
func (j *Journal[S]) HasRoom() bool {
	if j == nil {
		return true
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.waiting() < maxRows && j.bytes < maxBytes
}

// Blocked reports whether there is no room, and none is being made.
func (j *Journal[S]) Blocked() bool {
	if j == nil {
		return false
	}
	j.mu.Lock()
	away := j.degradedSince != 0
	j.mu.Unlock()
	return away && !j.HasRoom()
}

// Committed says that the storage has taken the flight, and how long that took. It
// returns how long it was away, if it was, and what was lost meanwhile, once all
// that waited is stored. One that is too slow for anybody to wait for is away.
func (j *Journal[S]) Committed(now int64, took time.Duration) (back bool, away time.Duration, lost map[string]int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.inFlight = nil
	j.stored.Store(j.storedUpTo())
	j.oldestSince = 0
	waiting := j.waiting()
	if waiting > 0 {
		j.oldestSince = max(1, now)
	}
	if waiting < MaxCommitRows {
		lost, j.lost = j.lost, map[string]int{}
	}
	if j.degradedSince != 0 && waiting < MaxCommitRows && took < Patience/2 {
		back, away = true, time.Duration(now-j.degradedSince)
		j.degradedSince = 0
	}
	j.broadcast()
	return back, away, lost
}

// broadcast wakes all who wait for a commit; mu is held.
func (j *Journal[S]) broadcast() {
	close(j.changed)
	j.changed = make(chan struct{})
}

// storedUpTo is the ticket up to which all is stored; mu is held.
func (j *Journal[S]) storedUpTo() uint64 {
	if j.fenced {
		return j.stored.Load() // whatever waited was dropped, and is not stored
	}
	done := j.lsn
	if j.inFlight != nil {
		done = min(done, j.inFlight.firstLSN-1)
	}
	if len(j.log) > 0 {
		done = min(done, j.log[0].lsn-1)
	}
	if len(j.states) > 0 {
		done = min(done, j.states[0].lsn-1)
	}
	return done
}

// Await reports whether all up to a ticket is stored, and if not, what to wait
// for and whether the storage is away.
func (j *Journal[S]) Await(ticket uint64) (stored bool, more <-chan struct{}, away bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.storedUpTo() >= ticket, j.changed, j.degradedSince != 0 || j.fenced
}

// Degrade says that the storage is away; false when that was known. It counts
// from when the oldest note waits.
func (j *Journal[S]) Degrade(now int64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.degradedSince != 0 {
		return false
	}
	j.degradedSince = max(1, now)
	if j.oldestSince != 0 {
		j.degradedSince = j.oldestSince
	}
	j.broadcast()
	return true
}

// Overdue reports whether something has waited for too long, not counting a pause
// of our own that ended at back.
func (j *Journal[S]) Overdue(now, back int64) bool {
	if j == nil {
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.degradedSince == 0 && j.oldestSince != 0 && now-max(j.oldestSince, back) >= int64(Patience)
}

// Paused reports whether a pause of our own ended a moment ago, at back: whatever
// waited did not wait for the storage.
func (j *Journal[S]) Paused(now, back int64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.oldestSince != 0 && back > j.oldestSince && now-back < int64(Patience)
}

// Fence says that a newer writer has the storage: nothing is committed any more.
func (j *Journal[S]) Fence() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fenced, j.inFlight = true, nil
	j.broadcast()
}

// Pending returns what of a kind and a service waits or is being committed.
func (j *Journal[S]) Pending(kind, service string) []any {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []any
	note := func(entries []*Entry) {
		for _, e := range entries {
			if e.Kind == kind && e.Service == service && !e.Delete {
				out = append(out, e.Data)
			}
		}
	}
	if j.inFlight != nil {
		note(j.inFlight.Entries)
	}
	note(j.log)
	for _, e := range j.latest { // what became of those that are amended
		if e.Amended && e.Kind == kind && e.Service == service {
			out = append(out, e.Data)
		}
	}
	return out
}

// Backlog is how many rows wait, since when the storage is away (mono, 0 when it
// is not), how many transitions were lost, and whether it is fenced.
func (j *Journal[S]) Backlog() (rows int, away int64, lost uint64, fenced bool) {
	if j == nil {
		return 0, 0, 0, false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	rows = j.waiting()
	if j.inFlight != nil {
		rows += len(j.inFlight.Entries)
	}
	for _, n := range j.lost {
		lost += uint64(n)
	}
	return rows, j.degradedSince, lost, j.fenced
}

// Latest is the ticket of the latest note that somebody may wait for.
func (j *Journal[S]) Latest() uint64 {
	if j == nil {
		return 0
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.durable
}

// Stored reports whether all up to a ticket is stored, as far as is known without
// the lock.
func (j *Journal[S]) Stored(ticket uint64) bool { return j == nil || ticket <= j.stored.Load() }
