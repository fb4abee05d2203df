package laneswap

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// loaded is what the storage held at the start.
type loaded struct {
	services []*storedService
	seen     map[string]int64 // wall ms
	beats    map[string]*storedBeats
	alive    *storedAlive
	until    int64           // wall ms: when we listened last; 0 when nobody knows
	events   []*Event        // the latest, by sequence
	floor    uint64          // events up to that number may be missing
	absences []storedAbsence // the latest, oldest first
	whole    bool            // absences are all that there were
	notices  []storedNotice
	unread   []string // what could not be read, for people
	progress func()   // called with each row
}

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
	l = &loaded{seen: map[string]int64{}, beats: map[string]*storedBeats{}, progress: func() { stalled.Reset(loadStall) }}
	if err := l.readOpen(ctx, s); err != nil {
		return nil, err
	}
	if err := l.readEvents(ctx, s, events); err != nil {
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
			if l.note(decode(row, &n, &n.Version)) {
				l.notices = append(l.notices, n)
			}
		case kindAlive:
			l.alive = &storedAlive{}
			if err := decode(row, l.alive, &l.alive.Version); err != nil {
				return err
			}
			l.until = row.At.UnixMilli()
		}
	}
	services, errs := decodeAll(rows)
	for i, err := range errs {
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
	workers := runtime.GOMAXPROCS(0)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < len(rows); i += workers {
				s := &storedService{}
				services[i], errs[i] = s, decode(rows[i], s, &s.Version)
				if s.ID == "" || string(s.ID) != rows[i].ID {
					s.ID = ServiceID(rows[i].ID)
				}
				rows[i].Data = nil
			}
		})
	}
	group.Wait()
	return services, errs
}

// note remembers what could not be read; false when err is one.
func (l *loaded) note(err error) bool {
	if err != nil {
		l.unread = append(l.unread, err.Error())
	}
	return err == nil
}

// readEvents reads the latest events, at most n.
func (l *loaded) readEvents(ctx context.Context, s Storage, n int) error {
	for row, err := range s.Rows(ctx, RowQuery{Kind: KindEvent, Descending: true, Limit: n}) {
		if err != nil {
			return err
		}
		l.progress()
		ev, version := &Event{}, 0
		if l.note(decode(row, ev, &version)) {
			l.events = append(l.events, ev)
		}
	}
	full := len(l.events) == n
	slices.SortFunc(l.events, func(a, b *Event) int { return int(int64(a.Sequence) - int64(b.Sequence)) })
	switch {
	case full:
		// The storage knows their times, not their numbers, and the two differ a
		// little: what was not read may be younger than the oldest that were.
		cut := len(l.events) / 16
		l.floor = l.events[cut].Sequence
		l.events = l.events[cut+1:]
	case len(l.events) > 0:
		l.floor = l.events[0].Sequence - 1
	case l.alive != nil:
		l.floor = l.alive.Next - 1
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

// strays are the ids of what is stored of services; some may be gone.
func (l *loaded) strays() map[ServiceID]bool {
	ids := map[ServiceID]bool{}
	for id := range l.seen {
		ids[ServiceID(id)] = true
	}
	for id := range l.beats {
		ids[ServiceID(id)] = true
	}
	return ids
}

// redo brings the services to where the latest events say that they are: a
// storage without transactions may have stored what happened and not yet the
// state that it led to. It returns those that were changed, and those that turned
// out to be removed.
func (l *loaded) redo() (changed, gone map[ServiceID]bool) {
	changed, gone = map[ServiceID]bool{}, map[ServiceID]bool{}
	byID := make(map[ServiceID]*storedService, len(l.services))
	for _, s := range l.services {
		byID[s.ID] = s
	}
	for _, ev := range l.events {
		s := byID[ev.Service]
		born, incidents, transitions, ok := transitionOf(ev.ID)
		if !ok || s == nil || s.Version == 0 || born != s.Born || transitions <= s.Transitions {
			continue
		}
		changed[s.ID] = true
		gone[s.ID] = ev.Kind == EventRemoved
		s.redo(ev, incidents, transitions)
	}
	l.services = slices.DeleteFunc(l.services, func(s *storedService) bool { return gone[s.ID] })
	return changed, gone
}

// redo applies an event that the state does not know of.
func (s *storedService) redo(ev *Event, incidents, transitions uint64) {
	if s.Reported == "" {
		s.Reported = s.Status
	}
	at := ev.At.UnixMilli()
	s.Status, s.Since, s.Stamped = ev.To, at, max(s.Stamped, at)
	s.Transitions, s.Incidents = transitions, max(s.Incidents, incidents)
	s.RunBeats, s.Gap = s.Beats, 0
	switch {
	case ev.To == StatusStale, ev.Kind == EventUnheard:
		s.Judged, s.EndedAt = true, at
	default:
		s.Reported, s.Message = ev.To, ev.Message
		s.Armed, s.Judged = ev.To != StatusShutdown, false
		if ev.At.After(s.LastHeartbeat) {
			s.LastHeartbeat = ev.At
		}
	}
	switch {
	case ev.Kind == EventDown:
		s.Incident = &storedIncident{ID: ev.Incident, StartedAt: ev.StartedAt.UnixMilli(), Cause: ev.Cause}
		if !ev.SilentSince.IsZero() {
			s.Incident.SilentSince = ev.SilentSince.UnixMilli()
		}
	case ev.Kind == EventRecovered:
		s.Incident = nil
	}
}

// Rows of other programs.
const (
	importSilence = 24 * time.Hour      // longer, and nobody is alarmed about the service
	importKept    = 30 * 24 * time.Hour // then it is forgotten
)

// adopt makes a service of our own of one that another program has written: a
// LaneSwap in Python keeps the id, the name, the status, the message, the
// metadata and two times, and left a new id behind at each restart of a client.
func (s *storedService) adopt(now int64) {
	made := s.CreatedAt
	if made.IsZero() {
		made = s.LastHeartbeat
	}
	if made.IsZero() {
		made = wallTime(now)
	}
	last := s.LastHeartbeat
	if last.Before(made) {
		last = made
	}
	said := s.Status
	if !said.Valid() {
		said = Status(strings.ToLower(string(said)))
	}
	if !said.Valid() {
		said = StatusUnknown
	}
	*s = storedService{
		Version: storedVersion, ID: s.ID, Name: s.Name, Status: said, Message: s.Message, Metadata: s.Metadata,
		CreatedAt: made, LastHeartbeat: s.LastHeartbeat, Reported: said, Made: uuid.MatchString(string(s.ID)),
		Born: made.UnixMilli(), Since: last.UnixMilli(), Stamped: last.UnixMilli(), Armed: true, ArmedAt: made.UnixMilli(),
	}
	if !s.LastHeartbeat.IsZero() {
		s.Beats = 1
	}
	silent := now - last.UnixMilli()
	switch {
	case silent > importSilence.Milliseconds():
		s.Status, s.Reported, s.Armed = StatusUnknown, StatusUnknown, false
		s.EndedAt, s.Foreign = now, true
	case said == StatusStale, said.Bad():
		s.Incidents = 1
		s.Incident = &storedIncident{StartedAt: last.UnixMilli(), Cause: "was " + string(said) + " when LaneSwap took it over"}
		if said == StatusStale {
			s.Reported, s.Judged, s.EndedAt = StatusUnknown, true, now
			s.Incident.SilentSince = last.UnixMilli()
		}
	case said == StatusShutdown:
		s.Armed, s.EndedAt = false, now
	}
}
