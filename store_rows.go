package laneswap

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/laneswap/laneswap/internal/clock"
	"github.com/laneswap/laneswap/internal/journal"
	"github.com/laneswap/laneswap/internal/wirejson"
)

// The kinds of rows besides those of storage.go, which adapters need not know.
const (
	kindSpan    Kind = "span"    // a span that is closed; At is its end
	kindAbsence Kind = "absence" // At is its end
	kindAlive   Kind = "alive"   // one row: until when LaneSwap received heartbeats
	kindBeats   Kind = "beats"   // the recent heartbeats of a service
	kindOutbox  Kind = "outbox"  // a notice, and what was decided about it
)

// rowKind says how rows of one kind are treated.
type rowKind struct {
	policy journal.Policy
	pruned bool                           // rows older than the retention are deleted
	load   func(l *loaded, row Row) error // reads a row that was open when LaneSwap ended; nil ignores it
	vital  bool                           // a row of a newer LaneSwap ends the start; others are left as they are
}

// rowKinds has every kind that LaneSwap stores. A new kind is declared here and
// nowhere else.
var rowKinds = map[Kind]rowKind{
	KindService: {load: (*loaded).loadService, vital: true},
	KindSeen:    {load: (*loaded).loadSeen},
	KindEvent:   {policy: journal.Policy{Insert: true, Keep: 2, CountLoss: true}, pruned: true},
	KindError:   {pruned: true},
	kindSpan:    {policy: journal.Policy{Keep: 2}, pruned: true},
	kindAbsence: {policy: journal.Policy{Insert: true}, pruned: true},
	kindAlive:   {load: (*loaded).loadAlive, vital: true},
	kindBeats:   {load: (*loaded).loadBeats},
	kindOutbox:  {policy: journal.Policy{Amendable: true, Keep: 8}, pruned: true, load: (*loaded).loadNotice},
}

// entry is a row that waits to be stored.
type entry = journal.Entry

// key is the identity of a row, as the journal has it.
func key(kind Kind, id string) journal.Key { return journal.Key{Kind: string(kind), ID: id} }

// newEntry makes an entry with the policy of its kind; at is wall ms.
func newEntry(kind Kind, id, service string, at int64, data any) *entry {
	return &entry{Policy: rowKinds[kind].policy, Key: key(kind, id), Service: service, At: at, Data: data}
}

// deletion deletes a row.
func deletion(kind Kind, id string, service ServiceID) *entry {
	return &entry{Key: key(kind, id), Service: string(service), Delete: true}
}

// deletionsOf deletes the rows of a service. Its state goes first: where the storage
// accepts only some of them, the rest belongs to no service.
func deletionsOf(id ServiceID) []*entry {
	var gone []*entry
	for _, kind := range []Kind{KindService, kindBeats, KindSeen} {
		gone = append(gone, deletion(kind, string(id), id))
	}
	return gone
}

// deletions deletes everything that is stored of r. r.mu is held.
func (r *record) deletions() []*entry {
	gone := deletionsOf(r.id)
	gone[0].Durable = true
	for n := r.oldestError; n <= r.errorCount && n > 0; n++ {
		gone = append(gone, deletion(KindError, r.errorID(n), r.id))
	}
	return gone
}

// spanEntry is a closed span.
func spanEntry(id ServiceID, over span) *entry {
	e := newEntry(kindSpan, over.rowID(id), string(id), over.to, over.stored())
	e.Size = len(over.message)
	return e
}

// eventEntry is an event. Its maker waits until it is durable.
func eventEntry(ev *Event) *entry {
	e := newEntry(KindEvent, ev.ID, string(ev.Service), ev.At.UnixMilli(), &storedEvent{Version: storedVersion, Event: ev})
	e.Size, e.Durable = len(ev.Message), true
	return e
}

// absenceEntry is an absence.
func absenceEntry(gone clock.Absence) *entry {
	from, back := gone.From.Wall/int64(time.Millisecond), gone.Back.Wall/int64(time.Millisecond)
	id := strconv.FormatInt(from, 36) + "-" + strconv.FormatInt(back, 36)
	return newEntry(kindAbsence, id, "", back, &storedAbsence{storedVersion, from, back, gone.Lost, gone.Cut})
}

// aliveEntry is the alive row; at is wall ms.
func aliveEntry(at int64, a *storedAlive) *entry {
	e := newEntry(kindAlive, "alive", "", at, a)
	e.Open = true
	return e
}

// rowOf encodes an entry.
func rowOf(e *entry) (Row, error) {
	data, err := wirejson.Encode(e.Data)
	return Row{Kind: Kind(e.Kind), ID: e.ID, Service: e.Service, At: clock.WallTime(e.At), Open: e.Open, Data: data}, err
}

// storedVersion is the version of what rows hold. A row with a higher one is of a
// newer LaneSwap, and not read.
const storedVersion = 1

// storedSpan is the content of a span row; the row's At is its end.
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

// storedEvent is the content of an event row. It carries the state of the service right
// after it, because a killed LaneSwap may not have stored that state by itself.
type storedEvent struct {
	Version int            `json:"v"`
	Event   *Event         `json:"event"`
	State   *storedService `json:"state,omitempty"`
}

// readEvent is a storedEvent that was read. It does not decode the state, which is rarely
// needed.
type readEvent struct {
	Version int             `json:"v"`
	Event   *Event          `json:"event"`
	State   json.RawMessage `json:"state"`
}

// maxSequence bounds the numbers of stored events: numbers after a higher one would
// overflow.
const maxSequence = 1 << 62

// decodeEvent reads an event row.
func decodeEvent(row Row) (*readEvent, error) {
	var e readEvent
	err := decode(row, &e, &e.Version)
	if err == nil && e.Event == nil {
		err = fmt.Errorf("%s %q: holds no event", row.Kind, row.ID)
	}
	if err == nil && (e.Event.Sequence == 0 || e.Event.Sequence >= maxSequence) {
		err = fmt.Errorf("%s %q: an event cannot have the number %d", row.Kind, row.ID, e.Event.Sequence)
	}
	return &e, err
}

// storedAbsence is the content of an absence row, in wall ms.
type storedAbsence struct {
	Version int   `json:"v"`
	From    int64 `json:"from"`
	Back    int64 `json:"back"`
	Lost    bool  `json:"lost,omitempty"`
	Cut     bool  `json:"cut,omitempty"`
}

// storedAlive is the content of the alive row. Its At is until when LaneSwap received
// heartbeats.
type storedAlive struct {
	Version int    `json:"v"`
	Journal string `json:"journal"`
	// Next is a sequence number that no event has had yet.
	Next uint64 `json:"next"`
	Born int64  `json:"born"`
	// Ended says that every heartbeat before the end of that run is stored.
	Ended bool `json:"ended,omitempty"`
}

// storedBeats is the content of a beats row.
type storedBeats struct {
	Version int               `json:"v"`
	Beats   []HeartbeatRecord `json:"beats"`
}

// storedError is the content of an error row, besides its At and Service.
type storedError struct {
	Version int `json:"v"`
	ErrorRecord
}

// Bounds of the contract of Storage.
const (
	maxRowID   = 512
	maxRowData = 1 << 20
)

// storable returns an error for a row that a storage may refuse: offered again and again it
// would block all others.
func (r Row) storable() error {
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

// errNewer is the error of a row of a newer LaneSwap: this one must not overwrite it.
var errNewer = errors.New("a newer LaneSwap has written this")

// decode decodes a row into v, whose version is at ver. The error names the row.
func decode(row Row, v any, ver *int) error {
	if err := json.Unmarshal(row.Data, v); err != nil {
		return fmt.Errorf("%s %q: %w", row.Kind, row.ID, err)
	}
	if *ver > storedVersion {
		return fmt.Errorf("%s %q: %w: its version is %d, this program reads up to %d", row.Kind, row.ID, errNewer, *ver, storedVersion)
	}
	return nil
}

// rowID and errorID return the ids of rows of a service. Rows of one millisecond are in
// the order of their ids, so the number has a fixed width.
func (s span) rowID(id ServiceID) string {
	return string(id) + "/" + strconv.FormatInt(s.born, 36) + fmt.Sprintf("/%010d", s.number)
}

func (r *record) errorID(number uint64) string {
	return string(r.id) + "/" + strconv.FormatInt(r.generation, 36) + fmt.Sprintf("-e%010d", number)
}

// transitionOf parses the id of an event: the generation of its service, and the numbers of
// the incident and the transition.
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

// commit is a batch on its way to the storage.
type commit struct {
	*journal.Commit[lastSeen]
	batch  Batch   // the part that is not stored yet
	broken []error // rows that could not be encoded
}

// newCommit encodes what the journal took.
func newCommit(taken *journal.Commit[lastSeen]) *commit {
	c := &commit{Commit: taken}
	c.batch.Epoch = 1
	for _, e := range c.Entries {
		if e.Delete {
			c.batch.Delete = append(c.batch.Delete, Key{Kind(e.Kind), e.ID})
			continue
		}
		row, err := rowOf(e)
		if err == nil {
			err = row.storable()
		}
		switch {
		case err != nil:
			c.broken = append(c.broken, err)
		case e.Insert:
			c.batch.Insert = append(c.batch.Insert, row)
		default:
			c.batch.Put = append(c.batch.Put, row)
		}
	}
	for _, s := range c.Seen {
		c.batch.Seen = append(c.batch.Seen, Seen{Service: s.service, At: clock.WallTime(s.at)})
	}
	return c
}

// size is how many things a batch holds.
func (b Batch) size() int { return len(b.Insert) + len(b.Put) + len(b.Delete) + len(b.Seen) }

// cut returns n things of a batch and the rest; all of them where n is zero. They are
// in the order in which a batch is applied, but for what was seen: it goes first, for
// the alive row among what is put is never stored before it.
func (b Batch) cut(n int) (part, rest Batch) {
	rest.Epoch = b.Epoch
	if n == 0 || n >= b.size() {
		return b, rest
	}
	part.Epoch = b.Epoch
	// A service may have been removed and registered again: what was seen of the one
	// before is deleted first.
	var forget, others []Key
	for _, k := range b.Delete {
		if k.Kind == KindSeen {
			forget = append(forget, k)
		} else {
			others = append(others, k)
		}
	}
	forget, later := cutRows(forget, &n)
	part.Seen, rest.Seen = cutRows(b.Seen, &n)
	part.Insert, rest.Insert = cutRows(b.Insert, &n)
	part.Put, rest.Put = cutRows(b.Put, &n)
	part.Delete, rest.Delete = cutRows(others, &n)
	part.Delete, rest.Delete = append(forget, part.Delete...), append(later, rest.Delete...)
	return part, rest
}

// cutRows takes n of them at most, and that many from n.
func cutRows[T any](rows []T, n *int) (part, rest []T) {
	k := min(*n, len(rows))
	*n -= k
	return rows[:k:k], rows[k:]
}
