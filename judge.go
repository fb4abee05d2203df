package laneswap

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/laneswap/laneswap/internal/cell"
	"github.com/laneswap/laneswap/internal/clock"
	"github.com/laneswap/laneswap/internal/text"
)

// judge decides the status of services. It has no clock, no goroutine and no output:
// callers pass the instant, and it returns events. Its methods are called with the mu of
// the record held.
type judge struct {
	threshold  int64 // the global stale threshold, ns
	absences   *clock.Absences
	deadlines  *deadlines
	generation int64 // wall ms, unique per record and own event; guarded by the registry's lock

	mu     sync.Mutex            // guards counts
	counts [len(statusOrder)]int // services per effective status
}

func newJudge(threshold time.Duration, absences *clock.Absences) *judge {
	return &judge{threshold: int64(threshold), absences: absences, deadlines: newDeadlines()}
}

// window returns the silence that a registration allows.
func (j *judge) window(reg Registration) int64 {
	interval := int64(reg.Interval)
	switch {
	case reg.NoDeadline:
		return clock.Never
	case reg.StaleAfter > 0:
		return int64(reg.StaleAfter)
	case interval > j.threshold/2:
		return interval + min(interval+interval/2, int64(time.Hour))
	}
	return j.threshold
}

// next computes every deadline: when the record is overdue, and from when on it is certain
// that it fell silent. Both are clock.Never when no heartbeat is expected.
func (j *judge) next(r *record) (deadline, certain int64) {
	return j.nextAfter(r, max(r.cell.Last.Load(), r.expectingSince))
}

func (j *judge) nextAfter(r *record, last int64) (deadline, certain int64) {
	window := r.cell.Window.Load()
	if window == clock.Never || !r.expecting {
		return clock.Never, clock.Never
	}
	beaten := last > r.expectingSince || r.reported != StatusUnknown && r.reported != StatusShutdown
	return j.absences.Deadline(last, int64(r.reg.Interval), window, beaten)
}

// create starts to judge a new record: its status is unknown, and its silence begins.
func (j *judge) create(r *record, now clock.Instant) (earlier bool) {
	r.deadlineIndex = -1
	r.cell = new(cell.Cell)
	r.cell.Last.Store(now.Mono)
	r.cell.Window.Store(j.window(r.reg))
	r.cell.Slow.Store(true)
	r.created = r.stamp(j.absences.Wall(now.Mono))
	// Records may be created faster than the clock ticks, and the clock may be set back:
	// generation stays unique, and so do the ids of events.
	j.generation = max(j.generation+1, r.created)
	r.generation = j.generation
	r.statusSince = r.created
	r.reported, r.status, r.spanState = StatusUnknown, StatusUnknown, SpanUnknown
	r.expecting, r.expectingSince = true, now.Mono
	r.judgedBeat = now.Mono - 1
	j.count("", r.status)
	return j.schedule(r)
}

// count moves one service from a status to another; "" stands for no status.
func (j *judge) count(from, to Status) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if from != "" {
		j.counts[from.rank()]--
	}
	if to != "" {
		j.counts[to.rank()]++
	}
}

// reregister applies a changed registration. A service that had ended is expected to beat
// from now on. A registration does not extend the deadline. A shorter window does not make
// a silence too long that was allowed: it counts from now, or so that it ends with the old
// window.
func (j *judge) reregister(r *record, reg Registration, now clock.Instant) (earlier bool) {
	r.reg = reg
	r.reg.Metadata = nil
	before, window := r.cell.Window.Load(), j.window(reg)
	if r.expecting && window < before && r.status != StatusStale {
		from := now.Mono
		if before != clock.Never {
			from = min(from, max(r.cell.Last.Load(), r.expectingSince)+before-window)
		}
		r.expectingSince = max(r.expectingSince, from)
	}
	r.cell.Window.Store(window)
	if !r.expecting {
		r.expecting, r.expectingSince = true, now.Mono
	}
	r.imported = false
	r.endedAt = now.Mono // it is about to beat: forgetting counts from here
	r.claimedUntil = now.Mono + min(window, 10*j.threshold)
	r.cell.Slow.Store(!r.isPlain())
	return j.schedule(r)
}

// due returns when to judge the record next; clock.Never for never.
func (j *judge) due(r *record) int64 {
	deadline, certain := j.next(r)
	if r.status == StatusUnknown && r.judgedBeat == max(r.cell.Last.Load(), r.expectingSince) {
		return certain // that it is unknown has an event already
	}
	return deadline
}

// schedule sets the next instant of the record. A stale one has none.
func (j *judge) schedule(r *record) (earlier bool) {
	at := int64(clock.Never)
	if r.status != StatusStale && r.removal == alive {
		if deadline := j.due(r); deadline != clock.Never {
			at = deadline + 1 // a beat at the deadline itself is in time
		}
	}
	return j.deadlines.set(r, at)
}

// judgeSilence judges the silence of r at now and schedules r again. It returns the event of a
// transition, if there is one.
func (j *judge) judgeSilence(r *record, now clock.Instant) *Event {
	if r.removal != alive || r.status == StatusStale || !r.expecting {
		j.deadlines.set(r, clock.Never)
		return nil
	}
	// The handshake of cell: slow first, then last again.
	r.cell.Slow.Store(true)
	ev := j.silence(r, max(r.cell.Last.Load(), r.expectingSince), now)
	r.cell.Slow.Store(!r.isPlain())
	j.schedule(r)
	return ev
}

// silence judges the silence from the beat at last until now.
func (j *judge) silence(r *record, last int64, now clock.Instant) *Event {
	switch {
	case r.status == StatusStale || !r.expecting:
		return nil
	case last < r.judgedBeat || last == r.judgedBeat && r.status != StatusUnknown:
		return nil // judged before
	}
	deadline, certain := j.nextAfter(r, last)
	switch {
	case now.Mono <= deadline:
		return nil
	case now.Mono <= certain:
		if r.judgedBeat == last {
			return nil // it has an event already
		}
		r.judgedBeat = last
		return j.transition(r, StatusUnknown, deadline, change{
			message: r.message, cause: "its heartbeat was expected while LaneSwap could not hear",
			unheard: true, silentSince: j.lastBeat(r),
		})
	}
	r.judgedBeat, r.endedAt = last, certain
	window := time.Duration(r.cell.Window.Load())
	ch := change{message: r.message, cause: "no heartbeat within " + window.String() + " of its registration"}
	if r.reported != StatusUnknown || r.cell.Beats.Load() > 0 {
		ch.cause = "silent for longer than " + window.String()
		ch.silentSince = j.lastBeat(r)
	}
	return j.transition(r, StatusStale, certain, ch)
}

// lastBeat returns the time of the last beat of r, in wall ms.
func (j *judge) lastBeat(r *record) int64 {
	return j.absences.Wall(r.cell.Last.Load()) / int64(time.Millisecond)
}

// overdue judges a silence that a beat of the fast path has just ended, at until.
func (j *judge) overdue(r *record, until clock.Instant) *Event {
	return j.silence(r, max(r.cell.Last.Load(), r.expectingSince), until)
}

// beat applies a heartbeat received at now; merged is the metadata of the service and the
// beat. The caller has counted the beat, and judged the silence before it.
func (j *judge) beat(r *record, hb Heartbeat, merged map[string]any, now clock.Instant) (ev *Event, earlier bool) {
	r.cell.Slow.Store(true)
	r.cell.Raise(now.Mono)
	// While a heartbeat is expected and the record is not stale, deadlines has it already.
	enter := !r.expecting || r.status == StatusStale || r.status == StatusUnknown
	r.claimedUntil, r.imported = 0, false
	r.expecting = !hb.last()
	if !r.expecting {
		r.endedAt = now.Mono
	}
	ch := change{message: hb.Message, cause: "reported " + string(hb.Status), beat: true}
	if hb.Message != "" {
		ch.cause += ": " + hb.Message
	}
	ev = j.transition(r, hb.Status, now.Mono, ch)
	r.reported, r.message, r.metadata = hb.Status, hb.Message, merged
	r.cell.Slow.Store(!r.isPlain())
	if enter {
		earlier = j.schedule(r)
	}
	return ev, earlier
}

// change is the reason of a transition.
type change struct {
	message string
	cause   string
	unheard bool // unknown because of an absence of LaneSwap
	beat    bool // a heartbeat caused it
	// silentSince is the time of the last beat, in wall ms, when silence caused the
	// change; 0 when there was no beat.
	silentSince int64
}

// transition changes the status of r as of an instant. It returns the event, or nil when
// the status stays the same or changes from good to good.
func (j *judge) transition(r *record, to Status, mono int64, ch change) *Event {
	from := r.status
	if from == to {
		return nil
	}
	j.count(from, to)
	over := r.currentSpan(0)
	if ch.beat && over.beats > 0 {
		over.beats-- // the heartbeat that causes the transition belongs to the next span
	}
	r.status = to
	r.countTransition(from, to, mono, ch)
	// An incident stays open when a new registration makes its cause good.
	if from.Good() && r.good(to) && r.incident == nil {
		return nil
	}
	kind := kindOf(r, from, to)
	if ch.unheard {
		kind = EventUnheard
	}
	ev := j.newEvent(r, kind, from, to, mono, ch)
	r.closeSpan(over)
	return ev
}

// newEvent makes the event of a transition, and opens or closes the incident.
func (j *judge) newEvent(r *record, kind EventKind, from, to Status, mono int64, ch change) *Event {
	ms := r.stamp(j.absences.Wall(mono))
	r.statusSince = ms
	r.transitions++
	ev := &Event{
		Kind: kind, Service: r.id, Name: r.reg.Name, Tags: r.tags(), From: from, To: to,
		Message: ch.message, At: clock.WallTime(ms),
	}
	if kind == EventDown {
		r.incidents++
		r.incident = &incident{id: r.incidentID(r.incidents), start: mono, startedAt: ms, cause: strings.Clone(text.Cut(ch.cause, 500))}
		r.incident.silentSince = min(ms, ch.silentSince)
	}
	number := r.incidentID(r.incidents)
	if i := r.incident; i != nil {
		ev.Incident, ev.StartedAt, ev.SilentSince, ev.Cause = i.id, clock.WallTime(i.startedAt), clock.WallTime(i.silentSince), i.cause
		number = i.id
		if kind == EventRecovered || kind == EventRemoved {
			// Only the wall clock counts suspends; only the monotonic one is never set
			// back. A clock that was set forward looks like a suspend.
			ev.Duration = max(time.Duration(ms-i.startedAt)*time.Millisecond, time.Duration(mono-i.start)).Truncate(time.Millisecond)
			r.incident = nil
		}
	}
	if ch.silentSince != 0 {
		ev.SilentSince = clock.WallTime(min(ms, ch.silentSince))
	}
	if kind == EventUnheard {
		ev.Cause = ch.cause
	}
	ev.ID = number + "/" + strconv.FormatUint(r.transitions, 10)
	return ev
}

// kindOf returns the kind of a transition. A status that is neither good nor bad leaves
// an open incident open.
func kindOf(r *record, from, to Status) EventKind {
	switch {
	case r.bad(to) && r.incident == nil:
		return EventDown
	case r.bad(to) && (to.rank() < from.rank() || to == StatusStale):
		// A bad service that falls silent is not better, whatever the order of statuses
		// says.
		return EventWorse
	case r.bad(to):
		return EventBetter
	case r.good(to) && r.incident != nil:
		return EventRecovered
	case r.good(to):
		return EventUp
	}
	return EventUnknown
}

// retire stops judging r for good. It returns the event that ends its incident, if it has
// one.
func (j *judge) retire(r *record, why removal, now clock.Instant) *Event {
	r.removal = why
	r.cell.Slow.Store(true)
	j.deadlines.set(r, clock.Never)
	j.count(r.status, "")
	over := r.currentSpan(0)
	defer func() {
		r.statusSince = r.stamp(j.absences.Wall(now.Mono))
		r.closeSpan(over)
	}()
	if r.incident == nil {
		return nil
	}
	reason := ""
	if why == forgotten {
		reason = fmt.Sprintf("forgotten after %v", r.forgetAfter())
	}
	return j.newEvent(r, EventRemoved, r.status, StatusUnknown, now.Mono, change{message: reason})
}

// importKept is how long a service that was imported after a long silence is kept.
const importKept = 30 * 24 * time.Hour

// forgetAfter returns how long r is kept after it has ended.
func (r *record) forgetAfter() time.Duration {
	switch {
	case r.imported:
		return importKept
	case r.reg.ForgetAfter != 0:
		return r.reg.ForgetAfter
	case r.generatedID:
		return 24 * time.Hour
	}
	return Never
}
