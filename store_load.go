package laneswap

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
	"github.com/laneswap/laneswap/internal/journal"
)

// loaded holds what the storage held at the start.
type loaded struct {
	serviceRows []Row // not decoded yet
	services    []*storedService
	seen        map[string]int64 // wall ms
	beats       map[string]*storedBeats
	alive       *storedAlive
	until       int64           // wall ms: when LaneSwap last received heartbeats; 0 when unknown
	recent      []*readEvent    // the latest events, by sequence: more than memory keeps
	events      []*Event        // those that memory keeps
	floor       uint64          // events up to that number may be missing
	absences    []storedAbsence // the latest, oldest first
	whole       bool            // absences has all that are stored
	notices     []storedNotice
	replayed    replayed
	delivered   *delivered
	unread      []string           // rows that could not be read, for the log
	rows        map[ServiceID]bool // services that have a row, readable or not
	progress    func()             // called with each row
}

// maxStoredID bounds the ids of services that other programs stored. The ids of
// their events are longer, and a storage accepts 512 bytes.
const maxStoredID = 300

// loadStall is how long a storage may yield no row while LaneSwap reads it.
const loadStall = 30 * time.Second

var errStalled = errors.New("the storage yielded no row for 30 seconds")

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
	// The caller tries again after a stall.
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
	l.replayed = l.replay()
	if err := l.readDelivered(ctx, s); err != nil {
		return nil, err
	}
	return l, l.readAbsences(ctx, s)
}

// readOpen reads the open rows: most of the work of a start.
func (l *loaded) readOpen(ctx context.Context, s Storage) error {
	for row, err := range s.Load(ctx) {
		if err != nil {
			return err
		}
		l.progress()
		kind := rowKinds[row.Kind]
		if kind.load == nil {
			continue // of a kind that is read when it is asked for, or that a newer LaneSwap has added
		}
		err = kind.load(l, row)
		if kind.vital && errors.Is(err, errNewer) {
			return err
		}
		l.note(err)
	}
	services, errs := decodeAll(l.serviceRows)
	for i, err := range errs {
		l.rows[ServiceID(l.serviceRows[i].ID)] = true
		if err == nil {
			l.services = append(l.services, services[i])
		} else if !l.note(err) && errors.Is(err, errNewer) {
			return err
		}
	}
	l.serviceRows = nil
	return nil
}

// loadService keeps a service row: decodeAll decodes them together.
func (l *loaded) loadService(row Row) error {
	l.serviceRows = append(l.serviceRows, row)
	return nil
}

func (l *loaded) loadSeen(row Row) error {
	l.seen[row.Service] = row.At.UnixMilli()
	return nil
}

func (l *loaded) loadBeats(row Row) error {
	var b storedBeats
	err := decode(row, &b, &b.Version)
	if err == nil {
		l.beats[row.ID] = &b
	}
	return err
}

func (l *loaded) loadNotice(row Row) error {
	var n storedNotice
	err := decode(row, &n, &n.Version)
	if err == nil && n.Event == nil {
		err = fmt.Errorf("%s %q: holds no event", row.Kind, row.ID)
	}
	if err == nil {
		l.notices = append(l.notices, n)
	}
	return err
}

func (l *loaded) loadAlive(row Row) error {
	l.until = row.At.UnixMilli()
	var a storedAlive
	err := decode(row, &a, &a.Version)
	if err == nil && (a.Next == 0 || a.Next >= maxSequence) {
		err = fmt.Errorf("%s %q: the next event cannot have the number %d", row.Kind, row.ID, a.Next)
	}
	if err == nil {
		l.alive = &a
	}
	return err
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
			errs[i] = s.valid() // the import converts any row of another program
		}
		rows[i].Data = nil
	})
	return services, errs
}

// spread runs work(0) to work(n-1) on all processors.
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

// note remembers a row that could not be read. It returns false when err is not nil.
func (l *loaded) note(err error) bool {
	if err != nil {
		l.unread = append(l.unread, err.Error())
	}
	return err == nil
}

// maxReplay is how many of the latest events may be ahead of the states: those of
// one commit, and a margin because the order of time differs from that of numbers.
const maxReplay = 4 * journal.MaxCommitRows

// readEvents reads the latest events, and keeps n of them.
func (l *loaded) readEvents(ctx context.Context, s Storage, n int) error {
	limit := max(n, maxReplay)
	var rows []Row
	for row, err := range s.Rows(ctx, RowQuery{Kind: KindEvent, Descending: true, Limit: limit}) {
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
	case len(kept) >= limit:
		// The storage orders by time, not by number, and the two differ a little:
		// an event that was not read may have a higher number than the oldest read.
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
	for row, err := range s.Rows(ctx, RowQuery{Kind: kindAbsence, Descending: true, Limit: clock.MaxKept}) {
		if err != nil {
			return err
		}
		var a storedAbsence
		if l.note(decode(row, &a, &a.Version)) {
			l.absences = append(l.absences, a)
		}
	}
	l.whole = len(l.absences) < clock.MaxKept
	slices.Reverse(l.absences)
	return nil
}

// orphans deletes rows of services that have no service row.
func (l *loaded) orphans() (gone []*entry) {
	add := func(kind Kind, id string) {
		if !l.rows[ServiceID(id)] {
			gone = append(gone, deletion(kind, id, ServiceID(id)))
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

// When LaneSwap is killed, a storage without transactions may hold an event and not
// yet the state that followed. Each event therefore carries that state.

// replayed holds the changes to states that lagged behind their events.
type replayed struct {
	states map[ServiceID]bool // services whose states changed
	gone   map[ServiceID]bool // services that turned out to be removed
	runs   []*entry           // spans that closed
	events []*Event           // events that the notifiers may not know
}

// replay brings the states up to the latest events.
func (l *loaded) replay() replayed {
	done := replayed{states: map[ServiceID]bool{}, gone: map[ServiceID]bool{}}
	at := make(map[ServiceID]int, len(l.services))
	for i, s := range l.services {
		at[s.ID] = i
	}
	for _, ev := range l.recent {
		i, known := at[ev.Event.Service]
		if !known {
			continue
		}
		s := l.services[i]
		born, _, transitions, ok := transitionOf(ev.Event.ID)
		if !ok || s.Version == 0 || born != s.Born || transitions <= s.Transitions {
			continue
		}
		run := span{
			born: s.Born, number: s.Transitions, state: s.Side, status: s.Status, from: s.Since,
			to: max(s.Since, ev.Event.At.UnixMilli()), gap: int64(s.Gap), message: s.Message, incident: s.incident(),
		}
		if ev.Event.Kind == EventRemoved {
			run.beats = s.Beats - min(s.Beats, s.RunBeats)
			done.gone[s.ID] = true
		} else {
			next := &storedService{}
			err := json.Unmarshal(ev.State, next)
			if err == nil {
				err = next.valid()
			}
			if !l.note(err) || next.ID != s.ID {
				continue
			}
			if next.Bare {
				next.Metadata, next.Bare = s.Metadata, false
			}
			run.beats = next.RunBeats - min(next.RunBeats, s.RunBeats)
			l.services[i] = next
		}
		done.states[s.ID] = true
		done.runs = append(done.runs, spanEntry(s.ID, run))
		done.events = append(done.events, ev.Event)
	}
	l.services = slices.DeleteFunc(l.services, func(s *storedService) bool { return done.gone[s.ID] })
	return done
}

// incident returns the open incident, nil when there is none.
func (s *storedService) incident() *incident { return s.Incident.incident() }
