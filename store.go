package laneswap

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/laneswap/laneswap/internal/bounded"
	"github.com/laneswap/laneswap/internal/clock"
	"github.com/laneswap/laneswap/internal/journal"
)

// store keeps what a restart must not forget. Changes are noted in the critical
// section that makes them; the writer commits them to the storage. Without a storage
// it keeps the latest spans and reported errors of each service in memory, and
// everything counts as durable.
type store struct {
	storage  Storage                     // nil: memory only
	journal  *journal.Journal[lastSeen]  // nil without a storage
	spans    *bounded.Lists[span]        // without a storage
	reported *bounded.Lists[ErrorRecord] // without a storage

	opts     *options
	log      *slog.Logger
	now      func() clock.Instant
	stage    *atomic.Int32
	absences *clock.Absences
	judge    *judge
	registry *registry
	events   *eventLog
	recent   *recentBeats
	alerts   *alerts

	observe   func(now clock.Instant)                                            // looks for an absence
	publish   func(r *record, ev *Event)                                         // numbers and stores an event; r.mu is held
	recordOwn func(kind EventKind, message string, d time.Duration) (log func()) // makes an event of LaneSwap itself
	wake      func(earlier bool)                                                 // wakes the watching loop

	past    past         // how times of earlier runs map to instants; set once, by restore
	began   atomic.Int64 // mono: when the reading of the storage began
	reading *reading     // nil without a storage, and before Start; guarded by the Manager's life
	ctx     context.Context
	cancel  context.CancelFunc // ends all reading and writing of the storage
	flush   chan struct{}      // closed when the writer must store the rest and end
	written chan struct{}      // closed when the writer has ended
	pruned  chan struct{}      // closed when the pruner has ended
	pruning context.Context
	noPrune context.CancelFunc // ends the pruning, before the writer stores the rest
}

// recordBytes is about how much memory a record takes besides its text.
const recordBytes = 300

func newStore(s Storage) *store {
	st := &store{
		storage: s, spans: newHistoryLists[span](), reported: newHistoryLists[ErrorRecord](),
		flush: make(chan struct{}), written: make(chan struct{}), pruned: make(chan struct{}),
	}
	if s != nil {
		st.journal = journal.New[lastSeen]()
	}
	st.ctx, st.cancel = context.WithCancel(context.Background())
	st.pruning, st.noPrune = context.WithCancel(st.ctx)
	return st
}

// persistent reports whether there is a storage.
func (s *store) persistent() bool { return s.storage != nil }

// rows yields rows of the storage: none without one.
func (s *store) rows(ctx context.Context, q RowQuery) iter.Seq2[Row, error] {
	if s.storage == nil {
		return func(func(Row, error) bool) {}
	}
	return s.storage.Rows(ctx, q)
}

// save notes the state of r and its closed spans. It returns the LSN to wait for, 0
// without a storage. r.mu is held.
func (s *store) save(r *record, durable bool) (lsn uint64) { return s.note(r, durable, nil) }

// note notes one change of r, which a restart sees as a whole or not at all: what
// happened, the closed spans, the new state of r, and what else follows. r.mu is held.
func (s *store) note(r *record, durable bool, happened []*entry, more ...*entry) (lsn uint64) {
	closed := r.closedSpans
	r.closedSpans = nil
	if !s.persistent() {
		for _, over := range closed {
			if r.spans == nil {
				r.spans = new(bounded.List[span])
			}
			s.spans.Add(r.spans, over, recordBytes+len(over.message), nil)
		}
		return 0
	}
	if r.isPending {
		return 0 // the stored state of r was not read yet, and must not be overwritten
	}
	var log []*entry
	for _, over := range closed {
		log = append(log, spanEntry(r.id, over))
	}
	log = append(log, happened...)
	now := s.now().Mono
	if r.removal != alive {
		return s.journal.Note(now, log, r.deletions())
	}
	state := &storedService{}
	state.from(r, s.judge)
	size := len(r.message)
	if r.stateDirty {
		size += metadataBytes(r.metadata)
	}
	for _, e := range happened {
		if ev, ok := e.Data.(*storedEvent); ok {
			ev.State = state
			e.Size += size
			if !r.stateDirty {
				bare := *state
				bare.Metadata, bare.Bare = nil, true
				ev.State = &bare
			}
		}
	}
	r.stateDirty, r.savedBeats = false, r.cell.Beats.Load()
	row := newEntry(KindService, string(r.id), string(r.id), r.created, state)
	row.Open, row.Size, row.Durable = true, size, durable
	lsn = s.journal.Note(now, log, append([]*entry{row}, more...))
	if durable {
		r.lsn.Store(lsn)
	}
	return lsn
}

// saveBeats notes the recent heartbeats of r. r.mu is held.
func (s *store) saveBeats(r *record) {
	r.beatsDirty = false
	recent := s.recent.copies(r.recent)
	if len(recent) == 0 {
		return
	}
	row := newEntry(kindBeats, string(r.id), string(r.id), recent[len(recent)-1].Last.UnixMilli(), &storedBeats{storedVersion, recent})
	row.Open, row.Size = true, recentBeatsBytes
	s.journal.Put(s.now().Mono, row)
}

// saveError notes a reported error, and deletes the oldest ones beyond the limit.
// r.mu is held.
func (s *store) saveError(r *record, rec ErrorRecord) (lsn uint64) {
	size := len(rec.Message) + len(rec.Stack) + metadataBytes(rec.Metadata)
	if !s.persistent() {
		if r.errorList == nil {
			r.errorList = new(bounded.List[ErrorRecord])
		}
		s.reported.Add(r.errorList, rec, recordBytes+size, nil)
		return 0
	}
	var gone []*entry
	for kept := uint64(s.opts.limits.Errors); r.errorCount-r.oldestError >= kept; r.oldestError++ {
		gone = append(gone, deletion(KindError, r.errorID(r.oldestError), r.id))
	}
	row := newEntry(KindError, rec.ID, string(r.id), rec.At.UnixMilli(), &storedError{storedVersion, rec})
	row.Size, row.Durable = size, true
	return s.note(r, true, []*entry{row}, gone...)
}

// saveAbsence notes an absence. One in which nothing was lost needs no memory.
func (s *store) saveAbsence(gone clock.Absence) {
	if !gone.Lost || gone.Length() < int64(time.Millisecond) {
		return
	}
	s.journal.Note(s.now().Mono, []*entry{absenceEntry(gone)}, nil)
}

// forget drops what is kept of r in memory.
func (s *store) forget(r *record) {
	s.recent.Clear(r.recent)
	s.spans.Clear(r.spans)
	s.reported.Clear(r.errorList)
}

// await waits until everything up to an LSN is durable, for 5 seconds at most. It
// returns ErrDegraded when that fails, and at once while the storage is degraded.
func (s *store) await(ctx context.Context, lsn uint64) error {
	if s.journal.Stored(lsn) {
		return nil
	}
	stored, more, degraded := s.journal.Await(lsn)
	if stored {
		return nil
	}
	patience := time.NewTimer(durableWithin)
	defer patience.Stop()
	for {
		if degraded {
			return ErrDegraded
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.written: // the writer has ended
		case <-patience.C:
			s.observe(s.now())
			if s.journal.Paused(s.now().Mono, s.absences.LatestBack()) {
				patience.Reset(durableWithin) // this process stood still, not the storage
				continue
			}
			if s.stage.Load() != stageStopped {
				s.degrade("")()
			}
			return ErrDegraded
		}
		if stored, more, degraded = s.journal.Await(lsn); stored {
			return nil
		}
		select {
		case <-s.written:
			return ErrDegraded
		default:
		}
	}
}

// acknowledge waits for what an answer acknowledges, and marks the answer when that
// is not durable.
func (s *store) acknowledge(ctx context.Context, st *ServiceStatus, lsn uint64) {
	st.NotDurable = st.NotDurable || s.await(ctx, lsn) != nil
}

// overdue reports whether the storage has not accepted a write for too long.
func (s *store) overdue() bool {
	return s.journal.Overdue(s.now().Mono, s.absences.LatestBack())
}

// degrade records, once, that the storage does not accept writes. It returns what
// logs it: a caller that holds locks lets another goroutine do that.
func (s *store) degrade(why string) (log func()) {
	if !s.journal.Degrade(s.now().Mono) {
		return func() {}
	}
	if why == "" {
		why = "the storage has not accepted a write for 5 seconds; LaneSwap keeps the changes in memory and goes on watching"
	}
	return s.recordOwn(EventStorageAway, why, 0)
}

// reportOwn records an event of LaneSwap itself and logs it. It is called without
// locks.
func (s *store) reportOwn(kind EventKind, message string, d time.Duration) {
	s.recordOwn(kind, message, d)()
}

// health returns the state of the storage, nil without one.
func (s *store) health() *StorageHealth {
	if !s.persistent() {
		return nil
	}
	rows, since, lost, fenced := s.journal.Backlog()
	h := &StorageHealth{State: "ok", Backlog: rows, Lost: lost}
	degraded := since != 0
	switch {
	case s.stage.Load() <= stageLoading:
		h.State, since = "loading", s.began.Load()
	case fenced:
		h.State = "fenced"
	case degraded:
		h.State = "degraded"
	}
	if h.State != "ok" && since != 0 {
		h.Since = clock.WallTime(s.absences.Wall(since) / int64(time.Millisecond))
	}
	return h
}

// closePatience is how long close waits for a storage whose context has ended.
const closePatience = time.Second

// close stores what is left until ctx ends.
func (s *store) close(ctx context.Context) error {
	if !s.persistent() {
		return nil
	}
	defer s.cancel()
	s.noPrune() // a storage with one writer at a time is for the backlog now
	close(s.flush)
	select {
	case <-s.written:
	case <-ctx.Done():
	}
	s.cancel()
	patience, cancel := context.WithTimeout(context.Background(), closePatience)
	defer cancel()
	for _, done := range []chan struct{}{s.written, s.pruned} {
		select {
		case <-done:
		case <-patience.Done(): // a storage that ignores its context
		}
	}
	if rows, _, _, _ := s.journal.Backlog(); rows > 0 {
		return fmt.Errorf("%w: %d rows are not stored", ErrDegraded, rows)
	}
	return nil
}

// unreadable counts the rows of one reading that cannot be decoded. They are left
// out and hide nothing else.
type unreadable struct {
	rows  int
	first error
}

// skip reports whether to leave a row out, which is so when err is not nil.
func (u *unreadable) skip(err error) bool {
	if err == nil {
		return false
	}
	if u.rows++; u.rows == 1 {
		u.first = err
	}
	return true
}

// log logs once what was left out: there may be many rows, and each reading finds them
// again.
func (u *unreadable) log(log *slog.Logger, id ServiceID) {
	if u.rows > 0 {
		log.Warn("stored rows of a service cannot be read and are left out", "service", id, "err", fmt.Errorf("%d rows: %w", u.rows, u.first))
	}
}

// storageFailed wraps the error of a failed read. It returns the error of ctx if ctx
// has ended.
func storageFailed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrStorage, err)
}
