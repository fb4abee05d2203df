package client

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/laneswap/laneswap"
	"github.com/laneswap/laneswap/internal/text"
	"github.com/laneswap/laneswap/internal/wirejson"
)

// The limits of what an agent keeps for the server.
const (
	maxChanges    = 64
	maxMessage    = 4 << 10 // bytes of a message; the rest is cut off
	maxKeys       = 64      // of metadata
	maxMetadata   = 8 << 10 // bytes of metadata as JSON
	maxValueBytes = 4 << 10 // bytes of one value, and of a key
)

// report is a heartbeat that an agent keeps: a checked and bounded copy.
type report struct {
	number   uint64 // in the order of reporting; 0 before the first
	status   laneswap.Status
	message  string
	metadata map[string]json.RawMessage
	final    bool // no heartbeat follows
	change   bool // it is one of the changes
}

// body returns the encoded report; nil for the empty heartbeat.
func (r report) body() []byte {
	hb := struct {
		Status   laneswap.Status            `json:"status,omitempty"`
		Message  string                     `json:"message,omitempty"`
		Metadata map[string]json.RawMessage `json:"metadata,omitempty"`
		Final    bool                       `json:"final,omitempty"`
	}{r.status, r.message, r.metadata, r.final}
	if hb.Status == laneswap.StatusHealthy {
		hb.Status = ""
	}
	if hb.Status == "" && hb.Message == "" && len(hb.Metadata) == 0 && !hb.Final {
		return nil
	}
	body, err := wirejson.Encode(hb)
	if err != nil {
		return nil // cannot be: every value was encoded before
	}
	return body
}

// bare returns the body with only status and final.
func (r report) bare() []byte {
	return report{status: r.status, final: r.final}.body()
}

// fact is one key of the service's metadata; data is null for a removed one.
type fact struct {
	data   json.RawMessage
	number uint64 // of the report that set it
}

// reports holds the latest state of an agent, and the changes of status that the server
// does not have yet. Its size is bounded.
type reports struct {
	mu        sync.Mutex // guards what follows
	latest    report
	dirty     bool // the server does not have latest
	changes   []report
	facts     map[string]fact // all reported metadata, for a server that lost it
	unsent    map[string]bool // keys of facts that neither a change nor the server has
	declared  map[string]bool // keys that every registration sets again; constant
	number    uint64          // of the latest report
	delivered uint64          // the highest number that was delivered

	sealed     bool          // the final report was added
	registered bool          // the server knew the service once
	progress   chan struct{} // closed and replaced when something was delivered
}

func newReports(declared map[string]any) *reports {
	s := &reports{
		latest: report{status: laneswap.StatusHealthy}, facts: map[string]fact{}, unsent: map[string]bool{},
		declared: map[string]bool{}, progress: make(chan struct{}),
	}
	for key := range declared {
		s.declared[laneswap.Sanitize(key)] = true
	}
	return s
}

// add adds a heartbeat, the final one if last is set. The error describes what was
// dropped.
func (s *reports) add(hb laneswap.Heartbeat, last bool) error {
	status := hb.Status
	if status == "" {
		status = laneswap.StatusHealthy
	}
	status, err := laneswap.ParseStatus(string(status))
	if err != nil {
		return err
	}
	if status == laneswap.StatusStale {
		return &laneswap.ValidationError{
			Field: "status", Problem: `"stale" is derived from silence and cannot be reported`, Err: laneswap.ErrInvalidHeartbeat,
		}
	}
	metadata, err := facts(hb.Metadata) // outside the lock: it calls marshalers of the program
	next := report{status: status, message: text.Cut(strings.ToValidUTF8(hb.Message, ""), maxMessage), final: last}

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sealed {
		return nil
	}
	s.sealed = last
	s.number++
	next.number = s.number
	if left := s.learn(metadata); left != nil && err == nil {
		err = left
	}
	before := s.latest.status
	s.latest = next
	if !significant(before, status) {
		s.dirty = true
		return err
	}
	// The change carries all unsent metadata, which keeps the order.
	next.change = true
	next.metadata = s.take()
	s.changes = append(s.changes, next)
	s.dirty = false
	if len(s.changes) > maxChanges {
		lost := s.changes[0]
		s.changes = append(s.changes[:0:0], s.changes[1:]...)
		s.changes[0].metadata = inherit(s.changes[0].metadata, lost.metadata)
	}
	return err
}

// learn merges metadata into the facts; mu is held.
func (s *reports) learn(metadata map[string]json.RawMessage) error {
	var err error
	for key, data := range metadata {
		old, known := s.facts[key]
		size := len(data)
		for k, f := range s.facts {
			if k != key {
				size += len(k) + len(f.data)
			}
		}
		if !known && len(s.facts) >= maxKeys || size+len(key) > maxMetadata && len(data) > len(old.data) {
			err = &laneswap.ValidationError{
				Field: "metadata." + text.Cut(key, 40), Err: laneswap.ErrInvalidHeartbeat,
				Problem: fmt.Sprintf("was dropped: an agent keeps %d keys and %d bytes", maxKeys, maxMetadata),
			}
			continue
		}
		s.facts[key] = fact{data: data, number: s.number}
		s.unsent[key] = true
	}
	return err
}

// take returns the unsent metadata and marks it as sent; mu is held.
func (s *reports) take() map[string]json.RawMessage {
	out := s.unsentFacts()
	clear(s.unsent)
	return out
}

func (s *reports) unsentFacts() map[string]json.RawMessage {
	if len(s.unsent) == 0 {
		return nil
	}
	out := make(map[string]json.RawMessage, len(s.unsent))
	for key := range s.unsent {
		out[key] = s.facts[key].data
	}
	return out
}

// significant reports whether a change of status must reach the server even when another
// one follows. A change from good to good is not significant.
func significant(from, to laneswap.Status) bool {
	if from == to {
		return false
	}
	goodbye := from == laneswap.StatusShutdown || to == laneswap.StatusShutdown
	return goodbye || !from.Good() || !to.Good()
}

func inherit(newer, older map[string]json.RawMessage) map[string]json.RawMessage {
	if len(older) == 0 {
		return newer
	}
	out := make(map[string]json.RawMessage, len(newer)+len(older))
	for k, v := range older {
		out[k] = v
	}
	for k, v := range newer {
		out[k] = v
	}
	return out
}

// facts encodes metadata key by key. It drops what cannot be encoded, and the error names
// it. The panic of a marshaler is an error too.
func facts(metadata map[string]any) (out map[string]json.RawMessage, err error) {
	if len(metadata) == 0 {
		return nil, nil
	}
	out = make(map[string]json.RawMessage, min(len(metadata), maxKeys))
	for key, v := range metadata {
		data, bad := encodeFact(key, v)
		if bad == nil && len(key)+len(data) > maxValueBytes {
			bad = &laneswap.ValidationError{
				Field: "metadata." + text.Cut(key, 40), Err: laneswap.ErrInvalidHeartbeat,
				Problem: fmt.Sprintf("is %d bytes long and was dropped, the limit is %d", len(data), maxValueBytes),
			}
		}
		if bad != nil {
			err = bad
			continue
		}
		out[laneswap.Sanitize(key)] = data
	}
	return out, err
}

func encodeFact(key string, v any) (data json.RawMessage, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &laneswap.ValidationError{
				Field: "metadata." + text.Cut(key, 40), Problem: "panicked while it was encoded", Err: laneswap.ErrInvalidHeartbeat,
			}
		}
	}()
	v, err = cleanValue(laneswap.ErrInvalidHeartbeat, "metadata."+text.Cut(key, 40), v, 1)
	if err != nil {
		return nil, err
	}
	return wirejson.Encode(v)
}
