package laneswap

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The kinds of rows that no adapter has to know, besides those of storage.go. A new
// one is made in save.go and read at the start in load.go; whether it is inserted
// or put is said by flight.fill, whether it grows old by pruned (writer.go), and
// how many of them may wait by tail.add (backlog.go).
const (
	kindSpan    Kind = "span"    // a run of status that is over; At is its end
	kindAbsence Kind = "absence" // At is when we were back
	kindAlive   Kind = "alive"   // one row: until when we listened
	kindBeats   Kind = "beats"   // what a service said lately
	kindOutbox  Kind = "outbox"  // a notice, and what was decided about it
)

// storedVersion is the version of what rows hold. A row with a higher one is of a
// newer LaneSwap, and not read.
const storedVersion = 1

// storedService is what a service row holds. The fields up to LastHeartbeat are
// for others to read and write too: a row without a version was written by
// another program, and says no more than these.
type storedService struct {
	Version       int            `json:"v"`
	ID            ServiceID      `json:"id"`
	Name          string         `json:"name"`
	Status        Status         `json:"status"`
	Message       string         `json:"message,omitempty"`
	Metadata      map[string]any `json:"metadata,omitempty"`
	CreatedAt     time.Time      `json:"created_at"`
	LastHeartbeat time.Time      `json:"last_heartbeat,omitzero"`

	Reported    Status          `json:"reported,omitempty"` // when it is not Status
	Made        bool            `json:"made,omitempty"`
	Born        int64           `json:"born"`
	Since       int64           `json:"since"`   // wall ms
	Stamped     int64           `json:"stamped"` // wall ms
	Armed       bool            `json:"armed,omitempty"`
	ArmedAt     int64           `json:"armed_at"`           // wall ms
	Judged      bool            `json:"judged,omitempty"`   // its silence was judged already
	EndedAt     int64           `json:"ended_at,omitempty"` // wall ms
	Interval    time.Duration   `json:"interval,omitempty"` // ns, as those below
	StaleAfter  time.Duration   `json:"stale_after,omitempty"`
	ForgetAfter time.Duration   `json:"forget_after,omitempty"`
	NoDeadline  bool            `json:"no_deadline,omitempty"`
	MustRun     bool            `json:"must_run,omitempty"`
	Tags        []string        `json:"tags,omitempty"`
	Beats       uint64          `json:"beats,omitempty"`
	RunBeats    uint64          `json:"run_beats,omitempty"` // beats when the run began
	Gap         time.Duration   `json:"gap,omitempty"`
	Transitions uint64          `json:"transitions,omitempty"`
	Incidents   uint64          `json:"incidents,omitempty"`
	Incident    *storedIncident `json:"incident,omitempty"`
	Errors      uint64          `json:"errors,omitempty"`
	Oldest      uint64          `json:"oldest_error,omitempty"` // number of the oldest that may be stored
	Side        SpanState       `json:"side,omitempty"`         // of the present run

	AlertAfter   *Threshold  `json:"alert_after,omitempty"`
	RecoverAfter *Threshold  `json:"recover_after,omitempty"`
	Turned       *storedTurn `json:"turned,omitempty"` // where a threshold may count from it
	// Bare says that Metadata was left out, for it is that of the state before.
	Bare    bool `json:"bare,omitempty"`
	Foreign bool `json:"foreign,omitempty"` // another program's, and long silent
}

// check returns an error for a state that nobody can count or judge.
func (s *storedService) check() error {
	if !s.Status.Valid() {
		return fmt.Errorf("%s %.80q: %.40q is not a status", KindService, s.ID, s.Status)
	}
	return nil
}

// storedTurn is when a service last became good or bad.
type storedTurn struct {
	At    int64  `json:"at"`    // wall ms
	Beats uint64 `json:"beats"` // heartbeats before it
	Quiet bool   `json:"quiet,omitempty"`
	// Missed is how many heartbeats silence has counted for since.
	Missed uint64 `json:"missed,omitempty"`
}

// storedIncident is an incident within a row; its times are wall ms.
type storedIncident struct {
	ID          string `json:"id"`
	StartedAt   int64  `json:"started_at"`
	SilentSince int64  `json:"silent_since,omitempty"`
	Cause       string `json:"cause,omitempty"`
}

func (i *incident) stored() *storedIncident {
	if i == nil {
		return nil
	}
	return &storedIncident{ID: i.id, StartedAt: i.startedAt, SilentSince: i.silentSince, Cause: i.cause}
}

// state is what is to be stored of r; mu is held.
func (j *judge) state(r *record) *storedService {
	last, wall := r.cell.last.Load(), func(mono int64) int64 { return j.absences.Wall(mono) / int64(time.Millisecond) }
	s := &storedService{
		Version: storedVersion, ID: r.id, Name: r.reg.Name, Status: r.status, Message: r.message, Metadata: r.metadata,
		CreatedAt: wallTime(r.created), Made: r.made, Born: r.born, Since: r.since, Stamped: r.stamped,
		Armed: r.armed, ArmedAt: wall(r.armedAt), Judged: r.judged >= max(last, r.armedAt),
		Interval: r.reg.Interval, StaleAfter: r.reg.StaleAfter, ForgetAfter: r.reg.ForgetAfter,
		NoDeadline: r.reg.NoDeadline, MustRun: r.reg.MustRun, Tags: r.reg.Tags,
		Beats: r.cell.beats.Load(), RunBeats: r.runBeats, Gap: time.Duration(r.cell.gap.Load()),
		Transitions: r.transitions, Incidents: r.incidents, Incident: r.incident.stored(), Errors: r.errors, Oldest: r.oldest, Side: r.side, Foreign: r.foreign,
		AlertAfter: thresholdPtr(r.reg.AlertAfter), RecoverAfter: thresholdPtr(r.reg.RecoverAfter),
	}
	if s.Beats > 0 {
		s.LastHeartbeat = wallTime(wall(last))
	}
	if s.AlertAfter != nil || s.RecoverAfter != nil {
		s.Turned = &storedTurn{wall(r.turned.since), r.turned.beats, r.turned.quiet, r.turned.missed}
	}
	if r.reported != r.status {
		s.Reported = r.reported
	}
	if r.ended() {
		s.EndedAt = wall(r.endedAt)
	}
	return s
}

// storedSpan is what a span row holds; the row's At is its end.
type storedSpan struct {
	Version  int             `json:"v"`
	Born     int64           `json:"born"`
	Number   uint64          `json:"number"`
	State    SpanState       `json:"state"`
	Status   Status          `json:"status"`
	From     int64           `json:"from"` // wall ms
	To       int64           `json:"to"`   // wall ms
	Beats    uint64          `json:"beats,omitempty"`
	Gap      time.Duration   `json:"gap,omitempty"`
	Message  string          `json:"message,omitempty"`
	Incident *storedIncident `json:"incident,omitempty"`
}

func (s span) stored() *storedSpan {
	return &storedSpan{
		Version: storedVersion, Born: s.born, Number: s.number, State: s.state, Status: s.status, From: s.from, To: s.to,
		Beats: s.beats, Gap: time.Duration(s.gap), Message: s.message, Incident: s.incident.stored(),
	}
}

func (s *storedSpan) span() span {
	return span{
		born: s.Born, number: s.Number, state: s.State, status: s.Status, from: s.From, to: s.To,
		beats: s.Beats, gap: int64(s.Gap), message: s.Message, incident: s.Incident.incident(),
	}
}

// storedEvent is what an event row holds: with the state of the service right
// after it, for a storage that had taken no more when LaneSwap was killed.
type storedEvent struct {
	Version int            `json:"v"`
	Event   *Event         `json:"event"`
	State   *storedService `json:"state,omitempty"`
}

// readEvent is storedEvent on the way back: few states are ever needed.
type readEvent struct {
	Version int             `json:"v"`
	Event   *Event          `json:"event"`
	State   json.RawMessage `json:"state"`
}

// maxSequence bounds the numbers of events that are believed: those that follow
// one that is higher would soon begin anew.
const maxSequence = 1 << 62

// decodeEvent reads an event row.
func decodeEvent(row Row) (*readEvent, error) {
	var e readEvent
	err := decode(row, &e, &e.Version)
	if err == nil && e.Event == nil {
		err = fmt.Errorf("%s %q: holds no event", row.Kind, row.ID)
	}
	if err == nil && (e.Event.Sequence == 0 || e.Event.Sequence >= maxSequence) {
		err = fmt.Errorf("%s %q: no event has the number %d", row.Kind, row.ID, e.Event.Sequence)
	}
	return &e, err
}

// incident is the stored one without its monotonic start.
func (s *storedIncident) incident() *incident {
	if s == nil {
		return nil
	}
	return &incident{id: s.ID, startedAt: s.StartedAt, silentSince: s.SilentSince, cause: s.Cause}
}

// storedAbsence is what an absence row holds, in wall ms.
type storedAbsence struct {
	Version int   `json:"v"`
	From    int64 `json:"from"`
	Back    int64 `json:"back"`
	Lost    bool  `json:"lost,omitempty"`
	Cut     bool  `json:"cut,omitempty"`
}

// storedAlive is what the one alive row holds; its At is until when we listened.
type storedAlive struct {
	Version int    `json:"v"`
	Journal string `json:"journal"`
	// Next is a sequence number that no event has had yet.
	Next uint64 `json:"next"`
	Born int64  `json:"born"`
	// Ended says that nothing was heard afterwards that is not stored.
	Ended bool `json:"ended,omitempty"`
}

// storedBeats is what a beats row holds.
type storedBeats struct {
	Version int               `json:"v"`
	Beats   []HeartbeatRecord `json:"beats"`
}

// storedError is what an error row holds besides its At and Service.
type storedError struct {
	Version int `json:"v"`
	ErrorRecord
}

// Bounds of the contract of Storage.
const (
	maxRowID   = 512
	maxRowData = 1 << 20
)

// check returns an error for a row that no storage has to take: offered again and
// again it would hold up all others.
func (r Row) check() error {
	switch {
	case r.ID == "" || len(r.ID) > maxRowID || len(r.Service) > maxRowID:
		return fmt.Errorf("%s %.80q: its id is %d bytes long, it must be 1 to %d", r.Kind, r.ID, len(r.ID), maxRowID)
	case strings.ContainsRune(r.ID+r.Service, 0) || !utf8.ValidString(r.ID+r.Service):
		return fmt.Errorf("%s %.80q: its id is not valid text", r.Kind, r.ID)
	case len(r.Data) > maxRowData:
		return fmt.Errorf("%s %.80q: is %d bytes long, the limit is %d", r.Kind, r.ID, len(r.Data), maxRowData)
	}
	return nil
}

// encode makes JSON without the escapes that are for HTML: they would make a row
// larger than the limits promise.
func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return buf.Bytes()[:buf.Len()-1], nil // it ends with a newline
}

// errNewer is what a row of a newer LaneSwap is: not for this one to overwrite.
var errNewer = errors.New("a newer LaneSwap has written this")

// decode reads a row into v, whose version is at ver. A row that cannot be read
// is an error that names it.
func decode(row Row, v any, ver *int) error {
	if err := json.Unmarshal(row.Data, v); err != nil {
		return fmt.Errorf("%s %q: %w", row.Kind, row.ID, err)
	}
	if *ver > storedVersion {
		return fmt.Errorf("%s %q: %w: it is of version %d, this program reads up to %d", row.Kind, row.ID, errNewer, *ver, storedVersion)
	}
	return nil
}

// rowID and errorID are the ids of rows of a service. Those of one millisecond are
// in the order of their ids, so the number in it has a fixed width.
func (s span) rowID(id ServiceID) string {
	return string(id) + "/" + strconv.FormatInt(s.born, 36) + fmt.Sprintf("/%010d", s.number)
}

func (r *record) errorID(number uint64) string {
	return string(r.id) + "/" + strconv.FormatInt(r.born, 36) + fmt.Sprintf("-e%010d", number)
}

// transitionOf reads the birth, the incident and the transition out of the id of
// an event.
func transitionOf(id string) (born int64, incidents, transitions uint64, ok bool) {
	i := strings.LastIndexByte(id, '/')
	if i < 0 {
		return 0, 0, 0, false
	}
	transitions, err := strconv.ParseUint(id[i+1:], 10, 64)
	if err != nil {
		return 0, 0, 0, false
	}
	id = id[:i]
	if i = strings.LastIndexByte(id, '/'); i < 0 {
		return 0, 0, 0, false
	}
	birth, number, _ := strings.Cut(id[i+1:], "-")
	if born, err = strconv.ParseInt(birth, 36, 64); err != nil {
		return 0, 0, 0, false
	}
	if incidents, err = strconv.ParseUint(number, 10, 64); err != nil {
		return 0, 0, 0, false
	}
	return born, incidents, transitions, true
}
