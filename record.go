package laneswap

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/laneswap/laneswap/internal/bounded"
	"github.com/laneswap/laneswap/internal/cell"
	"github.com/laneswap/laneswap/internal/clock"
	"github.com/laneswap/laneswap/internal/text"
)

// record is what the Manager knows of one service. Beats touch only the cell. Its groups
// name who writes them; all may be read under mu.
type record struct {
	cell          *cell.Cell
	deadlineIndex int           // place in the deadlines, -1 when in none; their lock guards it
	seen          atomic.Int64  // mono: the last heartbeat that the storage knows; of the writer
	lsn           atomic.Uint64 // LSN of the latest durable change; of the store

	mu sync.Mutex // guards everything below
	registered
	judgment
	news
	saved
	pending
}

// registered holds what a service declared and what its heartbeats carried. The verbs
// write it.
type registered struct {
	id          ServiceID
	reg         Registration // the latest one; Metadata stays nil here
	generatedID bool         // LaneSwap or a client generated the id
	imported    bool         // imported from another program after a long silence
	created     int64        // wall ms
	generation  int64        // created, but unique: part of event ids
	metadata    map[string]any
	message     string
	removal     removal
	successor   *record // replaces a forgotten record that a handle registered again
}

// judgment is how a service stands. Only the judge writes it.
type judgment struct {
	reported    Status
	status      Status
	statusSince int64 // wall ms: when the present span began
	lastStamp   int64 // wall ms: the latest time recorded of this service; never goes back

	expecting      bool  // a heartbeat is expected: false after a final one
	expectingSince int64 // mono: silence counts from here when no heartbeat is newer
	judgedBeat     int64 // mono: the heartbeat after which the silence was too long
	claimedUntil   int64 // mono: until then a service that registered again is expected to beat; 0 for none
	endedAt        int64 // mono: when it ended; ForgetAfter counts from here

	streak      streak // how long it has been good or bad; alert_after and recover_after count it
	alertAtBeat uint64 // number of heartbeats at which delayed notices become ready; 0 for none

	transitions, incidents uint64
	incident               *incident // nil while there is none

	spanState     SpanState // of the present span
	spanFirstBeat uint64    // number of heartbeats when the present span began
	closedSpans   []span    // closed spans that are not noted yet; the store takes them
}

// news holds the latest events, heartbeats and errors of a service.
type news struct {
	events         []*Event                   // the latest, oldest first
	recent         *beatList                  // heartbeats that carried news; made with the first
	spans          *bounded.List[span]        // closed spans, without a storage; made with the first
	errorList      *bounded.List[ErrorRecord] // reported errors, without a storage; made with the first
	errorCount     uint64                     // number of reported errors
	oldestError    uint64                     // number of the oldest one that may be stored
	eventsComplete bool                       // events has all that exist, up to their limit
	eventsRetryAt  int64                      // mono: no reading of events before it, because one failed
}

// saved is how far the storage lags behind. Only the store clears it.
type saved struct {
	stateDirty bool   // a heartbeat carried news since the state was saved
	beatsDirty bool   // recent has changed since it was saved
	savedBeats uint64 // number of heartbeats when the state was saved
}

// pending holds the calls that came before the storage was read. Only the store writes it.
type pending struct {
	isPending bool           // what the storage knows of the service is not known yet
	buffered  []bufferedCall // calls to apply then
}

// maxEventMessage is how many bytes of a message the latest events of a service keep.
const maxEventMessage = 512

// removal says whether a record still stands for its service.
type removal uint8

const (
	alive removal = iota
	removed
	forgotten
)

// incident is an open incident.
type incident struct {
	id          string
	start       int64 // mono
	startedAt   int64 // wall ms
	silentSince int64 // wall ms; 0 when it did not begin with silence
	cause       string
}

// bad and good say what a status means for this service: shutdown is bad for a service
// that must run. mu is held.
func (r *record) bad(s Status) bool {
	return s.Bad() || s == StatusShutdown && r.reg.MustRun
}

func (r *record) good(s Status) bool { return s.Good() && !r.bad(s) }

// tags returns the tags for its events; do not change them. mu is held.
func (r *record) tags() []string {
	if len(r.reg.Tags) == 0 {
		return nil
	}
	return r.reg.Tags
}

// isPlain reports whether an empty beat would change only the cell. mu is held.
func (r *record) isPlain() bool {
	return r.removal == alive && r.reported == StatusHealthy && r.status == StatusHealthy && r.message == "" && r.expecting && r.alertAtBeat == 0
}

// ended reports whether no more heartbeats are expected: the service is stale, or has
// sent a shutdown or another final heartbeat. mu is held.
func (r *record) ended() bool {
	return r.status == StatusStale || r.status == StatusShutdown || !r.expecting
}

// stamp turns wall ns into the ms to record, which never go back for one service. mu is
// held.
func (r *record) stamp(wall int64) int64 {
	r.lastStamp = max(r.lastStamp, wall/int64(time.Millisecond))
	return r.lastStamp
}

func (r *record) incidentID(number uint64) string {
	// generation keeps the ids apart from those of an earlier service with the same id.
	return string(r.id) + "/" + strconv.FormatInt(r.generation, 36) + "-" + strconv.FormatUint(number, 10)
}

// addEvent adds a numbered event to the latest ones. It cuts the message, so that ten
// events for every service stay small. mu is held.
func (r *record) addEvent(ev *Event) {
	if len(ev.Message) > maxEventMessage {
		short := *ev
		short.Message = strings.Clone(text.Cut(ev.Message, maxEventMessage))
		ev = &short
	}
	if len(r.events) >= maxStatusEvents {
		r.events = slices.Delete(r.events, 0, len(r.events)-maxStatusEvents+1)
	}
	r.events = append(r.events, ev)
}

// snapshot returns the record as callers see it. mu is held, and the caller has let the
// judge look at it.
func (r *record) snapshot(j *judge, now clock.Instant, events int) ServiceStatus {
	last := r.cell.Last.Load()
	st := ServiceStatus{
		ID: r.id, Name: r.reg.Name, Status: r.status, ReportedStatus: r.reported, Message: r.message,
		Metadata: cloneMap(r.metadata), Tags: slices.Clone(r.reg.Tags),
		CreatedAt: clock.WallTime(r.created), Since: clock.WallTime(r.statusSince),
		Interval: r.reg.Interval, Beats: r.cell.Beats.Load(), AlertAfter: r.reg.AlertAfter, RecoverAfter: r.reg.RecoverAfter,
	}
	if st.Beats > 0 {
		st.LastHeartbeat = clock.WallTime(j.absences.Wall(last) / int64(time.Millisecond))
	}
	if window := r.cell.Window.Load(); window != clock.Never {
		st.Window = time.Duration(window)
		if deadline := j.due(r); deadline != clock.Never && r.status != StatusStale {
			st.Deadline = clock.WallTime(j.absences.Wall(deadline) / int64(time.Millisecond))
			interval := int64(r.reg.Interval)
			st.Late = interval > 0 && now.Mono-max(last, r.expectingSince) > interval+interval/2
		}
	}
	if i := r.incident; i != nil {
		st.Incident = &Incident{ID: i.id, StartedAt: clock.WallTime(i.startedAt), SilentSince: clock.WallTime(i.silentSince), Cause: i.cause}
	}
	for _, ev := range r.events[max(0, len(r.events)-events):] {
		st.Events = append(st.Events, *ev)
	}
	return st
}

// cloneMap copies cleaned metadata: maps, slices and scalars.
func cloneMap(m map[string]any) map[string]any {
	if m == nil {
		return nil
	}
	return cloneValue(m).(map[string]any)
}

func cloneValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = cloneValue(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = cloneValue(e)
		}
		return out
	}
	return v
}

// span is a stretch of one kind of status.
type span struct {
	born     int64  // of the record that it belongs to
	number   uint64 // of the transition that began it; 0 for the first span
	state    SpanState
	status   Status
	from, to int64 // wall ms
	beats    uint64
	gap      int64 // ns
	message  string
	incident *incident // that it belongs to, or nil
}

// closeSpan closes a span. The present one began when it ended. mu is held.
func (r *record) closeSpan(over span) {
	over.to = max(r.statusSince, over.from)
	r.closedSpans = append(r.closedSpans, over)
	r.spanState = r.currentSpanState()
	r.spanFirstBeat += over.beats
	r.cell.Gap.Store(0)
}

// currentSpan returns the present span, as if it ended at the wall ms. mu is held.
func (r *record) currentSpan(ms int64) span {
	return span{
		born: r.generation, number: r.transitions, state: r.spanState, status: r.status, from: r.statusSince, to: max(ms, r.statusSince),
		beats: max(r.cell.Beats.Load(), r.spanFirstBeat) - r.spanFirstBeat, gap: r.cell.Gap.Load(), message: r.message, incident: r.incident,
	}
}

// currentSpanState returns whether the present status counts as up or down. A span keeps
// the state that it began with, even if the registration changes. mu is held.
func (r *record) currentSpanState() SpanState {
	switch {
	case r.bad(r.status):
		return SpanDown
	case r.status.Good():
		return SpanUp
	}
	return SpanUnknown
}

// public returns the span as callers see it.
func (s span) public() Span {
	out := Span{
		State: s.state, Status: s.status, From: clock.WallTime(s.from), To: clock.WallTime(s.to), Beats: s.beats,
		LongestGap: time.Duration(s.gap).Truncate(time.Millisecond), Message: s.message,
	}
	if s.incident != nil {
		out.Incident = s.incident.id
	}
	return out
}
