package laneswap

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

// SpanState says on which side a span counts.
type SpanState string

// The states of spans.
const (
	// SpanUp is a run of good statuses.
	SpanUp SpanState = "up"
	// SpanDown is a run of one bad status.
	SpanDown SpanState = "down"
	// SpanUnknown is a run of unknown: neither up nor down.
	SpanUnknown SpanState = "unknown"
)

// Span is a run of one kind of status: all good ones are one run, every other
// status is one of its own.
type Span struct {
	State SpanState
	// Status is the latest one of the run.
	Status Status
	From   time.Time
	// To is zero while the run lasts.
	To time.Time
	// Beats counts the heartbeats of the run. While it lasts, and after a crash,
	// it may lack those of the last hour.
	Beats uint64
	// LongestGap is the longest silence that a heartbeat of the run ended.
	LongestGap time.Duration
	// Message is the last one of the run.
	Message string
	// Incident is the id of the incident that the run belongs to, or "".
	Incident string
}

// PastIncident is an incident as history tells it.
type PastIncident struct {
	ID        string
	StartedAt time.Time
	// EndedAt is zero when it had not ended by the end of the period.
	EndedAt time.Time
	// Duration is from its start to its end, or to the end of the period.
	Duration time.Duration
	// Worst is the worst status that it had in the period.
	Worst Status
	// Cause says, for people, what opened it.
	Cause string
}

// Absence is a time in which LaneSwap itself could not hear, and in which
// heartbeats may have been lost.
type Absence struct{ From, To time.Time }

// HistoryQuery selects a period of the history of a service.
type HistoryQuery struct {
	// From is the beginning of the period; zero means 24 hours before To.
	From time.Time
	// To is the end of the period; zero, and whatever is not over yet, means now.
	To time.Time
	// Limit is the greatest number of spans, of incidents, of absences and of
	// events that are listed, 1 to 10,000; zero means 1,000.
	Limit int
}

// History is how a service fared in a period. Up, Down, Unknown and Absent add up
// to the period: to the millisecond, up to the last second before a crash of
// LaneSwap.
type History struct {
	Service  ServiceID
	From, To time.Time
	// KnownFrom is from when on something is kept of the service; it is after From
	// when the period begins before that, and To when nothing is known.
	KnownFrom time.Time
	// Up and Down are how long its status was good and bad, as far as LaneSwap
	// could hear.
	Up, Down time.Duration
	// Unknown is how long it was neither, and what of the period is not known.
	Unknown time.Duration
	// Absent is how long LaneSwap could not hear, as far as something is known of
	// the service before and after.
	Absent time.Duration
	// IncidentCount is how many incidents touch the period; Recovered is how many
	// of them ended in it.
	IncidentCount, Recovered int
	// MeanTimeToRecovery is the mean duration of those that ended in the period;
	// zero when there were none.
	MeanTimeToRecovery time.Duration

	// The lists are in the order of time. Where they would be longer than the
	// limit they hold the newest, and Truncated is set; the figures above cover all.
	Spans     []Span
	Incidents []PastIncident
	Absences  []Absence
	Events    []Event
	Truncated bool
}

// Uptime is Up in percent of Up and Down. ok is false when there was neither.
func (h History) Uptime() (percent float64, ok bool) {
	heard := h.Up + h.Down
	if heard <= 0 {
		return 0, false
	}
	return 100 * float64(h.Up) / float64(heard), true
}

const (
	historyPeriod   = 24 * time.Hour // when a query does not say from when
	historyLimit    = 1000           // of each list
	maxHistoryLimit = 10_000         // of each list, when asked for more
)

// History tells how a service fared in a period: its spans, incidents, events,
// and how long it was up and down. The error matches ErrServiceNotFound,
// ErrInvalidQuery, or ErrStorage when the storage cannot be read.
func (m *Manager) History(ctx context.Context, id ServiceID, q HistoryQuery) (History, error) {
	h, err := m.history(ctx, id, q)
	if err != nil {
		return History{}, failed("history", id, err)
	}
	return h, nil
}

func (m *Manager) history(ctx context.Context, id ServiceID, q HistoryQuery) (History, error) {
	if err := m.readable(ctx); err != nil {
		return History{}, err
	}
	r, err := m.find(id)
	if err != nil {
		return History{}, err
	}
	m.catchUp(m.now())
	r.mu.Lock()
	now := m.now()
	if r.removal != alive {
		r.mu.Unlock()
		return History{}, ErrServiceNotFound
	}
	m.judgeNow(r, now)
	if m.stage.Load() == stageStopped {
		now = m.absences.Observed() // nobody has listened since
	}
	end := max(m.absences.Wall(now.Mono)/int64(time.Millisecond), r.statusSince)
	present := r.currentSpan(end)
	kept := m.store.spans.All(r.past)
	r.mu.Unlock()

	t := &historyBuilder{}
	if t.from, t.to, t.limit, err = q.period(end); err != nil {
		return History{}, err
	}
	t.begin(id, present)
	// The backlog is read first: what is stored meanwhile is then found twice, and not
	// missed.
	spans, gone := kept, wallsOf(m.absences)
	for _, data := range m.store.journal.Pending(string(kindSpan), string(id)) {
		spans = append(spans, data.(*storedSpan).span())
	}
	for _, data := range m.store.journal.Pending(string(kindAbsence), "") {
		gone = append(gone, *data.(*storedAbsence))
	}
	if err = m.store.readHistory(ctx, id, t, inOrder(spans), gone); err != nil {
		return History{}, err
	}
	t.add(present)
	h := t.build()
	return h, m.historyEvents(ctx, id, t, &h)
}

// period checks the query. Times are wall ms.
func (q HistoryQuery) period(now int64) (from, to int64, limit int, err error) {
	to, limit = now, q.Limit
	if !q.To.IsZero() {
		to = min(now, q.To.UnixMilli())
	}
	from = to - historyPeriod.Milliseconds()
	if !q.From.IsZero() {
		from = q.From.UnixMilli()
	}
	switch {
	case from < 0:
		return 0, 0, 0, invalid(ErrInvalidQuery, "from", "is before 1970")
	case from >= to:
		return 0, 0, 0, invalid(ErrInvalidQuery, "from", "is not before the end of the period, %s", clock.WallTime(to).Format(time.RFC3339))
	case limit < 0 || limit > maxHistoryLimit:
		return 0, 0, 0, invalid(ErrInvalidQuery, "limit", "is %d, it must be from 1 to %d", limit, maxHistoryLimit)
	case limit == 0:
		limit = historyLimit
	}
	return from, to, limit, nil
}

// readHistory counts the spans and absences of a period that the storage holds, together
// with those that are known already; known is in order.
func (s *store) readHistory(ctx context.Context, id ServiceID, t *historyBuilder, known []span, gone []storedAbsence) error {
	var bad unreadable
	defer func() { bad.log(s.log, id) }()
	for row, err := range s.rows(ctx, RowQuery{Kind: kindAbsence, From: clock.WallTime(t.from)}) {
		if err != nil {
			return storageFailed(ctx, err)
		}
		var a storedAbsence
		if bad.skip(decode(row, &a, &a.Version)) {
			continue
		}
		if a.From >= t.to {
			break
		}
		gone = append(gone, a)
	}
	t.addAbsences(gone)
	// A span is stored under the time of its end, and there are no two at once: those
	// that end after the beginning, up to the first that begins after the end.
	next := 0 // of the known ones
	for row, err := range s.rows(ctx, RowQuery{Kind: kindSpan, Service: string(id), From: clock.WallTime(t.from)}) {
		if err != nil {
			return storageFailed(ctx, err)
		}
		var stored storedSpan
		if bad.skip(decode(row, &stored, &stored.Version)) {
			continue
		}
		s := stored.span()
		for ; next < len(known) && known[next].compare(s) < 0; next++ {
			t.add(known[next])
		}
		_, twice := slices.BinarySearchFunc(known, s, span.compare)
		// A removal that was not stored as a whole ended the run that goes on.
		if !twice && s.compare(t.present) != 0 {
			t.add(s)
		}
		if s.from >= t.to && s.to > t.to {
			break
		}
	}
	for _, s := range known[next:] {
		t.add(s)
	}
	return nil
}

// historyEvents adds the events of the period.
func (m *Manager) historyEvents(ctx context.Context, id ServiceID, t *historyBuilder, h *History) error {
	found := map[string]Event{}
	from, to := clock.WallTime(t.from), clock.WallTime(t.to+1)
	add := func(ev *Event) {
		if ev.Service == id && !ev.At.Before(from) && ev.At.Before(to) {
			found[ev.ID] = *ev
		}
	}
	cursor, _ := m.ring.cursor(0)
	for {
		evs, gone, _, _ := m.ring.page(cursor, 1024)
		if gone {
			cursor, _ = m.ring.cursor(0)
			continue
		}
		if len(evs) == 0 || evs[len(evs)-1].Sequence <= cursor {
			break
		}
		for _, ev := range evs {
			add(ev)
			cursor = ev.Sequence
		}
	}
	if m.store.persistent() {
		q := RowQuery{Kind: KindEvent, Service: string(id), From: from, To: to, Descending: true, Limit: t.limit + 1}
		var bad unreadable
		defer func() { bad.log(m.log, id) }()
		n := 0
		for row, err := range m.store.rows(ctx, q) {
			if err != nil {
				return storageFailed(ctx, err)
			}
			n++
			if ev, err := decodeEvent(row); !bad.skip(err) {
				add(ev.Event)
			}
		}
		h.Truncated = h.Truncated || n > t.limit // also where one of them is left out
	}
	for _, ev := range found {
		h.Events = append(h.Events, ev)
	}
	slices.SortFunc(h.Events, func(a, b Event) int { return cmp.Compare(a.Sequence, b.Sequence) })
	h.Events = latest(h.Events, t.limit, &h.Truncated)
	return nil
}

// storageFailed is the error of a reading that failed: that of its context, if
// that has ended.
func storageFailed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrStorage, err)
}

// wallsOf returns absences as they are stored.
func wallsOf(a *clock.Absences) []storedAbsence {
	const ms = int64(time.Millisecond)
	var out []storedAbsence
	for _, g := range a.Single() {
		out = append(out, storedAbsence{storedVersion, g.From.Wall / ms, g.Back.Wall / ms, g.Lost, g.Cut})
	}
	return out
}
