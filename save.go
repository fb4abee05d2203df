package laneswap

import (
	"strconv"
	"time"

	"github.com/laneswap/laneswap/internal/journal"
)

// What is to be stored is noted here, in the critical section that changed it.
// Without a storage nothing is noted: ended runs and reported errors are then
// kept in memory.

// Bounds of what is kept in memory of runs and of errors without a storage.
const (
	pastRecords = 100      // per service, of each
	pastBytes   = 64 << 10 // per service, of each
	pastTotal   = 64 << 20 // per Manager, of each
	pastFrame   = 300      // what a record costs besides its text, about
)

// save notes the state of r, and the runs that are over. It returns the ticket to
// wait with, 0 without a storage. r.mu is held.
func (m *Manager) save(r *record, vital bool) uint64 { return m.note(r, vital, nil) }

// note notes a change of r: what happened, the runs that are over, the state that
// r has now, and what else follows. r.mu is held.
func (m *Manager) note(r *record, vital bool, happened []*entry, more ...*entry) (ticket uint64) {
	runs := r.runs
	r.runs = nil
	if m.journal == nil {
		for _, run := range runs {
			if r.past == nil {
				r.past = new(shelf[span])
			}
			m.runs.put(r.past, run, pastFrame+len(run.message), nil)
		}
		return 0
	}
	if r.limbo {
		return 0 // what is stored of it must not be overwritten
	}
	var log []*entry
	for _, run := range runs {
		log = append(log, runEntry(r.id, run))
	}
	log = append(log, happened...)
	now := int64(time.Since(m.base))
	if r.gone != alive {
		return m.journal.Note(now, log, r.erased())
	}
	state := m.judge.state(r)
	size := len(r.message)
	if r.unsaid {
		size += footprint(r.metadata)
	}
	for _, e := range happened {
		if ev, ok := e.Data.(*storedEvent); ok {
			ev.State = state
			e.Size += size
			if !r.unsaid {
				bare := *state
				bare.Metadata, bare.Bare = nil, true
				ev.State = &bare
			}
		}
	}
	r.unsaid, r.noted = false, r.cell.beats.Load()
	ticket = m.journal.Note(now, log, append([]*entry{{
		Key: key(KindService, string(r.id)), Service: string(r.id), At: r.created, Open: true,
		Data: state, Size: size, Vital: vital,
	}}, more...))
	if vital {
		r.ticket.Store(ticket)
	}
	return ticket
}

// runEntry is a run that is over.
func runEntry(id ServiceID, run span) *entry {
	return &entry{Policy: journal.Policy{Keep: 2}, Key: key(kindSpan, run.rowID(id)), Service: string(id), At: run.to, Data: run.stored(), Size: len(run.message)}
}

// eventEntry is an event. It is vital: what made it waits for the state that
// follows.
func eventEntry(ev *Event) *entry {
	return &entry{
		Policy: journal.Policy{Insert: true, Keep: 2, Counted: true},
		Key:    key(KindEvent, ev.ID), Service: string(ev.Service), At: ev.At.UnixMilli(),
		Data: &storedEvent{Version: storedVersion, Event: ev}, Size: len(ev.Message), Vital: true,
	}
}

// erased is what is to be deleted of r. r.mu is held.
func (r *record) erased() []*entry {
	gone := deletions(string(r.id))
	gone[0].Vital = true
	for n := r.oldest; n <= r.errors && n > 0; n++ {
		gone = append(gone, &entry{Key: key(KindError, r.errorID(n)), Service: string(r.id), Delete: true})
	}
	return gone
}

// deletions are those of a service. Its state goes first: where the storage takes
// some of them only, what is left belongs to nobody.
func deletions(id string) []*entry {
	var gone []*entry
	for _, kind := range []Kind{KindService, kindBeats, KindSeen} {
		gone = append(gone, &entry{Key: key(kind, id), Service: id, Delete: true})
	}
	return gone
}

// saveBeats notes what r said lately. r.mu is held.
func (m *Manager) saveBeats(r *record) {
	r.unkept = false
	said := m.speeches.records(r.spoke)
	if len(said) == 0 {
		return
	}
	m.journal.Put(int64(time.Since(m.base)), &entry{
		Key: key(kindBeats, string(r.id)), Service: string(r.id), At: said[len(said)-1].Last.UnixMilli(), Open: true,
		Data: &storedBeats{storedVersion, said}, Size: speechBytes,
	})
}

// logAbsence notes an absence of our own.
func (m *Manager) logAbsence(gone absence) {
	if m.journal == nil || !gone.Lost || gone.Length() < int64(time.Millisecond) {
		return // what was heard all the same needs no memory
	}
	from, back := gone.From.Wall/int64(time.Millisecond), gone.Back.Wall/int64(time.Millisecond)
	m.journal.Note(int64(time.Since(m.base)), []*entry{{
		Policy: journal.Policy{Insert: true},
		Key:    key(kindAbsence, strconv.FormatInt(from, 36)+"-"+strconv.FormatInt(back, 36)),
		At:     back, Data: &storedAbsence{storedVersion, from, back, gone.Lost, gone.Cut},
	}}, nil)
}

// Checkpoints.
const (
	aliveEvery  = int64(time.Second)       // how often it is noted that we listen
	longWindow  = int64(120 * time.Second) // above it a beat is noted within a second
	countsEvery = int64(time.Hour)         // how often the number of beats of a service is stored
	eagerFor    = int64(120 * time.Second) // after an absence every beat is noted within a second
	// reserve is how many sequence numbers an alive row takes ahead: none that was
	// given is given again after a crash.
	reserve = 1_000_000
)

// aliveRow is the row that says until when we listened, and which number no event
// has had yet.
func aliveRow(at int64, a *storedAlive) *entry {
	return &entry{Key: key(kindAlive, "alive"), At: at, Open: true, Data: a}
}

// aliveAt says that we listened until seen. exact says that no more events come. It is
// stored with the sightings that follow it, never before them: who was heard until
// then would else seem silent after a crash.
func (m *Manager) aliveAt(seen instant, exact bool) *entry {
	next, name := m.ring.latest()
	next++
	if !exact {
		next += reserve
	}
	m.registry.mu.RLock()
	born := m.judge.born
	m.registry.mu.RUnlock()
	return aliveRow(seen.Wall/int64(time.Millisecond), &storedAlive{storedVersion, name, next, born, exact})
}

// sighting is a service whose last heartbeat the storage is to be told of.
type sighting struct {
	r       *record
	service string
	mono    int64
	at      int64 // wall ms
}

// sightings gathers the services that were heard since the storage was last told.
// Unless all are wanted, only those whose window is long.
func (m *Manager) sightings(all bool) []sighting {
	var out []sighting
	for _, r := range m.registry.all() {
		if window := r.cell.window.Load(); !all && (window <= longWindow || window == noDeadline) {
			continue
		}
		last := r.cell.last.Load()
		if last <= r.seen.Load() || r.cell.beats.Load() == 0 {
			continue
		}
		out = append(out, sighting{r, string(r.id), last, m.judge.absences.Wall(last) / int64(time.Millisecond)})
	}
	return out
}

// everybody has its turn.
var everybody = turns{all: 1}

// saveSaid notes the services that said something since they were last saved and
// those whose beats were not counted, each of those whose turn it is.
func (m *Manager) saveSaid(said, count turns) {
	for _, r := range m.registry.all() {
		r.mu.Lock()
		counted := count.of(r)
		switch {
		case r.gone != alive || r.limbo || !said.of(r):
		case r.unsaid, r.unkept:
			m.save(r, false)
			m.saveBeats(r)
		case counted && r.cell.beats.Load() != r.noted:
			m.save(r, false)
		}
		r.mu.Unlock()
	}
}
