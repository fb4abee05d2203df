package laneswap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/laneswap/laneswap/internal/journal"
)

// How the writer treats a storage.
const (
	commitTimeout = 10 * time.Second // of one try
	commitPause   = 50 * time.Millisecond
	commitRest    = 5 * time.Second   // the pause between two tries doubles up to this
	durableWithin = journal.Patience  // after it the storage is away
	commitSlow    = durableWithin / 2 // a try that fails after it was too large
	commitLeast   = 10                // rows that are offered at once, to whatever storage
	pruneRows     = 500               // of a kind that are pruned at once
	pruneSteps    = 40                // of a kind, in one round of housekeeping
)

// writer brings what the journal decides to the storage. Its fields are its
// goroutine's own.
type writer struct {
	m     *Manager
	tidy  int64         // mono: when all are looked at next
	said  turns         // whose turn it is to have what they said saved
	count turns         // whose turn it is to have their beats counted
	due   int64         // mono: when the next round is due, whatever there is to store
	until instant       // we listened until then, and the log has our absences before it
	look  bool          // it is time to look who was heard
	all   bool          // at all services, not only at those whose window is long
	heard []sighting    // who was, and is yet to be stored
	alive *entry        // the alive row that goes with the last of them
	last  bool          // no more events come
	took  time.Duration // what the storage needed for the latest flight
	most  int           // rows that are offered at once; 0 is all
}

// write is the goroutine that commits. Start starts it, Stop ends it: by closing
// flush, after which it stores what is left and ends, or by ending ctx.
func (m *Manager) write(ctx context.Context) {
	defer close(m.written)
	rest := int64(m.opts.checkInterval)
	w := &writer{m: m, said: turns{all: uint64(max(1, rest/aliveEvery))}, count: turns{all: uint64(max(1, countsEvery/rest))}}
	ticker := time.NewTicker(time.Duration(aliveEvery))
	defer ticker.Stop()
	w.round()
	for {
		w.drain(ctx)
		if ctx.Err() != nil {
			return
		}
		select {
		case <-m.journal.Wake:
		case <-ticker.C:
			w.round()
		case <-m.flush:
			m.saveSaid(everybody, everybody)
			for range 2 { // what was gathered before, and the rest
				w.look, w.all, w.last = true, true, true
				w.drain(ctx)
			}
			return
		case <-ctx.Done():
			return
		}
	}
}

// turns has services take turns.
type turns struct{ now, all uint64 }

// next says that it is the turn of the next, and whether that is the first.
func (t *turns) next() (first bool) {
	t.now = (t.now + 1) % t.all
	return t.now == 0
}

// of reports whether it is the turn of r, whose mu is held. Births are times, often
// round ones: multiplied they are spread over all turns.
func (t turns) of(r *record) bool { return uint64(r.born)*0x9e3779b97f4a7c15>>32%t.all == t.now }

// round is what is done each second: the alive row, and what services were last
// seen; and what they said, of a part of them, so that each has its turn at the
// rhythm of housekeeping, and what somebody waits for never stands behind all.
func (w *writer) round() {
	m, now := w.m, w.m.now().Mono
	w.due = now + aliveEvery
	if w.said.next() {
		w.count.next()
	}
	m.saveSaid(w.said, w.count)
	if now >= w.tidy {
		w.tidy, w.all = now+int64(m.opts.checkInterval), true
	}
	// Only the first few absences since a service's last beat count: while they
	// are young, every beat matters.
	w.all = w.all || now < m.judge.absences.LatestBack()+eagerFor
	w.look = true
}

// gather returns what services were last seen: it looks once a second, and
// returns a part at a time, so that nobody waits long behind it; with the last
// part until when we listened.
func (w *writer) gather() (part []sighting, alive *entry) {
	if w.look && len(w.heard) == 0 {
		w.alive = w.m.aliveAt(w.until, w.last) // before looking: whoever was heard until then is found
		w.heard = w.m.sightings(w.all)
		w.look, w.all = false, false
	}
	n := min(len(w.heard), 5*journal.BatchRows)
	part, w.heard = w.heard[:n:n], w.heard[n:]
	if len(w.heard) == 0 {
		alive, w.alive = w.alive, nil
	}
	return part, alive
}

// drain commits until nothing waits or ctx ends.
func (w *writer) drain(ctx context.Context) {
	m := w.m
	for ctx.Err() == nil {
		if m.now().Mono >= w.due && !w.last {
			w.round() // changes may never pause for as long as a commit takes
		}
		m.observe(m.now())
		w.until = m.judge.absences.Observed() // before the log is taken: after it, an absence would come later
		taken := m.journal.Next(m.now().Mono, w.gather)
		if taken == nil {
			return
		}
		f := newFlight(taken)
		for _, err := range f.broken {
			m.log.Error("a row is not one that can be stored", "err", err)
		}
		if n := len(f.broken); n > 0 {
			f.broken = nil
			m.proclaim(EventStorageLost, fmt.Sprintf("%d rows are not such as can be stored", n), 0)
		}
		if !w.commit(ctx, f) {
			return
		}
		for _, s := range f.Seen {
			s.r.seen.Store(s.mono)
		}
		m.stored(w.took)
	}
}

// commit offers a flight until the storage takes it or ctx ends. To a storage that
// is too slow for all of it, it is offered in parts: a restart that finds some of
// them only does with them as with those of a commit that was torn.
func (w *writer) commit(ctx context.Context, f *flight) bool {
	m := w.m
	pause := commitPause
	w.took = 0
	for said := false; ; said = true {
		begun := m.now().Mono
		part, rest := f.batch.cut(w.most)
		err := m.try(ctx, part)
		took := time.Duration(m.now().Mono - begun)
		w.fit(part.size(), took, err == nil)
		switch {
		case err == nil:
			w.took += took
			if rest.size() == 0 {
				return true
			}
			f.batch, pause = rest, commitPause
			continue
		case ctx.Err() != nil:
			return false
		case errors.Is(err, ErrFenced):
			m.log.Error("a newer writer has the storage; nothing is stored any more", "err", err)
			m.journal.Fence()
			m.storageAway("a newer writer has the storage; nothing is stored any more")
			return false
		case errors.Is(err, ErrExists):
			if w.apart(ctx, f) {
				continue
			}
			m.log.Error("storage says that a row exists, and none does", "err", err)
		case !said:
			m.log.Error("storage does not take what it is given; it is offered again", "rows", len(f.Entries), "err", err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
		pause = min(2*pause, commitRest)
	}
}

// fit learns from a try of so many rows how many are offered at once: half as many
// when the storage failed over them for long, twice as many when it was quick.
func (w *writer) fit(rows int, took time.Duration, taken bool) {
	switch {
	case !taken && took >= commitSlow:
		w.most = max(commitLeast, rows/2)
	case taken && took < commitSlow && w.most > 0:
		if w.most *= 2; w.most >= 10*journal.BatchRows {
			w.most = 0
		}
	}
}

// apart tries the inserts of a flight one by one and gives up those whose place
// is taken by something else, so that one of them cannot hold up all others. It
// returns whether there were any.
func (w *writer) apart(ctx context.Context, f *flight) (dropped bool) {
	m := w.m
	rows := f.batch.Insert
	f.batch.Insert = nil
	for _, row := range rows {
		err := m.try(ctx, Batch{Epoch: f.batch.Epoch, Insert: []Row{row}})
		if !errors.Is(err, ErrExists) {
			if err != nil {
				f.batch.Insert = append(f.batch.Insert, row)
			}
			continue
		}
		dropped = true
		m.log.Error("a row with that id is stored already, with other content; the new one is not stored", "kind", row.Kind, "id", row.ID)
		m.proclaim(EventStorageLost, fmt.Sprintf("a row of kind %s could not be kept: there is another one with its id", row.Kind), 0)
	}
	return dropped
}

// try commits once; a panic of the storage is an error.
func (m *Manager) try(ctx context.Context, b Batch) (err error) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: panic: %v", ErrStorage, p)
		}
	}()
	if err := m.opts.storage.Commit(ctx, b); err != nil {
		return fmt.Errorf("%w: %w", ErrStorage, err)
	}
	return nil
}

// pruned are the kinds of rows that grow old.
var pruned = []Kind{KindEvent, kindSpan, kindAbsence, KindError, kindOutbox}

// prune deletes what is older than it is to be kept, in small steps, and gives up
// what is owed to notifiers that are gone. Start starts it, Stop ends it.
func (m *Manager) prune(ctx context.Context) {
	defer close(m.pruned)
	ticker := time.NewTicker(m.opts.checkInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if _, _, _, fenced := m.journal.Backlog(); fenced {
			return
		}
		m.alerts.bury()
		for _, kind := range pruned {
			for range pruneSteps {
				n, err := m.pruneStep(ctx, kind)
				if err != nil && ctx.Err() == nil {
					m.log.Warn("storage does not delete what is old; it is tried again", "kind", kind, "err", err)
				}
				if err != nil || n < pruneRows {
					break
				}
			}
		}
	}
}

func (m *Manager) pruneStep(ctx context.Context, kind Kind) (n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: panic: %v", ErrStorage, p)
		}
	}()
	before := m.judge.absences.Wall(m.now().Mono) - int64(m.opts.retention)
	return m.opts.storage.Prune(ctx, kind, wallTime(before/int64(time.Millisecond)), pruneRows)
}
