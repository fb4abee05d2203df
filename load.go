package laneswap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/laneswap/laneswap/internal/journal"
)

// loaded is what the storage held at the start.
type loaded struct {
	services []*storedService
	seen     map[string]int64 // wall ms
	beats    map[string]*storedBeats
	alive    *storedAlive
	until    int64           // wall ms: when we listened last; 0 when nobody knows
	recent   []*readEvent    // the latest events, by sequence: more than are kept in memory
	events   []*Event        // those that are kept in memory
	floor    uint64          // events up to that number may be missing
	absences []storedAbsence // the latest, oldest first
	whole    bool            // absences are all that there were
	notices  []storedNotice
	redone   redone
	ledger   *ledger
	unread   []string           // what could not be read, for people
	rows     map[ServiceID]bool // services of which there is a row, read or not
	progress func()             // called with each row
}

// maxStoredID bounds the ids of services that other programs stored: those of
// their events are longer, and a storage takes 512 bytes.
const maxStoredID = 300

// loadStall is how long a storage may yield nothing while it is read.
const loadStall = 30 * time.Second

var errStalled = errors.New("it yields nothing")

// read reads a storage. The error matches ErrStorage.
func read(ctx context.Context, s Storage, events int) (l *loaded, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
		if err != nil {
			l, err = nil, fmt.Errorf("%w: %w", ErrStorage, err)
		}
	}()
	// A storage that yields nothing for long is asked again.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(loadStall, func() { cancel(errStalled) })
	defer stalled.Stop()
	l = &loaded{seen: map[string]int64{}, beats: map[string]*storedBeats{}, rows: map[ServiceID]bool{}}
	l.progress = func() {
		stalled.Reset(loadStall)
	}
	if err := l.readOpen(ctx, s); err != nil {
		return nil, err
	}
	if err := l.readEvents(ctx, s, events); err != nil {
		return nil, err
	}
	l.redone = l.redo()
	if err := l.readLedger(ctx, s); err != nil {
		return nil, err
	}
	return l, l.readAbsences(ctx, s)
}

// readOpen reads the rows that are open: most of the work of a start.
func (l *loaded) readOpen(ctx context.Context, s Storage) error {
	var rows []Row
	for row, err := range s.Load(ctx) {
		if err != nil {
			return err
		}
		l.progress()
		switch row.Kind {
		case KindService:
			rows = append(rows, row)
		case KindSeen:
			l.seen[row.Service] = row.At.UnixMilli()
		case kindBeats:
			var b storedBeats
			if l.note(decode(row, &b, &b.Version)) {
				l.beats[row.ID] = &b
			}
		case kindOutbox:
			var n storedNotice
			err := decode(row, &n, &n.Version)
			if err == nil && n.Event == nil {
				err = fmt.Errorf("%s %q: holds no event", row.Kind, row.ID)
			}
			if l.note(err) {
				l.notices = append(l.notices, n)
			}
		case kindAlive:
			var a storedAlive
			err := decode(row, &a, &a.Version)
			if errors.Is(err, errNewer) {
				return err
			}
			if err == nil && (a.Next == 0 || a.Next >= maxSequence) {
				err = fmt.Errorf("%s %q: no event has the number %d", row.Kind, row.ID, a.Next)
			}
			if l.note(err) {
				l.alive = &a
			}
			l.until = row.At.UnixMilli()
		}
	}
	services, errs := decodeAll(rows)
	for i, err := range errs {
		l.rows[ServiceID(rows[i].ID)] = true
		if err == nil {
			l.services = append(l.services, services[i])
		} else if !l.note(err) && errors.Is(err, errNewer) {
			return err
		}
	}
	return nil
}

// decodeAll decodes service rows on all processors.
func decodeAll(rows []Row) ([]*storedService, []error) {
	services, errs := make([]*storedService, len(rows)), make([]error, len(rows))
	spread(len(rows), func(i int) {
		s := &storedService{}
		services[i], errs[i] = s, decode(rows[i], s, &s.Version)
		s.ID = ServiceID(rows[i].ID)
		if errs[i] == nil && len(rows[i].ID) > maxStoredID {
			errs[i] = fmt.Errorf("%s %.80q: the id is %d bytes long, the limit is %d", rows[i].Kind, rows[i].ID, len(rows[i].ID), maxStoredID)
		}
		if errs[i] == nil && s.Version > 0 {
			errs[i] = s.check() // that of another program is adopted, whatever it is
		}
		rows[i].Data = nil
	})
	return services, errs
}

// spread does n pieces of work on all processors.
func spread(n int, work func(i int)) {
	workers := runtime.GOMAXPROCS(0)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < n; i += workers {
				work(i)
			}
		})
	}
	group.Wait()
}

// note remembers what could not be read; false when err is one.
func (l *loaded) note(err error) bool {
	if err != nil {
		l.unread = append(l.unread, err.Error())
	}
	return err == nil
}

// redoMost is how many of the latest events may be ahead of the states: those of
// one flight, and what the order of time and of numbers differ by.
const redoMost = 4 * journal.BatchRows

// readEvents reads the latest events, of which n are kept.
func (l *loaded) readEvents(ctx context.Context, s Storage, n int) error {
	most := max(n, redoMost)
	var rows []Row
	for row, err := range s.Rows(ctx, RowQuery{Kind: KindEvent, Descending: true, Limit: most}) {
		if err != nil {
			return err
		}
		l.progress()
		rows = append(rows, row)
	}
	recent, errs := make([]*readEvent, len(rows)), make([]error, len(rows))
	spread(len(rows), func(i int) { recent[i], errs[i] = decodeEvent(rows[i]) })
	for i, ev := range recent {
		if l.note(errs[i]) {
			l.recent = append(l.recent, ev)
		}
	}
	slices.SortFunc(l.recent, func(a, b *readEvent) int { return cmp.Compare(a.Event.Sequence, b.Event.Sequence) })
	kept := l.recent
	switch {
	case len(kept) >= most:
		// The storage knows their times, not their numbers, and the two differ a
		// little: what was not read may be younger than the oldest that were.
		kept = kept[len(kept)/16:]
		l.floor = kept[0].Event.Sequence - 1
	case len(kept) > 0:
		l.floor = kept[0].Event.Sequence - 1
	case l.alive != nil:
		l.floor = l.alive.Next - 1
	}
	if len(kept) > n {
		l.floor = kept[len(kept)-n-1].Event.Sequence
		kept = kept[len(kept)-n:]
	}
	for _, ev := range kept {
		l.events = append(l.events, ev.Event)
	}
	return nil
}

func (l *loaded) readAbsences(ctx context.Context, s Storage) error {
	for row, err := range s.Rows(ctx, RowQuery{Kind: kindAbsence, Descending: true, Limit: absenceKept}) {
		if err != nil {
			return err
		}
		var a storedAbsence
		if l.note(decode(row, &a, &a.Version)) {
			l.absences = append(l.absences, a)
		}
	}
	l.whole = len(l.absences) < absenceKept
	slices.Reverse(l.absences)
	return nil
}

// strays deletes what is stored of services of which there is no row.
func (l *loaded) strays() (gone []*entry) {
	add := func(kind Kind, id string) {
		if !l.rows[ServiceID(id)] {
			gone = append(gone, &entry{Key: key(kind, id), Service: id, Delete: true})
		}
	}
	for id := range l.seen {
		add(KindSeen, id)
	}
	for id := range l.beats {
		add(kindBeats, id)
	}
	return gone
}
