// Package journal decides what the writer of a storage commits next. It knows rows as
// entries with a policy, and nothing of what they mean.
package journal

import (
	"sync"
	"sync/atomic"
	"time"
)

// Patience is how long a caller waits for a commit. A storage that takes longer is
// degraded.
const Patience = 5 * time.Second

// The bounds of the backlog and of a commit.
const (
	maxRows       = 100_000   // beyond it a service keeps its first and its latest transition
	maxBytes      = 256 << 20 // of text in the backlog
	MaxCommitRows = 1000      // in one commit, about
	entryBytes    = 300       // memory of an entry besides its text, about
)

// Key is the identity of a row.
type Key struct{ Kind, ID string }

// Entry is a row that waits to be stored. What it points to must not change after it
// was noted.
type Entry struct {
	Key
	Service string
	At      int64 // wall ms
	Open    bool
	Data    any // content of the row, not encoded yet
	Delete  bool
	Durable bool // a caller may wait for it
	Size    int  // bytes of text
	Policy
	// For entries in the log: state is the state of the service right after this entry,
	// and endsChange marks the last entry of a change.
	state      *Entry
	endsChange bool
	lsn        uint64
}

// Policy says how to treat the entries of a kind.
type Policy struct {
	Insert    bool // stored once, never replaced
	Amendable bool // its content may change while it waits, and after it was stored
	Keep      int  // how many of a service a full backlog keeps; 0 for all
	CountLoss bool // dropping one counts as a loss
}

// Journal decides what to commit next. It has no clock, no goroutine and no storage: its
// writer drives it. S is the type of a last heartbeat, which the journal only carries.
// A nil Journal stands for no storage: it keeps nothing, and everything counts as stored.
//
// Entries that are noted together are one change. A restart sees the whole change or
// nothing of it: what happened (the log) and the states that followed go into one commit,
// in the order in which they were noted. A new state replaces the one that waits, so that
// the services bound the states. Where only a part of the log fits into a commit, the
// states that followed from that part go with it.
type Journal[S any] struct {
	mu          sync.Mutex
	log         []*Entry              // what happened: in order, each entry once
	logged      map[string]int        // number of entries in the log, by service
	states      []*Entry              // puts and deletes, in the order in which they were first noted; those with LSN 0 are holes
	latest      map[Key]*Entry        // the states by key, without the holes
	full        map[string]*backlogOf // by service, while the backlog is full
	lost        map[string]int        // dropped transitions, by service
	amendable   map[Key]*Entry        // amendable entries in the log
	storedOpen  map[Key]bool          // open amendable rows that are stored or in flight
	bytes       int
	oldestSince int64 // mono: since when the oldest entry waits; 0 for none

	lsn           uint64 // of the latest entry
	durable       uint64 // the LSN of the latest durable entry
	degradedSince int64  // mono; 0 when it is not
	inFlight      *Commit[S]
	Wake          chan struct{} // has a token when there is something to commit
	changed       chan struct{} // closed after a commit, and when the storage degrades
	fenced        bool          // nothing is committed any more
	stored        atomic.Uint64 // the LSN up to which everything is stored, to read without the lock
}

// New makes an empty journal.
func New[S any]() *Journal[S] {
	return &Journal[S]{
		latest: map[Key]*Entry{}, logged: map[string]int{}, amendable: map[Key]*Entry{}, storedOpen: map[Key]bool{}, lost: map[string]int{},
		Wake: make(chan struct{}, 1), changed: make(chan struct{}),
	}
}

// Note adds a change: what happened, and the states that followed. The first state is
// that of the service. It returns the LSN to wait for.
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
		copied := *e // the log still points to the original
		ticket = j.putState(now, &copied)
	}
	return ticket
}

// Put adds states to store or to delete. It returns the LSN to wait for.
func (j *Journal[S]) Put(now int64, entries ...*Entry) (ticket uint64) {
	return j.Note(now, nil, entries)
}

// appendLog adds an entry to the log. mu is held.
func (j *Journal[S]) appendLog(now int64, e *Entry) uint64 {
	j.assignLSN(now, e)
	if j.isFull() && j.compact(e) {
		return e.lsn
	}
	j.log = append(j.log, e)
	if e.Amendable {
		j.amendable[e.Key] = e
	}
	j.logged[e.Service]++
	j.bytes += e.Size
	return e.lsn
}

// putState adds a state, or replaces the one that waits. mu is held.
func (j *Journal[S]) putState(now int64, e *Entry) uint64 {
	j.assignLSN(now, e)
	if old := j.latest[e.Key]; old != nil {
		j.bytes += e.Size - old.Size
		ticket := e.lsn
		e.lsn, e.Durable = old.lsn, e.Durable || old.Durable
		*old = *e // the new state keeps the place of the old one
		return ticket
	}
	j.latest[e.Key] = e
	j.states = append(j.states, e)
	j.bytes += e.Size
	return e.lsn
}

// assignLSN numbers an entry. mu is held.
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

// waiting returns how many rows wait. mu is held.
func (j *Journal[S]) waiting() int { return len(j.log) + len(j.latest) }

// HasRoom reports whether the backlog has room. Calls that can be refused are refused
// without it.
func (j *Journal[S]) HasRoom() bool {
	if j == nil {
		return true
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.waiting() < maxRows && j.bytes < maxBytes
}

// Blocked reports whether the backlog is full while the storage is degraded.
func (j *Journal[S]) Blocked() bool {
	if j == nil {
		return false
	}
	j.mu.Lock()
	away := j.degradedSince != 0
	j.mu.Unlock()
	return away && !j.HasRoom()
}

// Committed says that the storage has accepted the commit, and how long that took. Once
// the backlog is written it returns whether the storage is back, how long it was degraded,
// and which transitions were dropped meanwhile. A storage that needs half the Patience or
// more for a commit stays degraded.
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

// broadcast wakes all callers that wait for a commit. mu is held.
func (j *Journal[S]) broadcast() {
	close(j.changed)
	j.changed = make(chan struct{})
}

// storedUpTo returns the LSN up to which everything is stored. mu is held.
func (j *Journal[S]) storedUpTo() uint64 {
	if j.fenced {
		return j.stored.Load() // the backlog was dropped, and is not stored
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

// Await reports whether everything up to an LSN is stored. If not, it returns a channel
// that closes at the next news, and whether the storage is degraded.
func (j *Journal[S]) Await(ticket uint64) (stored bool, more <-chan struct{}, away bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.storedUpTo() >= ticket, j.changed, j.degradedSince != 0 || j.fenced
}

// Degrade marks the storage as degraded, since the oldest entry began to wait. It returns
// false when it was marked already.
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

// Overdue reports whether an entry has waited for longer than Patience. A pause of this
// process that ended at back does not count.
func (j *Journal[S]) Overdue(now, back int64) bool {
	if j == nil {
		return false
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.degradedSince == 0 && j.oldestSince != 0 && now-max(j.oldestSince, back) >= int64(Patience)
}

// Paused reports whether a pause of this process ended a moment ago, at back: then the
// entries did not wait for the storage.
func (j *Journal[S]) Paused(now, back int64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.oldestSince != 0 && back > j.oldestSince && now-back < int64(Patience)
}

// Fence says that another writer has taken over the storage: nothing is committed any
// more.
func (j *Journal[S]) Fence() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fenced, j.inFlight = true, nil
	j.broadcast()
}

// Pending returns the content of the entries of a kind and a service that wait or are in
// flight.
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
	for _, e := range j.latest { // amended entries
		if e.Amendable && e.Kind == kind && e.Service == service {
			out = append(out, e.Data)
		}
	}
	return out
}

// Backlog returns how many rows wait, since when the storage is degraded (mono, 0 when it
// is not), how many transitions were dropped, and whether the storage is fenced.
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

// Latest returns the LSN of the latest durable entry.
func (j *Journal[S]) Latest() uint64 {
	if j == nil {
		return 0
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.durable
}

// Stored reports whether everything up to an LSN is stored. It takes no lock and may
// lag behind.
func (j *Journal[S]) Stored(ticket uint64) bool { return j == nil || ticket <= j.stored.Load() }
