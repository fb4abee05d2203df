package laneswap

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/laneswap/laneswap/internal/clock"
)

// SpanState says whether a span counts as up, down or unknown.
type SpanState string

// The states of spans.
const (
	// SpanUp is a span of good statuses.
	SpanUp SpanState = "up"
	// SpanDown is a span of one bad status.
	SpanDown SpanState = "down"
	// SpanUnknown is a span of unknown: neither up nor down.
	SpanUnknown SpanState = "unknown"
)

// Span is a stretch of time in which a service kept one kind of status. Consecutive
// good statuses form one span. Every other status forms a span of its own.
type Span struct {
	State SpanState
	// Status is the latest status of the span.
	Status Status
	From   time.Time
	// To is zero while the span lasts.
	To time.Time
	// Beats counts the heartbeats of the span. While the span lasts, and after a crash,
	// the heartbeats of the last hour may be missing from the count.
	Beats uint64
	// LongestGap is the longest silence that a heartbeat of the span ended.
	LongestGap time.Duration
	// Message is the last message of the span.
	Message string
	// Incident is the id of the incident that the span belongs to, or "".
	Incident string
}

// PastIncident is an incident in a History.
type PastIncident struct {
	ID        string
	StartedAt time.Time
	// EndedAt is zero when the incident is still open at the end of the period.
	EndedAt time.Time
	// Duration is the time from the start of the incident to its end, or to the end of
	// the period.
	Duration time.Duration
	// Worst is the most urgent status of the incident in the period.
	Worst Status
	// Cause describes for display what opened the incident.
	Cause string
}

// Absence is a time in which LaneSwap itself could not receive heartbeats, such as a
// restart. Heartbeats may have been lost in it.
type Absence struct{ From, To time.Time }

// HistoryQuery selects a period of the history of a service.
type HistoryQuery struct {
	// From is the start of the period. Zero means 24 hours before To.
	From time.Time
	// To is the end of the period. Zero, or a time in the future, means now.
	To time.Time
	// Limit is the maximum length of each list of History, 1 to 10,000. Zero means
	// 1,000.
	Limit int
}

// History holds the spans, incidents, absences and events of a service in a period. Up,
// Down, Unknown and Absent add up to the period, to the millisecond. After a crash of
// LaneSwap they may be wrong by the last second before it.
type History struct {
	Service  ServiceID
	From, To time.Time
	// KnownFrom is the start of the first known span in the period, or To when none is
	// known.
	KnownFrom time.Time
	// Up and Down are how long the status was good and bad, without absences.
	Up, Down time.Duration
	// Unknown is how long the status was unknown, including the parts of the period
	// without a known span.
	Unknown time.Duration
	// Absent is how long LaneSwap could not receive heartbeats during known spans.
	Absent time.Duration
	// IncidentCount is the number of incidents that overlap the period. Recovered is
	// the number of incidents that ended in it.
	IncidentCount, Recovered int
	// MeanTimeToRecovery is the mean duration of the incidents that ended in the
	// period, and zero when none did.
	MeanTimeToRecovery time.Duration

	// The lists are in ascending order of time. A list that exceeds the limit holds its
	// newest entries, and Truncated is set. The figures above always cover the whole
	// period.
	Spans     []Span
	Incidents []PastIncident
	Absences  []Absence
	Events    []Event
	Truncated bool
}

// Uptime returns Up as a percentage of Up + Down. ok is false when both are zero.
func (h History) Uptime() (percent float64, ok bool) {
	total := h.Up + h.Down
	if total <= 0 {
		return 0, false
	}
	return 100 * float64(h.Up) / float64(total), true
}

const (
	historyPeriod   = 24 * time.Hour // when HistoryQuery.From is zero
	historyLimit    = 1000           // of each list, when HistoryQuery.Limit is zero
	maxHistoryLimit = 10_000         // the greatest HistoryQuery.Limit
)

// History returns how long a service was up and down in a period, with its spans,
// incidents, absences and events. The error matches ErrServiceNotFound,
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
		now = m.absences.Observed() // a stopped Manager receives no heartbeats
	}
	end := max(m.absences.Wall(now.Mono)/int64(time.Millisecond), r.statusSince)
	present := r.currentSpan(end)
	kept := m.store.spans.All(r.spans)
	r.mu.Unlock()

	t := &historyBuilder{}
	if t.from, t.to, t.limit, err = q.period(end); err != nil {
		return History{}, err
	}
	t.begin(id, present)
	// The backlog is read before the storage. A row that is written in between is then
	// found twice and not missed.
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
	t.count(present)
	h := t.build()
	return h, m.historyEvents(ctx, id, t, &h)
}

// period checks the query and fills in defaults. Times are wall ms.
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

// readHistory adds the stored spans and absences of the period to t, merged with those
// that are known already. known is in ascending order.
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
	// A row of a span has the time of its end, and spans do not overlap. So the query
	// starts with the rows after t.from, and the loop stops behind the first span that
	// begins after t.to.
	next := 0 // index into known
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
			t.count(known[next])
		}
		_, twice := slices.BinarySearchFunc(known, s, span.compare)
		// After a removal that was stored in part, a row may exist for the present span.
		if !twice && s.compare(t.present) != 0 {
			t.count(s)
		}
		if s.from >= t.to && s.to > t.to {
			break
		}
	}
	for _, s := range known[next:] {
		t.count(s)
	}
	return nil
}

// historyEvents sets h.Events to the events of the period, from memory and storage.
func (m *Manager) historyEvents(ctx context.Context, id ServiceID, t *historyBuilder, h *History) error {
	found := map[string]Event{}
	from, to := clock.WallTime(t.from), clock.WallTime(t.to+1)
	add := func(ev *Event) {
		if ev.Service == id && !ev.At.Before(from) && ev.At.Before(to) {
			found[ev.ID] = *ev
		}
	}
	cursor, _ := m.events.cursor(0)
	for {
		evs, gone, _, _ := m.events.page(cursor, 1024)
		if gone {
			cursor, _ = m.events.cursor(0)
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
	h.Truncated = h.Truncated || n > t.limit // also when one of them could not be decoded
	for _, ev := range found {
		h.Events = append(h.Events, ev)
	}
	slices.SortFunc(h.Events, func(a, b Event) int { return cmp.Compare(a.Sequence, b.Sequence) })
	h.Events = latest(h.Events, t.limit, &h.Truncated)
	return nil
}

// wallsOf converts absences to their stored form.
func wallsOf(a *clock.Absences) []storedAbsence {
	const ms = int64(time.Millisecond)
	var out []storedAbsence
	for _, g := range a.Single() {
		out = append(out, storedAbsence{storedVersion, g.From.Wall / ms, g.Back.Wall / ms, g.Lost, g.Cut})
	}
	return out
}
